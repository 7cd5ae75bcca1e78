"""What is logged beside returns, and a demand that grows while training goes on."""

from ray.rllib.algorithms.callbacks import DefaultCallbacks


class WarehouseCallbacks(DefaultCallbacks):
    def on_episode_start(self, *, worker, base_env, policies, episode, env_index, **kwargs):
        episode.user_data["distances"] = []

    def on_episode_step(self, *, worker, base_env, policies=None, episode, env_index, **kwargs):
        info = episode.last_info_for()
        if info:
            episode.user_data["distances"].append(info["distance"])

    def on_episode_end(self, *, worker, base_env, policies, episode, env_index, **kwargs):
        episode.custom_metrics["distance"] = sum(episode.user_data["distances"]) / episode.length
        episode.custom_metrics["missing_at_end"] = episode.last_info_for()["missing"]

    def on_train_result(self, *, algorithm, result, **kwargs):
        demand = 0.1 if result["timesteps_total"] < 2000 else 0.15
        algorithm.workers.foreach_worker(lambda worker: worker.foreach_env(lambda env: env.set_task(demand)))
        result["demand"] = demand
