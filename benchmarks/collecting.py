"""What a vector step of collecting costs beyond its environments and its network: PPO's settings on CartPole-v1.

8 environments x 128 steps. In one process, in turn: a rollout with every check on, the environments alone, and the
NumPy twin of the network alone. Medians of many rounds.

    python benchmarks/collecting.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from anyspace import PPO
from anyspace.data.environments import EnvSpec
from anyspace.data.vector import make_source
from anyspace.models import InputDict
from machine import describe
from ppo_cartpole import SETTINGS

ROUNDS = 60
STEPS = 128


def microseconds(work: Callable[[], object]) -> float:
    """Return how long a step takes of ``STEPS`` of them."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) / STEPS * 1e6


def main() -> None:
    """Measure and print one line."""
    algorithm = PPO("CartPole-v1", SETTINGS)
    policy, fleet = algorithm.policy, algorithm.fleet
    width = SETTINGS["num_envs_per_env_runner"]
    source = make_source(EnvSpec("CartPole-v1"), width)
    source.reset(0)
    actions = np.random.default_rng(0).integers(0, 2, (STEPS, width))
    flat = np.zeros((width, 4), np.float32)
    twin = policy.runtime.compiled(policy.model)
    assert twin is not None

    def environments() -> None:
        for row in actions:
            source.envs.step(row)

    def network() -> None:
        for _ in range(STEPS):
            twin(InputDict({"obs_flat": flat}), [])

    def rollout() -> None:
        with policy.runtime.threads_for(width):
            fleet.gather(STEPS * width)

    for work in (rollout, environments, network):
        work()
    rows = [[microseconds(work) for work in (rollout, environments, network)] for _ in range(ROUNDS)]
    whole, alone, forward = np.median(rows, axis=0)
    print(f"Collecting CartPole-v1, {width} environments, median of {ROUNDS} rounds in turn; {describe()}\n")
    print(
        f"a vector step {whole:.1f} us: environments {alone:.1f}, network {forward:.1f}, the rest"
        f" {whole - alone - forward:.1f}, which is {(whole - alone - forward) / alone:.2f} of the environments"
    )


if __name__ == "__main__":
    main()
