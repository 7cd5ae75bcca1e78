"""Evaluating in between changes nothing in training, whatever draws random numbers, and from where."""

from __future__ import annotations

import random
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from anyspace import PPO
from anyspace.execution.randomness import undisturbed
from anyspace.models import FullyConnectedNetwork, TorchModelV2
from tests.support.tasks import Lock

SMALL: dict[str, Any] = {
    "train_batch_size": 32,
    "minibatch_size": 16,
    "num_epochs": 2,
    "num_envs_per_env_runner": 2,
    "seed": 3,
    "model": {"fcnet_hiddens": [8]},
}


class Dropping(FullyConnectedNetwork):
    """Drops features out, in acting as well."""

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        out, state = super().forward(input_dict, state, seq_lens)
        return nn.functional.dropout(out, 0.3, training=True), state


class Noisy(TorchModelV2, nn.Module):
    """Adds noise to its logits and normalises by statistics of a batch."""

    def __init__(self, obs_space: Any, action_space: Any, num_outputs: int, model_config: Any, name: str):
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
        nn.Module.__init__(self)
        self.norm, self.drop = nn.BatchNorm1d(obs_space.shape[0]), nn.Dropout(0.5)
        self.out, self.value = nn.Linear(obs_space.shape[0], num_outputs), nn.Linear(obs_space.shape[0], 1)

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        self.seen = self.drop(self.norm(input_dict["obs_flat"]))
        out = self.out(self.seen)
        return out + 0.1 * torch.randn_like(out), state

    def value_function(self) -> Any:
        return self.value(self.seen)[:, 0]


class Sampling(gym.Env[Any, Any]):
    """Observes samples of a space that all environments share."""

    observation_space = spaces.Dict(a=spaces.Box(-1, 1, (3,)), b=spaces.Tuple([spaces.Discrete(4)]))
    action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return self.observation_space.sample(), float(action), False, self.t >= 5, {}


class Moving(Sampling):
    """Takes numbers as actions."""

    action_space = spaces.Box(-1, 1, ())


class Global(Sampling):
    """Draws from the sources that everything in a process shares."""

    observation_space = spaces.Box(-1, 1, (3,))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        gym.Env.reset(self, seed=seed)
        self.t = 0
        return np.zeros(3, np.float32), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        obs = np.random.uniform(-1, 1, 3).astype(np.float32)
        return obs, random.random(), False, self.t >= 5, {}


CASES: dict[str, dict[str, Any]] = {
    "a plain model": {"env": Lock},
    "memory": {"env": Lock, "model": {"use_lstm": True, "lstm_cell_size": 4}},
    "a filter and scaled rewards": {"env": Lock, "observation_filter": "MeanStdFilter", "normalize_rewards": True},
    "dropout": {"env": Lock, "model": {"custom_model": Dropping}},
    "noise and batch statistics": {"env": Lock, "model": {"custom_model": Noisy}},
    "a space that environments share": {"env": Sampling},
    "global sources": {"env": Global},
    "continuous actions": {"env": Moving},
}


def trained(case: dict[str, Any], evaluations: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The weights, statistics and random sources after three iterations, and the last result."""
    np.random.seed(1)
    random.seed(1)
    model = {**SMALL["model"], **case.get("model", {})}
    algorithm = PPO(config={**SMALL, **case, "model": model})
    for _ in range(3):
        result = algorithm.train()
        for explore in (True, False)[:evaluations]:
            algorithm.evaluate(2, explore=explore)
    return algorithm.policy.state() | algorithm.learner.state() | algorithm.rewards.state(), result


@pytest.mark.parametrize("kind", CASES)
def test_evaluating_changes_nothing_in_training(kind: str) -> None:
    alone, result = trained(CASES[kind], 0)
    beside, its_result = trained(CASES[kind], 2)
    assert alone.keys() == beside.keys()
    for name, value in alone.items():
        np.testing.assert_array_equal(value, beside[name], err_msg=name)
    assert result["learner"] == its_result["learner"]
    assert result.get("episode_return_mean") == its_result.get("episode_return_mean")


def test_what_was_drawn_in_the_context_is_drawn_again() -> None:
    space = spaces.Dict(a=spaces.Discrete(1000, seed=1), b=spaces.Sequence(spaces.Box(0, 1, (2,), seed=2), seed=3))

    def drawn() -> Any:
        return np.random.rand(), random.random(), space["a"].sample(), repr(space["b"].feature_space.sample())

    with undisturbed(space):
        first = drawn()
    assert drawn() == first
    assert drawn() != first


def test_an_error_in_the_context_puts_them_back_as_well() -> None:
    state = random.getstate()
    with pytest.raises(KeyError), undisturbed():
        {}[random.random()]
    assert random.getstate() == state


def test_a_seed_decides_what_a_model_draws_while_it_acts() -> None:
    torch.manual_seed(1)
    first, _ = trained(CASES["noise and batch statistics"], 0)
    torch.manual_seed(2)
    second, _ = trained(CASES["noise and batch statistics"], 0)
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)
