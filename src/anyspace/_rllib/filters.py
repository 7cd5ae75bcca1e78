"""`utils.filter` of RLlib's old stack. Its filters are those of `anyspace.spaces`."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

import numpy as np

from anyspace.spaces import filters


class Filter(metaclass=abc.ABCMeta):  # noqa: B024
    """What filters have in common, for annotations; `NoFilter` and `MeanStdFilter` count as sub-classes."""

    def apply_changes(self, other: Any, *args: Any, **kwargs: Any) -> None:
        """Take over what another filter has seen since the last exchange."""
        raise NotImplementedError(f"{type(self).__name__} must implement apply_changes()")

    def copy(self) -> Filter:
        """Return an independent copy."""
        raise NotImplementedError(f"{type(self).__name__} must implement copy()")

    def sync(self, other: Any) -> None:
        """Take over everything of another filter."""
        raise NotImplementedError(f"{type(self).__name__} must implement sync()")

    def reset_buffer(self) -> None:
        """Forget what was seen since the last exchange."""
        raise NotImplementedError(f"{type(self).__name__} must implement reset_buffer()")

    def as_serializable(self) -> Filter:
        """Return a copy that can be sent to another process."""
        raise NotImplementedError(f"{type(self).__name__} must implement as_serializable()")


Filter.register(filters.NoFilter)
Filter.register(filters.MeanStdFilter)


class RunningStat(filters.RunningStat):
    """Count, mean and variance of a stream, with the old names of what it can do.

    Args:
        shape: shape of one observation.
    """

    def __init__(self, shape: tuple[int, ...] = ()):
        super().__init__(shape)

    @property
    def num_pushes(self) -> int:
        """How many observations were seen."""
        return self.n

    def update(self, other: filters.RunningStat) -> None:
        """Take in everything that ``other`` has seen."""
        self.merge(other)

    def to_state(self) -> dict[str, Any]:
        """Return the statistics as arrays, for `from_state`."""
        return self.state()

    @staticmethod
    def from_state(state: Mapping[str, Any]) -> RunningStat:
        """Return statistics like those that `to_state` was called on."""
        restored = RunningStat(np.shape(state["mean"]))
        restored.load_state(state)
        return restored


class ConcurrentMeanStdFilter(filters.MeanStdFilter):
    """`MeanStdFilter` by its other name; no two threads filter here."""
