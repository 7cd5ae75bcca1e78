"""sb3-contrib's MaskablePPO in the hall; prints one JSON line. Run by benchmarks/masked_hall.py."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import sb3_contrib
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3.common.vec_env import DummyVecEnv

sys.path.insert(0, str(Path(__file__).parents[1]))
from hall import Flat


def main(steps: int, threads: int) -> None:
    torch.set_num_threads(threads)
    model = MaskablePPO(
        "MultiInputPolicy",
        DummyVecEnv([Flat] * 8),
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
        policy_kwargs={"net_arch": [64, 64]},
        seed=0,
        device="cpu",
    )
    model.learn(4 * 1024)
    started = time.perf_counter()
    model.learn(steps)
    print(json.dumps({"rate": steps / (time.perf_counter() - started), "version": sb3_contrib.__version__}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
