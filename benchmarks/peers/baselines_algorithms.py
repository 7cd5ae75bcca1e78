"""DQN, SAC and A2C of Stable-Baselines3, or DQN and SAC of SBX; prints one JSON line. See benchmarks/algorithms.py."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from typing import Any

OFF_POLICY: dict[str, Any] = {
    "learning_starts": 1000,
    "buffer_size": 50_000,
    "policy_kwargs": {"net_arch": [256, 256]},
}


def made(library: Any, name: str) -> Any:
    """Return a library's algorithm on its environments."""
    from stable_baselines3.common.env_util import make_vec_env

    # SBX computes where JAX does, and clips no gradients.
    of_torch = library.__name__ == "stable_baselines3"
    extra = {"device": "cpu"} if of_torch else {}
    at_once = 8 if name.endswith("-8") else 1
    if name.startswith("dqn"):
        return library.DQN(
            "MlpPolicy",
            make_vec_env("CartPole-v1", n_envs=1, seed=0),
            batch_size=128,
            learning_rate=1e-4,
            target_update_interval=500,
            exploration_fraction=0.1,
            exploration_final_eps=0.05,
            train_freq=at_once,
            gradient_steps=at_once,
            seed=0,
            **({"max_grad_norm": 10.0} if of_torch else {}),
            **extra,
            **OFF_POLICY,
        )
    if name.startswith("sac"):
        return library.SAC(
            "MlpPolicy",
            make_vec_env("Pendulum-v1", n_envs=1, seed=0),
            batch_size=256,
            learning_rate=3e-4,
            tau=0.005,
            train_freq=at_once,
            gradient_steps=at_once,
            seed=0,
            **extra,
            **OFF_POLICY,
        )
    return library.A2C(
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
        **extra,
    )


def main(package: str, name: str, steps: int, threads: int) -> None:
    if package == "sbx":
        # XLA has no count of threads of its own: it takes as many as the cores that the process may use.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    else:
        import torch

        torch.set_num_threads(threads)
    library = importlib.import_module(package)
    model = made(library, name)
    model.learn(2000)
    started = time.perf_counter()
    model.learn(steps, reset_num_timesteps=False)
    print(json.dumps({"rate": steps / (time.perf_counter() - started), "version": library.__version__}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
