"""Stable-Baselines3's PPO on an Atari game; prints one JSON line. Run by benchmarks/atari_ppo.py."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import ale_py
import gymnasium as gym
import numpy as np
import stable_baselines3
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.vec_env import VecFrameStack

gym.register_envs(ale_py)


def main(game: dict[str, Any], steps: int, threads: int) -> None:
    torch.set_num_threads(threads)
    name = game.pop("id")
    envs = VecFrameStack(make_atari_env(name, n_envs=8, seed=0, env_kwargs=game), 4)
    model = PPO(
        "CnnPolicy",
        envs,
        n_steps=128,
        batch_size=256,
        n_epochs=4,
        learning_rate=2.5e-4,
        gamma=0.99,
        gae_lambda=0.95,
        clip_range=0.1,
        ent_coef=0.01,
        vf_coef=0.5,
        max_grad_norm=0.5,
        seed=0,
        device="cpu",
    )
    model.learn(1024)
    started = time.perf_counter()
    model.learn(steps)
    rate = model.num_timesteps / (time.perf_counter() - started)
    print(
        json.dumps(
            {
                "rate": rate,
                "environment_rate": environment_rate(envs),
                "parameters": sum(parameter.numel() for parameter in model.policy.parameters()),
                "version": stable_baselines3.__version__,
                "torch": torch.__version__,
            }
        )
    )


def environment_rate(envs: Any, steps: int = 200) -> float:
    envs.reset()
    actions = np.random.default_rng(0).integers(0, 4, (steps, 8))
    started = time.perf_counter()
    for row in actions:
        envs.step(row)
    return 8 * steps / (time.perf_counter() - started)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
