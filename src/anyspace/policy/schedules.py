"""Values that change with the number of sampled steps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from anyspace.config import require
from anyspace.maths.cell import Cell
from anyspace.maths.xp import Array
from anyspace.models.runtime import NumpyArray

Endpoints = list[tuple[float, float]]
"""``(step, value)`` pairs with rising steps."""


class PiecewiseSchedule:
    """Linear between ``(step, value)`` endpoints, constant before the first and after the last.

    Args:
        endpoints: at least one pair; the steps must rise, and no value is negative.
        key: the configuration key, for messages.

    Raises:
        ConfigError: the endpoints are not like that.
    """

    def __init__(self, endpoints: Sequence[tuple[float, float]], key: str):
        steps = [step for step, _ in endpoints]
        require(len(steps) > 0, key, list(endpoints), "a schedule needs at least one [step, value] pair")
        rising = all(first < second for first, second in itertools.pairwise(steps))
        require(rising, key, list(endpoints), "the steps of a schedule must rise from pair to pair")
        positive = all(value >= 0 for _, value in endpoints)
        require(positive, key, list(endpoints), "the values of a schedule must not be negative")
        finite = all(math.isfinite(number) for pair in endpoints for number in pair)
        require(finite, key, list(endpoints), "the steps and values of a schedule must be finite")
        self._steps = np.array(steps, dtype=np.float64)
        self._values = np.array([value for _, value in endpoints], dtype=np.float64)

    def __call__(self, step: int) -> float:
        """Return the value at ``step`` sampled environment steps."""
        return float(np.interp(step, self._steps, self._values))

    def values(self, steps: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.float64]:
        """Return the values at several numbers of sampled steps, shaped like them."""
        found: npt.NDArray[np.float64] = np.interp(steps, self._steps, self._values)
        return found


def scheduled(constant: float, endpoints: Endpoints | None, key: str) -> PiecewiseSchedule:
    """Return the schedule of ``key``: its endpoints where given, else the constant."""
    return PiecewiseSchedule(endpoints if endpoints is not None else [(0, constant)], key)


class Scheduled:
    """A number that losses read and that goes by a schedule.

    Args:
        schedule: its value by the number of sampled environment steps.
        cell: holds the present value.
    """

    def __init__(self, schedule: PiecewiseSchedule, cell: Cell):
        self._schedule, self._cell = schedule, cell
        self.at(0)

    @property
    def value(self) -> Array:
        """The present value, as a loss computes with it; see :class:`Cell`."""
        return self._cell.value

    def at(self, timestep: int) -> None:
        """Take the value at ``timestep`` sampled environment steps."""
        self._cell.assign(self._schedule(timestep))

    def __float__(self) -> float:
        return float(self._cell)

    def state(self) -> dict[str, NumpyArray]:
        """Return the value by name, for a checkpoint."""
        return self._cell.state()

    def load_state(self, state: dict[str, NumpyArray]) -> None:
        """Restore what :meth:`state` returned."""
        self._cell.load_state(state)
