"""Helpers that the tests of several rooms share: environments, tasks, spaces, references, frameworks."""
