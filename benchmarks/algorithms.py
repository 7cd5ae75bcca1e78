"""Steps per second of DQN, SAC and A2C beside Stable-Baselines3's and SBX's, and gradient steps beside a bare loop.

* DQN on CartPole-v1: one gradient step after each environment step, batch 128, 256x256, neither dueling nor double.
* The same with 8 environment steps, then 8 gradient steps, on both sides.
* DQN with an LSTM of 64 on CartPole-v1, without peers: one gradient step per environment step, 32 sequences of 20.
* SAC on Pendulum-v1: one gradient step per environment step, batch 256, 256x256, two critics.
* The same with 8 environment steps, then 8 gradient steps, on both sides.
* SAC at HalfCheetah-v5's sizes, without its physics and without peers: 17 numbers are observed, 6 decided.
* A2C on CartPole-v1: 8 environments x 5 steps, two tanh layers of 64 for each of policy and value.

All go through their public ``learn()``, ours through the iterations that it is made of; ours has every check on and
does not count reset rows. Peers, the bare loop and, in PyTorch, this library get the thread count that serves each
best. All run in turn; medians of five runs.

    python benchmarks/algorithms.py [dqn] [dqn-8] [dqn-lstm] [sac] [sac-8] [sac-large] [a2c]
    python benchmarks/algorithms.py jax [dqn] ...      # another framework, beside PyTorch and that one's bare loop
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from machine import HERE, PEER_PYTHON, describe, median, require_peers, run_json

RUNS = 5
PEER = [str(PEER_PYTHON), str(HERE / "peers" / "baselines_algorithms.py")]
PEERS = {"stable_baselines3": "Stable-Baselines3", "sbx": "SBX"}
"""The packages, and their names."""
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
SEQUENCES = {"train_batch_size": 32, "model": {"fcnet_hiddens": [64], "use_lstm": True, "lstm_cell_size": 64}}
SAC_SETTINGS = {**OFF_POLICY, "train_batch_size": 256}


class Sizes(gym.Env[Any, Any]):
    """HalfCheetah-v5's sizes without its physics: noise to see, and episodes of 1,000 steps."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (17,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (6,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Begin an episode."""
        super().reset(seed=seed)
        self.t = 0
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        """Reward small actions."""
        self.t += 1
        return self._seen(), -float(np.square(action).sum()), False, self.t >= 1000, {}

    def _seen(self) -> Any:
        return self.np_random.standard_normal(17, np.float32)


class Contest(NamedTuple):
    """An algorithm and its settings, here."""

    algorithm: str
    env: Any
    settings: dict[str, Any]
    steps: int
    bare: str | None = None
    """The bare loop of its gradient steps."""
    peers: tuple[str, ...] = tuple(PEERS)
    """The packages that have the like."""

    @property
    def title(self) -> str:
        """The environment's name."""
        return self.env if isinstance(self.env, str) else self.env.__name__


CONTESTS = {
    "dqn": Contest("DQN", "CartPole-v1", DQN_SETTINGS, 6000, "dqn"),
    "dqn-8": Contest("DQN", "CartPole-v1", {**DQN_SETTINGS, "rollout_fragment_length": 8}, 6000, "dqn-8"),
    "dqn-lstm": Contest("DQN", "CartPole-v1", {**DQN_SETTINGS, **SEQUENCES}, 2000, peers=()),
    "sac": Contest("SAC", "Pendulum-v1", SAC_SETTINGS, 2000, "sac"),
    "sac-8": Contest("SAC", "Pendulum-v1", {**SAC_SETTINGS, "rollout_fragment_length": 8}, 2000, "sac-8"),
    "sac-large": Contest("SAC", Sizes, SAC_SETTINGS, 2000, "sac-large", peers=()),
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
            "model": {"fcnet_hiddens": [64, 64], "vf_share_layers": False},
        },
        40_000,
        peers=("stable_baselines3",),
    ),
}


def ours(name: str, framework: str, steps: int, threads: int) -> None:
    """Measure this library in this process and print one JSON line."""
    from anyspace.algorithms import ALGORITHMS

    if framework == "torch":
        import torch

        torch.set_num_threads(threads)
    contest = CONTESTS[name]
    algorithm = ALGORITHMS[contest.algorithm](contest.env, {**contest.settings, "framework": framework}, preset="none")
    algorithm.learn(2000, progress=False)
    before, started, learning = algorithm.timesteps_total, time.perf_counter(), 0.0
    while algorithm.timesteps_total < before + steps:
        result = algorithm.train()
        learning += result["time_this_iter_s"] - result["time_collect_s"]
    taken, seconds = algorithm.timesteps_total - before, time.perf_counter() - started
    print(json.dumps({"rate": taken / seconds, "updates": taken / learning}))


def best(command: list[str], steps: int, most: int = 2) -> list[str]:
    """Return a program with the number of steps and of threads, 1 or ``most``, with which it is faster."""
    commands = [[*command, str(steps // 3), str(threads)] for threads in sorted({1, most})]
    fastest = max(commands, key=lambda words: run_json(words)["rate"])
    return [*command, str(steps), fastest[-1]]


def compare(name: str, framework: str) -> None:
    """Measure all in turn and print the table."""
    contest = CONTESTS[name]
    steps, loop = contest.steps, contest.bare if framework in BARE else None
    mine = [sys.executable, __file__, "--ours", name]
    programs = {"torch": best([*mine, "torch"], steps)}
    if framework != "torch":
        # JAX and TensorFlow share out their work by themselves.
        programs = {framework: [*mine, framework, str(steps), "0"], **programs}
    for package in contest.peers:
        if package != "sbx" or (framework == "jax" and has_sbx()):
            programs[package] = best([*PEER, package, name], steps)
    if loop:
        # JAX computes on one core or on all.
        most = (os.cpu_count() or 1) if framework == "jax" else 2
        programs["bare"] = best([sys.executable, str(HERE / BARE[framework]), loop], steps, most)
    found: dict[str, list[dict[str, Any]]] = {one: [] for one in programs}
    for _ in range(RUNS):
        for one, command in programs.items():
            found[one].append(run_json(command))
    rates = {one: median([run["rate"] for run in runs]) for one, runs in found.items()}
    print(f"{name.upper()} on {contest.title}, median of {RUNS} runs in turn; {describe()}\n")
    print("| library | steps/s | first to it (run by run) |")
    print("|---|---|---|")
    print(f"| anyspace, {framework}{_threads(programs[framework])} | {rates[framework]:,.0f} | |")
    for one in [one for one in programs if one not in (framework, "bare")]:
        ratios = sorted(run["rate"] / peer["rate"] for run, peer in zip(found[framework], found[one], strict=True))
        who = f"{PEERS[one]} {found[one][0]['version']}" if one in PEERS else f"anyspace, {one}"
        span = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
        print(f"| {who}{_threads(programs[one])} | {rates[one]:,.0f} | {rates[framework] / rates[one]:.2f} ({span}) |")
    updates = median([run["updates"] for run in found[framework]])
    # Those that replay take one after each environment step, the others one in many.
    if "replay_capacity" in CONTESTS[name].settings:
        beside = ""
        if loop:
            ratio = updates / rates["bare"]
            beside = f"; a bare loop{_threads(programs['bare'])}: {rates['bare']:,.0f}; ratio {ratio:.2f}"
        print(f"\ngradient steps with all that learning takes: {updates:,.0f} a second{beside}")
    print(flush=True)


def has_sbx() -> bool:
    """Return whether SBX is among the peers."""
    return subprocess.run([str(PEER_PYTHON), "-c", "import sbx"], stderr=subprocess.DEVNULL).returncode == 0


def _threads(command: list[str]) -> str:
    return "" if command[-1] == "0" else f" ({command[-1]} thread{'s' * (command[-1] != '1')}, its best)"


def main(words: list[str]) -> None:
    """Print a table for each algorithm, of those that are named."""
    require_peers()
    framework = next((word for word in words if word in FRAMEWORKS), "torch")
    for name in [word for word in words if word not in FRAMEWORKS] or CONTESTS:
        compare(name, framework)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--ours"]:
        ours(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    else:
        main(sys.argv[1:])
