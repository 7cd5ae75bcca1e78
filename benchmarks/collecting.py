"""What a vector step of collecting costs beyond its environments and its network: PPO's settings on CartPole-v1.

8 environments x 128 steps, through the fleet, with every check on. Environments and network (its NumPy twin) are timed
twice: in their place, within the rollout, and alone, in a loop of their own. Alone they are quicker, for a loop that
does one thing finds its code and its branches in the processor's caches. Medians.

What a single step of one environment costs DQN, which collects one between two gradient steps, is printed beside what
drawing a batch of 128 transitions costs.

    python benchmarks/collecting.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from anyspace import DQN, PPO
from anyspace.data.environments import EnvSpec
from anyspace.data.sources import make_source
from anyspace.models import InputDict
from machine import describe
from ppo_cartpole import SETTINGS

ROUNDS = 80
STEPS = 128


class Clock:
    """Adds up the time that wrapped functions take."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that adds its time under ``name``."""

        def timed(*arguments: Any) -> Any:
            started = time.perf_counter()
            result = function(*arguments)
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started
            return result

        return timed


def microseconds(work: Callable[[], object]) -> float:
    """Return how long one of ``STEPS`` steps takes."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) / STEPS * 1e6


def alone(algorithm: PPO) -> tuple[float, float]:
    """Return what a step of the environments, and one of the network, takes in a loop of its own."""
    width = SETTINGS["num_envs_per_env_runner"]
    source = make_source(EnvSpec("CartPole-v1"), width)
    source.reset(0)
    actions = np.random.default_rng(0).integers(0, 2, (STEPS, width))
    flat = np.zeros((width, 4), np.float32)
    twin = algorithm.policy.runtime.numpy_pass(algorithm.policy.model)
    assert twin is not None

    def environments() -> None:
        for row in actions:
            source.envs.step(row)

    def network() -> None:
        for _ in range(STEPS):
            twin(InputDict({"obs_flat": flat}), [])

    measured = [(microseconds(environments), microseconds(network)) for _ in range(ROUNDS)]
    first, second = np.median(measured, axis=0)
    return float(first), float(second)


def in_place(algorithm: PPO) -> tuple[float, float, float]:
    """Return what a vector step takes, and of that the environments and the network."""
    policy, clock = algorithm.policy, Clock()
    fleet: Any = algorithm.fleet
    runtime: Any = policy.runtime
    source, compiled = fleet.collector.source, runtime.numpy_pass
    source.envs.step = clock.wrapped("environments", source.envs.step)

    def timed(model: Any) -> Any:
        twin = compiled(model)
        return None if twin is None else clock.wrapped("network", twin)

    runtime.numpy_pass = timed
    width, rows = SETTINGS["num_envs_per_env_runner"], []
    for _ in range(ROUNDS):
        clock.seconds.clear()
        with runtime.threads_for(width):
            whole = microseconds(lambda: fleet.gather(STEPS * width))
        rows.append((whole, *(clock.seconds[name] / STEPS * 1e6 for name in ("environments", "network"))))
    whole, environments, network = np.median(rows, axis=0)
    return float(whole), float(environments), float(network)


def single() -> tuple[float, float]:
    """Return what gathering one step of one CartPole takes, epsilon-greedily, and what drawing 128 windows takes."""
    algorithm = DQN("CartPole-v1", {"prioritized_replay": False, "seed": 0}, preset="none")
    fleet, replay, rng = algorithm.fleet, algorithm.replay, np.random.default_rng(0)
    replay.add(fleet.gather(1024))

    def gathered() -> None:
        for _ in range(STEPS):
            fleet.gather(1)

    def drawn() -> None:
        for _ in range(STEPS):
            replay.draw(128, rng)

    with algorithm.policy.runtime.threads_for(1):
        measured = [(microseconds(gathered), microseconds(drawn)) for _ in range(ROUNDS)]
    first, second = np.median(measured, axis=0)
    return float(first), float(second)


def main() -> None:
    """Measure and print the tables."""
    algorithm = PPO("CartPole-v1", SETTINGS, preset="none")
    algorithm.fleet.gather(1024)
    apart = alone(algorithm)
    whole, *parts = in_place(algorithm)
    print(f"Collecting CartPole-v1, 8 environments, medians of {ROUNDS} rollouts; {describe()}\n")
    print(
        "| environments and network timed | vector step, us | environments | network | the rest | rest / environments |"
    )
    print("|---|---|---|---|---|---|")
    for name, (environments, network) in (("in their place", parts), ("alone", apart)):
        rest = whole - environments - network
        row = " | ".join(f"{number:.1f}" for number in (whole, environments, network, rest))
        print(f"| {name} | {row} | {rest / environments:.2f} |")
    gathering, drawing = single()
    print(f"\nDQN, one environment: gathering one step takes {gathering:.0f} us, drawing 128 windows {drawing:.0f} us")


if __name__ == "__main__":
    main()
