"""Hashes of all parameters after three iterations: what a change of structure must leave as it is.

``make hashes`` prints them. They differ between machines and versions of PyTorch, so they are compared with the hashes
of the tree before, never committed.
"""

from __future__ import annotations

import copy
import hashlib
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from anyspace.algorithms import ALGORITHMS
from anyspace.models import TorchModelV2
from anyspace.spaces import Repeated

VECTOR = spaces.Box(-1.0, 1.0, (5,))
PICTURE = spaces.Box(0, 255, (20, 20, 3), np.uint8)
LISTS = spaces.Dict(
    items=Repeated(spaces.Dict(place=spaces.Box(-1, 1, (2,)), kind=spaces.Discrete(3)), max_len=4),
    size=spaces.Box(0, 1, (2,)),
)
PAIR = spaces.Tuple((spaces.Discrete(3), spaces.Box(-1.0, 1.0, (2,))))
CHOICES = spaces.MultiDiscrete([3, 2])


class Sampled(gym.Env[Any, Any]):
    """Observations are samples, rewards depend on observation and action, episodes have 3 to 12 steps.

    Args:
        observation_space: of which the observations are samples.
        action_space: of the actions.
        masked: whether there is a method that says which of the discrete actions are allowed.
    """

    def __init__(self, observation_space: gym.Space[Any], action_space: gym.Space[Any], masked: bool = False):
        self.observation_space = copy.deepcopy(observation_space)
        self.action_space = action_space
        if masked:
            self.action_masks = self._mask

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self._left = int(self.np_random.integers(3, 13))
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        self._left -= 1
        reward = float(self.np_random.normal()) + float(np.sum(np.concatenate(_numbers(action))))
        return self.observation_space.sample(), reward, self._left == 0, self._left == 1 and reward > 1, {}

    def _mask(self) -> Any:
        number = int(self.action_space.n)
        return np.arange(number) <= self.np_random.integers(number)


def _numbers(action: Any) -> list[Any]:
    if isinstance(action, tuple | dict):
        parts = action.values() if isinstance(action, dict) else action
        return [number for part in parts for number in _numbers(part)]
    return [np.asarray(action, np.float64).reshape(-1)]


class Layered(TorchModelV2):
    """Two dense layers with another one between them.

    Args:
        between: makes the layer between them of its width.
    """

    def __init__(self, obs_space: Any, action_space: Any, num_outputs: int, model_config: Any, name: str, between: str):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        layer = nn.BatchNorm1d(16) if between == "batch norm" else nn.Dropout(0.3)
        self.body = nn.Sequential(nn.Linear(int(np.prod(obs_space.shape)), 16), layer, nn.Tanh())
        self.logits, self.value = nn.Linear(16, num_outputs), nn.Linear(16, 1)

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        self.features = self.body(input_dict["obs_flat"])
        return self.logits(self.features), state

    def value_function(self) -> torch.Tensor:
        value: torch.Tensor = self.value(self.features).squeeze(1)
        return value


def _layered(between: str) -> dict[str, Any]:
    return {"model": {"custom_model": Layered, "custom_model_config": {"between": between}}}


def sampled(observations: gym.Space[Any], actions: gym.Space[Any], masked: bool = False) -> Callable[[], Sampled]:
    """Return a maker of environments of these spaces."""
    return lambda: Sampled(observations, actions, masked)


SHARED = {"model": {"fcnet_hiddens": [16, 16], "vf_share_layers": True}}
MEMORY = {"max_seq_len": 8, "fcnet_hiddens": [16], "vf_share_layers": True}
ATTENTION = {
    "use_attention": True,
    "attention_dim": 16,
    "attention_head_dim": 8,
    "attention_position_wise_mlp_dim": 16,
    "attention_memory_inference": 10,
    "attention_memory_training": 10,
}

PPO_CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "dense": ("CartPole-v1", SHARED),
    "separate value net": ("CartPole-v1", {"model": {"fcnet_hiddens": [16, 16]}}),
    "continuous": ("Pendulum-v1", {**SHARED, "normalize_rewards": True, "clip_rewards": 5.0}),
    "lstm": ("CartPole-v1", {"model": {**MEMORY, "use_lstm": True, "lstm_use_prev_action": True}}),
    "gru": (sampled(VECTOR, spaces.Discrete(3)), {"model": {**MEMORY, "use_gru": True, "lstm_use_prev_reward": True}}),
    "gtrxl": ("CartPole-v1", {"model": {**MEMORY, **ATTENTION}}),
    "vision": (sampled(PICTURE, spaces.Discrete(3)), {"model": {"vf_share_layers": True}}),
    "set encoders": (sampled(LISTS, spaces.Discrete(3)), SHARED),
    "tuple action": (sampled(VECTOR, PAIR), SHARED),
    "autoregressive": (
        sampled(VECTOR, CHOICES),
        {"model": {"fcnet_hiddens": [16], "autoregressive_actions": True, "vf_share_layers": True}},
    ),
    "masked": (sampled(VECTOR, spaces.Discrete(4), masked=True), SHARED),
    "filtered": ("CartPole-v1", {**SHARED, "observation_filter": "MeanStdFilter"}),
    "batch norm": (sampled(VECTOR, spaces.Discrete(3)), _layered("batch norm")),
    "dropout": (sampled(VECTOR, spaces.Discrete(3)), _layered("dropout")),
    "whole episodes": (
        sampled(VECTOR, spaces.Discrete(3)),
        {**SHARED, "batch_mode": "complete_episodes", "use_gae": False, "use_critic": False, "lambda_": 1.0},
    ),
    "fragments": ("CartPole-v1", {**SHARED, "rollout_fragment_length": 8}),
}
"""An environment and what is set beside `SETTINGS`, by what is special about them."""

SETTINGS: dict[str, Any] = {
    "seed": 7,
    "num_envs_per_env_runner": 4,
    "train_batch_size": 128,
    "minibatch_size": 32,
    "num_epochs": 2,
    "lr": 1e-3,
    "entropy_coeff": 0.01,
    "grad_clip": 0.5,
    "lambda_": 0.95,
}

SMALL = {"seed": 7, "num_envs_per_env_runner": 4, "train_batch_size": 32, "lr": 1e-3}
EACH = {**SMALL, "min_sample_timesteps_per_iteration": 1}
REPLAYED = {"replay_proportion": 1.5, "rollout_fragment_length": "auto"}
LSTM = {"model": {**MEMORY, "use_lstm": True}}
REPLAY = {
    **SMALL,
    "model": {"fcnet_hiddens": [16]},
    "num_steps_sampled_before_learning_starts": 32,
    "min_sample_timesteps_per_iteration": 64,
    "training_intensity": 8.0,
}
NOISE = {"exploration_config": {"type": "ParameterNoise", "random_timesteps": 16}}
SWINGING = {"exploration_config": {"type": "OrnsteinUhlenbeckNoise", "random_timesteps": 16}}
RECORDED = {**SMALL, **SHARED, "input": "sampler", "minibatch_size": 16}
REMEMBERED = {"max_seq_len": 4, "fcnet_hiddens": [16]}
GTRXL = {"model": {**REMEMBERED, **ATTENTION}}
GRU = {"model": {**REMEMBERED, "lstm_cell_size": 16, "use_gru": True}}

CASES: dict[str, tuple[str, Any, dict[str, Any]]] = {
    **{name: ("PPO", env, {**SETTINGS, **settings}) for name, (env, settings) in PPO_CASES.items()},
    "PG": ("PG", "CartPole-v1", {**SMALL, **SHARED}),
    "PG, lstm": ("PG", sampled(VECTOR, spaces.Discrete(3)), {**SMALL, **LSTM}),
    "A2C": ("A2C", "CartPole-v1", {**EACH, **SHARED}),
    "A2C, parts": ("A2C", sampled(VECTOR, PAIR), {**EACH, **SHARED, "microbatch_size": 12}),
    "IMPALA": ("IMPALA", "CartPole-v1", {**EACH, **SHARED, "rollout_fragment_length": 4}),
    "IMPALA, replayed": ("IMPALA", sampled(VECTOR, CHOICES), {**EACH, **REPLAYED, **LSTM, "opt": "rmsprop"}),
    "APPO": ("APPO", "CartPole-v1", {**EACH, **SHARED, "target_network_update_freq": 48, "tau": 0.5}),
    "DQN, parameter noise": ("DQN", "CartPole-v1", {**REPLAY, **NOISE, "hiddens": [8]}),
    "DQN, lstm, masked": ("DQN", sampled(VECTOR, spaces.Discrete(4), True), {**REPLAY, **LSTM, "hiddens": [8]}),
    "SAC, parameter noise": ("SAC", "Pendulum-v1", {**REPLAY, **NOISE}),
    "SAC, parts": ("SAC", sampled(VECTOR, PAIR), REPLAY),
    "DQN, gtrxl": ("DQN", "CartPole-v1", {**REPLAY, **GTRXL, "prioritized_replay": True, "hiddens": [8]}),
    "SAC, gru": ("SAC", sampled(VECTOR, PAIR), {**REPLAY, **GRU}),
    "SAC, ou noise": ("SAC", "Pendulum-v1", {**REPLAY, **SWINGING}),
    "MARWIL": ("MARWIL", sampled(VECTOR, PAIR), RECORDED),
    "BC": ("BC", sampled(VECTOR, CHOICES), RECORDED),
    "APPO, replayed": ("APPO", sampled(VECTOR, spaces.Discrete(4), True), {**EACH, **REPLAYED, "use_kl_loss": True}),
}
"""An algorithm, an environment and the settings, by what is special about them."""

ITERATIONS = 3


def every_other(first: int) -> list[Any]:
    """Return the cases for a test's parameters, from the ``first`` on every other one; those between are for fuzz."""
    return [
        case if number % 2 == first else pytest.param(case, marks=pytest.mark.fuzz) for number, case in enumerate(CASES)
    ]


def digest(case: str) -> str:
    """Return the hash of weights, buffers and filter statistics after the iterations of a case."""
    name, env, settings = CASES[case]
    with closing(ALGORITHMS[name](env, settings, preset="none")) as algorithm:
        for _ in range(ITERATIONS):
            algorithm.train()
        return digest_of(algorithm.policy.state())


def digest_of(state: dict[str, Any]) -> str:
    """Return the hash of named arrays, those of random sources left out."""
    found = hashlib.sha256()
    for name in sorted(state):
        if name.startswith(("model/", "filter/")):
            found.update(name.encode())
            found.update(np.ascontiguousarray(state[name]).tobytes())
    return found.hexdigest()[:16]


def main() -> None:
    """Print the hashes of the cases that are named, or of all."""
    for case in sys.argv[1:] or CASES:
        print(f"{digest(case)}  {case}", flush=True)


if __name__ == "__main__":
    main()
