"""Writing recorded steps into files of JSON that nobody else writes into."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from anyspace.data.offline.json_lines import write_line
from anyspace.errors import ConfigError

LARGEST_FILE = 64 * 2**20
"""Bytes after which another file is begun."""


class JsonWriter:
    """Writes batches of columns as lines into new files ``output-TIME_worker-I_K.json`` of a folder.

    A file is made with the first line, and only if no file has its name: two writers never share one. Each line is
    written at once, and no file stays open. One that was moved away or removed is followed by the next.

    Args:
        folder: made if it is not there.
        largest_file: bytes after which another file is begun.
        worker: I.
        compressed: names of the columns to pack (`packed`).

    Raises:
        ConfigError: the folder cannot be written.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        largest_file: int = LARGEST_FILE,
        worker: int = 0,
        compressed: Collection[str] = (),
    ):
        self.folder = Path(folder).expanduser()
        self._largest, self._worker, self._compressed = largest_file, worker, compressed
        self._began, self._number = time.strftime("%Y-%m-%d_%H-%M-%S"), 0
        self._file: Path | None = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{self.folder} cannot be written: {error.strerror or error}.") from error
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise ConfigError(f"{self.folder} cannot be written: nothing may be added to this folder.")

    def write(self, columns: Mapping[str, Any]) -> None:
        """Write the columns of steps that follow each other as one line.

        Raises:
            ConfigError: a value has no place in JSON; names its column and row.
            OSError: the file cannot be written; nothing of the line is in it, and the next one may be tried.
        """
        line = (write_line(columns, self._compressed) + "\n").encode()
        if self._file is None or not self._file.exists() or self._file.stat().st_size >= self._largest:
            self._file = self._new_file()
        size = self._file.stat().st_size
        try:
            with self._file.open("ab", buffering=0) as file:
                if file.write(line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._file))
        except OSError:
            os.truncate(self._file, size)
            raise

    def begin_file(self) -> None:
        """Let the next line begin another file."""
        self._file = None

    def _new_file(self) -> Path:
        while True:
            path = self.folder / f"output-{self._began}_worker-{self._worker}_{self._number}.json"
            self._number += 1
            try:
                path.open("x").close()
            except FileExistsError:
                continue
            return path
