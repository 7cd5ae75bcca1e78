"""Steps per second of PPO with memory on CartPole-v1 beside peers, in turn in one run.

8 environments x 128 steps, 4 epochs, minibatches of 256, policy and value share everything but linear heads.

* LSTM of 256 on the raw observation, beside sb3-contrib's RecurrentPPO. The peer learns from whole stretches of
  episodes, ours from chunks of at most 20 steps, each with the state that it was acted on.
* GTrXL with default sizes (one block of width 64, memory of 50) on a dense layer of 64, chunks of 20 steps, beside
  RLlib 2.40 (old stack, PyTorch).

All go through their public ``learn()`` or ``train()``; ours has every check on and does not count reset rows. Each peer
gets the thread count that serves it best. Medians of five runs.

    python benchmarks/memory_cartpole.py [lstm] [gtrxl]
    python benchmarks/memory_cartpole.py jax [lstm] ...      # on another framework than PyTorch
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any, NamedTuple

from machine import HERE, PEER_PYTHON, RLLIB_PYTHON, describe, median, require_peers, run_json
from ppo_cartpole import SETTINGS

RUNS = 5
ITERATIONS = 60
PEER_ITERATIONS = 5
FRAMEWORKS = ("torch", "jax", "tf")


class Contest(NamedTuple):
    """One memory, here and with a peer."""

    title: str
    model: dict[str, Any]
    peer: str
    command: list[str]
    """Called with a number of iterations and of threads."""


CONTESTS = {
    "lstm": Contest(
        "LSTM-PPO",
        {"fcnet_hiddens": [], "vf_share_layers": True, "use_lstm": True, "lstm_cell_size": 256, "max_seq_len": 20},
        "sb3-contrib",
        [str(PEER_PYTHON), str(HERE / "peers" / "sb3_recurrent_cartpole.py")],
    ),
    "gtrxl": Contest(
        "GTrXL-PPO",
        {"fcnet_hiddens": [64], "vf_share_layers": True, "use_attention": True, "max_seq_len": 20},
        "RLlib",
        [str(RLLIB_PYTHON), str(HERE / "peers" / "rllib_gtrxl_cartpole.py")],
    ),
}


def ours(model: dict[str, Any], framework: str) -> None:
    """Measure this library in this process and print one JSON line."""
    from anyspace import PPO

    algorithm = PPO("CartPole-v1", {**SETTINGS, "framework": framework}, model=model, preset="none")
    algorithm.learn(2 * 1024, progress=False)
    before = algorithm.timesteps_total
    started = time.perf_counter()
    spent = 0.0
    for _ in range(ITERATIONS):
        result = algorithm.train()
        spent += result["time_this_iter_s"] - result["time_collect_s"]
    steps = algorithm.timesteps_total - before
    print(json.dumps({"rate": steps / (time.perf_counter() - started), "learning": steps / spent}))


def compare(name: str, framework: str) -> None:
    """Measure both in turn and print the table."""
    contest = CONTESTS[name]
    rates = {count: run_json([*contest.command, "3", str(count)])["rate"] for count in (1, 2)}
    threads = max(rates, key=lambda count: rates[count])
    mine, peers = [], []
    for _ in range(RUNS):
        mine.append(run_json([sys.executable, __file__, "--ours", name, framework]))
        peers.append(run_json([*contest.command, str(PEER_ITERATIONS), str(threads)]))
    our_rate, peer_rate = (median([run["rate"] for run in runs]) for runs in (mine, peers))
    ratios = sorted(run["rate"] / peer["rate"] for run, peer in zip(mine, peers, strict=True))
    print(f"{contest.title} on CartPole-v1, median of {RUNS} runs in turn; {describe()}\n")
    print("| library | steps/s |")
    print("|---|---|")
    print(f"| anyspace, {framework} | {our_rate:,.0f} |")
    print(f"| {contest.peer} {peers[0]['version']} ({threads} threads, its best) | {peer_rate:,.0f} |")
    print(f"\nratio of the medians {our_rate / peer_rate:.2f}; run by run {ratios[0]:.2f} to {ratios[-1]:.2f}\n")
    if "learning" in peers[0]:
        our_rate, peer_rate = (median([run["learning"] for run in runs]) for runs in (mine, peers))
        print(f"learning alone: {our_rate:,.0f} and {peer_rate:,.0f} steps/s, ratio {our_rate / peer_rate:.2f}\n")


def main(words: list[str]) -> None:
    """Print a table for each memory, of those that are named."""
    require_peers()
    framework = next((word for word in words if word in FRAMEWORKS), "torch")
    for name in [word for word in words if word not in FRAMEWORKS] or CONTESTS:
        if name == "gtrxl" and not RLLIB_PYTHON.exists():
            print("RLlib is not installed; run `make peers-rllib` first.")
        else:
            compare(name, framework)


if __name__ == "__main__":
    ours(CONTESTS[sys.argv[2]].model, sys.argv[3]) if sys.argv[1:2] == ["--ours"] else main(sys.argv[1:])
