"""An algorithm that only counts, for tests of runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from anyspace.data.trajectory import Episode
from anyspace.execution.callbacks import AnyCallbacks
from anyspace.execution.checkpoint import read_checkpoint
from anyspace.execution.run import Saving, learn


@dataclass
class Counted:
    is_best: bool = False
    new: list[Episode] = field(default_factory=list)
    total_steps: int | None = None


class Counts:
    """Counts ten steps per iteration, with told mean returns.

    Args:
        returns: the mean return after each iteration, the last one for all that follow.
        stop_at: stop at this return.
        on_train: called with the number of the iteration while it runs.
    """

    def __init__(
        self,
        returns: Sequence[float] = (0.0,),
        stop_at: float = float("inf"),
        on_train: Callable[[int], None] = lambda iteration: None,
        start: int = 0,
    ):
        self.timesteps_total = start
        self.iterations = 0
        self.returns, self.stop_at, self.on_train = returns, stop_at, on_train
        self.mean = self.highest = -float("inf")
        self.counters = Counted()
        self.run_folder: Path | None = None
        self.evaluates_beside, self.fleet = False, None
        self.restarts: list[int] = []

    def train(self) -> dict[str, Any]:
        self.on_train(self.iterations + 1)
        self.iterations += 1
        self.timesteps_total += 10
        mean = self.returns[min(self.iterations, len(self.returns)) - 1]
        self.counters.is_best = mean > self.highest
        self.counters.new = [Episode(mean, 4), Episode(-mean, 6)]
        self.highest = max(mean, self.highest)
        self.mean = mean
        times = {"timesteps_this_iter": 10, "time_this_iter_s": 2.0}
        return {"timesteps_total": self.timesteps_total, **times, "episode_return_mean": mean}

    def finish_evaluation(self) -> None:
        pass

    def copy_state(self) -> Any:
        steps = self.timesteps_total
        counters = {"counters": {"counters": {"timesteps_total": steps}}}
        return lambda: ({**self.description(), "steps": steps, "parts": counters}, {"steps": np.array(steps)})

    def completed(self, snapshot: Any, *, exact: bool) -> Any:
        return *snapshot, None

    def restart_episodes(self) -> None:
        self.restarts.append(self.timesteps_total)

    def description(self) -> dict[str, Any]:
        return {"algorithm": "Counts", "env": "Steps-v0"}

    def should_stop(self) -> bool:
        return self.mean >= self.stop_at

    needs_trust = False
    loading_line: str | None = None


def ran(
    algorithm: Counts,
    folder: Path | None,
    steps: int = 100,
    every: int = 1_000_000,
    callback: AnyCallbacks = None,
    *,
    keep: int = 0,
    exact: bool = False,
) -> dict[str, Any]:
    """Train, going on in the folder if there is a run already."""
    if folder is not None and (folder / "run.json").exists():
        algorithm.run_folder = folder.resolve()
    return learn(algorithm, steps, folder, False, Saving(every, keep, exact), progress=False, callback=callback)


def saved(folder: Path) -> int:
    steps: int = read_checkpoint(folder)[0]["steps"]
    return steps
