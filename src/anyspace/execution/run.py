"""A run: train until something says stop, keep its folder in order on the way."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from anyspace.execution.checkpoint import write_checkpoint
from anyspace.execution.log import MetricsLog
from anyspace.execution.report import ProgressReport, draw_learning_curve
from anyspace.models.runtime import NumpyArray

Snapshot = tuple[dict[str, Any], dict[str, NumpyArray]]

BEST_INTERVAL = 10.0
"""Seconds between two writes of a best checkpoint that keeps getting better."""


class Trainable(Protocol):
    """What a run needs of an algorithm."""

    @property
    def timesteps_total(self) -> int:
        """Environment steps so far."""

    def train(self) -> dict[str, Any]:
        """Run one iteration."""

    def snapshot(self) -> Snapshot:
        """Return the state and the tensors of a checkpoint."""

    def should_stop(self) -> bool:
        """Whether the return to stop at is reached."""

    def is_best(self) -> bool:
        """Whether the latest iteration brought the highest mean return so far."""


class RunFolder:
    """The files of a run.

    ``config.json``, ``metrics.csv``, TensorBoard events, ``checkpoint/`` (the latest), ``best/`` (the one of
    the highest mean return) and ``learning_curve.png``.
    """

    def __init__(self, path: Path, config: dict[str, Any], title: str):
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._title = title
        self._log = MetricsLog(path)
        self._best: Snapshot | None = None
        self._best_written = time.monotonic()
        (path / "config.json").write_text(json.dumps(config, indent=1))

    def log(self, result: dict[str, Any]) -> None:
        """Append a training result to the metrics."""
        self._log.write(result)

    def checkpoint(self, algorithm: Trainable) -> None:
        """Save the latest checkpoint, and the best one if it is not on disk yet."""
        write_checkpoint(self.path / "checkpoint", *algorithm.snapshot())
        self._write_best()

    def keep_best(self, algorithm: Trainable) -> None:
        """Keep the checkpoint of the highest return; while returns climb, it is written every few seconds."""
        self._best = algorithm.snapshot()
        if time.monotonic() - self._best_written > BEST_INTERVAL:
            self._write_best()

    def _write_best(self) -> None:
        if self._best is not None:
            write_checkpoint(self.path / "best", *self._best)
            self._best = None
            self._best_written = time.monotonic()

    def close(self) -> None:
        """Finish the files and draw the learning curve."""
        try:
            self._write_best()
        finally:
            self._log.close()
        metrics = self.path / "metrics.csv"
        if metrics.exists():
            draw_learning_curve(metrics, self.path / "learning_curve.png", self._title)


def run(
    algorithm: Trainable,
    total_steps: int,
    *,
    folder: RunFolder | None,
    checkpoint_every: int,
    progress: bool,
) -> dict[str, Any]:
    """Train until ``total_steps`` or the return to stop at, and return the last result.

    The first Ctrl-C ends the run after the current iteration, saves, and raises ``KeyboardInterrupt`` with the
    command to resume; a second one ends it at once.
    """
    result: dict[str, Any] = {}
    saved_at = algorithm.timesteps_total
    with ProgressReport(total_steps, progress) as report, _graceful_interrupt(report) as interrupted:
        try:
            while algorithm.timesteps_total < total_steps and not interrupted.is_set():
                result = algorithm.train()
                report.update(result)
                if folder is not None:
                    folder.log(result)
                    if algorithm.is_best():
                        folder.keep_best(algorithm)
                    if algorithm.timesteps_total - saved_at >= checkpoint_every:
                        saved_at = algorithm.timesteps_total
                        folder.checkpoint(algorithm)
                if algorithm.should_stop():
                    break
            if folder is not None:
                folder.checkpoint(algorithm)
        except BaseException as error:
            if folder is not None:
                _close_after(error, folder)
            raise
        if folder is not None:
            folder.close()
    if interrupted.is_set():
        raise KeyboardInterrupt(_farewell(folder))
    return result


def _close_after(error: BaseException, folder: RunFolder) -> None:
    """Close the files of a run that failed, without hiding why it did."""
    try:
        folder.close()
    except Exception as another:
        error.add_note(f"(closing {folder.path} failed as well: {another!r})")


def _farewell(folder: RunFolder | None) -> str:
    if folder is None:
        return "stopped after an iteration; call save(path) to keep what was learnt"
    return f"stopped and saved; go on with `--resume {folder.path}`"


@contextmanager
def _graceful_interrupt(report: ProgressReport) -> Iterator[threading.Event]:
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return

    def handle(signum: int, frame: object) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt("stopped at once; the latest checkpoint is whole")
        interrupted.set()
        report.say("Stopping after this iteration; Ctrl-C again stops at once.")

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, previous)
