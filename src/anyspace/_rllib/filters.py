"""`utils.filter` of RLlib's old stack: filters of `anyspace.spaces` that tell each other what they have seen."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from anyspace.maths.arrays import NumpyArray
from anyspace.spaces import filters


class Filter(metaclass=abc.ABCMeta):  # noqa: B024
    """What filters have in common, for annotations."""

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


class NoFilter(filters.NoFilter, Filter):
    """Leaves observations alone; has the methods of `MeanStdFilter`."""

    def copy(self) -> NoFilter:
        """Return the filter itself: it has no state."""
        return self

    def sync(self, other: Any) -> None:
        """Do nothing."""

    def apply_changes(self, other: Any, with_buffer: bool = False) -> None:
        """Do nothing."""

    def reset_buffer(self) -> None:
        """Do nothing."""

    def as_serializable(self) -> NoFilter:
        """Return the filter itself: it has no state."""
        return self


class MeanStdFilter(filters.MeanStdFilter, Filter):
    """Subtracts the running mean, divides by the running standard deviation, and tells others what it has seen.

    Args:
        shape: shape of one observation, which is one array; make a filter for each part of others.
        demean: subtract the mean.
        destd: divide by the standard deviation.
        clip: cut results to ±clip; None for no limit.

    Attributes:
        running_stats: everything seen.
        buffer: what was seen since the last exchange with other workers.
    """

    def __init__(
        self, shape: tuple[int, ...], demean: bool = True, destd: bool = True, clip: float | None = 10.0
    ) -> None:
        super().__init__(shape, demean, destd, clip)
        self.buffer = filters.RunningStat(self.shape)

    def push(self, batch: Any) -> None:
        """Take observations [N, *shape] into ``running_stats`` and ``buffer``."""
        super().push(batch)
        self.buffer.push_batch(batch)

    def copy(self) -> MeanStdFilter:
        """Return an independent copy."""
        twin = MeanStdFilter(self.shape)
        twin.sync(self)
        return twin

    def sync(self, other: MeanStdFilter) -> None:
        """Take over the options, statistics and buffer of ``other``."""
        self.demean, self.destd, self.clip = other.demean, other.destd, other.clip
        self.running_stats, self.buffer = other.running_stats.copy(), other.buffer.copy()

    def apply_changes(self, other: MeanStdFilter, with_buffer: bool = False) -> None:
        """Merge the buffer of ``other`` into the statistics; ``with_buffer`` also copies that buffer here."""
        self.running_stats.merge(other.buffer)
        if with_buffer:
            self.buffer = other.buffer.copy()

    def reset_buffer(self) -> None:
        """Forget what was seen since the last exchange; the statistics stay as they are."""
        self.buffer = filters.RunningStat(self.shape)

    def as_serializable(self) -> MeanStdFilter:
        """Return an independent copy, which can be pickled."""
        return self.copy()

    def state(self) -> dict[str, NumpyArray]:
        """Return statistics and buffer as arrays."""
        return {**super().state(), **{f"buffer.{key}": value for key, value in self.buffer.state().items()}}

    def load_state(self, state: Mapping[str, NumpyArray]) -> None:
        """Take over what `state` returned; raise ValueError on statistics of another shape."""
        super().load_state(state)
        self.buffer.load_state({key: state[f"buffer.{key}"] for key in ("n", "mean", "squares")})


class ConcurrentMeanStdFilter(MeanStdFilter):
    """`MeanStdFilter` by its other name; no two threads filter here."""


def get_filter(name: str | Callable[[tuple[int, ...]], filters.Filter], shape: tuple[int, ...]) -> filters.Filter:
    """Return the filter of a name, or what a function makes for a shape; see :func:`anyspace.spaces.get_filter`.

    Raises:
        ConfigError: the name is unknown.
    """
    made = filters.get_filter(name, shape)
    if callable(name):
        return made
    return MeanStdFilter(shape, clip=made.clip) if isinstance(made, filters.MeanStdFilter) else NoFilter(shape)
