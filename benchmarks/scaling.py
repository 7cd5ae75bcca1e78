"""Workers on Ray beside one process: steps a second of collecting, medians of three turns.

    python benchmarks/scaling.py [SECONDS]

Environments sleep, as those do that wait for a simulator; so the number of cores hardly matters.
"""

from __future__ import annotations

import sys
import time
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np

from anyspace import IMPALA, PPO, Algorithm

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 4.0
TURNS = 3


class Waits(gym.Env[Any, Any]):
    """Takes so many milliseconds for a step; with ``uneven``, lognormal ones of that mean."""

    observation_space = gym.spaces.Box(-1, 1, (4,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, ms: float = 1.0, uneven: float = 0.0):
        self.seconds, self.uneven, self.t = ms / 1000, uneven, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(4, np.float32), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        time.sleep(self.seconds * self.np_random.lognormal(-(self.uneven**2) / 2, self.uneven))
        return np.zeros(4, np.float32), 1.0, False, self.t >= 200, {}


def new(kind: type[Algorithm[Any]], env_config: dict[str, float], batch: int, **settings: Any) -> Algorithm[Any]:
    small = {"model": {"fcnet_hiddens": [64, 64]}, "train_batch_size": batch, "seed": 0}
    return kind(Waits, {**small, **settings, "env_config": env_config}, preset="none")


def rate(algorithm: Algorithm[Any], batch: int, seconds: float = SECONDS) -> float:
    """Return steps a second of collecting."""
    algorithm.fleet.gather(batch)
    steps, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        steps += algorithm.fleet.gather(batch).num_steps
    return steps / (time.perf_counter() - began)


def beside(title: str, cases: dict[str, tuple[Algorithm[Any], int]]) -> None:
    """Print the median rate of each case, and by how much it is the first one's; they take turns."""
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(TURNS):
        for name, (algorithm, batch) in cases.items():
            found[name].append(rate(algorithm, batch))
    base = median(next(iter(found.values())))
    for name, rates in found.items():
        print(f"| {title} | {name} | {median(rates):,.0f} | {median(rates) / base:.2f} |", flush=True)
    for algorithm, _ in cases.values():
        algorithm.close()


def main() -> None:
    print("| environment | who collects | steps/s | of the first |")
    print("|---|---|---|---|")
    once: dict[str, Any] = {"minibatch_size": None}
    ahead: dict[str, Any] = {"max_requests_in_flight_per_env_runner": 2}
    for length in (0.1, 0.3):
        batch = round(1000 * length)
        cases = {"this process": (new(PPO, {"ms": 1.0}, batch, **once), batch)}
        for name, more in (("one worker", {}), ("one worker, two requests", ahead)):
            cases[name] = (new(PPO, {"ms": 1.0}, batch, num_env_runners=1, **once, **more), batch)
        beside(f"1 ms a step, fragments of {length:g} s", cases)
    cases = {"this process": (new(PPO, {"ms": 5.0}, 60, **once), 60)}
    for workers in (2, 8):
        batch = 60 * workers
        settings = {"num_env_runners": workers, "num_cpus_per_env_runner": 0.5, **once}
        cases[f"{workers} workers"] = (new(PPO, {"ms": 5.0}, batch, **settings), batch)
    beside("5 ms a step", cases)
    uneven = {"ms": 5.0, "uneven": 1.2}
    six: dict[str, Any] = {"num_env_runners": 6, "num_cpus_per_env_runner": 0.5, "rollout_fragment_length": 16}
    cases = {
        "6 workers, fixed shares": (new(PPO, uneven, 384, **{**six, "rollout_fragment_length": 64}, **once), 384),
        "6 workers, as they come": (new(IMPALA, uneven, 384, **six), 384),
    }
    beside("5 ms a step, uneven (ideal: 1,200)", cases)


if __name__ == "__main__":
    main()
