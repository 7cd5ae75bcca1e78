"""How quick training is, and what takes the time: the environment, acting in it, or learning."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import gymnasium as gym

from anyspace.errors import ConfigError
from anyspace.execution.fleet import Fleet, LocalFleet


@dataclass(frozen=True)
class TimeTaken:
    """What a part of training takes."""

    seconds: float
    share: float
    """Of all seconds, 0 to 1."""
    microseconds_per_step: float
    """Of one step of one environment."""


@dataclass(frozen=True)
class Speed:
    """What some iterations of training took."""

    steps: int
    """Of all environments together."""
    iterations: int
    has_learnt: bool
    """Whether it took gradient steps; off-policy algorithms collect for a while first."""
    seconds: float
    steps_per_s: float
    environment: TimeTaken
    """``step`` and ``reset``, with the stacking of what several environments return."""
    acting: TimeTaken
    """From observations to actions, and writing down what came of them."""
    learning: TimeTaken
    """Everything else: advantages, gradient steps, statistics."""

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers by name, nested."""
        return asdict(self)


class Trains(Protocol):
    """What is measured."""

    @property
    def fleet(self) -> Fleet:
        """Who collects."""

    def train(self) -> dict[str, Any]:
        """Run one iteration."""


def measure(algorithm: Trains, seconds: float) -> Speed:
    """Train for about so many seconds, once learning has begun, and return how quick it was.

    What happens first, compiling for one, is not counted: an iteration, and more of them until an iteration learns
    something, for ``seconds`` at most.

    Raises:
        ConfigError: no environment is stepped in this process.
    """
    fleet = algorithm.fleet
    if not isinstance(fleet, LocalFleet):
        raise ConfigError("what takes the time is measured where this process steps the environments itself.")
    source = fleet.collector.source
    envs = source.envs
    source.envs = timed = Timed(envs)
    try:
        return _measured(algorithm, timed, seconds)
    finally:
        source.envs = envs


def _measured(algorithm: Trains, timed: Timed, seconds: float) -> Speed:
    began = time.perf_counter()
    learns = _learns(algorithm.train())
    while not learns and time.perf_counter() - began < seconds:
        learns = _learns(algorithm.train())
    timed.seconds, began = 0.0, time.perf_counter()
    steps, iterations, collecting, elapsed = 0, 0, 0.0, 0.0
    learns = False
    while not iterations or elapsed < seconds:
        result = algorithm.train()
        steps, iterations = steps + result["timesteps_this_iter"], iterations + 1
        collecting += result["time_collect_s"]
        learns = learns or _learns(result)
        elapsed = time.perf_counter() - began
    parts = (timed.seconds, collecting - timed.seconds, elapsed - collecting)
    each = [TimeTaken(part, part / elapsed, 1e6 * part / max(steps, 1)) for part in parts]
    return Speed(steps, iterations, learns, elapsed, steps / elapsed, *each)


def _learns(result: dict[str, Any]) -> bool:
    return any(name.endswith("loss") for name in result["learner"])


class Timed(gym.vector.VectorWrapper):
    """Counts the seconds that vector environments take."""

    def __init__(self, envs: Any):
        super().__init__(envs)
        self.seconds = 0.0

    def reset(self, **arguments: Any) -> Any:
        """Reset, and count how long it takes."""
        return self._timed(lambda: self.env.reset(**arguments))

    def step(self, actions: Any) -> Any:
        """Step, and count how long it takes."""
        return self._timed(lambda: self.env.step(actions))

    def _timed(self, call: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        returned = call()
        self.seconds += time.perf_counter() - began
        return returned
