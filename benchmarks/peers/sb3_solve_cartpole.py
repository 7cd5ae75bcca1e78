"""Stable-Baselines3 with its zoo's CartPole-v1 settings until a 20-episode mean of 475; prints one JSON line."""

from __future__ import annotations

import json
import sys

import numpy as np
import stable_baselines3
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env


class StopAtMean(BaseCallback):
    """Stop at the end of the rollout in which the mean of the latest 20 episodes reached the goal."""

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        latest = [episode["r"] for episode in self.model.ep_info_buffer][-20:]
        self.solved = len(latest) == 20 and float(np.mean(latest)) >= 475

    def _on_rollout_start(self) -> None:
        if getattr(self, "solved", False):
            raise StopIteration


def main(seed: int, threads: int) -> None:
    torch.set_num_threads(threads)
    model = PPO(
        "MlpPolicy",
        make_vec_env("CartPole-v1", n_envs=8, seed=seed),
        n_steps=32,
        batch_size=256,
        gae_lambda=0.8,
        gamma=0.98,
        n_epochs=20,
        ent_coef=0.0,
        learning_rate=lambda left: 1e-3 * left,
        clip_range=lambda left: 0.2 * left,
        seed=seed,
        device="cpu",
    )
    solved = False
    try:
        model.learn(100_000, callback=StopAtMean())
    except StopIteration:
        solved = True
    print(json.dumps({"steps": model.num_timesteps, "solved": solved, "version": stable_baselines3.__version__}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
