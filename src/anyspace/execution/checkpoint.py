"""Checkpoints: a folder with ``state.json`` and the safetensors file that it names."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import uuid
import zipfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from safetensors.numpy import load_file, save

from anyspace.drafts import drafts_of, write_whole
from anyspace.errors import CheckpointError
from anyspace.execution.pieces import Growth, link, pieces_of, remove_pieces
from anyspace.models.runtime import NumpyArray
from anyspace.version import __version__

FORMAT = 3
"""Of the checkpoints that are written."""
READABLE = (1, 2, 3)
"""Formats that can be read."""
STATE_FILE = "state.json"
MOST_BYTES = 2**28
"""Largest state file that is written and read: 256 MiB."""
DEEPEST = 200
"""How deep lists and dicts of a state file are nested at most."""
_OWN_TENSORS = f"tensors-{'[0-9a-f]' * 8}.safetensors"
"""The tensors that checkpoints are written with, and that are removed with them."""


def write_checkpoint(
    folder: Path, state: dict[str, Any], tensors: dict[str, NumpyArray], growth: Growth | None = None
) -> None:
    """Write a checkpoint into ``folder``, over the one that may be there.

    The tensors go into a new file first; renaming ``state.json``, which names that file, makes the checkpoint
    whole in one step. A kill at any moment leaves the previous one as it was.

    Args:
        folder: made if it is not there.
        state: what JSON has.
        tensors: by name.
        growth: parts of which only what is new is written, and the rest is shared with earlier checkpoints.

    Raises:
        OSError: the disk is full, or the folder cannot be written. The previous checkpoint is whole, and nothing of
            this one is left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = f"tensors-{uuid.uuid4().hex[:8]}.safetensors"
    content = {
        "format": FORMAT,
        "version": __version__,
        "tensors": name,
        "shapes": _shapes(tensors),
        **state,
    }
    _remove(_drafts(folder))
    pieces: dict[str, list[tuple[str, list[int]]]] = {}
    try:
        if growth is not None:
            content["pieces"] = pieces = growth.write(folder)
        text = json.dumps(content, indent=1, allow_nan=False)
        arrays = {key: np.asarray(value, order="C") for key, value in tensors.items()}
        write_whole(folder / name, save(arrays), synced=True)
        write_whole(folder / STATE_FILE, text.encode(), synced=True)
    except OSError:
        _remove([folder / name])
        if growth is not None:
            growth.undo()
        raise
    if growth is not None:
        growth.commit()
    _remove([*_drafts(folder), *(file for file in _tensor_files(folder) if file.name != name)])
    remove_pieces(folder, pieces)


def copy_checkpoint(folder: Path, target: Path) -> None:
    """Make a checkpoint a second time, in the folder ``target``; where the file system can, it takes no room.

    Raises:
        CheckpointError: it is not whole.
        OSError: the folder cannot be written. Nothing is left of the copy.
    """
    state, text = read_state(folder), (folder / STATE_FILE).read_text()
    pieces = [piece.file for of_part in pieces_of(folder, state).values() for piece in of_part]
    files = [_own_file(folder, state["tensors"]), *pieces]
    remove_checkpoint(target)
    try:
        target.mkdir(parents=True, exist_ok=True)
        for file in files:
            link(file, target / file.name)
        write_whole(target / STATE_FILE, text.encode(), synced=True)
    except OSError:
        remove_checkpoint(target)
        raise


def remove_checkpoint(folder: Path) -> None:
    """Remove a checkpoint, and its folder unless there is something else in it."""
    _remove([folder / STATE_FILE, *_drafts(folder), *_tensor_files(folder)])
    remove_pieces(folder)
    with suppress(OSError):
        folder.rmdir()


def resume_command(path: Path, words: Sequence[str] = (), *, trust: bool = False) -> str:
    """Return the command that goes on with a run, to be pasted into a shell.

    Args:
        path: the run folder, or one of its checkpoints.
        words: more of the command.
        trust: it is a run of the user's own that names code, which loading has to be told.
    """
    spelt = str(path)
    own = ["anyspace", "train", "--resume", f"./{spelt}" if spelt.startswith("-") else spelt]
    return shlex.join([*own, *words, *(["--trust"] if trust else [])])


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, NumpyArray]]:
    """Return the state and the tensors of a checkpoint, or of the latest one of a run folder.

    Raises:
        CheckpointError: there is none, or it is truncated, or of another format.
    """
    folder = find_checkpoint(path)
    state = read_state(folder)
    file = _own_file(folder, state["tensors"])
    try:
        tensors = load_file(file)
    except Exception as error:  # a SafetensorError, or whatever a header of nonsense leads to
        raise CheckpointError(f"{file} is truncated or damaged: {error}.") from error
    if _shapes(tensors) != state["shapes"]:
        raise CheckpointError(f"{file} does not hold the tensors that {STATE_FILE} lists.")
    return state, tensors


def _own_file(folder: Path, name: str) -> Path:
    """Return the file of tensors, which lies in the checkpoint's own folder and nowhere else."""
    file = folder / name
    if not _TENSORS.fullmatch(name) or (file.is_symlink() and file.resolve().parent != folder.resolve()):
        raise CheckpointError(
            f"{folder} is not whole: `tensors` of its {STATE_FILE} is {name!r}, but the tensors of a checkpoint lie in"
            " its own folder, in a file such as tensors-1a2b3c4d.safetensors. Nothing was read."
        )
    if not file.is_file():
        raise CheckpointError(f"{folder} is not whole: {file.name}, which its {STATE_FILE} names, is missing.")
    return file


_TENSORS = re.compile(r"tensors-[\w-]+\.safetensors", re.ASCII)


def read_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the state of a checkpoint, or of the latest one of a run folder, without reading its tensors.

    Raises:
        CheckpointError: there is none, or it is truncated, or of another format.
    """
    file = find_checkpoint(path) / STATE_FILE
    try:
        if file.stat().st_size > MOST_BYTES:
            raise CheckpointError(f"{file} has more than {MOST_BYTES:,} bytes; no checkpoint's state is as large.")
        state = parsed(file.read_bytes(), file)
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error}.") from error
    if not isinstance(state, dict) or "format" not in state:
        raise CheckpointError(f"{file} is no checkpoint's state: it names no format.")
    if type(state["format"]) is not int or state["format"] not in READABLE:
        raise CheckpointError(
            f"{file.parent} is a checkpoint of format {state['format']!r}, written by anyspace"
            f" {state.get('version', 'of an unknown version')}. This is anyspace {__version__}, which reads the"
            f" formats {', '.join(map(str, READABLE))}: load it with the version that wrote it, or a later one."
        )
    if not isinstance(state.get("tensors"), str) or "shapes" not in state:
        raise CheckpointError(f"{file} is no checkpoint's state: it names no file of tensors, or not their shapes.")
    return state


def parsed(text: str | bytes, place: object) -> Any:
    """Return what the text of a state file says, refusing what would be a danger to whoever walks through it.

    Args:
        text: of the file.
        place: of the text, for messages.

    Raises:
        CheckpointError: it is no JSON, too large, or nested too deeply.
    """
    if len(text) > MOST_BYTES:
        raise CheckpointError(f"{place} takes more than {MOST_BYTES:,} bytes.")
    try:
        value = json.loads(text, parse_constant=_no_number)
    except RecursionError as error:
        raise CheckpointError(f"{place} is nested more than {DEEPEST} levels deep.") from error
    except ValueError as error:  # also of text that is not UTF-8
        raise CheckpointError(f"{place} is truncated or no checkpoint's state: {error}.") from error
    level, depth = [value], 0
    while level:
        nested = (item for item in level if isinstance(item, list | dict))
        level, depth = (
            [part for item in nested for part in (item.values() if isinstance(item, dict) else item)],
            depth + 1,
        )
        if depth > DEEPEST:
            raise CheckpointError(f"{place} is nested more than {DEEPEST} levels deep.")
    return value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def find_checkpoint(path: str | os.PathLike[str]) -> Path:
    """Return the folder that holds ``state.json``: ``path`` itself or its ``checkpoint`` folder.

    Raises:
        CheckpointError: neither does.
    """
    given = Path(path).expanduser()
    for folder in (given, given / "checkpoint"):
        if (folder / STATE_FILE).is_file():
            return folder
    if (given / "best" / STATE_FILE).is_file():
        raise CheckpointError(
            f"no checkpoint at {given}: it has no {STATE_FILE}, nor has its `checkpoint` folder. The one of the highest"
            f" return is there: load {given / 'best'}, or train on from it with\n"
            f"  {resume_command(given / 'best')}"
        )
    raise CheckpointError(f"no checkpoint at {given}: {_there(given)}")


def _there(given: Path) -> str:
    """Return what is at a path in place of a checkpoint, and what to do about it."""
    ask = "Give a run folder or a folder that save() wrote."
    if given.is_file():
        if _is_stable_baselines(given):
            return (
                "Stable-Baselines3 wrote it, and the weights of its networks fit none of these. Train anew: a key of"
                " its is answered with the name that it has here."
            )
        return f"it is a file, and a checkpoint is a folder. {ask}"
    # Others put a suffix behind the path that they save to.
    twin = given.with_suffix("") if given.suffix == ".zip" else Path(f"{given}.zip")
    if not given.exists() and twin.is_file() and _is_stable_baselines(twin):
        return f"there is {twin}, but {_there(twin)}"
    if any((folder / STATE_FILE).is_file() for folder in (twin, twin / "checkpoint")):
        return f"there is {twin}; folders are named as save() was told, so load that."
    if runs := sorted(found.parent.parent for found in given.glob(f"*/checkpoint/{STATE_FILE}")):
        return f"runs are in folders of it, such as {runs[0]}. {ask}"
    if given.exists():
        return f"it has no {STATE_FILE}, nor has its `checkpoint` folder. {ask}"
    return f"it does not exist. {ask}"


def _is_stable_baselines(file: Path) -> bool:
    """Return whether a file is a model that Stable-Baselines3 saved."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return "_stable_baselines3_version" in archive.namelist()


def _shapes(tensors: dict[str, NumpyArray]) -> dict[str, list[int]]:
    return {name: list(value.shape) for name, value in sorted(tensors.items())}


def _tensor_files(folder: Path) -> list[Path]:
    return list(folder.glob(_OWN_TENSORS))


def _drafts(folder: Path) -> list[Path]:
    of_0_1 = folder.glob(f"{_OWN_TENSORS}.partial"), folder.glob(f"{STATE_FILE}.partial")
    return [*drafts_of(folder / _OWN_TENSORS), *drafts_of(folder / STATE_FILE), *itertools.chain(*of_0_1)]


def _remove(files: Iterable[Path]) -> None:
    """Remove what is there of ``files``; what cannot be removed takes room and does no other harm."""
    for file in files:
        with suppress(OSError):
            file.unlink()
