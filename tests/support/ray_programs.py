"""Programs with a Ray of their own, for tests that start and end it: ``python -m tests.support.ray_programs NAME``.

Each prints what it found as a line of JSON.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
from contextlib import closing
from typing import Any

import gymnasium as gym
import numpy as np
import ray

from anyspace import PPO
from anyspace.errors import ConfigError

SMALL: dict[str, Any] = {
    "train_batch_size": 16,
    "minibatch_size": None,
    "num_epochs": 1,
    "num_envs_per_env_runner": 2,
    "model": {"fcnet_hiddens": [4]},
    "seed": 1,
}
QUIET: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}


class Large(gym.Env[Any, Any]):
    """Observations of as many bytes as four gray pictures of Atari."""

    observation_space = gym.spaces.Box(0, 255, (84 * 84 * 4,), np.uint8)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return self._seen(), 1.0, self.t == 100, False, {}

    def _seen(self) -> Any:
        return np.full(self.observation_space.shape, self.t, np.uint8)


def new(env: Any = "CartPole-v1", **settings: Any) -> PPO:
    return PPO(env, {**SMALL, **settings}, preset="none")


def own() -> dict[str, Any]:
    """Let this library start Ray: for one worker, then for as many as there are no CPUs for, then for two at once."""
    handlers = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]
    with closing(new(num_env_runners=1)) as algorithm:
        algorithm.train()
    first = ray.get_runtime_context().gcs_address
    with closing(new(num_env_runners=4, num_cpus_per_env_runner=2.0)) as algorithm:
        algorithm.train()
        try:
            with closing(new(num_env_runners=1)) as another:
                another.train()
        except ConfigError as error:
            refused = str(error)
    with closing(new(num_env_runners=1, ray_address="local")) as algorithm:
        algorithm.train()
    return {
        "handlers": handlers == [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)],
        "anew": ray.get_runtime_context().gcs_address != first,
        "refused": refused,
    }


def store() -> dict[str, Any]:
    """Have fragments under way that the object store has no room for."""
    ray.init(address="local", num_cpus=2, object_store_memory=80 * 10**6, **QUIET)
    settings = {"num_env_runners": 2, "max_requests_in_flight_per_env_runner": 2, "num_envs_per_env_runner": 1}
    with closing(new(Large, **settings, rollout_fragment_length=1000)) as algorithm:
        steps = [algorithm.fleet.gather(4000).num_steps for _ in range(3)]
        fleet: Any = algorithm.fleet
        return {"steps": steps, "store": fleet._dispatcher.store, **fleet.metrics()}


def machine() -> dict[str, Any]:
    """Lose one of two machines, and a worker with it."""
    from ray.cluster_utils import Cluster

    room = {"num_cpus": 2, "object_store_memory": 80 * 10**6}
    cluster = Cluster(initialize_head=True, head_node_args={**room, "include_dashboard": False})
    node = cluster.add_node(**room)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    with closing(new(num_env_runners=2)) as algorithm:
        steps = [algorithm.train()["timesteps_this_iter"]]
        cluster.remove_node(node, allow_graceful=False)
        restarts = 0.0
        for _ in range(3):
            result = algorithm.train()
            restarts += result["fleet"]["restarts"]
            steps.append(result["timesteps_this_iter"])
    ray.shutdown()
    cluster.shutdown()
    return {"steps": steps, "restarts": restarts}


if __name__ == "__main__":
    logging.basicConfig()
    found = {"own": own, "store": store, "machine": machine}[sys.argv[1]]()
    print(json.dumps(found), flush=True)
