"""Search a learning rate, take the best algorithm, and play with it."""

import argparse

from callbacks import WarehouseCallbacks
from dist import TemperedCategorical
from env import Warehouse
from model import MaskedModel
from anyspace.rllib.algorithms.algorithm import Algorithm
from anyspace.rllib.algorithms.ppo import PPOConfig
from anyspace.rllib.models import ModelCatalog
from anyspace import register_env

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=20_000)
parser.add_argument("--batch", type=int, default=2000)
parser.add_argument("--workers", type=int, default=2)
parser.add_argument("--out", default="warehouse")
args = parser.parse_args()

register_env("warehouse", lambda config: Warehouse(config))
ModelCatalog.register_custom_model("masked", MaskedModel)
ModelCatalog.register_custom_action_dist("tempered", TemperedCategorical)

config = (
    PPOConfig()
    .environment("warehouse", env_config={"shelves": 4, "limit": 40})
    .framework("torch")
    .rollouts(num_rollout_workers=args.workers, num_envs_per_worker=2, observation_filter="NoFilter")
    .training(
        gamma=0.97,
        train_batch_size=args.batch,
        sgd_minibatch_size=args.batch // 4,
        num_sgd_iter=4,
        entropy_coeff=0.01,
        model={
            "custom_model": "masked",
            "custom_model_config": {"embed_size": 8, "hottest": 2.0},
            "custom_action_dist": "tempered",
            "fcnet_hiddens": [32, 32],
        },
    )
    .callbacks(WarehouseCallbacks)
    .evaluation(evaluation_interval=2, evaluation_duration=5)
    .debugging(seed=0)
)
tried = []
for lr in (1e-4, 1e-3):
    algo = config.copy().training(lr=lr).build()
    result = algo.train()
    while result["timesteps_total"] < args.steps:
        result = algo.train()
    tried.append((result["episode_reward_mean"], lr, result, algo.save(f"{args.out}-{lr}")))
    algo.stop()
_, lr, result, checkpoint = max(tried, key=lambda one: one[0])
print("best learning rate", lr, "mean reward", result["episode_reward_mean"])
print("distance", result["custom_metrics"]["distance_mean"], "demand", result["demand"])

algo = Algorithm.from_checkpoint(checkpoint)
env = Warehouse(algo.config.env_config)
obs, _ = env.reset(seed=1)
total, over = 0.0, False
while not over:
    action = algo.compute_single_action(obs, explore=False)
    obs, reward, terminated, truncated, _ = env.step(action)
    total, over = total + reward, terminated or truncated
print("played for", total)
algo.stop()
