"""Stable-Baselines3's DQN, SAC and A2C; prints one JSON line. Run by benchmarks/algorithms.py."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import stable_baselines3
import torch
from stable_baselines3 import A2C, DQN, SAC
from stable_baselines3.common.env_util import make_vec_env

OFF_POLICY: dict[str, Any] = {
    "learning_starts": 1000,
    "buffer_size": 50_000,
    "policy_kwargs": {"net_arch": [256, 256]},
}


def made(name: str) -> Any:
    """Return the algorithm on its environments."""
    if name.startswith("dqn"):
        at_once = 8 if name == "dqn-8" else 1
        return DQN(
            "MlpPolicy",
            make_vec_env("CartPole-v1", n_envs=1, seed=0),
            batch_size=128,
            learning_rate=1e-4,
            target_update_interval=500,
            max_grad_norm=10.0,
            exploration_fraction=0.1,
            exploration_final_eps=0.05,
            train_freq=at_once,
            gradient_steps=at_once,
            seed=0,
            device="cpu",
            **OFF_POLICY,
        )
    if name == "sac":
        return SAC(
            "MlpPolicy",
            make_vec_env("Pendulum-v1", n_envs=1, seed=0),
            batch_size=256,
            learning_rate=3e-4,
            tau=0.005,
            train_freq=1,
            gradient_steps=1,
            seed=0,
            device="cpu",
            **OFF_POLICY,
        )
    return A2C(
        "MlpPolicy",
        make_vec_env("CartPole-v1", n_envs=8, seed=0),
        n_steps=5,
        learning_rate=7e-4,
        gamma=0.99,
        gae_lambda=1.0,
        vf_coef=0.5,
        ent_coef=0.0,
        max_grad_norm=0.5,
        use_rms_prop=False,
        seed=0,
        device="cpu",
    )


def main(name: str, steps: int, threads: int) -> None:
    torch.set_num_threads(threads)
    model = made(name)
    model.learn(2000)
    started = time.perf_counter()
    model.learn(steps, reset_num_timesteps=False)
    rate = steps / (time.perf_counter() - started)
    print(json.dumps({"rate": rate, "version": stable_baselines3.__version__, "torch": torch.__version__}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
