"""Finding files of recorded steps and reading their lines, without end."""

from __future__ import annotations

import glob
import logging
import os
import zipfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import numpy as np

from anyspace.data.offline.json_lines import BadLine, Columns, read_line
from anyspace.data.offline.spaces_file import SPACES_FILE
from anyspace.errors import ConfigError
from anyspace.folders import current_folder

_KINDS = (".json", ".jsonl", ".zip")


Place: TypeAlias = str | os.PathLike[str]


def find_files(source: Place | Sequence[Place], root: Path | None = None) -> list[Path]:
    """Return the files that a source stands for, sorted by name.

    Args:
        source: a folder, whose files ``*.json``, ``*.jsonl`` and ``*.zip`` are taken, a file, a pattern such as
            ``runs/*/output-*.json``, or a list of these. ``~`` is the home folder.
        root: the folder that they are relative to, whose own name is no pattern; None: the current one.

    Raises:
        ConfigError: one of them stands for no file, or is no text or path.
    """
    sources = [source] if isinstance(source, str | os.PathLike) else source
    if not isinstance(sources, Collection) or not all(isinstance(one, str | os.PathLike) for one in sources):
        raise ConfigError(f"config key `input`: a folder, a file, a pattern, or a list of these, but {source!r} came.")
    if not sources:
        raise ConfigError("config key `input` is an empty list, which names no file.")
    return sorted({file for one in sources for file in _files_of(one, root or Path())})


def _files_of(source: Place, root: Path) -> list[Path]:
    path = root / Path(source).expanduser()
    if path.is_dir():
        found = [file for file in path.iterdir() if file.suffix in _KINDS and file.name != SPACES_FILE]
        found = [file for file in found if not file.is_dir()]
        kinds = ", ".join(f"*{kind}" for kind in _KINDS)
        looked_for = f"the folder {source} holds no file {kinds}"
        if (path / SPACES_FILE).exists():
            looked_for += " yet: close() the algorithm that records into it, which writes what it still keeps"
    elif path.is_file():
        return [path]
    else:
        pattern = str(Path(source).expanduser())
        found = [root / name for name in glob.glob(pattern, root_dir=root, recursive=True)]
        found = [file for file in found if file.is_file() and file.name != SPACES_FILE]
        looked_for = f"no file matches {source!r}"
    if not found:
        raise ConfigError(
            f"config key `input`: {looked_for} (the current folder is {current_folder() / root}). Give a folder, a file"
            " or a pattern of JSON files, or `minari:ID`."
        )
    return found


class JsonLines:
    """Reads the lines of files of recorded steps, without end: the files in random order, each from first to last line.

    A line that holds no steps is counted, named in the log and left out.

    Args:
        files: their paths, see :func:`find_files`.
        seed: of the files' order.
        unpacks: turn packed columns into arrays.
        wanted: names of the columns to read; None: all.
        most_bad_lines: bad lines in a row that are put up with.
    """

    def __init__(
        self,
        files: Sequence[Path],
        seed: int | None = None,
        *,
        unpacks: bool = False,
        wanted: Sequence[str] | None = None,
        most_bad_lines: int = 100,
    ):
        self._files, self._unpacks, self._wanted = list(files), unpacks, wanted
        self._most_bad_lines = most_bad_lines
        self._told: set[str] = set()
        self.restart(seed)

    def restart(self, seed: int | None) -> None:
        """Begin anew with a file that ``seed`` chooses."""
        self._rng = np.random.default_rng(seed)
        self._steps, self._bad_lines = self._endless(), 0

    def next(self) -> tuple[str, Columns]:
        """Return the place of the next line and the columns that it holds.

        Raises:
            ConfigError: too many bad lines came in a row, no file has a line, or a file is gone.
        """
        return next(self._steps)

    def metrics(self) -> dict[str, float]:
        """Return how many lines were left out since the last call."""
        bad_lines, self._bad_lines = self._bad_lines, 0
        return {"bad_lines": float(bad_lines)}

    def _endless(self) -> Iterator[tuple[str, Columns]]:
        bad_in_a_row = 0
        while True:
            good, bad, fault = 0, 0, ""
            for number in self._rng.permutation(len(self._files)):
                for place, line in _lines(self._files[number]):
                    try:
                        columns = _read(line, place, self._unpacks, self._wanted)
                    except BadLine as error:
                        bad, bad_in_a_row = bad + 1, bad_in_a_row + 1
                        fault = fault or f"{place}: {error}"
                        self._leave_out(place, error, bad_in_a_row)
                        continue
                    good, bad_in_a_row = good + 1, 0
                    yield place, columns
            if not good:
                names = ", ".join(map(str, self._files[:3])) + (", ..." if len(self._files) > 3 else "")
                if not bad:
                    raise ConfigError(f"config key `input`: {names}: there is no line in it.")
                raise ConfigError(
                    f"config key `input`: no line of {names} holds steps, of {bad} in all. {fault}. {_FORMAT}"
                )

    def _leave_out(self, place: str, error: BadLine, in_a_row: int) -> None:
        self._bad_lines += 1
        if in_a_row > self._most_bad_lines:
            raise ConfigError(
                f"{place}: {error}; it is the line number {in_a_row} in a row that holds no steps. {_FORMAT}"
            ) from error
        if place not in self._told:
            self._told.add(place)
            logging.getLogger("anyspace").warning(f"{place} is left out: {error}.")


_FORMAT = (
    "Files hold one JSON object in a line, {'type': 'SampleBatch', 'obs': [...], 'actions': [...], ...}: see"
    " docs/offline.md."
)


def _read(line: str, place: str, unpacks: bool, wanted: Sequence[str] | None) -> Columns:
    columns = read_line(line, place, unpacks=unpacks, wanted=wanted)
    if columns and all(map(_is_empty, columns.values())):
        raise BadLine("its columns are empty")
    return columns


def _is_empty(column: object) -> bool:
    if isinstance(column, dict):
        return all(map(_is_empty, column.values()))
    # No array is made of a list: what varies in length from step to step is none.
    return column.shape[:1] == (0,) if isinstance(column, np.ndarray) else column == []


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the places and the texts of the lines of a file that are not blank; no file stays open in between."""
    if path.suffix == ".zip":
        for name, content in _unzipped(path).items():
            yield from _numbered(content.splitlines(), f"{path}/{name}")
        return
    try:
        _require_lines(path)
        yield from _numbered(_lines_of(path), str(path))
    except OSError as error:
        raise ConfigError(f"config key `input`: {path} cannot be read: {error}.") from error


def _unzipped(path: Path) -> dict[str, bytes]:
    """Return the contents of the files of lines in a zip, by name."""
    try:
        with zipfile.ZipFile(path) as archive:
            inner = [PurePosixPath(name) for name in sorted(archive.namelist())]
            return {str(name): archive.read(str(name)) for name in inner if _is_lines(name)}
    except Exception as error:  # each way to compress has errors of its own, and so has a password
        fault = str(error) or type(error).__name__
        raise ConfigError(f"config key `input`: {path} cannot be read: {fault}.") from error


_MAGIC = {
    b"\x1f\x8b": "compressed by gzip; unpack it, or put it into a .zip",
    b"PK\x03\x04": "a zip, as NumPy's .npz are; files of JSON lines are read from a .zip",
    b"\x28\xb5\x2f\xfd": "compressed by zstd; unpack it",
    b"BZh": "compressed by bzip2; unpack it",
    b"\xfd7zXZ": "compressed by xz; unpack it",
    **{b"\x80" + bytes([protocol]): "a pickle, which is not read: it may run code" for protocol in range(2, 6)},
    b"\x93NUMPY": "an array of NumPy",
    b"\x89HDF": "HDF5",
    b"PAR1": "Parquet",
    b"ARROW1": "Arrow",
}
"""What files of other kinds begin with, and what to say of them."""


def _require_lines(path: Path) -> None:
    """Raise :class:`ConfigError` for a file of another kind, by what it begins with."""
    with path.open("rb") as file:
        first = file.readline(10)
    kind = next((kind for magic, kind in _MAGIC.items() if first.startswith(magic)), None)
    if first.strip() in (b"{", b"["):
        kind = "one indented object or list; write it anew, without `indent`"
    if kind is not None:
        raise ConfigError(f"config key `input`: {path} is {kind}. {_FORMAT}")


def _is_lines(name: PurePosixPath) -> bool:
    return name.suffix in _KINDS[:2] and name.name != SPACES_FILE


def _lines_of(path: Path) -> Iterator[bytes]:
    offset = 0
    while True:
        with path.open("rb") as file:
            file.seek(offset)
            line = file.readline()
        if not line:
            return
        offset += len(line)
        yield line


def _numbered(lines: Iterable[bytes], name: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            # What is no UTF-8 makes its own line a bad one, and not the whole file. Editors mark where a file begins.
            yield f"{name}, line {number}", line.decode("utf-8-sig", errors="replace")
