"""Files that are written in one step: a draft beside the file takes its place once it is whole."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from anyspace.errors import AnyspaceError


def draft_path(file: Path) -> Path:
    """Return a new place for a draft of a file: in its folder, hidden, with its ending.

    No two of these are alike, so that two processes that write one file do not get in each other's way.
    """
    return file.with_name(_name(file, secrets.token_hex(4)))


def drafts_of(file: Path) -> list[Path]:
    """Return the drafts that kills have left of a file, or of all files of a pattern such as ``step-*.gif``."""
    return list(file.parent.glob(_name(file, "[0-9a-f]" * 8)))


@contextmanager
def draft_of(file: Path, *, synced: bool = False) -> Iterator[Path]:
    """Yield where to write a draft, which takes the file's place at the end of the context.

    A kill leaves the old file, and so does an error, which leaves no draft.

    Args:
        file: to be written.
        synced: the draft is on the disk before it takes the file's place, so that a power cut leaves one of the two.

    Raises:
        OSError: it cannot be written.
    """
    draft = draft_path(file)
    try:
        yield draft
        if synced:
            to_disk(draft)
        draft.replace(file)
    except BaseException:  # Ctrl-C, too, and a signal that ends the program
        with suppress(OSError):
            draft.unlink()
        raise


def write_whole(file: Path, data: bytes, *, synced: bool = False) -> None:
    """Write a file in one step; see :func:`draft_of`.

    Raises:
        OSError: it cannot be written.
    """
    with draft_of(file, synced=synced) as draft:
        draft.write_bytes(data)


@contextmanager
def writing(file: Path, kind: type[AnyspaceError]) -> Iterator[None]:
    """Name a file that cannot be written, such as on a full disk.

    Args:
        file: which a user asked for.
        kind: of the error.

    Raises:
        AnyspaceError: of that kind, in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise kind(f"{file} cannot be written: {reason}. Make room there, or choose another place.") from error


def to_disk(file: Path) -> None:
    """Return when a file is on the disk.

    Raises:
        OSError: it cannot be written there.
    """
    with file.open("rb") as handle:
        os.fsync(handle.fileno())


def _name(file: Path, mark: str) -> str:
    return f".{file.stem}.{mark}.partial{file.suffix}"
