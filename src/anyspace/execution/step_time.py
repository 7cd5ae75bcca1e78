"""How long a step of the environments takes, and whether workers pay for that."""

from __future__ import annotations

import math
import os
import time

from gymnasium.vector import AsyncVectorEnv

from anyspace.execution.fleet import LEAST_SECONDS, Fleet, LocalFleet
from anyspace.execution.speed import Timed

SECONDS = 0.25
"""For so long steps are timed."""
QUICK = 1e-3
"""Seconds of a step of one environment: below it a process of its own costs more than it saves."""
SLOW = 20e-3
"""Seconds of a vector step: above it nothing else matters."""


def advice_on_workers(fleet: Fleet) -> str | None:
    """Return how long a step of all environments takes and what pays; None where no environment is stepped here."""
    if not isinstance(fleet, LocalFleet):
        return None
    (seconds, whole), width = _seconds_of_a_step(fleet), fleet.collector.source.num_envs
    took = f"a step of {width} environment{'s' * (width > 1)} takes {_milliseconds(seconds)}"
    # Those in processes of their own take their steps at once, the others one after the other.
    single = seconds if isinstance(fleet.collector.source.envs.unwrapped, AsyncVectorEnv) else seconds / width
    if single < QUICK or (os.cpu_count() or 1) < 2:
        return f"{took}: one process is quickest; more environments side by side (num_envs_per_env_runner) pay first"
    length = math.ceil(LEAST_SECONDS / whole)
    alone = "" if seconds > SLOW else " on several machines, or where single steps vary much"
    return (
        f"{took}: vectorization='async' pays on one machine; workers (num_env_runners){alone} pay as well, with"
        f" fragments of {length} steps or more (rollout_fragment_length)"
    )


def _milliseconds(seconds: float) -> str:
    value = 1000 * seconds
    return f"{value:.2g} ms" if value < 10 else f"{value:,.0f} ms"


def _seconds_of_a_step(fleet: LocalFleet) -> tuple[float, float]:
    """Return what a vector step takes in the environments, and with acting and all else that collecting does."""
    source = fleet.collector.source
    width, envs = source.num_envs, source.envs
    fleet.gather(width)  # the first steps take longer
    source.envs = timed = Timed(envs)
    try:
        steps, began = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - began) < SECONDS:
            steps += fleet.gather(8 * width).valid.size
    finally:
        source.envs = envs
    return timed.seconds * width / steps, elapsed * width / steps
