"""Metrics of a run as CSV and TensorBoard files."""

from __future__ import annotations

import csv
import numbers
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def flat_metrics(result: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return the numbers of a nested result, 0-d arrays included, by their path: ``learner/policy_loss``."""
    flat: dict[str, float] = {}
    for name, value in result.items():
        if isinstance(value, Mapping):
            flat |= flat_metrics(value, f"{prefix}{name}/")
        elif isinstance(value, numbers.Real) or getattr(value, "shape", None) == ():
            flat[f"{prefix}{name}"] = value if type(value) in (int, float) else float(value)
    return flat


class MetricsLog:
    """Appends one row per training iteration to ``metrics.csv`` and to a TensorBoard file.

    Args:
        folder: the run folder. A log that is there is continued: its rows up to the first new one's step stay.
            Later ones are dropped, for a run that was killed resumes from the checkpoint before them.
    """

    def __init__(self, folder: Path):
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._file = folder / "metrics.csv"
        self._events = EventFileWriter(str(folder))
        self._columns: list[str] = []
        self._started = False

    def write(self, result: Mapping[str, Any]) -> None:
        """Append a training result."""
        row = flat_metrics(result)
        step = int(row["timesteps_total"])
        if not self._started:
            self._started = True
            self._rewrite(row, read_metrics(self._file, before=step) if self._file.exists() else [])
        elif not row.keys() <= set(self._columns):
            self._rewrite(row, read_metrics(self._file))
        with self._file.open("a", newline="") as handle:
            csv.DictWriter(handle, self._columns).writerow(row)
        self._write_events(row, step)

    def close(self) -> None:
        """Flush and close the TensorBoard file."""
        self._events.close()

    def _rewrite(self, new: Mapping[str, float], rows: list[dict[str, str]]) -> None:
        """Write ``rows`` with room for the columns of ``new``: evaluations, for one, are in some rows only."""
        self._columns = list(dict.fromkeys([*(rows[0] if rows else ()), *self._columns, *new]))
        draft = self._file.with_suffix(".partial")
        with draft.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, self._columns)
            writer.writeheader()
            writer.writerows(rows)
        draft.replace(self._file)

    def _write_events(self, row: dict[str, float], step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=name, simple_value=value) for name, value in row.items()]
        self._events.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))


def read_metrics(file: Path, before: int | None = None) -> list[dict[str, str]]:
    """Return the rows of a ``metrics.csv``, or the rows of steps before ``before``.

    A metric that a row lacks is an empty string. A last row that a kill cut short is left out.
    """
    text = file.read_text()
    whole = text[: text.rfind("\n") + 1]
    rows = list(csv.DictReader(whole.splitlines(keepends=True)))
    return [row for row in rows if before is None or int(row["timesteps_total"]) < before]
