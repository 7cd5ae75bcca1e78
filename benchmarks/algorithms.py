"""Steps per second of DQN, SAC and A2C beside Stable-Baselines3's, and gradient steps beside a bare loop, in turn.

* DQN on CartPole-v1: one gradient step after each environment step, batch 128, 256x256, neither dueling nor double.
* The same with 8 environment steps, then 8 gradient steps, on both sides.
* SAC on Pendulum-v1: one gradient step per environment step, batch 256, 256x256, two critics.
* A2C on CartPole-v1: 8 environments x 5 steps, two tanh layers of 64 for each of policy and value.

All go through their public ``learn()``; ours has every check on and does not count reset rows. The peer and the bare
loop get the thread count that serves each best. Medians of five runs.

    python benchmarks/algorithms.py [dqn] [dqn-8] [sac] [a2c]
    python benchmarks/algorithms.py jax [dqn] ...      # on another framework, beside that one's bare loop
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, NamedTuple

from machine import HERE, PEER_PYTHON, describe, median, require_peers, run_json

RUNS = 5
PEER = [str(PEER_PYTHON), str(HERE / "peers" / "sb3_algorithms.py")]
BARE = {"torch": "bare.py", "jax": "bare_jax.py"}
"""The bare loops of each framework that has some."""
FRAMEWORKS = ("torch", "jax", "tf")

OFF_POLICY = {
    "num_steps_sampled_before_learning_starts": 1000,
    "replay_capacity": 50_000,
    "seed": 0,
    "model": {"fcnet_hiddens": [256, 256], "fcnet_activation": "relu"},
}


DQN_SETTINGS = {
    **OFF_POLICY,
    "train_batch_size": 128,
    "lr": 1e-4,
    "grad_clip": 10.0,
    "target_network_update_freq": 500,
    "prioritized_replay": False,
    "hiddens": [],
    "dueling": False,
    "double_q": False,
}


class Contest(NamedTuple):
    """An algorithm and its settings, here."""

    algorithm: str
    env: str
    settings: dict[str, Any]
    steps: int
    bare: str | None = None
    """The bare loop of its gradient steps."""


CONTESTS = {
    "dqn": Contest("DQN", "CartPole-v1", DQN_SETTINGS, 6000, "dqn"),
    "dqn-8": Contest("DQN", "CartPole-v1", {**DQN_SETTINGS, "rollout_fragment_length": 8}, 6000, "dqn"),
    "sac": Contest("SAC", "Pendulum-v1", {**OFF_POLICY, "train_batch_size": 256}, 2000, "sac"),
    "a2c": Contest(
        "A2C",
        "CartPole-v1",
        {
            "num_envs_per_env_runner": 8,
            "train_batch_size": 40,
            "lr": 7e-4,
            "lambda_": 1.0,
            "entropy_coeff": 0.0,
            "grad_clip": 0.5,
            "seed": 0,
            "model": {"fcnet_hiddens": [64, 64]},
        },
        40_000,
    ),
}


def ours(name: str, framework: str) -> None:
    """Measure this library in this process and print one JSON line."""
    from anyspace.algorithms import ALGORITHMS

    contest = CONTESTS[name]
    algorithm = ALGORITHMS[contest.algorithm](contest.env, {**contest.settings, "framework": framework}, preset="none")
    algorithm.learn(2000, progress=False)
    before, started, learning = algorithm.timesteps_total, time.perf_counter(), 0.0
    while algorithm.timesteps_total < before + contest.steps:
        result = algorithm.train()
        learning += result["time_this_iter_s"] - result["time_collect_s"]
    steps, seconds = algorithm.timesteps_total - before, time.perf_counter() - started
    print(json.dumps({"rate": steps / seconds, "updates": steps / learning}))


def best(command: list[str], name: str, steps: int, most: int = 2) -> int:
    """Return the number of threads, 1 or ``most``, with which a program is faster."""
    rates = {threads: run_json([*command, name, str(steps), str(threads)])["rate"] for threads in {1, most}}
    return max(rates, key=lambda threads: rates[threads])


def compare(name: str, framework: str) -> None:
    """Measure all in turn and print the table."""
    contest = CONTESTS[name]
    steps, loop = contest.steps, contest.bare if framework in BARE else None
    bare_loop = [sys.executable, str(HERE / BARE[framework])] if loop else []
    peer_threads = best(PEER, name, steps // 3)
    # JAX computes on one core or on all.
    most = (os.cpu_count() or 1) if framework == "jax" else 2
    bare_threads = best(bare_loop, loop, steps // 3, most) if loop else 1
    mine, peers, bare = [], [], []
    for _ in range(RUNS):
        mine.append(run_json([sys.executable, __file__, "--ours", name, framework]))
        peers.append(run_json([*PEER, name, str(steps), str(peer_threads)]))
        if loop:
            bare.append(run_json([*bare_loop, loop, str(steps), str(bare_threads)]))
    our_rate, peer_rate = (median([run["rate"] for run in runs]) for runs in (mine, peers))
    ratios = sorted(run["rate"] / peer["rate"] for run, peer in zip(mine, peers, strict=True))
    print(f"{name.upper()} on {contest.env}, median of {RUNS} runs in turn; {describe()}\n")
    print("| library | steps/s |")
    print("|---|---|")
    print(f"| anyspace, {framework} | {our_rate:,.0f} |")
    print(f"| Stable-Baselines3 {peers[0]['version']} ({peer_threads} threads, its best) | {peer_rate:,.0f} |")
    print(f"\nratio of the medians {our_rate / peer_rate:.2f}; run by run {ratios[0]:.2f} to {ratios[-1]:.2f}\n")
    if loop:
        updates, rate = median([run["updates"] for run in mine]), median([run["rate"] for run in bare])
        print(
            f"gradient steps with all that learning takes: {updates:,.0f} a second; a bare loop"
            f" ({bare_threads} threads, its best): {rate:,.0f}; ratio {updates / rate:.2f}\n"
        )


def main(words: list[str]) -> None:
    """Print a table for each algorithm, of those that are named."""
    require_peers()
    framework = next((word for word in words if word in FRAMEWORKS), "torch")
    for name in [word for word in words if word not in FRAMEWORKS] or CONTESTS:
        compare(name, framework)


if __name__ == "__main__":
    ours(*sys.argv[2:4]) if sys.argv[1:2] == ["--ours"] else main(sys.argv[1:])
