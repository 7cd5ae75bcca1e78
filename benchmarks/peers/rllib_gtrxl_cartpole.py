"""RLlib 2.40's PPO with GTrXL on CartPole-v1; prints one JSON line. Run by benchmarks/memory_cartpole.py."""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings

import ray
import torch
from ray.rllib.algorithms.ppo import PPOConfig

warnings.filterwarnings("ignore")


def main(iterations: int, threads: int) -> None:
    ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    torch.set_num_threads(threads)
    algorithm = (
        PPOConfig()
        .api_stack(enable_rl_module_and_learner=False, enable_env_runner_and_connector_v2=False)
        .environment("CartPole-v1")
        .framework("torch")
        .env_runners(num_env_runners=0, num_envs_per_env_runner=8, rollout_fragment_length=128)
        .training(
            train_batch_size=1024,
            minibatch_size=256,
            num_epochs=4,
            lr=3e-4,
            gamma=0.99,
            lambda_=0.95,
            clip_param=0.2,
            vf_clip_param=float("inf"),
            vf_loss_coeff=0.5,
            kl_coeff=0.0,
            grad_clip=0.5,
            model={"fcnet_hiddens": [64], "vf_share_layers": True, "use_attention": True, "max_seq_len": 20},
        )
        .debugging(seed=0, log_level="ERROR")
        .build()
    )
    algorithm.train()
    started, steps = time.perf_counter(), 0
    for _ in range(iterations):
        result = algorithm.train()
        steps += result["num_env_steps_sampled_this_iter"]
    rate = steps / (time.perf_counter() - started)
    learning = 1024 / (result["timers"]["learn_time_ms"] / 1000)
    print(json.dumps({"rate": rate, "learning": learning, "version": ray.__version__}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
