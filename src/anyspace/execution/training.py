"""Rounds of training: gather, learn, push the filter, count."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from anyspace.data.rewards import RewardTransform
from anyspace.data.trajectory import Trajectory, summed_infos
from anyspace.errors import ConfigError, NonFiniteError
from anyspace.execution.counters import Counters
from anyspace.execution.fleet import Fleet
from anyspace.execution.groups import metric_name
from anyspace.execution.learner import Learner, Result, Steps, as_numpy, described, require_metrics, spelt
from anyspace.execution.metrics import mean_results, of_one_step
from anyspace.policy.batch import Batch
from anyspace.policy.gradients import reached, require_gradients
from anyspace.policy.policy import Policy

Updates = Generator[Batch | Steps, Result, dict[str, Any]]
"""Yields what to learn from, is sent back what the gradient steps report, and returns metrics of the whole round."""


@dataclass
class Iteration:
    """What the rounds of one iteration brought, their trajectories left out."""

    rounds: int = 0
    num_steps: int = 0
    """Environment steps."""
    num_episodes: int = 0
    """Episodes that ended."""
    infos: dict[str, tuple[float, int]] = field(default_factory=dict)
    """Scalar infos of the environments by name: sum and count."""
    results: list[Result] = field(default_factory=list)
    """Of each learner call."""
    overall: dict[str, float] = field(default_factory=dict)
    """What `updates` returned in the latest round that returned it."""
    seconds_collecting: float = 0.0

    def add(self, trajectory: Trajectory) -> None:
        """Take in the trajectory of a round."""
        self.rounds += 1
        self.num_steps += trajectory.num_steps
        self.num_episodes += len(trajectory.episodes)
        self.infos = summed_infos([self.infos, trajectory.infos])

    def report(self, counters: Counters, seconds: float) -> dict[str, Any]:
        """Return what a result says of collecting.

        Args:
            counters: after the iteration.
            seconds: that the whole iteration took.
        """
        infos = {name: total / count for name, (total, count) in self.infos.items()}
        last_infos = counters.latest.infos()
        return {
            "training_iteration": counters.training_iteration,
            "timesteps_total": counters.timesteps_total,
            "timesteps_this_iter": self.num_steps,
            "episodes_total": counters.episodes_total,
            "episodes_this_iter": self.num_episodes,
            **counters.latest.statistics(),
            "time_total_s": counters.time_total_s,
            "time_this_iter_s": seconds,
            "time_collect_s": self.seconds_collecting,
            "steps_per_s": self.num_steps / seconds,
            **({"env": infos} if infos else {}),
            **({"episode": last_infos} if last_infos else {}),
        }


@dataclass
class Training:
    """Runs rounds.

    A round gathers a trajectory, hands it to ``updates`` with the rewards that the algorithm is to see, takes the
    gradient steps that it asks for, pushes the observations into the filter's statistics, and counts. The statistics
    are pushed last, so that the algorithm sees observations as they were acted on.
    """

    policy: Policy
    learner: Learner
    rewards: RewardTransform
    counters: Counters
    updates: Callable[[Policy, Trajectory], Updates]
    """The algorithm's."""

    def __post_init__(self) -> None:
        """Find out what gradients reach, before the first iteration asks for it."""
        self._reached, self._checked = reached(self.policy), False

    def iteration(self, fleet: Fleet, *, steps: int, at_least: int, width: int, rows: int) -> Iteration:
        """Run rounds until enough steps are gathered.

        Args:
            fleet: who collects.
            steps: environment steps that a round gathers.
            at_least: environment steps that the iteration gathers.
            width: environments that step side by side.
            rows: rows that a gradient step takes.

        Raises:
            NonFiniteError: a loss, a weight or a number that `updates` reports became NaN or infinite.
            ModelError: in the first iteration, the model has nothing that would learn.
        """
        done, counters, runtime = Iteration(), self.counters, self.policy.runtime
        if not self._checked:
            require_gradients(self.policy, self._reached)
            self._checked = True
        counters.new = []
        while not done.rounds or done.num_steps < at_least:
            self.policy.at(counters.timesteps_total)
            started = time.perf_counter()
            with runtime.threads_for(width):
                trajectory = fleet.gather(steps)
            done.seconds_collecting += time.perf_counter() - started
            self.learner.at(counters.timesteps_total)
            valid, before = np.flatnonzero(trajectory.valid), len(done.results)
            # A few steps may all be such as a vector environment takes to reset itself.
            if len(valid):
                with runtime.threads_for(rows), runtime.own_randomness("learning"):
                    self._learn(self.rewards(trajectory), done)
            if self.policy.filter.active:
                self.policy.push([leaf[valid] for leaf in trajectory.all_obs()])
            if self.policy.filter.active or len(done.results) > before:
                self.policy.version += 1
            counters.count(trajectory, width)
            done.add(trajectory)
        counters.training_iteration += 1
        return done

    def _learn(self, trajectory: Trajectory, done: Iteration) -> None:
        """Take the gradient steps that the algorithm asks for."""
        updates, where = self.updates(self.policy, trajectory), f"{spelt(self.updates)}()"
        if not isinstance(updates, Generator):
            raise ConfigError(
                f"{where} must be a generator, but returned {described(updates)}: write `result = yield batch` for each"
                " gradient step, and return the metrics of the whole round."
            )
        result: Result | None = None
        while True:
            try:
                asked = _with_rows(next(updates) if result is None else updates.send(result), where)
            except StopIteration as end:
                done.overall |= self._numbers(end.value, where)
                return
            result = self.learner.steps(asked) if isinstance(asked, Steps) else self.learner.step(asked)
            if isinstance(asked, Steps) and asked.summed:
                result = of_one_step(result, asked, self.policy.runtime.numpy)
            done.results.append(result)

    def metrics(self, done: Iteration) -> dict[str, float]:
        """Return what learning reports of an iteration.

        Raises:
            NonFiniteError: a number or a weight is NaN or infinite.
            ConfigError: a metric of a gradient step has the name of one of a whole round.
        """
        iteration = self.counters.training_iteration
        means = mean_results(done.results, self.policy.runtime.numpy, iteration)
        for name in means.keys() & done.overall.keys():
            raise ConfigError(
                f"losses() and {spelt(self.updates)}() both report a metric {name!r}, of which one would be lost; give"
                " one of them another name."
            )
        if not self.learner.is_finite():
            raise NonFiniteError(
                f"iteration {iteration}: a weight became NaN or infinite in the last gradient step. Lower `lr` or set"
                " `grad_clip`. Checkpoints saved so far are whole; this model is not."
            )
        rates = self.learner.learning_rates()
        return {
            **means,
            **done.overall,
            **{metric_name("lr", name, rates): rate for name, rate in rates.items()},
        }

    def _numbers(self, metrics: object, where: str) -> dict[str, float]:
        if metrics is None:
            return {}
        if not isinstance(metrics, Mapping):
            raise ConfigError(f"{where} must return a dict of metrics, or nothing, but returned {described(metrics)}.")
        require_metrics(metrics, self.learner.learning_rates(), where)
        numpy = self.policy.runtime.numpy
        numbers = {name: float(as_numpy(value, numpy)) for name, value in metrics.items()}
        for name, number in numbers.items():
            if not math.isfinite(number):
                raise NonFiniteError(
                    f"iteration {self.counters.training_iteration + 1}: {where} reports that {name} is {number}. Leave"
                    " out what has no value. Checkpoints saved so far are whole."
                )
        return numbers


def _with_rows(asked: object, where: str) -> Batch | Steps:
    """Return what an algorithm yielded; refuse what no gradient step can be taken on."""
    if not isinstance(asked, Batch | Steps):
        raise ConfigError(
            f"{where} yielded {described(asked)}; it yields a Batch, as training_rows() returns it, or Steps, as"
            " minibatches() does."
        )
    if isinstance(asked, Steps):
        _require_indices(asked, where)
    leaves = asked.get("obs") if isinstance(asked, Batch) else None
    if leaves and len(leaves[0]) == 0:
        raise ConfigError(f"{where} yielded a Batch without rows; yield nothing where there is nothing to learn from.")
    return asked


def _require_indices(steps: Steps, where: str) -> None:
    """Raise :class:`ConfigError` unless steps say which of their rows, or sequences, each gradient step takes."""
    order, counted, sequences = steps.order, steps.counted, steps.rows.get("sequences")
    count = len(steps.rows["obs"][0]) if sequences is None else len(sequences.lens)
    fit = (
        all(isinstance(one, np.ndarray) and one.ndim == 2 for one in (order, counted)) and order.shape == counted.shape
    )
    if not fit or order.dtype.kind not in "iu" or counted.dtype != np.bool_:
        raise ConfigError(
            f"{where} yielded Steps(rows, order, counted) whose order and counted are {described(order)} and"
            f" {described(counted)}; they are arrays of NumPy [steps, entries], integers and booleans."
        )
    if order.size and not 0 <= order.min() <= order.max() < count:
        raise ConfigError(
            f"{where} yielded Steps whose order goes from {order.min()} to {order.max()}, but there are {count}"
            f" {'rows' if sequences is None else 'sequences'}, counted from 0."
        )
