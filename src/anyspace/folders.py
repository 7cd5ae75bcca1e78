"""The current folder, which may have been removed, and which environments may change."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PathLike = str | os.PathLike[str]


def current_folder() -> Path:
    """Return the current folder; the empty path where it has been removed."""
    try:
        return Path.cwd()
    except OSError:
        return Path()


@contextmanager
def going_back() -> Iterator[None]:
    """Go back to the current folder at the end of the context; where it has been removed, there is no way back."""
    here = current_folder()
    try:
        yield
    finally:
        os.chdir(here)
