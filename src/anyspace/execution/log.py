"""Metrics of a run as CSV and TensorBoard files."""

from __future__ import annotations

import csv
import io
import itertools
import json
import numbers
import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from anyspace.drafts import write_whole
from anyspace.errors import ConfigError

_writers = itertools.count()


def is_number(value: object) -> bool:
    """Return whether a value is a number as logs hold it: Python's, NumPy's, or a scalar array of a framework."""
    if isinstance(value, numbers.Real):
        return True
    # PyTorch's types have no kind; V are the half floats that NumPy does not know.
    return getattr(value, "shape", None) == () and getattr(getattr(value, "dtype", None), "kind", "f") in "biufV"


def flat_metrics(result: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return the numbers of a nested result, 0-d arrays included, by their path: ``learner/policy_loss``.

    Infos of environments have names of any kind; what cannot be printed in a name is spelt as Python does it.
    """
    flat: dict[str, float] = {}
    for name, value in result.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            flat |= flat_metrics(value, f"{path}/")
        elif is_number(value):
            path = path if path.isprintable() else path.encode("unicode_escape").decode()
            flat[path] = value if type(value) in (int, float) else float(value)
    return flat


class MetricsLog:
    """Appends one row per training iteration to ``metrics.csv`` and to a TensorBoard file.

    Args:
        folder: the run folder. A log that is there is continued: its rows up to the first new one's step stay.
            Later ones are dropped, for a run that was killed resumes from the checkpoint before them. TensorBoard's
            earlier files stay as they are, and the new one says from which step on they no longer count.
        described: what the run is, nested; TensorBoard lists it among the hyperparameters of runs.
    """

    def __init__(self, folder: Path, described: Mapping[str, Any] | None = None):
        self._table = _Table(folder / "metrics.csv")
        self._events = _EventFile(folder, described or {})

    def write(self, result: Mapping[str, Any]) -> None:
        """Append a training result.

        Raises:
            OSError: the disk is full, or the files cannot be written. What could not be written is kept, and written
                with the next result.
        """
        row = flat_metrics(result)
        try:
            self._table.add(row)
        finally:
            self._events.add(row)

    def close(self) -> None:
        """Write what could not be written so far.

        Raises:
            OSError: it still cannot.
        """
        try:
            self._table.flush()
        finally:
            self._events.flush()


class _Table:
    """A CSV file to which rows are appended; new columns may come with any row."""

    def __init__(self, file: Path):
        self._file = file
        self._columns: list[str] = []
        self._waiting: list[dict[str, float]] = []
        self._started = False

    def add(self, row: dict[str, float]) -> None:
        self._waiting.append(row)
        self.flush()

    def flush(self) -> None:
        if not self._waiting:
            return
        if not self._file.exists():  # a new run, or somebody moved it away
            self._rewrite([])
        elif not self._started:
            self._rewrite(read_metrics(self._file, before=_first_step(self._waiting[0])))
        elif not {name for row in self._waiting for name in row} <= set(self._columns):
            self._rewrite(read_metrics(self._file))
        else:
            _append(self._file, _csv(self._columns, self._waiting))
        self._waiting.clear()

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        """Write ``rows`` and new ones with room for all their columns: evaluations, for one, are in some rows only."""
        new = dict.fromkeys(name for row in self._waiting for name in row)
        columns = list(dict.fromkeys([*(rows[0] if rows else ()), *self._columns, *new]))
        header = dict(zip(columns, columns, strict=True))
        write_whole(self._file, _csv(columns, [header, *rows, *self._waiting]))
        self._columns, self._started = columns, True


def _first_step(row: Mapping[str, float]) -> int:
    """Return the first step of an iteration: where a run goes on, its first one need not end where it did before."""
    return int(row["timesteps_total"] - row.get("timesteps_this_iter", 1)) + 1


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, float | str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.DictWriter(text, columns).writerows(rows)
    return text.getvalue().encode()


class _EventFile:
    """A TensorBoard file; each event is on disk when it is added, so that a kill loses none."""

    def __init__(self, folder: Path, described: Mapping[str, Any]):
        from tensorboard.compat.proto.event_pb2 import Event

        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_writers):06d}"
        self._file = folder / name
        self._waiting, self._started = _record(Event(wall_time=time.time(), file_version="brain.Event:2")), False
        if described:
            self._waiting += _record(Event(wall_time=time.time(), summary=_hyperparameter_summary(described)))

    def add(self, row: dict[str, float]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary

        if not self._started:
            # Without it, TensorBoard draws the steps that a kill undid beside those that took their place.
            start = SessionLog(status=SessionLog.START)
            self._waiting += _record(Event(wall_time=time.time(), step=_first_step(row), session_log=start))
            self._started = True
        values = [Summary.Value(tag=name, simple_value=value) for name, value in row.items()]
        step = int(row["timesteps_total"])
        self._waiting += _record(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))
        self.flush()

    def flush(self) -> None:
        if self._waiting:
            _append(self._file, self._waiting)
            self._waiting = b""


def hyperparameters(described: Mapping[str, Any], prefix: str = "") -> dict[str, bool | float | str]:
    """Return what a run is as TensorBoard takes it: by path (``model/fcnet_hiddens``), lists and the like as texts."""
    found: dict[str, bool | float | str] = {}
    for name, value in described.items():
        if isinstance(value, Mapping) and value:
            # Of the configuration, nobody wants to read the word in front of every key.
            found |= hyperparameters(value, "" if f"{prefix}{name}" == "config" else f"{prefix}{name}/")
        else:
            found[f"{prefix}{name}"] = value if isinstance(value, bool | int | float | str) else json.dumps(value)
    return found


def _hyperparameter_summary(described: Mapping[str, Any]) -> Any:
    """Return what TensorBoard's page of hyperparameters reads.

    Its own function for that imports TensorFlow, where that is installed, which takes seconds.
    """
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.types_pb2 import DT_FLOAT
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

    info = SessionStartInfo(start_time_secs=time.time())
    for name, value in hyperparameters(described).items():
        match value:
            case bool():
                info.hparams[name].bool_value = value
            case str():
                info.hparams[name].string_value = value
            case _:
                info.hparams[name].number_value = value
    content = HParamsPluginData(version=0, session_start_info=info).SerializeToString()
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="hparams", content=content))
    nothing = TensorProto(dtype=DT_FLOAT, float_val=[0.0])
    return Summary(value=[Summary.Value(tag="_hparams_/session_start_info", metadata=metadata, tensor=nothing)])


def _record(event: Any) -> bytes:
    from tensorboard.summary.writer.record_writer import RecordWriter

    record = io.BytesIO()
    RecordWriter(record).write(event.SerializeToString())
    return record.getvalue()


def _append(file: Path, data: bytes) -> None:
    """Append to a file, all of ``data`` or, where the disk is full, nothing."""
    with file.open("ab", buffering=0) as handle:
        end = handle.seek(0, os.SEEK_END)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[handle.write(rest) :]
        except OSError:
            with suppress(OSError):
                handle.truncate(end)
            raise


def read_metrics(file: Path, before: int | None = None) -> list[dict[str, str]]:
    """Return the rows of a ``metrics.csv``, or the rows of steps before ``before``.

    A metric that a row lacks is an empty string. A last row that a kill cut short is left out.

    Raises:
        ConfigError: the file is damaged.
    """
    try:
        text = file.read_text(encoding="utf-8")
        rows = list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))
        found = [{name: float(value) for name, value in row.items() if value} for row in rows]
        steps = [row["timesteps_total"] for row in found]
    except (ValueError, TypeError, KeyError, csv.Error) as error:
        raise ConfigError(
            f"{file} is damaged ({error!r}): it is to be a table of numbers in UTF-8, with `timesteps_total` in each"
            " row. Put it right, or move it away; a run that goes on begins another one."
        ) from error
    return [row for row, at in zip(rows, steps, strict=True) if before is None or at < before]
