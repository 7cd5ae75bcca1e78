"""Actions drawn from the policy's own distribution, or from none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anyspace.config import require
from anyspace.distributions import ActionDistribution
from anyspace.errors import ConfigError
from anyspace.maths.xp import Array, Rng
from anyspace.policy.exploration.partly_random import Numbers, PartlyRandom, Times
from anyspace.spaces.uniform import float_components
from anyspace.tree import Tree


@dataclass(eq=False, kw_only=True)
class RandomFirst(PartlyRandom):
    """Takes random actions in the first steps."""

    random_timesteps: int = 0
    """How many sampled steps are random, at least 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        steps = self.random_timesteps
        require(steps >= 0, "random_timesteps", steps, "a number of steps is at least 0")

    def random_share(self, timesteps: Times) -> Numbers:
        """Return 1 for the first steps, then 0."""
        return (timesteps < self.random_timesteps).astype(np.float32)


class StochasticSampling(RandomFirst):
    """Samples when exploring, takes the deterministic action otherwise."""

    def draw(self, distribution: ActionDistribution, rng: Rng, steps: int) -> Array | None:
        """Draw the noise of a rollout: after the random steps it is the distribution's own."""
        if self.timestep >= self.random_timesteps:
            return distribution.draw_noise(rng, steps)
        return super().draw(distribution, rng, steps)

    def choose(self, distribution: ActionDistribution, *, explore: bool, rng: Rng, noise: Array | None) -> Tree:
        """Return a sample, a random action, or the deterministic action."""
        if explore and self.timestep >= self.random_timesteps:
            return self.own_action(distribution, rng, noise)
        return super().choose(distribution, explore=explore, rng=rng, noise=noise)

    def own_width(self, distribution: ActionDistribution) -> int:
        """Return the numbers of a sample."""
        return distribution.noise_width

    def draw_own(self, distribution: ActionDistribution, rng: Rng, steps: int) -> Array | None:
        """Draw the distribution's own noise."""
        return distribution.draw_noise(rng, steps)

    def own_action(self, distribution: ActionDistribution, rng: Rng, noise: Array | None) -> Tree:
        """Return a sample."""
        if noise is not None:
            return distribution.sample_from_noise(noise)
        return distribution.sample(rng) if distribution.sample_takes_rng else distribution.sample()


class Random(PartlyRandom):
    """Takes random actions always when exploring, the deterministic action otherwise."""

    def random_share(self, timesteps: Times) -> Numbers:
        """Return 1."""
        return np.ones(timesteps.shape, np.float32)

    def own_action(self, distribution: ActionDistribution, rng: Rng, noise: Array | None) -> Tree:
        """Return the deterministic action, which no row takes."""
        return distribution.deterministic_sample()


@dataclass(eq=False, kw_only=True)
class SoftQ(StochasticSampling):
    """Samples from softmax(values / temperature) when exploring, takes the best action otherwise.

    Every leaf of the action space is discrete.
    """

    temperature: float = 1.0
    """Above 0; near 0 the best action is nearly always taken. It multiplies the distribution's own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.temperature > 0, "temperature", self.temperature, "it must be above 0")
        if float_components(self.action_space):
            raise ConfigError(
                f"exploration SoftQ draws among options by their values, but {self.action_space} has continuous parts;"
                " take StochasticSampling."
            )

    def draw(self, distribution: ActionDistribution, rng: Rng, steps: int) -> Array | None:
        """Draw the noise of a rollout; that of the samples is T times as large as the distribution's own."""
        return PartlyRandom.draw(self, distribution, rng, steps)

    def draw_own(self, distribution: ActionDistribution, rng: Rng, steps: int) -> Array | None:
        """Draw the noise of samples: the argmax of x / T + g is that of x + T g."""
        noise = distribution.draw_noise(rng, steps)
        return None if noise is None else self.temperature * noise

    def own_action(self, distribution: ActionDistribution, rng: Rng, noise: Array | None) -> Tree:
        """Return a sample.

        Raises:
            ConfigError: the distribution cannot be sampled by noise.
        """
        ahead = self.draw_own(distribution, rng, 1) if noise is None else noise[None]
        if ahead is None:
            raise ConfigError(
                f"exploration SoftQ changes the noise of samples, but {type(distribution).__name__} draws no noise"
                " ahead: give it standard_noise() and sample_from_noise(), or take StochasticSampling."
            )
        return distribution.sample_from_noise(ahead[0])
