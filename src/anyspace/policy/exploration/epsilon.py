"""The best action, and now and then any."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anyspace.config import require
from anyspace.distributions import ActionDistribution
from anyspace.maths.xp import Array, Rng
from anyspace.policy.exploration.partly_random import Numbers, PartlyRandom, Times
from anyspace.policy.schedules import PiecewiseSchedule
from anyspace.tree import Tree


@dataclass(eq=False, kw_only=True)
class EpsilonGreedy(PartlyRandom):
    """Takes a random action with probability epsilon, row by row, and the best one otherwise.

    Of a composite action the whole is random, each of its parts among what is allowed. Epsilon stays at
    ``initial_epsilon`` for ``warmup_timesteps`` sampled steps, falls linearly for ``epsilon_timesteps`` more, and stays
    at ``final_epsilon``.

    Source: Mnih et al., "Human-level control through deep reinforcement learning", 2015.
    """

    initial_epsilon: float = 1.0
    """In [0, 1]."""
    final_epsilon: float = 0.05
    """In [0, 1]."""
    warmup_timesteps: int = 0
    """At least 0."""
    epsilon_timesteps: int = 100_000
    """At least 1."""
    epsilon_schedule: list[tuple[float, float]] | None = None
    """[step, epsilon] pairs, linear in between; they take the place of the four numbers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        warmup, falls = self.warmup_timesteps, self.epsilon_timesteps
        require(warmup >= 0, "warmup_timesteps", warmup, "a number of steps is at least 0")
        require(falls >= 1, "epsilon_timesteps", falls, "it must be at least 1")
        falling = [(warmup, self.initial_epsilon), (warmup + falls, self.final_epsilon)]
        pairs = falling if self.epsilon_schedule is None else [(step, value) for step, value in self.epsilon_schedule]
        for key, value in (("initial_epsilon", self.initial_epsilon), ("final_epsilon", self.final_epsilon)):
            require(0 <= value <= 1, key, value, "a probability lies in [0, 1]")
        for _, value in pairs:
            require(0 <= value <= 1, "epsilon_schedule", pairs, "a probability lies in [0, 1]")
        self._schedule = PiecewiseSchedule(pairs, "epsilon_schedule")

    @property
    def epsilon(self) -> float:
        """The present probability."""
        return float(self.random_share(np.array([self.timestep]))[0])

    def metrics(self, workers: int) -> dict[str, float]:
        """Return epsilon."""
        return {"epsilon": self.epsilon}

    def random_share(self, timesteps: Times) -> Numbers:
        """Return epsilon."""
        return self._schedule.values(timesteps)

    def own_action(self, distribution: ActionDistribution, rng: Rng, noise: Array | None) -> Tree:
        """Return the best actions."""
        return distribution.deterministic_sample()


class PerWorkerEpsilonGreedy(EpsilonGreedy):
    """Epsilon-greedy with an epsilon that differs by process and stays: 0.4^(1 + 7 i / (N - 1)) in process i of N.

    Where there is one process alone, epsilon falls as that of :class:`EpsilonGreedy`, whose arguments it takes.

    Source: Horgan et al., "Distributed prioritized experience replay", 2018, section 4.
    """

    def metrics(self, workers: int) -> dict[str, float]:
        """Return epsilon, unless each of several workers has its own."""
        return super().metrics(workers) if workers < 2 else {}

    def random_share(self, timesteps: Times) -> Numbers:
        """Return epsilon."""
        if self.place.of == 1:
            return super().random_share(timesteps)
        return np.full(timesteps.shape, 0.4 ** (1 + 7 * self.place.number / (self.place.of - 1)))
