"""Metrics of a run as CSV and TensorBoard files."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def flat_metrics(result: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return the numbers of a nested result by their path: ``learner/policy_loss``."""
    flat: dict[str, float] = {}
    for name, value in result.items():
        if isinstance(value, Mapping):
            flat |= flat_metrics(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            flat[f"{prefix}{name}"] = value
    return flat


class MetricsLog:
    """Appends one row per training iteration to ``metrics.csv`` and to a TensorBoard file.

    Args:
        folder: the run folder; a log that is there is continued.
    """

    def __init__(self, folder: Path):
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._file = folder / "metrics.csv"
        self._events = EventFileWriter(str(folder))
        self._columns: list[str] = []
        if self._file.exists():
            with self._file.open(newline="") as handle:
                self._columns = next(csv.reader(handle), [])

    def write(self, result: Mapping[str, Any]) -> None:
        """Append a training result."""
        row = flat_metrics(result)
        new = [name for name in row if name not in self._columns]
        if new:
            self._widen(new)
        with self._file.open("a", newline="") as handle:
            csv.DictWriter(handle, self._columns).writerow(row)
        self._write_events(row, int(row["timesteps_total"]))

    def close(self) -> None:
        """Flush and close the TensorBoard file."""
        self._events.close()

    def _widen(self, new: list[str]) -> None:
        """Add columns: metrics such as evaluations appear in some rows only."""
        rows = read_metrics(self._file) if self._file.exists() else []
        self._columns += new
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


def read_metrics(file: Path) -> list[dict[str, str]]:
    """Return the rows of a ``metrics.csv``; a metric that a row lacks is an empty string."""
    with file.open(newline="") as handle:
        return list(csv.DictReader(handle))
