"""Names of folders, and the current folder, which may have been removed, and which environments may change."""

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


def file_name(text: str) -> str:
    """Return a text as the name of a file or a folder, with ``-`` in place of letters that may not be in one."""
    return "".join(letter if letter.isalnum() or letter in "-._" else "-" for letter in text)


@contextmanager
def going_back() -> Iterator[None]:
    """Go back to the current folder at the end of the context; where it has been removed, there is no way back."""
    here = current_folder()
    try:
        yield
    finally:
        os.chdir(here)
