"""Values that change with the number of sampled steps."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from anyspace.config import require

Endpoints = list[tuple[float, float]]
"""``(step, value)`` pairs with rising steps."""


class PiecewiseSchedule:
    """Linear between ``(step, value)`` endpoints, constant before the first and after the last (spec 8.16).

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
        self._steps = np.array(steps, dtype=np.float64)
        self._values = np.array([value for _, value in endpoints], dtype=np.float64)

    def __call__(self, step: int) -> float:
        """Return the value at ``step`` sampled environment steps."""
        return float(np.interp(step, self._steps, self._values))


def scheduled(constant: float, endpoints: Endpoints | None, key: str) -> PiecewiseSchedule:
    """Return the schedule of ``key``: its endpoints where given, else the constant."""
    return PiecewiseSchedule(endpoints if endpoints is not None else [(0, constant)], key)
