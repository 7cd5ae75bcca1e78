"""Finite choices of special form: bits, slates, and one choice relaxed to a vector with gradients."""

from __future__ import annotations

import itertools
import math
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from anyspace.distributions.base import ActionDistribution
from anyspace.distributions.categorical import Categorical
from anyspace.maths.xp import Array, Rng, xp

if TYPE_CHECKING:
    import gymnasium as gym


class Bernoulli(ActionDistribution):
    """n independent bits, each 1 with probability sigmoid(input).

    Args:
        inputs: One logit per bit ``[B, n]``.
        model: The model that made them.
        mask: For each bit whether it may be 0 and whether it may be 1 ``[B, 2n]``, booleans or 0/1. A bit that
            may be neither counts as one that may be both.
        action_space: Samples have its shape, ``[B, *shape]``; without it they are ``[B, n]``.
    """

    depends_on_model = False

    def __init__(
        self,
        inputs: Array,
        model: Any = None,
        *,
        mask: Array | None = None,
        action_space: gym.Space[Any] | None = None,
    ) -> None:
        super().__init__(inputs, model, mask=mask)
        self.action_space = action_space

    @staticmethod
    def required_model_output_shape(action_space: spaces.MultiBinary, model_config: Any) -> int:
        """One logit per bit."""
        return math.prod(action_space.shape)

    @cached_property
    def _bits(self) -> Categorical:
        """Each bit as a choice of two ``[B, n, 2]``."""
        ns, half = xp(self.inputs), 0.5 * self.inputs
        mask = None if self.mask is None else ns.reshape(ns.asarray(self.mask, like=half), (*half.shape, 2))
        return Categorical(ns.stack([-half, half], axis=-1), mask=mask)

    def _as_actions(self, bits: Array) -> Array:
        shape = bits.shape if self.action_space is None else (*self._batch_shape, *(self.action_space.shape or ()))
        self.last_sample = xp(bits).reshape(bits, shape)
        return self.last_sample

    @property
    def noise_width(self) -> int:
        """Two numbers per bit."""
        return 2 * int(self.inputs.shape[-1])

    def standard_noise(self, rng: Rng, steps: int) -> Array:
        """Gumbel noise ``[steps, B, 2n]``."""
        return xp(self.inputs).gumbel(rng, (steps, *self._batch_shape, self.noise_width), like=self.inputs)

    def sample_from_noise(self, noise: Array) -> Array:
        """Bits ``[B, *shape]`` from Gumbel ``noise`` ``[B, 2n]``."""
        return self._as_actions(self._bits.sample_from_noise(xp(noise).reshape(noise, (*self.inputs.shape, 2))))

    def deterministic_sample(self) -> Array:
        """Each bit's likelier value ``[B, *shape]``, 0 where both are."""
        return self._as_actions(self._bits.deterministic_sample())

    def logp(self, actions: Array) -> Array:
        """Sum of the bits' log-probabilities ``[B]``; ``actions`` are ``[B, *shape]`` or ``[B, n]``."""
        ns = xp(self.inputs)
        bits = ns.reshape(ns.asarray(actions, like=self.inputs), self.inputs.shape)
        return ns.sum(self._bits.logp(bits), axis=-1)

    def option_log_probs(self) -> list[Array]:
        """Log-probabilities that each bit is 0, and 1, ``[B, 2]`` each."""
        return [self._bits.log_probs[..., bit, :] for bit in range(int(self.inputs.shape[-1]))]

    def multi_entropy(self) -> Array:
        """Entropy of each bit ``[B, n]``."""
        return self._bits.entropy()

    def entropy(self) -> Array:
        """Sum of the bits' entropies ``[B]``."""
        return xp(self.inputs).sum(self.multi_entropy(), axis=-1)

    def multi_kl(self, other: Bernoulli) -> Array:
        """Divergence of each bit ``[B, n]``."""
        return self._bits.kl(other._bits)

    def kl(self, other: Bernoulli) -> Array:
        """Sum of the bits' divergences ``[B]``."""
        return xp(self.inputs).sum(self.multi_kl(other), axis=-1)


class SlateMultiCategorical(Categorical):
    """One choice among S slates: k items each, picked from n candidates.

    Unlike `MultiCategorical`, which picks every item on its own, it can keep an item from being picked twice.

    Args:
        inputs: One logit per slate ``[B, S]``.
        model: The model that made them.
        mask: Allowed candidates, position by position ``[B, k * n]``, booleans or 0/1; a slate is allowed where all
            of its items are. A row that allows no slate counts as one that allows all.
        action_space: ``MultiDiscrete([n] * k)``.
        all_slates: The slates ``[S, k]``, all different, as indices from 0; None stands for every ordered choice
            of k different candidates, in lexicographic order: S = n! / (n - k)!.
        temperature: See `Categorical`.

    Raises:
        AssertionError: ``action_space`` is something else, or ``temperature`` is not positive.
        ValueError: There are not as many slates as inputs.
    """

    depends_on_model = False

    def __init__(
        self,
        inputs: Array,
        model: Any = None,
        *,
        mask: Array | None = None,
        action_space: spaces.MultiDiscrete[Any],
        all_slates: npt.NDArray[np.integer] | None = None,
        temperature: float = 1.0,
    ) -> None:
        candidates, size = _slate_of(action_space)
        slates = _every_slate(candidates, size) if all_slates is None else np.asarray(all_slates, np.int64)
        if slates.shape != (inputs.shape[-1], size):
            raise ValueError(
                f"SlateMultiCategorical: {inputs.shape[-1]} inputs per row need slates of shape"
                f" {(inputs.shape[-1], size)}, got {slates.shape}. Make the model's output as wide as there are slates."
            )
        self.action_space, self._table, self._candidates = action_space, slates, candidates
        self.all_slates = xp(inputs).asarray(slates, like=inputs)
        super().__init__(inputs, model, mask=self._allowed(inputs, mask, candidates), temperature=temperature)

    @staticmethod
    def required_model_output_shape(action_space: gym.Space[Any], model_config: Any) -> int:
        """One logit per ordered choice of different candidates: the slates that are used where none are given."""
        return math.perm(*_slate_of(action_space))

    def _allowed(self, inputs: Array, mask: Array | None, candidates: int) -> Array | None:
        """Turn a mask of candidates into one of slates ``[B, S]``."""
        if mask is None:
            return None
        ns = xp(inputs)
        offsets = ns.asarray(np.arange(self.all_slates.shape[1]) * candidates, like=inputs)
        entries = ns.take_columns(ns.holds(ns.asarray(mask, like=inputs)), self.all_slates + offsets)
        return ~ns.any(~entries, axis=-1)

    def sample_from_noise(self, noise: Array) -> Array:
        """Slates ``[B, k]`` from Gumbel ``noise`` ``[B, S]``."""
        return self._as_slates(super().sample_from_noise(noise))

    def deterministic_sample(self) -> Array:
        """The likeliest slate ``[B, k]``, the first one of equals."""
        return self._as_slates(super().deterministic_sample())

    def _as_slates(self, indices: Array) -> Array:
        self.last_sample = xp(self.all_slates).take_rows(self.all_slates, indices)
        return self.last_sample

    def logp(self, actions: Array) -> Array:
        """Log-probability of slates ``[B, k]``; -inf for one that does not exist or is masked."""
        ns = xp(self.inputs)
        slates = ns.astype(ns.asarray(actions, like=self.inputs), "int64")
        index, exists = places_of_slates(slates, self._table, self._candidates)
        return ns.where(exists, super().logp(index), -float("inf"))


def places_of_slates(slates: Array, table: npt.NDArray[np.integer], candidates: int) -> tuple[Array, Array]:
    """Return the row of each slate in a table, and whether it is there; where it is not, the row means nothing.

    Args:
        slates: Integers ``[..., k]``.
        table: All slates ``[S, k]``, each item from 0 to ``candidates - 1``.
        candidates: n.
    """
    ns = xp(slates)
    levels, rows = _tree_of(np.ascontiguousarray(table, np.int64).tobytes(), table.shape[1], candidates)
    place: Array | int = 0
    for position, level in enumerate(levels):
        at = ns.searchsorted(ns.asarray(level, like=slates), place * candidates + slates[..., position])
        place = ns.clip(at, None, len(level) - 1)
    index = ns.take_rows(ns.asarray(rows, like=slates), place)
    return index, ~ns.any(ns.take_rows(ns.asarray(table, like=slates), index) != slates, axis=-1)


@lru_cache(maxsize=8)
def _tree_of(table: bytes, size: int, candidates: int) -> tuple[list[npt.NDArray[np.int64]], npt.NDArray[np.int64]]:
    """Return a table of slates as a tree, and the first row of each of its leaves in the table.

    Nodes are counted level by level, in the order of the slates. Each level holds, sorted, the parent's place times
    ``candidates`` plus the item. The table [[1, 0], [0, 2], [0, 1]] of 3 candidates has the levels [0, 1] and
    [0 * 3 + 1, 0 * 3 + 2, 1 * 3 + 0] = [1, 2, 3], and the rows [2, 1, 0].
    """
    slates = np.frombuffer(table, np.int64).reshape(-1, size)
    place, levels = np.zeros(len(slates), np.int64), []
    for items in slates.T:
        level, place = np.unique(place * candidates + items, return_inverse=True)
        levels.append(level)
    return levels, np.unique(place, return_index=True)[1].astype(np.int64)


def _slate_of(space: gym.Space[Any]) -> tuple[int, int]:
    """Return the number of candidates n and the length of a slate k."""
    if not (isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1 and len(set(space.nvec.tolist())) == 1):
        raise AssertionError(
            f"SlateMultiCategorical needs a MultiDiscrete([n] * k), all positions with the same candidates, got"
            f" {space}."
        )
    return int(space.nvec[0]), len(space.nvec)


@lru_cache(maxsize=8)
def _every_slate(candidates: int, size: int) -> npt.NDArray[np.int64]:
    slates = np.array(list(itertools.permutations(range(candidates), size)), np.int64).reshape(-1, size)
    slates.setflags(write=False)
    return slates


class GumbelSoftmax(ActionDistribution):
    """One of A actions, relaxed to a vector of shares that carries gradients.

    Source: Jang, Gu & Poole, "Categorical reparameterization with Gumbel-softmax", 2017,
    https://arxiv.org/abs/1611.01144.

    Args:
        inputs: Logits ``[B, A]``.
        model: The model that made them.
        mask: Allowed actions ``[B, A]``, see `Categorical`; the others' shares are 0.
        temperature: Of the relaxation: near 0 samples are nearly one-hot, far above 1 nearly even.

    Raises:
        AssertionError: ``temperature`` is not positive.
    """

    depends_on_model = False

    def __init__(
        self, inputs: Array, model: Any = None, *, mask: Array | None = None, temperature: float = 1.0
    ) -> None:
        if not temperature > 0.0:
            raise AssertionError(f"GumbelSoftmax needs a temperature above 0, got {temperature}.")
        super().__init__(inputs, model, mask=mask)
        self.temperature = temperature
        self._choice = Categorical(inputs, model, mask=mask)

    @staticmethod
    def required_model_output_shape(action_space: spaces.Discrete[Any], model_config: Any) -> int:
        """One logit per action."""
        return int(action_space.n)

    @property
    def noise_width(self) -> int:
        """A."""
        return self._choice.noise_width

    def standard_noise(self, rng: Rng, steps: int) -> Array:
        """Gumbel noise ``[steps, B, A]``."""
        return self._choice.standard_noise(rng, steps)

    def sample_from_noise(self, noise: Array) -> Array:
        """Shares ``[B, A]``: the softmax of (logits + Gumbel ``noise``) / temperature; the largest is the action."""
        ns = xp(self.inputs)
        perturbed = self._choice.logits + noise
        # Shifted first: divided as they are, logits of -3.4e38 would overflow, in a row of them to NaN.
        largest = ns.max(ns.stop_gradient(perturbed), axis=-1, keepdims=True)
        self.last_sample = ns.exp(ns.log_softmax((perturbed - largest) / self.temperature))
        return self.last_sample

    def deterministic_sample(self) -> Array:
        """The probabilities of the actions ``[B, A]``."""
        self.last_sample = self._choice.probs
        return self.last_sample

    def logp(self, actions: Array) -> Array:
        """Sum of shares times log-probabilities ``[B]``: for an action itself its log-probability, else a relaxation.

        Args:
            actions: Shares ``[B, A]``, or indices ``[B]``, which count as one-hot.
        """
        ns = xp(self.inputs)
        shares = ns.asarray(actions, like=self.inputs)
        if tuple(shares.shape) != tuple(self.inputs.shape):
            return self._choice.logp(shares)
        return ns.sum(shares * ns.where(shares > 0.0, self._choice.log_probs, 0.0), axis=-1)
