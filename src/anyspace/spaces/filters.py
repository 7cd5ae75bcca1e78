"""Observation filters: running normalisation.

Statistics are float64 and elementwise. Letters: N observations; the shape of one observation is ``shape``.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, SupportsIndex, TypeAlias

import numpy as np

from anyspace.errors import ConfigError, nearest
from anyspace.maths.arrays import NumpyArray

# Keeps constant slots finite: they normalise to 0.
STD_FLOOR = 1e-6


def _one_shape(shape: Iterable[SupportsIndex]) -> tuple[int, ...]:
    """Return the shape of one array as a tuple.

    Raises:
        ConfigError: it is none, such as the shapes of several parts.
    """
    try:
        if not isinstance(shape, Mapping):
            return tuple(map(operator.index, shape))
    except TypeError:
        pass
    raise ConfigError(
        f"statistics are of one array, by its shape, such as (3,), but {shape!r} came. Observations of several parts"
        " take a filter for each part; observation_filter='MeanStdFilter' makes them by itself."
    )


class RunningStat:
    """Count, mean and variance of a stream, by Welford's update and Chan's merge.

    Attributes:
        n: observations seen.
        mean: their mean, of ``shape``.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = _one_shape(shape)
        self.n = 0
        self.mean: NumpyArray = np.zeros(self.shape)
        self._squares: NumpyArray = np.zeros(self.shape)  # sum of squared distances from the mean

    @property
    def var(self) -> NumpyArray:
        """Sample variance; before two observations are in, the squared mean: the first one then maps to 0."""
        return self._squares / (self.n - 1) if self.n > 1 else np.square(self.mean)

    @property
    def std(self) -> NumpyArray:
        """Square root of ``var``."""
        return np.sqrt(self.var)

    def push(self, x: Any) -> None:
        """Take in one observation of ``shape``; raise ValueError on any other shape."""
        x = np.asarray(x, np.float64)
        if x.shape != self.shape:
            raise ValueError(f"expected an observation of shape {self.shape}, got {x.shape}.")
        self._absorb(1, x, np.zeros(self.shape))

    def push_batch(self, batch: Any) -> None:
        """Take in observations [N, *shape]; raise ValueError on any other shape."""
        batch = np.asarray(batch, np.float64)
        if batch.ndim != len(self.shape) + 1 or batch.shape[1:] != self.shape:
            raise ValueError(f"expected observations of shape [N, *{self.shape}], got {batch.shape}.")
        if len(batch):
            mean = batch.mean(axis=0)
            self._absorb(len(batch), mean, np.square(batch - mean).sum(axis=0))

    def push_moments(self, n: int, mean: Any, squares: Any) -> None:
        """Take in ``n`` observations by their mean and their sum of squared distances from it, of ``shape`` each."""
        if n:
            self._absorb(n, mean, squares)

    def merge(self, other: RunningStat) -> None:
        """Take in everything that ``other`` has seen."""
        if other.shape != self.shape:
            raise ValueError(f"expected statistics of shape {self.shape}, got {other.shape}.")
        self.push_moments(other.n, other.mean, other._squares)

    def copy(self) -> RunningStat:
        """Return an independent copy."""
        twin = RunningStat(self.shape)
        twin.n, twin.mean, twin._squares = self.n, self.mean, self._squares
        return twin

    def state(self) -> dict[str, NumpyArray]:
        """Return the statistics as arrays: ``n``, ``mean`` and ``squares``."""
        return {"n": np.asarray(self.n), "mean": np.array(self.mean), "squares": np.array(self._squares)}

    def load_state(self, state: Mapping[str, NumpyArray]) -> None:
        """Take over what `state` returned; raise ValueError on statistics of another shape."""
        if state["mean"].shape != self.shape:
            raise ValueError(f"expected statistics of shape {self.shape}, got {state['mean'].shape}.")
        self.n = int(state["n"])
        self.mean, self._squares = np.array(state["mean"]), np.array(state["squares"])

    def _absorb(self, n: int, mean: NumpyArray, squares: NumpyArray) -> None:
        # New arrays, no in-place sums: copies share them, and NumPy makes scalars of results of shape ().
        total, distance = self.n + n, mean - self.mean
        self.mean = self.mean + distance * (n / total)
        self._squares = self._squares + squares + np.square(distance) * (self.n * n / total)
        self.n = total


class NoFilter:
    """Leaves observations alone; has the methods of `MeanStdFilter`."""

    clip = None

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        self.shape = shape

    def __call__(self, x: Any, update: bool = True) -> Any:
        """Return ``x``; numbers and lists as an array."""
        return x if isinstance(x, np.ndarray | dict | tuple) else np.asarray(x)

    def push(self, batch: Any) -> None:
        """Do nothing."""

    def apply(self, x: Any) -> Any:
        """Return ``x``."""
        return x

    def affine(self) -> tuple[NumpyArray, NumpyArray]:
        """Return zeros and ones of ``shape``."""
        return np.zeros(self.shape, np.float32), np.ones(self.shape, np.float32)

    def state(self) -> dict[str, NumpyArray]:
        """Return an empty dict."""
        return {}

    def load_state(self, state: Mapping[str, NumpyArray]) -> None:
        """Do nothing."""


class MeanStdFilter:
    """Subtracts the running mean and divides by the running standard deviation.

    Calling it updates and normalises one observation at a time. A policy uses the two halves: `push` after a batch has
    been learnt from, `apply` (or `affine` on a device) elsewhere.

    Args:
        shape: shape of one observation, which is one array; make a filter for each part of others.
        demean: subtract the mean.
        destd: divide by the standard deviation.
        clip: cut results to ±clip; None for no limit.

    Attributes:
        running_stats: everything seen.
    """

    def __init__(
        self, shape: tuple[int, ...], demean: bool = True, destd: bool = True, clip: float | None = 10.0
    ) -> None:
        self.shape, self.demean, self.destd, self.clip = _one_shape(shape), demean, destd, clip
        self.running_stats = RunningStat(self.shape)

    def __call__(self, x: Any, update: bool = True) -> NumpyArray:
        """Return ``x`` normalised, after taking it into the statistics.

        Args:
            x: one observation of ``shape``, or [N, *shape]: all rows are taken in before any is normalised.
            update: False leaves the statistics as they are.

        Returns:
            Floats keep their dtype; integers give float32.

        Raises:
            ValueError: ``x`` has another shape.
        """
        x = np.asarray(x)
        if update:
            self.push(x if x.ndim == len(self.shape) + 1 else x[np.newaxis])
        return self._normalised(x, *self._moments())

    def push(self, batch: Any) -> None:
        """Take observations [N, *shape] into ``running_stats``."""
        self.running_stats.push_batch(batch)

    def apply(self, x: Any) -> NumpyArray:
        """Return observations [..., *shape] normalised with frozen statistics.

        Until two observations are in, mean 0 and deviation 1 stand in for statistics, so only ``clip`` acts.
        Floats keep their dtype; integers give float32.
        """
        return self._normalised(np.asarray(x), *self._frozen())

    def affine(self) -> tuple[NumpyArray, NumpyArray]:
        """Return (mean, std + 1e-6) of ``shape``, float32; (0, 1) until two observations are in.

        With ``clip`` this is `apply` on any device: ``(x - mean) / std``, cut to ±clip.
        """
        mean, scale = self._frozen()
        return mean.astype(np.float32), scale.astype(np.float32)

    def state(self) -> dict[str, NumpyArray]:
        """Return the statistics as arrays, for a checkpoint."""
        return {f"running_stats.{key}": value for key, value in self.running_stats.state().items()}

    def load_state(self, state: Mapping[str, NumpyArray]) -> None:
        """Take over what `state` returned; raise ValueError on statistics of another shape."""
        self.running_stats.load_state({key: state[f"running_stats.{key}"] for key in ("n", "mean", "squares")})

    def _moments(self) -> tuple[NumpyArray, NumpyArray]:
        mean = self.running_stats.mean if self.demean else np.zeros(self.shape)
        scale = self.running_stats.std + STD_FLOOR if self.destd else np.ones(self.shape)
        return np.asarray(mean), np.asarray(scale)

    def _frozen(self) -> tuple[NumpyArray, NumpyArray]:
        if self.running_stats.n > 1:
            return self._moments()
        return np.zeros(self.shape), np.ones(self.shape)

    def _normalised(self, x: NumpyArray, mean: NumpyArray, scale: NumpyArray) -> NumpyArray:
        if x.shape[max(0, x.ndim - len(self.shape)) :] != self.shape:
            raise ValueError(f"expected observations of shape {self.shape}, got {x.shape}.")
        dtype = x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)
        result = (x - mean) / scale
        return np.asarray(result if self.clip is None else np.clip(result, -self.clip, self.clip), dtype)


Filter: TypeAlias = NoFilter | MeanStdFilter

FILTERS = ("NoFilter", "MeanStdFilter", "ConcurrentMeanStdFilter")
"""The names that `get_filter` knows."""


def require_known(name: str) -> None:
    """Raise :class:`ConfigError` unless a filter has this name."""
    if name not in FILTERS:
        raise ConfigError(
            f"config key `observation_filter` is {name!r}, but the filters are {', '.join(FILTERS)} (Unknown"
            f" observation_filter).{nearest(str(name), FILTERS)}"
        )


def get_filter(name: str | Callable[[tuple[int, ...]], Filter], shape: tuple[int, ...]) -> Filter:
    """Return the filter that the configuration key ``observation_filter`` names.

    "MeanStdFilter" does not clip; "ConcurrentMeanStdFilter" is the same with a clip of 10.

    Args:
        name: the filter's, or a function that makes one for a shape, which the configuration does not take.
        shape: shape of one observation.

    Raises:
        ConfigError: the name is unknown.
    """
    if callable(name):
        return name(shape)
    require_known(name)
    if name == "NoFilter":
        return NoFilter(shape)
    return MeanStdFilter(shape, clip=None if name == "MeanStdFilter" else 10.0)
