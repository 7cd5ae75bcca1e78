"""Train and evaluate an algorithm of Stable-Baselines3; prints one JSON line. Run by benchmarks/parity.py.

Keyword arguments come as its zoo writes them: a rate "lin_0.001" falls from 0.001 to 0.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import stable_baselines3
import torch
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecNormalize


def main(env: str, algorithm: str, steps: int, keywords: dict[str, Any], seed: int, episodes: int) -> None:
    torch.set_num_threads(1)
    width, normalize = keywords.pop("n_envs"), keywords.pop("normalize", False)
    gamma, rate, policy = keywords.get("gamma", 0.99), keywords.get("learning_rate"), keywords.get("policy_kwargs", {})
    if isinstance(rate, str):
        first = float(rate.removeprefix("lin_"))
        keywords["learning_rate"] = lambda left: first * left
    if "activation_fn" in policy:
        policy["activation_fn"] = getattr(torch.nn, policy["activation_fn"])
    envs: Any = make_vec_env(env, n_envs=width, seed=seed)
    if normalize:
        envs = VecNormalize(envs, gamma=gamma)
    model = getattr(stable_baselines3, algorithm)("MlpPolicy", envs, seed=seed, device="cpu", **keywords)
    started = time.perf_counter()
    model.learn(steps)
    rate = steps / (time.perf_counter() - started)
    fresh: Any = make_vec_env(env, n_envs=1, seed=seed + 1000)
    if normalize:
        fresh = VecNormalize(fresh, training=False, norm_reward=False)
        fresh.obs_rms = envs.obs_rms
    mean, _ = evaluate_policy(model, fresh, n_eval_episodes=episodes, deterministic=True)
    print(json.dumps({"return": float(mean), "rate": rate, "version": stable_baselines3.__version__}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4]), int(sys.argv[5]), int(sys.argv[6]))
