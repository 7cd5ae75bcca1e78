"""What most explorations share: some actions are random ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from anyspace import tree
from anyspace.distributions import ActionDistribution
from anyspace.maths.xp import Array, Rng, xp
from anyspace.policy.exploration.protocol import ALONE, Place
from anyspace.spaces.uniform import UniformActions
from anyspace.tree import Tree

Numbers = npt.NDArray[np.floating[Any]]
Times = npt.NDArray[np.integer[Any]]


@dataclass(eq=False)
class PartlyRandom(ABC):
    """Takes a random action with a probability that goes by time, and an action of its own otherwise.

    Random actions are even: every leaf by itself, each allowed option alike, see `UniformActions`.

    A row of noise begins with one number that is negative where the action is random, and the numbers of that action;
    the numbers of the own action follow. Of steps that are all without random actions the latter are all there is.

    Raises:
        ConfigError: a setting is out of range, or does not go with the space.
    """

    action_space: gym.Space[Any]
    """The space of raw actions."""
    place: Place = ALONE
    """Which of several collecting processes this is; it makes a difference where a class says so."""
    timestep: int = field(default=0, init=False)
    """How many environment steps were sampled so far."""

    def __post_init__(self) -> None:
        self._random = UniformActions(self.action_space)

    @abstractmethod
    def random_share(self, timesteps: Times) -> Numbers:
        """Return the probability of a random action after so many sampled steps, in [0, 1], shaped like them."""

    def own_width(self, distribution: ActionDistribution) -> int:
        """Return how many numbers the own action takes."""
        return 0

    def draw_own(self, distribution: ActionDistribution, rng: Rng, steps: int) -> Array | None:
        """Draw the numbers of own actions [steps, B, W] ahead, or return None where that is not possible."""
        return xp(distribution.inputs).full((steps, distribution.inputs.shape[0], 0), 0.0, like=distribution.inputs)

    @abstractmethod
    def own_action(self, distribution: ActionDistribution, rng: Rng, noise: Array | None) -> Tree:
        """Return the own raw actions, from ``noise`` [B, W] if it was drawn ahead, else from ``rng``."""

    def at(self, timestep: int) -> None:
        """Take in how many environment steps were sampled so far."""
        self.timestep = timestep

    def draw(self, distribution: ActionDistribution, rng: Rng, steps: int) -> Array | None:
        """Draw the noise of a rollout; step t of row b comes after t B + b more samples, of each collecting process."""
        of_own, of_random = xp(distribution.inputs).split(rng, 2)
        own = self.draw_own(distribution, of_own, steps)
        if own is None:
            return None
        rows = distribution.inputs.shape[0]
        ahead = self.place.of * np.arange(steps * rows).reshape(steps, rows)
        mixed = self._draw_random(distribution, of_random, self.timestep + ahead)
        if mixed is None:
            return own
        return mixed if own.shape[-1] == 0 else xp(own).concatenate([mixed, own], axis=-1)

    def choose(self, distribution: ActionDistribution, *, explore: bool, rng: Rng, noise: Array | None) -> Tree:
        """Return random or own actions; without exploring, the deterministic ones."""
        if not explore:
            return distribution.deterministic_sample()
        if noise is None:
            of_own, of_random = xp(distribution.inputs).split(rng, 2)
            drawn = self._draw_random(
                distribution, of_random, np.full((1, distribution.inputs.shape[0]), self.timestep)
            )
            mixed = None if drawn is None else drawn[0]
            own = self.own_action(distribution, of_own, None)
        else:
            width = noise.shape[-1] - self.own_width(distribution)
            mixed = noise[:, :width] if width else None
            own = self.own_action(distribution, rng, noise[:, width:] if width else noise)
        if mixed is None:
            return own
        return _chosen(mixed[:, 0] < 0, self._random(mixed[:, 1:], distribution.allowed), own)

    def _draw_random(self, distribution: ActionDistribution, rng: Rng, timesteps: Times) -> Array | None:
        """Draw who is random at these steps [T, B], and how, [T, B, 1 + W]; None: nobody is."""
        ns, shares = xp(distribution.inputs), self.random_share(timesteps)
        if not shares.any():
            return None
        # A number of the Gumbel distribution lies below -log(-log p) with probability p.
        with np.errstate(divide="ignore"):
            borders = -np.log(-np.log(shares))
        shift = np.zeros((*timesteps.shape, 1 + self._random.width), np.float32)
        shift[..., 0] = borders
        noise = ns.gumbel(rng, shift.shape, like=distribution.inputs)
        return noise - ns.cast(shift, like=noise)


def _chosen(is_random: Array, random: Tree, own: Tree) -> Tree:
    """Return the random actions in some rows, own ones in the others."""

    def of_leaf(one: Array, other: Array) -> Array:
        ns, shape = xp(other), tuple(other.shape)
        rows = is_random if len(shape) == 1 else ns.reshape(is_random, (shape[0], *(1 for _ in shape[1:])))
        return ns.where(rows, ns.reshape(one, shape), other)

    return tree.map_leaves(of_leaf, random, own)
