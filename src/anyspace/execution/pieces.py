"""Files of what was written to growing parts: a checkpoint writes the new ones, and shares the others."""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from anyspace.data.growing import PORTION, Growing
from anyspace.drafts import draft_of, drafts_of, to_disk
from anyspace.errors import CheckpointError
from anyspace.models.runtime import NumpyArray

Snapshot = tuple[dict[str, Any], dict[str, NumpyArray]]
"""What JSON has, and arrays by name."""

MOST_SMALL = 64
"""How many files there may be beyond twice as many as are needed; then they are written anew, as few large ones."""
_PIECES = "piece-*.safetensors"
NAME = re.compile(r"piece-[0-9a-f]{32}\.safetensors", re.ASCII)


class Piece(NamedTuple):
    """A file, which is never written to again."""

    file: Path
    mark: list[int]
    """Where what it holds ends; see :class:`Growing`."""


class Growth:
    """The growing parts of an algorithm on their way into a checkpoint.

    Args:
        parts: by name.
        known: the files that hold what was written to them so far, part by part; brought up to date.
        packed: makes the content of a file of a portion.
    """

    def __init__(
        self,
        parts: Mapping[str, Growing],
        known: dict[str, list[Piece]],
        packed: Callable[[dict[str, Any]], Snapshot],
    ):
        self._parts, self._known, self._packed = parts, known, packed
        self._new: list[Path] = []
        self._pieces: dict[str, list[Piece]] = {}

    def write(self, folder: Path) -> dict[str, list[tuple[str, list[int]]]]:
        """Bring all files into ``folder`` that it lacks, and return their names and marks.

        Raises:
            OSError: the disk is full, or the folder cannot be written.
        """
        for name, part in self._parts.items():
            pieces = [piece for piece in self._known.get(name, ()) if not part.outlived(piece.mark)]
            if _are_scattered(pieces) or not all(self._brought(piece.file, folder) for piece in pieces):
                pieces = []
            here = [Piece(folder.absolute() / piece.file.name, piece.mark) for piece in pieces]
            for portion, mark in part.since(pieces[-1].mark if pieces else None):
                here.append(Piece(self._written(folder, *self._packed(portion)), mark))
            self._pieces[name] = here
        return {name: [(piece.file.name, piece.mark) for piece in pieces] for name, pieces in self._pieces.items()}

    def commit(self) -> None:
        """Take note that the checkpoint is whole."""
        self._known |= self._pieces

    def undo(self) -> None:
        """Remove what was written for a checkpoint that did not become whole."""
        for file in self._new:
            with suppress(OSError):
                file.unlink()

    def _brought(self, file: Path, folder: Path) -> bool:
        """Link or copy a file into a folder; return whether it is there."""
        target = folder / file.name
        if target.exists():
            return True
        if not file.exists():
            return False
        self._new.append(target)
        link(file, target)
        return True

    def _written(self, folder: Path, plain: dict[str, Any], tensors: dict[str, NumpyArray]) -> Path:
        file = folder.absolute() / f"piece-{uuid.uuid4().hex}.safetensors"
        self._new.append(file)
        content = {name: np.asarray(value, order="C") for name, value in tensors.items()}
        file.write_bytes(save(content, {"plain": json.dumps(plain, allow_nan=False)}))
        to_disk(file)
        return file


def link(file: Path, target: Path) -> None:
    """Give a file a second name, or, where the file system has none, a copy: ``target`` is whole or not there.

    Raises:
        OSError: it can be given neither.
    """
    try:
        os.link(file, target)
    except OSError:
        with draft_of(target, synced=True) as draft:
            shutil.copyfile(file, draft)


def _are_scattered(pieces: list[Piece]) -> bool:
    """Return whether there are many more files than their sizes ask for."""
    if len(pieces) <= MOST_SMALL:
        return False
    sizes = [piece.file.stat().st_size for piece in pieces if piece.file.exists()]
    return len(pieces) > MOST_SMALL + 2 * sum(sizes) // PORTION


def pieces_of(folder: Path, state: Mapping[str, Any]) -> dict[str, list[Piece]]:
    """Return the files that the state of a checkpoint names, which lie in its own folder and nowhere else.

    Raises:
        CheckpointError: a file is missing, or lies elsewhere, or what is named is no file of that kind.
    """
    folder = folder.absolute()
    listed = state.get("pieces", {})
    try:
        found = {
            str(part): [Piece(folder / name, [int(number) for number in mark]) for name, mark in entries]
            for part, entries in listed.items()
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder} is not whole: `pieces` of its state.json lists no files: {error}.") from error
    for piece in (piece for pieces in found.values() for piece in pieces):
        file = piece.file
        if not NAME.fullmatch(file.name) or file.parent != folder or file.is_symlink():
            raise CheckpointError(
                f"{folder} is not whole: `pieces` of its state.json names {str(file)!r}, but a checkpoint's files lie"
                " in its own folder. Nothing was read."
            )
        if not file.is_file():
            raise CheckpointError(f"{folder} is not whole: {file.name}, which its state.json names, is missing.")
    return found


def read_piece(file: Path) -> Snapshot:
    """Return the content of a file.

    Raises:
        CheckpointError: it is truncated or damaged.
    """
    try:
        with safe_open(file, framework="numpy") as opened:
            plain = json.loads((opened.metadata() or {})["plain"])
            return plain, {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except Exception as error:  # a SafetensorError, or whatever a header of nonsense leads to
        raise CheckpointError(f"{file} is truncated or damaged: {error}.") from error


def remove_pieces(folder: Path, keep: Mapping[str, list[tuple[str, list[int]]]] | None = None) -> None:
    """Remove the files of a folder but those to keep, and drafts of copies.

    What cannot be removed takes room and does no other harm.
    """
    kept = {name for pieces in (keep or {}).values() for name, _ in pieces}
    found = [file for file in folder.glob(_PIECES) if NAME.fullmatch(file.name) and file.name not in kept]
    for file in (*found, *drafts_of(folder / _PIECES)):
        with suppress(OSError):
            file.unlink()
