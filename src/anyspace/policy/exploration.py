"""How an action is chosen from its distribution."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import gymnasium as gym

from anyspace.distributions import ActionDistribution
from anyspace.maths.xp import Array, Rng
from anyspace.tree import Tree


class Place(NamedTuple):
    """Which of several collecting processes explores; some explore more than others."""

    number: int = 0
    """From 0."""
    of: int = 1
    """How many there are."""


ALONE = Place()
"""The only collecting process."""


class Exploration(Protocol):
    """Chooses actions from distributions; the same object for as long as a policy lives."""

    def at(self, timestep: int) -> None:
        """Take in how many environment steps were sampled so far; schedules go by it."""

    def draw(self, distribution: ActionDistribution, rng: Rng, steps: int) -> Array | None:
        """Draw the noise [steps, B, W] of a rollout ahead, or return None where that is not possible."""

    def choose(self, distribution: ActionDistribution, *, explore: bool, rng: Rng, noise: Array | None) -> Tree:
        """Return a raw action for each row of the distribution.

        Args:
            distribution: of B rows.
            explore: False asks for the deterministic action.
            rng: the random source, where no noise was drawn ahead.
            noise: [B, W] of this step, as `draw` drew it.
        """


class StochasticSampling:
    """Samples when exploring, takes the deterministic action otherwise.

    Args:
        action_space: the environment's.
        place: which of several collecting processes this is; it makes no difference.
    """

    def __init__(self, action_space: gym.Space[Any], place: Place = ALONE) -> None:
        """Keep nothing: a sample depends on the distribution alone."""

    def at(self, timestep: int) -> None:
        """Do nothing: there is no schedule."""

    def draw(self, distribution: ActionDistribution, rng: Rng, steps: int) -> Array | None:
        """Draw the distribution's own noise."""
        return distribution.draw_noise(rng, steps)

    def choose(self, distribution: ActionDistribution, *, explore: bool, rng: Rng, noise: Array | None) -> Tree:
        """Return a sample, or the deterministic action."""
        if not explore:
            return distribution.deterministic_sample()
        if noise is not None:
            return distribution.sample_from_noise(noise)
        return distribution.sample(rng) if distribution.sample_takes_rng else distribution.sample()
