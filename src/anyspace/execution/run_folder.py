"""The folder of a run: one writer, never overwritten unasked, and a whole checkpoint in it at any moment."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from anyspace.errors import AnyspaceError, CheckpointError
from anyspace.execution import run_files
from anyspace.execution.checkpoint import write_checkpoint
from anyspace.execution.curves import draw_learning_curve
from anyspace.execution.log import MetricsLog, read_metrics
from anyspace.execution.pieces import Snapshot
from anyspace.execution.run_lock import RunLock
from anyspace.execution.trainable import Trainable
from anyspace.failures import Failures
from anyspace.folders import file_name

_LOG = logging.getLogger("anyspace")

BEST_INTERVAL = 10.0
"""Seconds between two writes of a best checkpoint that keeps getting better."""
CHECKPOINT_INTERVAL = 60.0
"""Seconds after which a checkpoint is written, however few steps that was."""
RETRY_INTERVAL = 10.0
"""Seconds until a checkpoint that could not be written is tried again."""
CHEAP_COPY = 0.01
"""Seconds of computing that a copy of the state may take, to be made after every iteration."""
COPY_SHARE = 0.01
"""The share of a run's time that copies of a larger state may take."""

_AGAIN = "Training goes on, and writing is tried again"


@dataclass(frozen=True)
class _Copy:
    """The state of an algorithm after a whole iteration."""

    steps: int
    snapshot: Callable[[], Snapshot]


class RunFolder(os.PathLike[str]):
    """The files of a run.

    ``config.json``, ``run.json`` (what the run was asked for), ``metrics.csv``, TensorBoard events, ``checkpoint/``
    (the latest), ``best/`` (the one of the highest mean return), ``exact/`` (the latest exact one),
    ``checkpoints/STEPS/`` (those that are kept) and ``learning_curve.png``.

    A folder is claimed before anything is built (:meth:`claim`, :meth:`create`), begun before the first iteration, and
    given up by :meth:`release` or at the end of a ``with`` block. In between, it has a copy of the state after the last
    whole iteration, of which a checkpoint is written whatever ends the run. A run that goes on changes nothing before
    its first iteration is over: what it goes on with may not work. Where the disk is full, a warning says so once, the
    run goes on, and writing is tried again.

    Attributes:
        path: of the folder.
        options: what the folder is to remember of the run beside its steps.
        words: of the command line, which the command to go on repeats.
        command: that the run is begun with, for ``config.json``; None: it is begun in Python.
        replaces: other folders, claimed too, whose runs are removed when this one begins.
    """

    def __init__(self, path: Path, lock: RunLock, *, is_new: bool, was_made: bool, overwrites: bool = False):
        self.path = path
        self._place = path.absolute()  # an environment may change the current folder
        self.options: dict[str, int | list[str] | None] = {}
        self.words: list[str] = []
        self.command: str | None = None
        self.replaces: Sequence[RunFolder] = ()
        self._lock, self._is_new, self._was_made, self._overwrites = lock, is_new, was_made, overwrites
        self._log: MetricsLog | None = None
        self._algorithm: Trainable | None = None
        self._settings: Callable[[], None] | None = None
        self._title = ""
        self._asked: dict[str, Any] = {}
        self._whole: _Copy | None = None
        self._is_current = False
        self._copy_seconds = 0.0
        self._copied = self._written = self._tried = self._best_written = time.monotonic()
        self._on_disk: _Copy | None = None
        self._best: _Copy | None = None
        # What the evaluation that is played beside training is of.
        self._evaluated: _Copy | None = None
        self._failures = Failures()

    @classmethod
    def claim(cls, path: Path, *, goes_on_at: int | None = None, overwrite: bool = False) -> Self:
        """Make a folder a run's own, so that no other process writes into it.

        Args:
            path: made if it is not there, folders above it included. Files that no run wrote stay as they are.
            goes_on_at: the steps of the algorithm whose run goes on in the folder; None: a new run begins there.
            overwrite: a new run may take the place of one that is there; one that goes on may do so from an earlier
                state than the latest checkpoint.

        Raises:
            ConfigError: there is a run already, or another one writes into it, or it cannot be written.
        """
        run_files.require_writable(path)
        was_made = not path.is_dir()
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock = RunLock(path)
        except OSError as error:
            raise run_files.unwritable(path, error) from error
        try:
            run_files.require_free(path, goes_on_at, overwrite)
        except BaseException:
            lock.release()
            raise
        return cls(path, lock, is_new=goes_on_at is None, was_made=was_made, overwrites=overwrite)

    @classmethod
    def create(cls, name: str) -> Self:
        """Make and claim a new folder ``runs/NAME-TIME``, with a number at the end where that is taken.

        Raises:
            ConfigError: it cannot be written.
        """
        base = Path("runs") / f"{file_name(name)[-150:].lstrip('-.')}-{time.strftime('%Y%m%d-%H%M%S')}"
        run_files.require_writable(base)
        number, path = 1, base
        while True:
            try:
                path.mkdir(parents=True)
                return cls(path, RunLock(path), is_new=True, was_made=True)
            except FileExistsError:
                number += 1
                path = Path(f"{base}-{number}")
            except OSError as error:
                raise run_files.unwritable(path, error) from error

    def __fspath__(self) -> str:
        return str(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let others write into the folder. If the run never began, a folder that was made for it is removed."""
        self._lock.release()
        if self._log is None and self._was_made:
            with suppress(OSError):
                self._place.rmdir()

    def begin(self, algorithm: Trainable, total_steps: int, progress: bool, *, exact: bool = False) -> None:
        """Write the first checkpoint and what the run is asked for, over the run that was to be overwritten.

        A run that goes on leaves the folder as it is for now, and writes both after its first iteration.

        Args:
            algorithm: which trains.
            total_steps: what the run is asked for.
            progress: likewise.
            exact: whether the checkpoints that ``checkpoint_every`` asks for are exact.

        Raises:
            ConfigError: the folder cannot be written, its metrics cannot be read, or the run would destroy what it
                learnt after its exact checkpoint, since it does not learn it again just so.
        """
        metrics = self._place / run_files.METRICS_FILE
        if not self._is_new and metrics.exists():
            read_metrics(metrics)  # before anything is learnt whose numbers could not join these
        if not (self._is_new or self._overwrites or exact):
            run_files.require_latest(self._place, algorithm.timesteps_total)
        description = algorithm.description()
        self._title = run_files.title_of(description)
        described = {**description, **run_files.origin(self.command)}
        self._asked = {"steps": total_steps, "progress": progress, "needs_trust": algorithm.needs_trust, **self.options}
        if algorithm.loading_line is not None:
            self._asked["loading"] = algorithm.loading_line
        self._log, self._algorithm = MetricsLog(self._place, description), algorithm
        self._settings = partial(self._write_settings, described, self._asked, algorithm.timesteps_total, exact=exact)
        if self._is_new:
            self._copy(algorithm)
            try:
                self._save()
            except OSError as error:
                raise run_files.unwritable(self.path, error) from error
        algorithm.run_folder = self._place.resolve()

    # ------------------------------------------------------------------------------ between two iterations

    def add(self, algorithm: Trainable, result: dict[str, Any]) -> None:
        """Take in a whole iteration: its state, its metrics, and whether it is the best so far."""
        assert self._log is not None
        self._is_current = False
        if self._copy_seconds <= CHEAP_COPY or time.monotonic() - self._copied >= self._copy_seconds / COPY_SHARE:
            self._copy(algorithm)
        log = self._log
        self._attempt("metrics", lambda: log.write(result))
        if algorithm.counters.is_best:
            self._best = self._evaluated or self._current(algorithm)
            if time.monotonic() - self._best_written > BEST_INTERVAL:
                self._attempt("best checkpoint", self._save_best)
        if not algorithm.evaluates_beside:
            self._evaluated = None
        elif self._evaluated is None:
            self._evaluated = self._current(algorithm)

    @property
    def is_due(self) -> bool:
        """Whether the latest checkpoint is old or an earlier run's, or one that failed is to be tried again."""
        if "latest checkpoint" in self._failures.latest:
            return time.monotonic() - self._tried >= RETRY_INTERVAL
        return self._on_disk is None or time.monotonic() - self._written >= CHECKPOINT_INTERVAL

    def checkpoint(self, algorithm: Trainable) -> bool:
        """Save the latest checkpoint, and the best one if it is not on disk yet; return whether the latest is new."""
        if self._whole is None:
            return False
        before, _ = self._on_disk, self._current(algorithm)
        until = f"{_AGAIN}; until then it is that of {self._steps_on_disk:,} steps"
        self._attempt("latest checkpoint", self._save, until)
        self._attempt("best checkpoint", self._save_best)
        return self._on_disk is not before

    def save_exact(self, algorithm: Trainable) -> None:
        """Cut the episodes under way, and save a checkpoint from which another process goes on as this one does.

        They are cut even where it cannot be written: a run that goes on from an earlier one cuts them here, too.
        """
        algorithm.restart_episodes()

        def save() -> None:
            self._settle()
            snapshot = self._current(algorithm).snapshot()
            write_checkpoint(self._place / run_files.EXACT, *algorithm.completed(snapshot, exact=True))

        self._attempt("exact checkpoint", save)

    def keep(self, number: int, *, exact: bool) -> None:
        """Keep the latest checkpoint, or the latest exact one, as one of ``number`` that stay."""
        if ("exact checkpoint" if exact else "latest checkpoint") in self._failures.latest:
            return  # the one that is there is an earlier one, of which nobody asked that it be kept
        name = run_files.EXACT if exact else run_files.LATEST
        self._attempt("kept checkpoint", lambda: run_files.keep_checkpoint(self._place, name, number))

    @property
    def needs_trust(self) -> bool:
        """Whether its checkpoints are loaded only by those who trust the code that they name."""
        return self._asked.get("needs_trust") is True

    @property
    def latest(self) -> Path:
        """The folder of the latest checkpoint, absolute."""
        return self._place / run_files.LATEST

    # ---------------------------------------------------------------------------------------- at the end

    def require_saved(self) -> None:
        """Raise :class:`CheckpointError` where the latest state that was to be saved could not be written."""
        if self._whole is not None and "latest checkpoint" in self._failures.latest:
            raise CheckpointError(self._loss(self._whole, self._failures.latest["latest checkpoint"]))

    def rescue(self) -> str:
        """Save the last whole iteration of a run that ends early; return what became of it, and how to go on."""
        if self._whole is None:
            line = run_files.go_on(self._place, self.path)
            return f"No iteration was over, so {self.path} is as it was before. Go on with\n  {line}"
        try:
            self._save()
        except Exception as error:  # whatever it is, it must not hide why the run ended
            return self._loss(self._whole, error)
        exact = run_files.steps_on_disk(self._place / run_files.EXACT)
        repeats = "" if exact is None else f" from the exact checkpoint of {exact:,} steps"
        line = run_files.line_to_go_on(self.path, self._asked, self.words, exact=exact is not None)
        return (
            f"The run is saved at {self._whole.steps:,} steps, after its last whole iteration. Go on{repeats} with\n"
            f"  {line}"
        )

    def close(self) -> None:
        """Finish the files and draw the learning curve."""
        if self._log is None or self._whole is None:
            return
        self._attempt("best checkpoint", self._save_best)
        self._attempt("metrics", self._log.close)
        metrics, picture = self._place / run_files.METRICS_FILE, self._place / run_files.PICTURE_FILE
        if metrics.exists():
            drawn = f"`anyspace plot {self.path}` draws it"
            self._attempt("learning curve", lambda: draw_learning_curve(metrics, picture, self._title), drawn)

    def _loss(self, whole: _Copy, error: Exception) -> str:
        reason = error.strerror if isinstance(error, OSError) else None
        room = "make room on the disk, and go" if isinstance(error, OSError) else "go"
        return (
            f"The checkpoint of {whole.steps:,} steps cannot be written ({reason or error}). The one of"
            f" {self._steps_on_disk:,} steps is whole: {room} on from there with\n"
            f"  {run_files.line_to_go_on(self.path, self._asked, self.words)}"
        )

    @property
    def _steps_on_disk(self) -> int:
        return run_files.steps_on_disk(self._place / run_files.LATEST) or 0

    # -------------------------------------------------------------------------------------------- writing

    def _copy(self, algorithm: Trainable) -> None:
        # The time of computing, not the time on the wall: other programs do not make a copy dear.
        began = time.thread_time()
        self._whole = _Copy(algorithm.timesteps_total, algorithm.copy_state())
        self._copy_seconds = time.thread_time() - began
        self._copied, self._is_current = time.monotonic(), True

    def _current(self, algorithm: Trainable) -> _Copy:
        """Return the state after the latest iteration; a large one may not have been copied yet."""
        if not self._is_current:
            self._copy(algorithm)
        assert self._whole is not None
        return self._whole

    def _write_settings(
        self, described: Mapping[str, Any], options: Mapping[str, Any], steps: int, *, exact: bool
    ) -> None:
        if self._is_new:
            for one in (self, *self.replaces):
                if run_files.is_run(one._place):
                    run_files.remove_run(one._place)
                    one._was_made = True  # as empty as one that was: it goes, if nothing begins there
        run_files.write_json(self._place / run_files.CONFIG_FILE, described)
        remembered = {} if self._is_new else run_files.asked_before(self._place)
        run_files.write_json(self._place / run_files.OPTIONS_FILE, {**remembered, **options})
        run_files.remove_others(self._place, steps, exact=exact)
        self._is_new = False

    def _settle(self) -> None:
        """Write what the run is asked for, unless that is done: before any checkpoint of it."""
        if self._settings is not None:
            self._settings()
            self._settings = None

    def _save(self) -> None:
        if self._whole is None or self._on_disk is self._whole:
            return
        assert self._algorithm is not None
        self._tried = time.monotonic()
        self._settle()
        content = self._algorithm.completed(self._whole.snapshot(), exact=False)
        write_checkpoint(self._place / run_files.LATEST, *content)
        self._on_disk, self._written = self._whole, time.monotonic()

    def _save_best(self) -> None:
        if self._best is None:
            return
        self._best_written = time.monotonic()
        write_checkpoint(self._place / run_files.BEST, *self._best.snapshot())
        self._best = None

    def _attempt(self, what: str, write: Callable[[], None], remedy: str = _AGAIN) -> None:
        """Write a file of the run, or warn that this fails: once, until the file can be written again."""
        try:
            write()
        except (OSError, AnyspaceError) as error:
            if self._failures.add(what, error):
                told = (error.strerror if isinstance(error, OSError) else None) or str(error).rstrip(".")
                _LOG.warning(f"{self.path}: the {what} cannot be written ({told}). {remedy}.")
        else:
            self._failures.end(what)
