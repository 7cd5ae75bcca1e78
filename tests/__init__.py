"""The tests of anyspace: folders mirror `src/anyspace`; helpers that several rooms share are in `tests.support`."""
