"""Recorded steps: files of JSON in and out, and data sets of Minari in."""

from anyspace.data.offline.spaces_file import read_spaces, write_spaces

__all__ = ["read_spaces", "write_spaces"]
