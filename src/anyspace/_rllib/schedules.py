"""`utils.schedules` of RLlib's old stack: numbers that change with the step. Configurations take lists of endpoints."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any


def _between(left: float, right: float, share: float) -> float:
    return left + share * (right - left)


class Schedule(ABC):
    """Base of schedules: a sub-class implements ``_value``.

    Args:
        framework: accepted for old call sites.
    """

    def __init__(self, framework: str | None = None):
        self.framework = framework

    def value(self, t: Any) -> Any:
        """Return the value at step ``t``, a number or a tensor."""
        return self._value(t)

    def __call__(self, t: Any) -> Any:
        """Return the value at step ``t``."""
        return self.value(t)

    @abstractmethod
    def _value(self, t: Any) -> Any:
        """Return the value at step ``t``."""


class ConstantSchedule(Schedule):
    """The same value at all steps.

    Args:
        value: the value.
        framework: accepted for old call sites.
    """

    def __init__(self, value: float, framework: str | None = None):
        super().__init__(framework)
        self._constant = value

    def _value(self, t: Any) -> Any:
        return self._constant


class PolynomialSchedule(Schedule):
    """final_p + (initial_p - final_p) (1 - t / schedule_timesteps) ** power, and final_p after these steps.

    Args:
        schedule_timesteps: at least 1.
        final_p: the last value.
        framework: accepted for old call sites.
        initial_p: the first value.
        power: of the decay.
    """

    def __init__(
        self,
        schedule_timesteps: int,
        final_p: float,
        framework: str | None = None,
        initial_p: float = 1.0,
        power: float = 2.0,
    ):
        super().__init__(framework)
        assert schedule_timesteps > 0, f"schedule_timesteps is {schedule_timesteps}, expected at least 1"
        self.schedule_timesteps, self.power = schedule_timesteps, power
        self.initial_p, self.final_p = initial_p, final_p

    def _value(self, t: Any) -> Any:
        remaining = 1.0 - min(t, self.schedule_timesteps) / self.schedule_timesteps
        return self.final_p + (self.initial_p - self.final_p) * remaining**self.power


class LinearSchedule(PolynomialSchedule):
    """A `PolynomialSchedule` of power 1."""

    def __init__(self, schedule_timesteps: int, final_p: float, framework: str | None = None, initial_p: float = 1.0):
        super().__init__(schedule_timesteps, final_p, framework, initial_p, 1.0)


class ExponentialSchedule(Schedule):
    """initial_p * decay_rate ** (t / schedule_timesteps).

    Args:
        schedule_timesteps: at least 1.
        framework: accepted for old call sites.
        initial_p: the first value.
        decay_rate: what the value is multiplied by in so many steps.
    """

    def __init__(
        self,
        schedule_timesteps: int,
        framework: str | None = None,
        initial_p: float = 1.0,
        decay_rate: float = 0.1,
    ):
        super().__init__(framework)
        assert schedule_timesteps > 0, f"schedule_timesteps is {schedule_timesteps}, expected at least 1"
        self.schedule_timesteps, self.initial_p, self.decay_rate = schedule_timesteps, initial_p, decay_rate

    def _value(self, t: Any) -> Any:
        return self.initial_p * self.decay_rate ** (t / self.schedule_timesteps)


class PiecewiseSchedule(Schedule):
    """Values at some steps, and between them.

    Args:
        endpoints: (step, value) pairs in the order of steps; the last step is outside already.
        framework: accepted for old call sites.
        interpolation: of (left value, right value, share of the way between them).
        outside_value: the value before the first step and from the last one on; None makes that an error.

    Raises:
        AssertionError: the steps do not rise, or a value outside is asked for and there is none.
    """

    def __init__(
        self,
        endpoints: Sequence[tuple[int, float]],
        framework: str | None = None,
        interpolation: Callable[[Any, Any, Any], Any] = _between,
        outside_value: float | None = None,
    ):
        super().__init__(framework)
        self.endpoints = [(int(step), float(value)) for step, value in endpoints]
        assert self.endpoints == sorted(self.endpoints, key=lambda pair: pair[0]), f"steps do not rise: {endpoints}"
        self.interpolation, self.outside_value = interpolation, outside_value

    def _value(self, t: Any) -> Any:
        for (left, low), (right, high) in zip(self.endpoints, self.endpoints[1:], strict=False):
            if left <= t < right:
                return self.interpolation(low, high, float(t - left) / (right - left))
        assert self.outside_value is not None, f"step {t} is outside of {self.endpoints}; give an outside_value"
        return self.outside_value
