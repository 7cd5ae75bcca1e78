"""``Repeated``: a space of lists of varying length."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector.utils import create_empty_array


class Repeated(gym.Space[Any]):
    """Lists (or arrays) of at most ``max_len`` members of ``child_space``.

    Gymnasium's vector environments hand a batch of them on as a tuple; `gymnasium.vector.AsyncVectorEnv` needs
    ``shared_memory=False``, as it does for every space of varying size.

    Args:
        child_space: the space of an element.
        max_len: longest length, at least 1.
        seed: the seed of `sample`, for the lengths and for ``child_space``.

    Raises:
        ValueError: ``max_len`` is below 1.
    """

    def __init__(self, child_space: gym.Space[Any], max_len: int, seed: int | np.random.Generator | None = None):
        self.child_space, self.max_len = child_space, required_length("max_len", max_len)
        super().__init__(None, None, seed)

    @property
    def is_np_flattenable(self) -> bool:
        """Whether Gymnasium can flatten a member to an array: no."""
        return False

    def seed(self, seed: int | tuple[int, int] | None = None) -> tuple[Any, Any]:
        """Seed the lengths and the elements of `sample`, by one number for both or one for each."""
        if not isinstance(seed, int):
            own, child = (None, None) if seed is None else seed
            return super().seed(own), self.child_space.seed(child)
        own = super().seed(seed)
        child = int(self.np_random.integers(np.iinfo(np.int32).max))
        super().seed(seed)  # as if the child's seed had not been drawn: both ways to seed give the same lengths
        return own, self.child_space.seed(child)

    def sample(self, mask: Any = None, probability: Any = None) -> list[Any]:
        """Draw a list of 1 to ``max_len`` elements, each length as likely.

        Args:
            mask: passed to the sampling of each element.
            probability: passed to the sampling of each element, in place of ``mask``.
        """
        length = int(self.np_random.integers(1, self.max_len + 1))
        given = {name: value for name, value in (("mask", mask), ("probability", probability)) if value is not None}
        return [self.child_space.sample(**given) for _ in range(length)]

    def contains(self, x: Any) -> bool:
        """Return whether ``x`` is a list or array of at most ``max_len`` elements, each in ``child_space``."""
        if not isinstance(x, list) and not (isinstance(x, np.ndarray) and x.ndim):
            return False
        return len(x) <= self.max_len and all(self.child_space.contains(element) for element in x)

    def __repr__(self) -> str:
        return f"Repeated({self.child_space}, {self.max_len})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Repeated) and self.max_len == other.max_len and self.child_space == other.child_space


@create_empty_array.register(Repeated)
def _(space: Repeated, n: int = 1, fn: Any = np.zeros) -> tuple[list[Any], ...]:
    return tuple([] for _ in range(n))


def required_length(name: str, value: int) -> int:
    """Return a longest length.

    Raises:
        ValueError: it is no whole number, or below 1.
    """
    if not isinstance(value, int | float | np.number) or not float(value).is_integer() or value < 1:
        raise ValueError(f"{name} is {value!r}, but it must be a whole number of at least 1.")
    return int(value)
