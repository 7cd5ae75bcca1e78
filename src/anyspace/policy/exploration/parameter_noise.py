"""Exploring by noise on the weights of the network that acts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from anyspace import nesting, tree
from anyspace.config import require
from anyspace.distributions import ActionDistribution
from anyspace.distributions.allowed import allowed_by
from anyspace.errors import ConfigError, nearest
from anyspace.maths.arrays import Floats
from anyspace.maths.splitting import split_last
from anyspace.maths.xp import Array, Rng, xp
from anyspace.models.runtime import NumpyArray
from anyspace.policy.exploration.epsilon import EpsilonGreedy, PerWorkerEpsilonGreedy
from anyspace.policy.exploration.keywords import Factory, laid_over, made
from anyspace.policy.exploration.noise import AddedNoise, GaussianNoise, OrnsteinUhlenbeckNoise
from anyspace.policy.exploration.partly_random import Numbers
from anyspace.policy.exploration.protocol import ALONE, Place, StatefulExploration
from anyspace.spaces.decoding import options
from anyspace.spaces.uniform import float_components
from anyspace.tree import Tree

_FACTOR = 1.01
"""By which the deviation grows or shrinks."""

_OF_CHOICES = (EpsilonGreedy, PerWorkerEpsilonGreedy)
_OF_NUMBERS = (OrnsteinUhlenbeckNoise, GaussianNoise)
"""What may act on top of it, the one that is taken unasked first."""


@dataclass(eq=False)
class ParameterNoise:
    """Acts with weights that have normal noise on them, those of layer normalisations excepted.

    The noise is drawn anew when an episode of the first environment of the process begins, and acts in all of its
    environments until the next one begins. Its deviation then becomes ``stddev`` x 1.01 if the actions of noisy and own
    weights were at most delta apart, over all observations since the noise was drawn, and ``stddev`` / 1.01 otherwise.

    On top of it a second exploration acts, which also says what delta is. For choices it is epsilon-greedy: the
    distance is the mean of KL(p || q), p and q being softmax(Q) by own and by noisy weights, and

        delta = -log(1 - epsilon + epsilon / n)

    of n allowed actions is how far epsilon-greedy actions are from the best one. For float Boxes it is noise on
    actions: the distance is the root mean square, and delta the deviation of that noise, in raw actions.

    Source: Plappert et al., "Parameter space noise for exploration", 2018.

    Raises:
        ConfigError: a setting is out of range, or the space has neither choices alone nor float Boxes alone.
    """

    action_space: gym.Space[Any]
    """The space of raw actions."""
    place: Place = ALONE
    """Which of several collecting processes this is."""
    _: KW_ONLY
    initial_stddev: float = 1.0
    """The first deviation, above 0."""
    random_timesteps: int = 10_000
    """How many sampled steps are random first, at least 0."""
    sub_exploration: dict[str, Any] | None = None
    """Keywords of the second exploration, and its `type`: EpsilonGreedy or PerWorkerEpsilonGreedy for choices, with
    epsilon 1 in the random steps and 0.01 then; OrnsteinUhlenbeckNoise or GaussianNoise for float Boxes."""

    def __post_init__(self) -> None:
        require(self.initial_stddev > 0, "initial_stddev", self.initial_stddev, "a deviation is above 0")
        require(self.random_timesteps >= 0, "random_timesteps", self.random_timesteps, "it must not be negative")
        self.stddev = float(self.initial_stddev)
        leaves = list(nesting.iter_leaves(self.action_space))
        self._counts = [options(leaf, path) for path, leaf in leaves]
        boxes = {path for path, _ in float_components(self.action_space)}
        self._choices = all(self._counts)
        if not self._choices and len(boxes) < len(leaves):
            raise ConfigError(
                f"exploration ParameterNoise compares either choices or the numbers of float Boxes, but"
                f" {self.action_space} is neither of them alone; take StochasticSampling."
            )
        self.sub = self._second()
        self._seed: npt.NDArray[np.uint32] = np.zeros(0, np.uint32)
        self._noise: dict[str, Floats] = {}
        self._sums = np.zeros(3)  # rows, their distances, their deltas

    def _second(self) -> EpsilonGreedy | AddedNoise:
        """Return the exploration that acts on top."""
        steps = self.random_timesteps
        known: dict[str, Factory] = {kind.__name__: kind for kind in (_OF_CHOICES if self._choices else _OF_NUMBERS)}
        settings: dict[str, Any] = {"random_timesteps": steps}
        if self._choices:
            first = 1.0 if steps else 0.01
            settings = {"initial_epsilon": first, "final_epsilon": 0.01, "epsilon_timesteps": 1}
            settings["warmup_timesteps"] = max(0, steps - 1)
        given = self.sub_exploration or {}
        settings = laid_over(given.get("type"), settings, given)
        name = settings.pop("type", next(iter(known)))
        if name not in known:
            raise ConfigError(
                f"config key `sub_exploration` is of type {name!r}, but with {self.action_space} exploration"
                f" ParameterNoise takes {' or '.join(known)}.{nearest(str(name), known)}"
            )
        second = made("sub_exploration", known[name], settings, self.action_space, self.place)
        assert isinstance(second, EpsilonGreedy | AddedNoise)
        return second

    # ---------------------------------------------------------------------------------- actions

    def at(self, timestep: int) -> None:
        """Take in how many environment steps were sampled so far."""
        self.sub.at(timestep)

    def draw(self, distribution: ActionDistribution, rng: Rng, steps: int) -> Array | None:
        """Draw the noise of a rollout that the second exploration takes."""
        return self.sub.draw(distribution, rng, steps)

    def choose(self, distribution: ActionDistribution, *, explore: bool, rng: Rng, noise: Array | None) -> Tree:
        """Return the actions of the second exploration; without exploring, the deterministic ones."""
        return self.sub.choose(distribution, explore=explore, rng=rng, noise=noise)

    def metrics(self, workers: int) -> dict[str, float]:
        """Return the deviation, which workers adapt by themselves, and what the second exploration does."""
        own = {} if workers else {"stddev": self.stddev}
        return {**own, **self.sub.metrics(workers)}

    # ---------------------------------------------------------------------------------- weights

    def begin(self, seed: NumpyArray) -> None:
        """Adapt the deviation to what the latest noise did, and take new noise, of these bits."""
        rows, distances, deltas = self._sums
        if rows:
            distance = distances / rows if self._choices else math.sqrt(distances / rows)
            self.stddev *= _FACTOR if distance <= deltas / rows else 1 / _FACTOR
        self._sums = np.zeros(3)
        self._seed, self._noise = np.array(seed, np.uint32), {}

    def perturbed(self, weights: Mapping[str, NumpyArray], takes_noise: Callable[[str], bool]) -> dict[str, NumpyArray]:
        """Return the weights with noise; before the first episode there is none."""
        if not len(self._seed):
            return dict(weights)
        if not self._noise:
            rng = np.random.default_rng(self._seed)
            self._noise = {
                name: self.stddev * rng.standard_normal(weights[name].shape, np.float32)
                for name in sorted(weights)
                if takes_noise(name)
            }
        return {
            name: np.asarray(np.add(weight, self._noise[name]), weight.dtype) if name in self._noise else weight
            for name, weight in weights.items()
        }

    def compare(self, own: ActionDistribution, perturbed: ActionDistribution) -> None:
        """Add the distances of one step, row by row."""
        ns, count = xp(own.inputs), own.inputs.shape[0]
        if self._choices:
            if not own.has_kl:
                raise ConfigError(
                    f"exploration ParameterNoise compares distributions by their divergence, but"
                    f" {type(own).__name__} defines no kl(); define it, or take EpsilonGreedy."
                )
            distances = float(ns.to_numpy(own.kl(perturbed)).sum(dtype=np.float64))
        else:
            distances = count * self._mean_square(own.deterministic_sample(), perturbed.deterministic_sample())
        self._sums += count, distances, self._deltas(own)

    def _mean_square(self, one: Tree, other: Tree) -> float:
        pairs = zip(nesting.values(self.action_space, one), nesting.values(self.action_space, other), strict=True)
        squares = [np.square(np.asarray(xp(a).to_numpy(a - b), np.float64)) for a, b in pairs]
        return float(sum(part.sum() for part in squares) / sum(part.size for part in squares))

    def _deltas(self, own: ActionDistribution) -> float:
        """Return the sum of delta over the rows of a distribution."""
        rows: int = own.inputs.shape[0]
        if isinstance(self.sub, AddedNoise):
            return rows * self.sub.deviation
        epsilon = self.sub.epsilon
        return float(-np.log1p(epsilon / self._allowed(own.allowed, rows) - epsilon).sum())

    def _allowed(self, mask: Any, rows: int) -> Numbers:
        """Return how many actions are allowed in each row, [B]."""
        masks = [mask] if nesting.is_leaf(self.action_space) else mask or [None] * len(self._counts)
        number = np.ones(rows)
        for part, counts in zip(masks, self._counts, strict=True):
            if part is None:
                number *= math.prod(map(float, counts))
                continue
            for one in split_last(xp(part).to_numpy(part), counts):
                number *= allowed_by(one, like=one).sum(axis=-1)
        return number

    # ------------------------------------------------------------------------------------ state

    def state(self) -> dict[str, NumpyArray]:
        """Return the deviation, the bits of the noise, what was compared since it was drawn, and the second's state."""
        second = self.sub.state() if isinstance(self.sub, StatefulExploration) else {}
        own = {"stddev": np.asarray(self.stddev), "seed": self._seed.copy(), "sums": self._sums.copy()}
        return {**own, **tree.prefixed("sub", second)}

    def load_state(self, state: dict[str, NumpyArray]) -> None:
        """Restore what :meth:`state` returned."""
        self.stddev, self._sums = float(state["stddev"]), np.array(state["sums"], np.float64)
        self._seed, self._noise = np.array(state["seed"], np.uint32), {}
        if isinstance(self.sub, StatefulExploration):
            self.sub.load_state(tree.under("sub", state))
