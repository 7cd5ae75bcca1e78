"""The same hyperparameters here and with Stable-Baselines3: final returns over 100 episodes, on several seeds.

Hyperparameters are those of the peer's zoo, as far as both have them: on both sides clipping ranges stay constant,
Pendulum's PPO has no state-dependent exploration, HalfCheetah's begins with deviations of 1, and A2C takes Adam.
Weights start as each library starts them. What the zoo leaves out is the peer's default, Adam's stabiliser of 1e-5
with PPO and A2C among them. Losses that are sums here and means there have their coefficients, clipping and stabiliser
scaled alike. Each run appends a line to docs/parity.csv; `--table` prints means and intervals.

    python benchmarks/parity.py [TASK ...] [--seeds 0 1 2 3 4]
    python benchmarks/parity.py --table
"""

from __future__ import annotations

import csv
import json
import math
import statistics
import sys
import time
from collections import defaultdict
from typing import Any, NamedTuple

from machine import HERE, PEER_PYTHON, require_peers, run_json

LOG = HERE.parent / "docs" / "parity.csv"
EPISODES = 100


class Task(NamedTuple):
    """One algorithm on one environment."""

    env: str
    algorithm: str
    steps: int
    ours: dict[str, Any]
    theirs: dict[str, Any]
    """Keyword arguments of the peer's class, as its zoo writes them: "lin_0.001" falls from 0.001 to 0, and activations
    are names of `torch.nn`. `n_envs` and `normalize` are of its environments."""
    seeds: int = 5


def ppo(env: str, steps: int, theirs: dict[str, Any], **ours: Any) -> Task:
    """Return a task of PPO whose keys follow from the peer's."""
    width, size = theirs["n_envs"], theirs["n_envs"] * theirs["n_steps"]
    net = {"net_arch": [64, 64], "activation_fn": "Tanh", **theirs.get("policy_kwargs", {})}
    keys = {
        "num_envs_per_env_runner": width,
        "train_batch_size": size,
        "minibatch_size": theirs.get("batch_size", 64),
        "num_epochs": theirs.get("n_epochs", 10),
        "gamma": theirs.get("gamma", 0.99),
        "lambda_": theirs.get("gae_lambda", 0.95),
        "clip_param": theirs.get("clip_range", 0.2),
        "entropy_coeff": theirs.get("ent_coef", 0.0),
        **learning_rate(theirs.get("learning_rate", 3e-4), steps),
        "adam_epsilon": STABILISER,
        "vf_clip_param": None,
        "vf_loss_coeff": theirs.get("vf_coef", 0.5),
        "kl_coeff": 0.0,
        "grad_clip": theirs.get("max_grad_norm", 0.5),
        "model": {
            "fcnet_hiddens": net["net_arch"],
            "fcnet_activation": net["activation_fn"].lower(),
            "free_log_std": env in CONTINUOUS,
        },
        **(NORMALIZED if theirs.get("normalize") else {}),
        **ours,
    }
    return Task(env, "PPO", steps, keys, theirs)


def learning_rate(theirs: float | str, steps: int) -> dict[str, Any]:
    """Return the keys of a learning rate that is constant, or falls to 0 as "lin_0.001" says."""
    if isinstance(theirs, str):
        first = float(theirs.removeprefix("lin_"))
        return {"lr": first, "lr_schedule": [[0, first], [steps, 0.0]]}
    return {"lr": theirs}


def a2c(env: str, steps: int, theirs: dict[str, Any]) -> Task:
    """Return a task of A2C: five steps of each environment, whose losses are summed here."""
    rows = 5 * theirs["n_envs"]
    keys = {
        "num_envs_per_env_runner": theirs["n_envs"],
        "train_batch_size": rows,
        "lr": 7e-4,
        "adam_epsilon": STABILISER * rows,
        "lambda_": 1.0,
        "entropy_coeff": 0.0,
        "vf_loss_coeff": 1.0,
        "grad_clip": 0.5 * rows,
        "model": {"fcnet_hiddens": [64, 64], "vf_share_layers": False},
        **(NORMALIZED if theirs.get("normalize") else {}),
    }
    return Task(env, "A2C", steps, keys, {"use_rms_prop": False, **theirs})


def dqn(env: str, steps: int, theirs: dict[str, Any]) -> Task:
    """Return a task of DQN without heads, double Q-learning or priorities, which the peer lacks."""
    frequency = theirs["train_freq"]
    gradient_steps = theirs["gradient_steps"] if theirs["gradient_steps"] > 0 else frequency
    last = round(theirs["exploration_fraction"] * steps)
    keys = {
        "rollout_fragment_length": frequency,
        "training_intensity": gradient_steps / frequency * theirs["batch_size"],
        "train_batch_size": theirs["batch_size"],
        "lr": theirs["learning_rate"],
        "gamma": 0.99,
        "replay_capacity": theirs["buffer_size"],
        "num_steps_sampled_before_learning_starts": theirs["learning_starts"],
        "target_network_update_freq": theirs["target_update_interval"],
        "prioritized_replay": False,
        "double_q": False,
        "dueling": False,
        "hiddens": [],
        "grad_clip": 10.0,
        "exploration_config": {"final_epsilon": theirs["exploration_final_eps"], "epsilon_timesteps": last},
        "model": {"fcnet_hiddens": [256, 256], "fcnet_activation": "relu"},
    }
    return Task(env, "DQN", steps, keys, {"n_envs": 1, "policy_kwargs": {"net_arch": [256, 256]}, **theirs})


def sac(env: str, steps: int, rate: float, starts: int, seeds: int = 5) -> Task:
    """Return a task of SAC with the peer's defaults."""
    keys = {
        "train_batch_size": 256,
        "lr": rate,
        "adam_epsilon": 1e-8,
        "td_error_loss_fn": "mse",
        "num_steps_sampled_before_learning_starts": starts,
        "exploration_config": {"random_timesteps": starts},
        "model": {"fcnet_hiddens": [256, 256], "fcnet_activation": "relu"},
    }
    return Task(env, "SAC", steps, keys, {"n_envs": 1, "learning_rate": rate, "learning_starts": starts}, seeds)


CONTINUOUS = ("Pendulum-v1", "HalfCheetah-v5")
STABILISER = 1e-5
"""What the peer's policies of PPO and A2C hand to Adam."""
NORMALIZED = {"observation_filter": "MeanStdFilter", "normalize_rewards": True}

TASKS = {
    "cartpole-ppo": ppo(
        "CartPole-v1",
        100_000,
        {
            "n_envs": 8,
            "n_steps": 32,
            "batch_size": 256,
            "gae_lambda": 0.8,
            "gamma": 0.98,
            "n_epochs": 20,
            "learning_rate": "lin_0.001",
        },
    ),
    "cartpole-a2c": a2c("CartPole-v1", 500_000, {"n_envs": 8}),
    "cartpole-dqn": dqn(
        "CartPole-v1",
        50_000,
        {
            "batch_size": 64,
            "learning_rate": 2.3e-3,
            "buffer_size": 50_000,
            "learning_starts": 1000,
            "target_update_interval": 10,
            "train_freq": 256,
            "gradient_steps": 128,
            "exploration_fraction": 0.16,
            "exploration_final_eps": 0.04,
        },
    ),
    "acrobot-ppo": ppo(
        "Acrobot-v1", 1_000_000, {"n_envs": 16, "n_steps": 256, "gae_lambda": 0.94, "n_epochs": 4, "normalize": True}
    ),
    "acrobot-a2c": a2c("Acrobot-v1", 500_000, {"n_envs": 16, "normalize": True}),
    "acrobot-dqn": dqn(
        "Acrobot-v1",
        100_000,
        {
            "batch_size": 128,
            "learning_rate": 6.3e-4,
            "buffer_size": 50_000,
            "learning_starts": 0,
            "target_update_interval": 250,
            "train_freq": 4,
            "gradient_steps": -1,
            "exploration_fraction": 0.12,
            "exploration_final_eps": 0.1,
        },
    ),
    "pendulum-ppo": ppo(
        "Pendulum-v1",
        100_000,
        {"n_envs": 4, "n_steps": 1024, "gae_lambda": 0.95, "gamma": 0.9, "n_epochs": 10, "learning_rate": 1e-3},
        normalize_actions=False,
        clip_actions=True,
    ),
    "pendulum-sac": sac("Pendulum-v1", 20_000, 1e-3, 100),
    "lunarlander-ppo": ppo(
        "LunarLander-v3",
        1_000_000,
        {
            "n_envs": 16,
            "n_steps": 1024,
            "batch_size": 64,
            "gae_lambda": 0.98,
            "gamma": 0.999,
            "n_epochs": 4,
            "ent_coef": 0.01,
        },
    ),
    "halfcheetah-ppo": ppo(
        "HalfCheetah-v5",
        300_000,
        {
            "n_envs": 1,
            "n_steps": 512,
            "batch_size": 64,
            "gae_lambda": 0.92,
            "gamma": 0.98,
            "n_epochs": 20,
            "learning_rate": 2.0633e-05,
            "ent_coef": 0.000401762,
            "clip_range": 0.1,
            "vf_coef": 0.58096,
            "max_grad_norm": 0.8,
            "policy_kwargs": {"net_arch": [256, 256], "activation_fn": "ReLU", "ortho_init": False},
            "normalize": True,
        },
    )._replace(seeds=3),
    "halfcheetah-sac": sac("HalfCheetah-v5", 50_000, 3e-4, 10_000, seeds=3),
}


def ours(name: str, seed: int) -> None:
    """Train and evaluate here; print one JSON line."""
    from anyspace.algorithms import ALGORITHMS

    task = TASKS[name]
    algorithm = ALGORITHMS[task.algorithm](task.env, {**task.ours, "seed": seed}, preset="none")
    started = time.perf_counter()
    algorithm.learn(task.steps, progress=False)
    rate = algorithm.timesteps_total / (time.perf_counter() - started)
    print(json.dumps({"return": algorithm.evaluate(EPISODES)["episode_return_mean"], "rate": rate}))


def run(name: str, seed: int) -> None:
    """Run both sides on a seed, and note what came of it."""
    task = TASKS[name]
    peer = [str(PEER_PYTHON), str(HERE / "peers" / "sb3_parity.py"), task.env, task.algorithm, str(task.steps)]
    commands = {
        "anyspace": [sys.executable, __file__, "--ours", name, str(seed)],
        "Stable-Baselines3": [*peer, json.dumps(task.theirs), str(seed), str(EPISODES)],
    }
    for library, command in commands.items():
        found = run_json(command)
        row = [name, library, seed, f"{found['return']:.1f}", f"{found['rate']:.0f}"]
        with LOG.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(row)
        print(*row, flush=True)


def table() -> None:
    """Print mean returns with 95 % intervals, and medians of steps/s, of all runs that are noted."""
    runs: dict[tuple[str, str], dict[str, tuple[float, float]]] = defaultdict(dict)
    with LOG.open(encoding="utf-8", newline="") as file:
        for task, library, seed, returned, rate in csv.reader(file):
            runs[task, library][seed] = (float(returned), float(rate))
    print("| task | seeds | anyspace | Stable-Baselines3 | steps/s, both |")
    print("|---|---|---|---|---|")
    for name in TASKS:
        sides = [runs.get((name, library)) for library in ("anyspace", "Stable-Baselines3")]
        if all(sides):
            returns = [_interval([one for one, _ in side.values()]) for side in sides if side]
            rates = [f"{statistics.median([rate for _, rate in side.values()]):,.0f}" for side in sides if side]
            print(f"| {name} | {len(sides[0] or ())} | {returns[0]} | {returns[1]} | {' and '.join(rates)} |")


def _interval(values: list[float]) -> str:
    """Return the mean and half the width of Student's 95 % interval."""
    quantiles = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}
    mean, count = statistics.mean(values), len(values)
    if count < 2:
        return f"{mean:.1f}"
    return f"{mean:.1f} ± {quantiles.get(count, 2.0) * statistics.stdev(values) / math.sqrt(count):.1f}"


def main(arguments: list[str]) -> None:
    """Run tasks on seeds, all of them by default, or print the table."""
    if "--table" in arguments:
        table()
        return
    require_peers()
    names, _, seeds = " ".join(arguments).partition("--seeds")
    for name in names.split() or TASKS:
        for seed in map(int, seeds.split() or map(str, range(TASKS[name].seeds))):
            run(name, seed)


if __name__ == "__main__":
    ours(sys.argv[2], int(sys.argv[3])) if sys.argv[1:2] == ["--ours"] else main(sys.argv[1:])
