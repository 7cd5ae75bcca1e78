"""sb3-contrib's RecurrentPPO on CartPole-v1; prints one JSON line. Run by benchmarks/memory_cartpole.py."""

from __future__ import annotations

import json
import sys
import time

import sb3_contrib
import torch
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.env_util import make_vec_env


def main(iterations: int, threads: int) -> None:
    torch.set_num_threads(threads)
    model = RecurrentPPO(
        "MlpLstmPolicy",
        make_vec_env("CartPole-v1", n_envs=8, seed=0),
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
        policy_kwargs={
            "lstm_hidden_size": 256,
            "n_lstm_layers": 1,
            "shared_lstm": True,
            "enable_critic_lstm": False,
            "net_arch": [],
        },
        seed=0,
        device="cpu",
    )
    model.learn(2 * 1024)
    started = time.perf_counter()
    model.learn(iterations * 1024)
    rate = iterations * 1024 / (time.perf_counter() - started)
    print(json.dumps({"rate": rate, "version": sb3_contrib.__version__}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
