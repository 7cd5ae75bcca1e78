"""SBX's PPO (JAX) on CartPole-v1; prints one JSON line. Run by benchmarks/frameworks.py."""

from __future__ import annotations

import json
import os
import sys
import time


def main(steps: int, threads: int) -> None:
    # XLA has no count of threads of its own: it takes as many as the cores that the process may use.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    import sbx
    from sbx import PPO
    from stable_baselines3.common.env_util import make_vec_env

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
    )
    model.learn(4 * 1024)
    started = time.perf_counter()
    model.learn(steps)
    print(json.dumps({"rate": steps / (time.perf_counter() - started), "version": sbx.__version__}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
