"""The deterministic action of float Boxes, with noise added to it."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from anyspace import nesting
from anyspace.config import require
from anyspace.distributions import ActionDistribution
from anyspace.errors import ConfigError
from anyspace.maths.xp import Array, Rng, xp
from anyspace.models.runtime import NumpyArray
from anyspace.policy.exploration.sampling import RandomFirst
from anyspace.policy.schedules import PiecewiseSchedule
from anyspace.spaces.uniform import float_components
from anyspace.tree import Tree


@dataclass(eq=False, kw_only=True)
class AddedNoise(RandomFirst):
    """Adds noise to the deterministic actions of float Boxes, and clips to their bounds; other leaves stay.

    Noise is in units of raw actions. Its ``scale`` goes linearly from ``initial_scale`` to ``final_scale`` in the
    ``scale_timesteps`` sampled steps that follow the random ones.
    """

    random_timesteps: int = 1000
    """How many sampled steps are random first, at least 0."""
    initial_scale: float = 1.0
    """At least 0."""
    final_scale: float = 0.02
    """At least 0."""
    scale_timesteps: int = 10_000
    """At least 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        boxes = float_components(self.action_space)
        if not boxes:
            raise ConfigError(
                f"exploration {type(self).__name__} adds noise to float Boxes, but {self.action_space} has none; take"
                " EpsilonGreedy, SoftQ or StochasticSampling."
            )
        require(self.scale_timesteps >= 1, "scale_timesteps", self.scale_timesteps, "it must be at least 1")
        for key, value in (("initial_scale", self.initial_scale), ("final_scale", self.final_scale)):
            require(value >= 0, key, value, "a scale is at least 0")
        self._boxes = dict(boxes)
        first, last = self.random_timesteps, self.random_timesteps + self.scale_timesteps
        self._schedule = PiecewiseSchedule([(first, self.initial_scale), (last, self.final_scale)], "initial_scale")
        self.width = sum(math.prod(leaf.shape) for leaf in self._boxes.values())

    @abstractmethod
    def added(self, like: Array, rng: Rng, steps: int, *, ahead: bool) -> Array:
        """Return the noise at scale 1, [steps, B, width], for B rows of ``like``; ``ahead``: of a rollout."""

    @property
    @abstractmethod
    def deviation(self) -> float:
        """The present deviation by which actions are to differ, in units of raw actions."""

    @property
    def scale(self) -> float:
        """The present scale."""
        return self._schedule(self.timestep)

    def metrics(self, workers: int) -> dict[str, float]:
        """Return the scale."""
        return {"scale": self.scale}

    def own_width(self, distribution: ActionDistribution) -> int:
        """Return how many numbers float Boxes hold."""
        return self.width

    def draw_own(self, distribution: ActionDistribution, rng: Rng, steps: int) -> Array | None:
        """Draw the noise of a rollout; its scale goes by the step."""
        like = distribution.inputs
        ahead = self.place.of * like.shape[0] * np.arange(steps)
        scales = self._schedule.values(self.timestep + ahead).astype(np.float32)
        return self.added(like, rng, steps, ahead=True) * xp(like).cast(scales[:, None, None], like=like)

    def own_action(self, distribution: ActionDistribution, rng: Rng, noise: Array | None) -> Tree:
        """Return the deterministic actions with noise."""
        ns, best = xp(distribution.inputs), distribution.deterministic_sample()
        if noise is None:
            noise = self.added(distribution.inputs, rng, 1, ahead=False)[0] * self.scale
        start, parts = 0, []
        paths = [path for path, _ in nesting.iter_leaves(self.action_space)]
        for path, value in zip(paths, nesting.values(self.action_space, best), strict=True):
            box = self._boxes.get(path)
            if box is not None:
                stop = start + math.prod(box.shape)
                moved = value + ns.reshape(noise[:, start:stop], tuple(value.shape))
                low, high = (
                    ns.reshape(ns.cast(bound, like=moved), (1, *value.shape[1:])) for bound in (box.low, box.high)
                )
                value, start = ns.clip(moved, low, high), stop
            parts.append(value)
        return parts[0] if nesting.is_leaf(self.action_space) else nesting.built(self.action_space, parts)


@dataclass(eq=False, kw_only=True)
class GaussianNoise(AddedNoise):
    """Adds scale times normal noise of deviation ``stddev``."""

    stddev: float = 0.1
    """At least 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.stddev >= 0, "stddev", self.stddev, "a deviation is at least 0")

    @property
    def deviation(self) -> float:
        """Scale times ``stddev``."""
        return self.scale * self.stddev

    def added(self, like: Array, rng: Rng, steps: int, *, ahead: bool) -> Array:
        """Return independent normal noise."""
        return xp(like).normal(rng, (steps, like.shape[0], self.width), like=like) * self.stddev


@dataclass(eq=False, kw_only=True)
class OrnsteinUhlenbeckNoise(AddedNoise):
    """Adds scale times ``ou_base_scale`` times x times the width of each component: high - low, or 1 without bounds.

    x moves by -theta x + sigma N(0, 1) in each step. Each environment has an x of its own, which starts at 0, never
    starts anew with an episode, and is part of a checkpoint. A step beside collecting draws x from its stationary
    distribution and changes none of them.

    Source: Lillicrap et al., "Continuous control with deep reinforcement learning", 2016, section 3.
    """

    ou_theta: float = 0.15
    """In (0, 1]."""
    ou_sigma: float = 0.2
    """At least 0."""
    ou_base_scale: float = 0.1
    """At least 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.ou_theta <= 1, "ou_theta", self.ou_theta, "it lies above 0 and at most at 1")
        for key, value in (("ou_sigma", self.ou_sigma), ("ou_base_scale", self.ou_base_scale)):
            require(value >= 0, key, value, "it must not be negative")
        spans = [np.where(box.bounded_below & box.bounded_above, box.high - box.low, 1) for box in self._boxes.values()]
        self._sizes = self.ou_base_scale * np.concatenate([np.ravel(span) for span in spans]).astype(np.float32)
        self._x: NumpyArray = np.zeros((0, self.width), np.float32)

    @property
    def deviation(self) -> float:
        """Scale times ``ou_sigma``, as RLlib has it."""
        return self.scale * self.ou_sigma

    def added(self, like: Array, rng: Rng, steps: int, *, ahead: bool) -> Array:
        """Return x of each environment, step after step, times its size."""
        ns, rows = xp(like), like.shape[0]
        pushes = self.ou_sigma * ns.normal(rng, (steps, rows, self.width), like=like)
        sizes = ns.cast(self._sizes, like=like)
        if not ahead:
            return pushes * sizes / math.sqrt(1 - (1 - self.ou_theta) ** 2)
        if len(self._x) != rows:
            self._x = np.zeros((rows, self.width), np.float32)
        x, path = ns.cast(self._x, like=like), []
        for push in pushes:
            x = x - self.ou_theta * x + push
            path.append(x)
        self._x = ns.to_numpy(x)
        return ns.stack(path) * sizes

    def state(self) -> dict[str, NumpyArray]:
        """Return x of each environment."""
        return {"x": self._x.copy()}

    def load_state(self, state: dict[str, NumpyArray]) -> None:
        """Restore x; with another number of environments all of them start at 0."""
        self._x = np.array(state["x"], np.float32)
