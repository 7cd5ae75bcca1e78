"""Evaluation: whole episodes on separate environments, acting deterministically."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import gymnasium as gym
import numpy as np

from anyspace.data.batching import environment
from anyspace.data.environments import EnvSpec
from anyspace.data.rendering import shown
from anyspace.data.stepping import Stepping, require_same_spaces
from anyspace.data.trajectory import Episode
from anyspace.data.vector import Step, VectorSource, blame, make_separate_source, make_source
from anyspace.errors import NonFiniteError
from anyspace.policy.policy import Policy

WIDTH = 8
"""How many evaluation episodes are played side by side."""


@dataclass(frozen=True)
class EvaluationResult:
    """Statistics of evaluation episodes."""

    episodes: int
    episode_return_mean: float
    episode_return_std: float
    episode_return_min: float
    episode_return_max: float
    episode_len_mean: float

    def as_dict(self) -> dict[str, float]:
        """Return the statistics by name."""
        return asdict(self)


class Evaluator(Protocol):
    """Plays whole episodes apart from training."""

    def evaluate(self, episodes: int, seed: int, *, explore: bool = False) -> list[Episode]:
        """Return ``episodes`` finished episodes, acting deterministically unless ``explore`` is True."""

    def close(self) -> None:
        """Free the environments."""


class LocalEvaluator:
    """Plays in this process, on environments apart from those that train, kept from one evaluation to the next.

    Args:
        policy: plays.
        spec: the environment.
    """

    def __init__(self, policy: Policy, spec: EnvSpec) -> None:
        self._policy, self._spec = policy, spec
        self._source: VectorSource | None = None

    def evaluate(self, episodes: int, seed: int, *, explore: bool = False) -> list[Episode]:
        """Return finished episodes, at most `WIDTH` of them played side by side.

        Raises:
            CheckpointError: the environment's spaces are not the policy's.
        """
        source = self._with_width(min(episodes, WIDTH))
        require_same_spaces(self._policy, source, self._spec.name)
        with self._policy.runtime.threads_for(source.num_envs):
            return evaluate(self._policy, source, episodes, seed=seed, explore=explore)

    def _with_width(self, width: int) -> VectorSource:
        """Return ``width`` environments; of a vector environment that a user gave, a copy of its own width."""
        given = isinstance(self._spec.env, gym.vector.VectorEnv)
        if self._source is None or (self._source.num_envs != width and not given):
            self.close()
            self._source = make_separate_source(self._spec, width)
        return self._source

    def close(self) -> None:
        """Close the environments."""
        if self._source is not None:
            self._source.close()
            self._source = None


def show(policy: Policy, spec: EnvSpec, episodes: int, seed: int, *, explore: bool) -> list[Episode]:
    """Return finished episodes of one environment that shows itself in a window.

    Raises:
        EnvironmentSetupError: it cannot.
    """
    source = make_source(shown(spec), 1, "sync")
    try:
        require_same_spaces(policy, source, spec.name)
        with policy.runtime.threads_for(1):
            return evaluate(policy, source, episodes, seed=seed, explore=explore)
    finally:
        source.close()


def evaluate(policy: Policy, source: VectorSource, episodes: int, *, seed: int, explore: bool = False) -> list[Episode]:
    """Return ``episodes`` finished episodes, in the order of their ends.

    Each environment plays a fixed share of them, so that short episodes are not counted more often than long
    ones. Messages count the steps of this evaluation as :class:`anyspace.data.collector.Collector` does.

    Raises:
        ObservationError: an observation is outside its space; names step and environment.
        NonFiniteError: a reward is NaN or infinite.
    """
    width, t = source.num_envs, 0
    stepping, tally = Stepping(source, policy), _Tally(width, episodes)

    def place(row: tuple[int, ...]) -> str:
        return f"evaluation step {t}, {environment(row[0])}"

    with policy.acting("evaluation") as actor:
        try:
            stepping.reset(seed)
        except Exception as error:
            blame(error, "evaluation step 0", width)
        acting = np.ones(width, np.bool_)
        while tally.open:
            policy.require_valid(stepping.leaves, place)
            policy.require_choice(stepping.leaves, acting, place)
            acted = stepping.act(actor, explore=explore)
            t += 1
            try:
                step = stepping.step(acted).step
            except Exception as error:
                blame(error, f"evaluation step {t}", width)
            acting = step.acting
            wrong = np.flatnonzero(~step.ignored & ~np.isfinite(step.rewards))
            if len(wrong):
                raise NonFiniteError(f"{place((wrong[0],))}: the reward is {step.rewards[wrong[0]]}.")
            tally.add(step)
    return tally.finished


class _Tally:
    """Returns and lengths of running episodes, and the episodes that ended, a fixed share of each environment's.

    Args:
        width: how many environments.
        episodes: how many episodes are wanted.
    """

    def __init__(self, width: int, episodes: int):
        self.finished: list[Episode] = []
        self._wanted = np.full(width, episodes // width)
        self._wanted[: episodes % width] += 1
        self._returns, self._lengths = np.zeros(width), np.zeros(width, np.int64)

    @property
    def open(self) -> bool:
        """Whether episodes are missing."""
        return bool(self._wanted.any())

    def add(self, step: Step) -> None:
        """Take in a step."""
        counted = ~step.ignored
        self._returns += np.where(counted, step.rewards, 0.0)
        self._lengths += counted
        for b in np.flatnonzero(step.game_over & counted):
            if self._wanted[b]:
                self.finished.append(Episode(float(self._returns[b]), int(self._lengths[b])))
                self._wanted[b] -= 1
            self._returns[b] = self._lengths[b] = 0


def summary(finished: Sequence[Episode]) -> EvaluationResult:
    """Return the statistics of one episode or more."""
    totals = np.array([episode.total_reward for episode in finished])
    return EvaluationResult(
        episodes=len(finished),
        episode_return_mean=float(totals.mean()),
        episode_return_std=float(totals.std()),
        episode_return_min=float(totals.min()),
        episode_return_max=float(totals.max()),
        episode_len_mean=float(np.mean([episode.length for episode in finished])),
    )
