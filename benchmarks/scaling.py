"""Workers on Ray beside one process: rates, faults and what a worker costs. Linux.

    python benchmarks/scaling.py [SECONDS] [TURNS] [WORD]    # the lines that hold a word: uneven, CartPole, ...

Environments sleep, as those do that wait for a simulator; so the number of cores hardly matters. Cases of a table take
turns. Before every gathering the weights count as changed, so that they are sent as they are in training.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np

from anyspace import IMPALA, PPO, Algorithm
from machine import describe

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 4.0
TURNS = int(sys.argv[2]) if len(sys.argv) > 2 else 5
WORD = sys.argv[3] if len(sys.argv) > 3 else ""
WARM_UP = 1.0
"""Seconds before rates are measured, in which workers that are never waited for get out of step."""


class Waits(gym.Env[Any, Any]):
    """Takes so many milliseconds for a step; with ``uneven``, lognormal ones of that mean.

    ``note`` is a folder in which it leaves the number of its process.
    """

    observation_space = gym.spaces.Box(-1, 1, (4,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, ms: float = 1.0, uneven: float = 0.0, note: str = ""):
        self.seconds, self.uneven, self.t = ms / 1000, uneven, 0
        if note:
            (Path(note) / str(os.getpid())).touch()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(4, np.float32), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        time.sleep(self.seconds * self.np_random.lognormal(-(self.uneven**2) / 2, self.uneven))
        return np.zeros(4, np.float32), 1.0, False, self.t >= 200, {}


def new(kind: type[Algorithm[Any]], env: Any, batch: int, **settings: Any) -> Algorithm[Any]:
    small = {"model": {"fcnet_hiddens": [64, 64]}, "train_batch_size": batch, "seed": 0, "minibatch_size": None}
    if kind is IMPALA:
        del small["minibatch_size"]
    return kind(env, {**small, **settings}, preset="none")


def workers(count: int, **more: Any) -> dict[str, Any]:
    """Return the settings of some workers, of which ten share a CPU of those that Ray counts."""
    return {"num_env_runners": count, "num_cpus_per_env_runner": 0.1, **more}


def collected(algorithm: Algorithm[Any]) -> int:
    """Gather once with weights that count as new, and return how many steps there are."""
    algorithm.policy.version += 1
    return algorithm.fleet.gather(algorithm.config.train_batch_size).num_steps


def trained(algorithm: Algorithm[Any]) -> int:
    """Train for an iteration, and return how many steps it took."""
    before = algorithm.counters.timesteps_total
    algorithm.train()
    return algorithm.counters.timesteps_total - before


def rate(round_of: Callable[[Algorithm[Any]], int], algorithm: Algorithm[Any]) -> float:
    """Return steps a second."""
    for seconds in (WARM_UP, SECONDS):
        steps, began = 0, time.perf_counter()
        while (taken := time.perf_counter() - began) < seconds:
            steps += round_of(algorithm)
    return steps / taken


def beside(title: str, cases: dict[str, Algorithm[Any]], round_of: Callable[[Algorithm[Any]], int] = collected) -> None:
    """Print the median rate of each case, and by how much it is the first one's; they take turns."""
    if WORD not in title:
        return
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(TURNS):
        for name, algorithm in cases.items():
            found[name].append(rate(round_of, algorithm))
    first = next(iter(found.values()))
    for name, rates in found.items():
        ratios = sorted(a / b for a, b in zip(rates, first, strict=True))
        spread = f"{median(rates) / median(first):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(f"| {title} | {name} | {median(rates):,.0f} | {spread} |", flush=True)
    for algorithm in cases.values():
        algorithm.close()


def rates() -> None:
    print("| environment | who steps it | steps/s | of the first (lowest to highest) |")
    print("|---|---|---|---|")
    waits = {"env_config": {"ms": 1.0}}
    for length in (0.1, 0.3):
        batch = round(1000 * length)
        cases = {"this process": new(PPO, Waits, batch, **waits)}
        for name, more in (("1 worker", 1), ("1 worker, two requests", 2)):
            settings = {**waits, **workers(1), "max_requests_in_flight_per_env_runner": more}
            cases[name] = new(PPO, Waits, batch, **settings)
        beside(f"1 ms a step, fragments of {length:g} s", cases)
    slow: dict[str, Any] = {"env_config": {"ms": 5.0}}
    cases = {"this process": new(PPO, Waits, 60, **slow)}
    cases |= {f"{count} workers": new(PPO, Waits, 60 * count, **slow, **workers(count)) for count in (2, 8)}
    beside("5 ms a step", cases)
    slow = {"env_config": {"ms": 2.0}, "vectorization": "async"}
    cases = {
        "this process, 8 by `async`": new(PPO, Waits, 2048, **slow, num_envs_per_env_runner=8),
        "2 workers with 4 by `async` each": new(PPO, Waits, 2048, **slow, **workers(2, num_envs_per_env_runner=4)),
    }
    beside("2 ms a step, PPO as a whole", cases, trained)
    uneven = {"env_config": {"ms": 5.0, "uneven": 1.2}}
    cases = {
        "6 workers, fixed shares": new(PPO, Waits, 384, **uneven, **workers(6, rollout_fragment_length=64)),
        "6 workers, as they come": new(IMPALA, Waits, 384, **uneven, **workers(6, rollout_fragment_length=64)),
    }
    beside("5 ms a step, uneven (1,200 if nobody waits)", cases)
    quick: dict[str, Any] = {"num_envs_per_env_runner": 8, "minibatch_size": 256, "num_epochs": 10}
    cases = {
        "this process": new(PPO, "CartPole-v1", 2048, **quick),
        "1 worker": new(PPO, "CartPole-v1", 2048, **quick, **workers(1)),
    }
    beside("CartPole-v1, PPO as a whole", cases, trained)


def six(note: str) -> Algorithm[Any]:
    """Return six workers that are never waited for, in fragments of 80 ms."""
    settings = {"env_config": {"ms": 5.0, "note": note}, "rollout_fragment_length": 16}
    return new(IMPALA, Waits, 96, **settings, **workers(6))


def workers_of(note: str) -> set[str]:
    """Return the processes in which environments were made, but for this one."""
    return {path.name for path in Path(note).iterdir()} - {str(os.getpid())}


def private_megabytes(process: str) -> float:
    """Return what a process has to itself."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def costs() -> None:
    print("\n| six workers, asynchronous, 5 ms a step | |")
    print("|---|---|")
    starts, longest, usual, lost, back = [], [], [], [], []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as note, contextlib.closing(six(note)) as algorithm:
            began = time.perf_counter()
            collected(algorithm)
            starts.append(time.perf_counter() - began)
            times, steps = [], 0
            cpu = time.process_time()
            for _ in range(60):
                began = time.perf_counter()
                steps += collected(algorithm)
                times.append(time.perf_counter() - began)
            cpu = time.process_time() - cpu
            processes = workers_of(note)
            megabytes = [private_megabytes(process) for process in processes]
            after: list[float] = []
            killed = time.perf_counter()
            algorithm.fleet.metrics()
            os.kill(int(sorted(processes)[0]), signal.SIGKILL)
            new_one: float | None = None
            while time.perf_counter() - killed < 20 and (new_one is None or len(after) < 60):
                began = time.perf_counter()
                collected(algorithm)
                after.append(time.perf_counter() - began)
                if new_one is None and workers_of(note) - processes:
                    new_one = time.perf_counter() - killed
            usual.append(median(times))
            longest.append(max(after))
            lost.append(algorithm.fleet.metrics()["lost"])
            back.append(new_one if new_one is not None else float("inf"))
    print(f"| first fragments after | {median(starts):.1f} s |")
    print(f"| processor time of the learner's process, a fragment | {1000 * cpu / (steps / 16):.1f} ms |")
    print(f"| memory that a worker has to itself | {max(megabytes):.0f} MB |")
    print(f"| gathering 96 steps, median | {median(usual):.3f} s |")
    print(f"| the longest after one was killed (SIGKILL) | {median(longest):.3f} s |")
    print(f"| requests lost with it, and asked for again | {median(lost):.0f} |")
    print(f"| another one in its place after | {median(back):.1f} s |")


if __name__ == "__main__":
    print(f"Workers on Ray, medians of {TURNS} turns of {SECONDS:g} s; {describe()}\n")
    rates()
    if not WORD:
        costs()
