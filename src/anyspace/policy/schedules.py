"""Values that change with the number of sampled steps."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from anyspace.config import require
from anyspace.maths.cell import Cell
from anyspace.maths.xp import Array
from anyspace.models.runtime import NumpyArray

_LOG = logging.getLogger("anyspace")

Endpoints = list[tuple[float, float]]
"""``(step, value)`` pairs with rising steps."""
Falling = Literal["linear"]
"""From the constant down to 0, over the steps that the run is asked for."""


class Run(Protocol):
    """What a schedule may need to know of a run."""

    @property
    def total_steps(self) -> int | None:
        """How many steps it is asked for, from the beginning; None: nobody has said so."""


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
        finite = all(math.isfinite(number) for pair in endpoints for number in pair)
        require(finite, key, list(endpoints), "the steps and values of a schedule must be finite")
        rising = all(first < second for first, second in itertools.pairwise(steps))
        require(rising, key, list(endpoints), "the steps of a schedule must rise from pair to pair")
        positive = all(value >= 0 for _, value in endpoints)
        require(positive, key, list(endpoints), "the values of a schedule must not be negative")
        self._steps = np.array(steps, dtype=np.float64)
        self._values = np.array([value for _, value in endpoints], dtype=np.float64)

    def __call__(self, step: int) -> float:
        """Return the value at ``step`` sampled environment steps."""
        return float(np.interp(step, self._steps, self._values))

    def values(self, steps: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.float64]:
        """Return the values at several numbers of sampled steps, shaped like them."""
        found: npt.NDArray[np.float64] = np.interp(steps, self._steps, self._values)
        return found


class FallingSchedule:
    """Falls from a constant to 0 over the steps that a run is asked for: of 1,000 steps, 3/4 of it remain after 250.

    Where nobody has said how many steps there are to be, it stays, and a warning says so.

    Args:
        constant: its value at the beginning.
        run: which is asked anew at every call, since it may be asked to go on.
        key: the configuration key, for messages.
    """

    def __init__(self, constant: float, run: Run, key: str):
        self._constant, self._run, self._key = constant, run, key
        self._has_warned = self._has_missed = False

    def __call__(self, step: int) -> float:
        """Return the value at ``step`` sampled environment steps."""
        total = self._run.total_steps
        if total is None:
            if step > 0 and not self._has_missed:
                self._has_missed = True
                _LOG.warning(
                    f"`{self._key}` is 'linear', down to 0 at the end of the run, but only learn() says where that is:"
                    f" with train() alone the value stays {self._constant:g}. Train by learn(), or give `{self._key}`"
                    " as [step, value] pairs."
                )
            return self._constant
        if step >= total and not self._has_warned:
            self._has_warned = True
            _LOG.warning(
                f"`{self._key}` is 'linear', and the run has had the {total:,} steps that learn() was asked for: the"
                " value is 0 from here on. To train further, ask learn() for more steps, or give"
                f" `{self._key}` as [step, value] pairs."
            )
        return self._constant * max(0.0, 1.0 - step / total)


def require_schedule(schedule: Endpoints | Falling | None, key: str) -> None:
    """Raise :class:`ConfigError` where endpoints are not as a :class:`PiecewiseSchedule` takes them."""
    if isinstance(schedule, list):
        PiecewiseSchedule(schedule, key)


def scheduled(constant: float, schedule: Endpoints | Falling | None, key: str, run: Run) -> Callable[[int], float]:
    """Return the value of ``key`` by the number of sampled environment steps.

    Args:
        constant: where there is no schedule, and where a falling one begins.
        schedule: endpoints, or "linear".
        key: the schedule's configuration key, for messages.
        run: an algorithm's ``counters``.
    """
    if schedule == "linear":
        return FallingSchedule(constant, run, key)
    return PiecewiseSchedule(schedule if schedule is not None else [(0, constant)], key)


class Scheduled:
    """A number that losses read and that goes by a schedule.

    Args:
        schedule: its value by the number of sampled environment steps.
        cell: holds the present value.
    """

    def __init__(self, schedule: Callable[[int], float], cell: Cell):
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
