"""A run: train until something says stop, keep its folder in order on the way."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anyspace.config import whole
from anyspace.errors import ConfigError
from anyspace.execution.callbacks import AnyCallbacks, Callbacks
from anyspace.execution.report import ProgressReport
from anyspace.execution.run_folder import RunFolder
from anyspace.execution.stopping import StopRequest, stop_signals
from anyspace.execution.trainable import Trainable


@dataclass(frozen=True)
class Saving:
    """When a run saves itself, and what stays of that."""

    every: int
    """Steps between two checkpoints."""
    keep: int = 0
    """How many of these stay beside the latest."""
    exact: bool = False
    """Let each of them be exact: cut the episodes under way, and hold what other checkpoints leave out."""


def learn(
    algorithm: Trainable,
    total_steps: int,
    out: str | os.PathLike[str] | None,
    overwrite: bool,
    saving: Saving,
    progress: bool,
    callback: AnyCallbacks = None,
) -> dict[str, Any]:
    """Train until ``total_steps`` or the return to stop at, and return the last result.

    Args:
        algorithm: which trains. It goes on in the folder that it wrote or was loaded from.
        total_steps: counted from the algorithm's beginning.
        out: the run folder, or a claimed one; None writes nothing.
        overwrite: let the run take the place of another one in the folder.
        saving: when to save, and what stays.
        progress: show how far training has come.
        callback: told of what happens.

    Raises:
        ConfigError: there is nothing to do, the folder holds another run or cannot be written, or a callback is none.
        CheckpointError: the last checkpoint cannot be written, or the environment is not the one of the checkpoint that
            was loaded.
        EnvironmentSetupError: the environments cannot be made.
        KeyboardInterrupt: Ctrl-C was pressed. The first one ends the run after the current iteration and saves; a
            second one ends it at once.
        RunStopped: likewise for SIGTERM and SIGHUP.
    """
    callbacks = Callbacks(callback)
    _require_something_to_do(algorithm, total_steps)
    before = algorithm.counters.total_steps
    if out is None:
        algorithm.counters.total_steps = total_steps
        return _run(algorithm, total_steps, None, saving, progress, callbacks)
    if isinstance(out, RunFolder):
        folder = out
    else:
        path = Path(out).expanduser()
        goes_on_at = algorithm.timesteps_total if path.resolve() == algorithm.run_folder else None
        folder = RunFolder.claim(path, goes_on_at=goes_on_at, overwrite=overwrite)
    with folder:
        _ = algorithm.fleet  # where nobody can collect, no run begins, and no folder is left
        algorithm.counters.total_steps = total_steps
        try:
            folder.begin(algorithm, total_steps, progress, exact=saving.exact)
        except ConfigError:
            algorithm.counters.total_steps = before
            raise
        return _run(algorithm, total_steps, folder, saving, progress, callbacks)


def last_step(now: int, total_steps: float | None, total_timesteps: float | None) -> int:
    """Return the step at which a run ends: given from the beginning, or from ``now`` on. 1e5 is a number of steps, too.

    Raises:
        ConfigError: both are given, or neither, or what is given is no whole number, or no step from now on.
    """
    if (total_steps is None) == (total_timesteps is None):
        raise ConfigError(
            "learn() takes either `total_steps`, which count from the beginning, or `total_timesteps`, from now on:"
            f" {'both' if total_steps is not None else 'neither'} came."
        )
    if total_steps is not None:
        return whole(total_steps, "learn() takes a whole number of steps as `total_steps`")
    more = whole(total_timesteps, "learn() takes a whole number of steps as `total_timesteps`")
    if more < 1:
        raise ConfigError(
            "there is nothing to do: give learn() at least 1 as `total_timesteps`, which count from now on:"
            f" {more:,} came."
        )
    return now + more


def _require_something_to_do(algorithm: Trainable, total_steps: int) -> None:
    steps = algorithm.timesteps_total
    if steps >= total_steps:
        raise ConfigError(
            f"the run already has {steps:,} steps; give learn() a `total_steps` above that to train further, or"
            f" `total_timesteps`, which count from now on: {total_steps:,} came, and it counts from the beginning."
        )
    if algorithm.should_stop():
        raise ConfigError(
            f"the mean return has reached `stop_return` already, after {steps:,} steps; set `stop_return` higher, or to"
            " None, to train further."
        )


def _run(
    algorithm: Trainable,
    total_steps: int,
    folder: RunFolder | None,
    saving: Saving,
    progress: bool,
    callbacks: Callbacks,
) -> dict[str, Any]:
    with ProgressReport(total_steps, progress) as report, stop_signals(report.say) as stop:
        iterations = _Iterations(algorithm, total_steps, folder, saving, report, stop, callbacks)
        try:
            iterations.run()
        except BaseException as error:
            if stop.at_once:
                _close(folder, error)
                raise
            error.add_note(_farewell(algorithm, folder))
            _close(folder, error)
            if stop.signum is None:
                raise
            # Environments in other processes may have got the signal as well, and failed for it.
            raise stop.error(f"stopped. {_farewell(algorithm, folder)}") from error
    if stop.signum is not None:
        raise stop.error(f"stopped. {_farewell(algorithm, folder)}")
    if folder is not None:
        folder.require_saved()
    assert iterations.result is not None
    return iterations.result


@dataclass
class _Iterations:
    """Iterations until the goal is reached, a callback ends the run, or a signal asks for a stop."""

    algorithm: Trainable
    total_steps: int
    folder: RunFolder | None
    saving: Saving
    report: ProgressReport
    stop: StopRequest
    callbacks: Callbacks
    result: dict[str, Any] | None = None
    """Of the latest iteration."""

    def run(self) -> None:
        """Run them, and tell the callbacks of the end whatever it is."""
        try:
            self.callbacks.start(self.algorithm)
            self._until_the_end()
        except BaseException as error:
            try:
                self.callbacks.end(self.algorithm, self.result)
            except Exception as another:
                error.add_note(f"(a callback failed at the end as well: {another!r})")
            raise
        self.callbacks.end(self.algorithm, self.result)

    def _until_the_end(self) -> None:
        algorithm, folder = self.algorithm, self.folder
        saved_at = algorithm.timesteps_total
        while algorithm.timesteps_total < self.total_steps and self.stop.signum is None:
            result = self.result = algorithm.train()
            if algorithm.timesteps_total >= self.total_steps and (evaluation := algorithm.finish_evaluation()):
                result["evaluation"] = evaluation
            goes_on = self.callbacks.iteration(algorithm, result, algorithm.counters.new)
            if folder is not None:
                folder.add(algorithm, result)
                if algorithm.timesteps_total - saved_at >= self.saving.every:
                    saved_at = algorithm.timesteps_total
                    self._checkpoint(folder, scheduled=True)
                elif folder.is_due:
                    self._checkpoint(folder)
            self.report.update(result)
            if algorithm.should_stop() or not goes_on:
                break
        if folder is not None:
            self._checkpoint(folder)
            folder.close()

    def _checkpoint(self, folder: RunFolder, *, scheduled: bool = False) -> None:
        saving = self.saving
        if scheduled and saving.exact:
            folder.save_exact(self.algorithm)
        is_new = folder.checkpoint(self.algorithm)
        if scheduled and saving.keep:
            folder.keep(saving.keep, exact=saving.exact)
        if is_new:
            self.callbacks.checkpoint(self.algorithm, folder.latest)


def _close(folder: RunFolder | None, error: BaseException) -> None:
    """Close the files of a run that failed, without hiding why it failed."""
    if folder is None:
        return
    try:
        folder.close()
    except Exception as another:
        error.add_note(f"(closing {folder.path} failed as well: {another!r})")


def _farewell(algorithm: Trainable, folder: RunFolder | None) -> str:
    """Save what a run that ends early has learnt; return what became of it, and how to go on."""
    if folder is None:
        return (
            f"The algorithm has {algorithm.timesteps_total:,} steps and no run folder: save(path) keeps what it learnt."
        )
    return folder.rescue()
