"""A space of shares: non-negative numbers that sum to one."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box
from gymnasium.vector.utils import (
    batch_space,
    concatenate,
    create_empty_array,
    create_shared_memory,
    iterate,
    read_from_shared_memory,
    write_to_shared_memory,
)

from anyspace.maths.arrays import NumpyArray


class Simplex(gym.Space[NumpyArray]):
    """Arrays whose last axis holds k shares of a whole: none negative, summing to 1.

    Further axes before the last one hold independent divisions of a whole each: an allocation of three
    resources to five consumers is ``Simplex((3, 5))``. Gymnasium's vector environments batch it like a Box.

    Args:
        shape: the shape of one member, ``[..., k]``.
        concentration: parameters ``[k]`` above 0 of the Dirichlet distribution of `sample`, the same for every
            row; None is all ones, which is uniform.
        dtype: a floating dtype.
        seed: the seed of `sample`.

    Raises:
        ValueError: shape, concentration or dtype is none of these.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def dim(self) -> int:
        """How many shares make a whole, k."""
        return int(self.shape[-1])

    def __init__(
        self,
        shape: Sequence[int],
        concentration: npt.ArrayLike | None = None,
        dtype: npt.DTypeLike = np.float32,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        try:
            sizes = tuple(map(operator.index, shape))
        except TypeError:
            raise ValueError(f"Simplex: expected a shape such as (3,), got {shape!r}.") from None
        try:
            kind = None if dtype is None else np.dtype(dtype)
        except TypeError:
            kind = None
        if kind is None or kind.kind != "f":
            raise ValueError(
                f"Simplex: expected a floating dtype, got {dtype if kind is None else kind}; shares are fractions."
            )
        super().__init__(sizes, kind, seed)
        if not self.shape or min(self.shape) < 1:
            raise ValueError(f"Simplex: expected a shape [..., k] of at least one share, got {self.shape}.")
        given = np.ones(self.shape[-1]) if concentration is None else concentration
        try:
            self.concentration = np.asarray(given, np.float64)
            fits = self.concentration.shape == self.shape[-1:] and bool((self.concentration > 0).all())
        except (TypeError, ValueError):
            fits = False
        if not fits:
            raise ValueError(
                f"Simplex: expected a concentration of {self.shape[-1]} numbers above 0, one per share, got {given!r}."
            )

    @property
    def tolerance(self) -> float:
        """How far the sum of a member's shares may be from 1: what rounding to its dtype, or arithmetic, can do."""
        return max(1e-5, float(np.finfo(self.dtype).eps))

    def sample(self, mask: None = None, probability: None = None) -> NumpyArray:
        """Draw a member from the Dirichlet distribution of `concentration`.

        Raises:
            ValueError: a mask or probabilities are given, but there are no separate values to choose from.
        """
        if mask is not None or probability is not None:
            raise ValueError(f"{self} cannot be sampled with a mask or probabilities: it is continuous.")
        return self.np_random.dirichlet(self.concentration, size=self.shape[:-1]).astype(self.dtype)

    def contains(self, x: Any) -> bool:
        """Return whether ``x`` is an array of this shape and dtype (or a narrower one) that holds shares."""
        if not isinstance(x, np.ndarray) or x.shape != self.shape or not np.can_cast(x.dtype, self.dtype):
            return False
        sums = x.sum(axis=-1, dtype=np.float64)
        return bool((x >= 0).all() and (np.abs(sums - 1.0) <= self.tolerance).all())

    def __repr__(self) -> str:
        uniform = bool((self.concentration == 1).all())
        return f"Simplex({self.shape}, {'' if uniform else f'{self.concentration.tolist()}, '}{self.dtype})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Simplex)
            and self.shape == other.shape
            and self.dtype == other.dtype
            and np.array_equal(self.concentration, other.concentration)
        )


@batch_space.register(Simplex)
def _(space: Simplex, n: int = 1) -> Simplex:
    return Simplex((n, *space.shape), space.concentration, space.dtype, deepcopy(space.np_random))


_OF_ARRAYS: tuple[Any, ...] = (
    concatenate,
    create_empty_array,
    iterate,
    create_shared_memory,
    read_from_shared_memory,
    write_to_shared_memory,
)
for _function in _OF_ARRAYS:
    _function.register(Simplex, _function.dispatch(Box))
