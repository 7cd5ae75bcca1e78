"""Steps per second of PPO on CartPole-v1 beside Stable-Baselines3's, the two in turn in one run.

8 environments x 128 steps, 4 epochs, minibatches of 256, two tanh layers of 64, separate value network.
Both sides go through their public ``learn()``; ours has every check on and does not count reset rows. The peer
gets the thread count that serves it best. Medians of five runs.

    python benchmarks/ppo_cartpole.py
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np

from machine import HERE, PEER_PYTHON, describe, median, require_peers, run_json

STEPS = 150 * 1024
RUNS = 5

SETTINGS: dict[str, Any] = {
    "num_envs_per_env_runner": 8,
    "train_batch_size": 1024,
    "num_epochs": 4,
    "minibatch_size": 256,
    "lr": 3e-4,
    "gamma": 0.99,
    "lambda_": 0.95,
    "clip_param": 0.2,
    "vf_clip_param": None,
    "vf_loss_coeff": 0.5,
    "kl_coeff": 0.0,
    "grad_clip": 0.5,
    "seed": 0,
    "model": {"fcnet_hiddens": [64, 64]},
}


def ours() -> None:
    """Measure this library in this process and print one JSON line."""
    from anyspace import PPO
    from anyspace.data.environments import EnvSpec
    from anyspace.data.sources import make_source

    algorithm = PPO("CartPole-v1", SETTINGS, preset="none")
    algorithm.learn(4 * 1024, progress=False)
    before = algorithm.timesteps_total
    started = time.perf_counter()
    algorithm.learn(before + STEPS, progress=False)
    rate = (algorithm.timesteps_total - before) / (time.perf_counter() - started)
    source = make_source(EnvSpec("CartPole-v1"), 8)
    source.reset(0)
    actions = np.random.default_rng(0).integers(0, 2, (1000, 8))
    started, counted = time.perf_counter(), 0
    for row in actions:
        counted += int((~source.step(row).ignored).sum())
    print(json.dumps({"rate": rate, "environment_rate": counted / (time.perf_counter() - started)}))


def main() -> None:
    """Measure both in turn and print the table."""
    require_peers()
    peer_script = str(HERE / "peers" / "sb3_ppo_cartpole.py")
    rates = {
        threads: run_json([str(PEER_PYTHON), peer_script, str(STEPS // 3), str(threads)])["rate"] for threads in (1, 2)
    }
    threads = max(rates, key=lambda count: rates[count])
    mine, peers = [], []
    for _ in range(RUNS):
        mine.append(run_json([sys.executable, __file__, "--ours"]))
        peers.append(run_json([str(PEER_PYTHON), peer_script, str(STEPS), str(threads)]))
    our_rate, peer_rate = (median([run["rate"] for run in runs]) for runs in (mine, peers))
    ratios = sorted(run["rate"] / peer["rate"] for run, peer in zip(mine, peers, strict=True))
    print(f"PPO on CartPole-v1, {STEPS:,} steps, median of {RUNS} runs in turn; {describe()}\n")
    print("| library | steps/s | environment alone, steps/s |")
    print("|---|---|---|")
    for name, rate, runs in (
        ("anyspace", our_rate, mine),
        (f"Stable-Baselines3 {peers[0]['version']} ({threads} threads, its best)", peer_rate, peers),
    ):
        alone = median([run["environment_rate"] for run in runs])
        print(f"| {name} | {rate:,.0f} | {alone:,.0f} |")
    print(f"\nratio of the medians {our_rate / peer_rate:.2f}; run by run {ratios[0]:.2f} to {ratios[-1]:.2f}")


if __name__ == "__main__":
    ours() if "--ours" in sys.argv else main()
