"""Stable-Baselines3's PPO on CartPole-v1; prints one JSON line. Run by benchmarks/ppo_cartpole.py."""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import stable_baselines3
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env


def main(steps: int, threads: int) -> None:
    torch.set_num_threads(threads)
    envs = make_vec_env("CartPole-v1", n_envs=8, seed=0)
    model = PPO(
        "MlpPolicy",
        envs,
        n_steps=128,
        batch_size=256,
        n_epochs=4,
        learning_rate=3e-4,
        gamma=0.99,
        gae_lambda=0.95,
        clip_range=0.2,
        ent_coef=0.0,
        vf_coef=0.5,
        max_grad_norm=0.5,
        seed=0,
        device="cpu",
    )
    model.learn(4 * 1024)
    started = time.perf_counter()
    model.learn(steps)
    rate = steps / (time.perf_counter() - started)
    print(
        json.dumps(
            {
                "rate": rate,
                "environment_rate": environment_rate(envs),
                "version": stable_baselines3.__version__,
                "torch": torch.__version__,
            }
        )
    )


def environment_rate(envs: object, steps: int = 1000) -> float:
    envs.reset()  # type: ignore[attr-defined]
    actions = np.random.default_rng(0).integers(0, 2, (steps, 8))
    started = time.perf_counter()
    for row in actions:
        envs.step(row)  # type: ignore[attr-defined]
    return 8 * steps / (time.perf_counter() - started)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
