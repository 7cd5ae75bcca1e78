"""The Python blocks of RLlib's page on models, preprocessors and distributions, with only the changes of a port.

``import ray`` and ``ray.init()`` are left out, ``ray.rllib`` is ``anyspace.rllib``, ``...`` is filled in with the least
that runs, and what a block does not import is imported here.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
import torch.nn as nn
from gymnasium.spaces import Box, Dict, Discrete

from anyspace.errors import ModelError
from anyspace.models import action_dists, catalog
from anyspace.rllib.algorithms import ppo
from anyspace.rllib.models import ActionDistribution, ModelCatalog
from anyspace.rllib.models.modelv2 import restore_original_dimensions
from anyspace.rllib.models.torch.torch_modelv2 import TorchModelV2
from anyspace.rllib.utils.numpy import one_hot

SMALL: dict[str, Any] = {"train_batch_size": 64, "minibatch_size": 32, "num_epochs": 2, "seed": 0}


@pytest.fixture(autouse=True)
def registries(monkeypatch):
    """Let every test register names of its own."""
    monkeypatch.setattr(catalog, "_custom_models", {})
    monkeypatch.setattr(action_dists, "_registered", {})


# ------------------------------------------------------------------------------------------- settings


def test_model_settings_within_the_algorithms():
    algo_config = {
        # All model-related settings go into this sub-dict.
        "model": {
            # By default, the MODEL_DEFAULTS dict above will be used.
            # Change individual keys in that dict by overriding them, e.g.
            "fcnet_hiddens": [512, 512, 512],
            "fcnet_activation": "relu",
        },
        # ... other Algorithm config keys, e.g. "lr" ...
        "lr": 0.00001,
    }
    with closing(ppo.PPO(env="CartPole-v1", config={**SMALL, **algo_config})) as algo:
        kinds = [type(layer) for layer in algo.policy.model.encoder]
        assert kinds == [nn.Linear, nn.ReLU] * 3
        assert [layer.out_features for layer in algo.policy.model.encoder[::2]] == [512] * 3
        assert algo.train()["learner"]["lr"] == 1e-5


def test_filters_for_small_pictures():
    model = {"dim": 42, "conv_filters": [[16, [4, 4], 2], [32, [4, 4], 2], [512, [11, 11], 1]]}
    network = ModelCatalog.get_model_v2(Box(0, 255, (42, 42, 3), np.uint8), Discrete(4), 4, model)
    logits, _ = network({"obs": torch.zeros(2, 42, 42, 3)})
    assert logits.shape == (2, 4)
    with pytest.raises(ModelError, match=r"conv_filters"):
        ModelCatalog.get_model_v2(Box(0, 255, (64, 64, 3), np.uint8), Discrete(4), 4, model)


# ------------------------------------------------------------------------------------------- wrappers


class OneHotEnv(gym.core.ObservationWrapper):
    # Override `observation` to custom process the original observation
    # coming from the env.
    def observation(self, observation):
        # E.g. one-hotting a float obs [0.0, 5.0[.
        return one_hot(observation, depth=5)


class ClipRewardEnv(gym.core.RewardWrapper):
    def __init__(self, env, min_, max_):
        super().__init__(env)
        self.min = min_
        self.max = max_

    # Override `reward` to custom process the original reward coming
    # from the env.
    def reward(self, reward):
        # E.g. simple clipping between min and max.
        return np.clip(reward, self.min, self.max)


class Slider(gym.Env):
    """Observes a number from 0 to below 5, and pays that."""

    observation_space = Box(0, 5, ())
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.float32(0.5), {}

    def step(self, action):
        self.t += 1
        return np.float32(self.t % 5 + 0.5), float(self.t), False, self.t == 8, {}


def one_hot_slider(env):
    env = OneHotEnv(env)
    # What a wrapper makes of observations it has to declare.
    env.observation_space = Box(0, 1, (5,))
    return env


def test_wrappers_of_observations_and_rewards():
    assert OneHotEnv(Slider()).reset()[0].tolist() == [1, 0, 0, 0, 0]
    wrappers = [one_hot_slider, lambda env: ClipRewardEnv(env, 2.5, 6.5)]
    with closing(ppo.PPO(env=Slider, config={**SMALL, "wrappers": wrappers})) as algo:
        assert algo.policy.model.encoder[0].in_features == 5
        result = algo.train()
    assert result["episode_return_mean"] == 2.5 + 2.5 + 3 + 4 + 5 + 6 + 6.5 + 6.5


# --------------------------------------------------------------------------------------- custom models


def test_a_custom_torch_model():
    class CustomTorchModel(TorchModelV2):
        def __init__(self, obs_space, action_space, num_outputs, model_config, name):
            super().__init__(obs_space, action_space, num_outputs, model_config, name)
            self.hidden = nn.Linear(obs_space.shape[0], 8)
            self.logits, self.values = nn.Linear(8, num_outputs), nn.Linear(8, 1)

        def forward(self, input_dict, state, seq_lens):
            self.features = torch.tanh(self.hidden(input_dict["obs"]))
            return self.logits(self.features), state

        def value_function(self):
            return self.values(self.features).squeeze(1)

    ModelCatalog.register_custom_model("my_torch_model", CustomTorchModel)

    algo = ppo.PPO(
        env="CartPole-v1",
        config={
            "framework": "torch",
            "model": {
                "custom_model": "my_torch_model",
                # Extra kwargs to be passed to your model's c'tor.
                "custom_model_config": {},
            },
            **SMALL,
        },
    )
    with closing(algo):
        assert type(algo.policy.model) is CustomTorchModel
        before = algo.policy.model.hidden.weight.clone()
        assert algo.train()["learner"]["ratio_error"] < 1e-5
        assert (algo.policy.model.hidden.weight != before).any()


def test_original_observations_in_a_loss():
    class Model(TorchModelV2):
        def __init__(self, obs_space, action_space, num_outputs, model_config, name):
            super().__init__(obs_space, action_space, num_outputs, model_config, name)
            self.layer = nn.Linear(obs_space.shape[0], num_outputs + 1)

        def forward(self, input_dict, state, seq_lens):
            self.structured = input_dict["obs"]
            out = self.layer(input_dict["obs_flat"])
            self.values = out[:, -1]
            return out[:, :-1], state

        def value_function(self):
            return self.values

        def custom_loss(self, policy_loss, loss_inputs):
            dict_or_tuple_obs = restore_original_dimensions(loss_inputs["obs"], self.obs_space, "torch")
            for name, leaf in self.structured.items():
                torch.testing.assert_close(dict_or_tuple_obs[name], leaf)
            self.shapes = {name: tuple(leaf.shape[1:]) for name, leaf in dict_or_tuple_obs.items()}
            return policy_loss

    with closing(ppo.PPO(env=MyParamActionEnv, config={**SMALL, "model": {"custom_model": Model}})) as algo:
        algo.train()
        assert algo.policy.model.shapes == {"action_mask": (4,), "avail_actions": (4, 2), "real_obs": (3,)}


# ------------------------------------------------------------------------------------------ distributions


def test_a_custom_action_distribution():
    class MyActionDist(ActionDistribution):
        @staticmethod
        def required_model_output_shape(action_space, model_config):
            return 7  # controls model output feature vector size

        def __init__(self, inputs, model):
            super(MyActionDist, self).__init__(inputs, model)
            assert model.num_outputs == 7
            self.choice = torch.distributions.Categorical(logits=inputs[:, :2])

        def sample(self):
            return self.choice.sample()

        def logp(self, actions):
            return self.choice.log_prob(actions)

        def entropy(self):
            return self.choice.entropy()

    ModelCatalog.register_custom_action_dist("my_dist", MyActionDist)

    algo = ppo.PPO(
        env="CartPole-v1",
        config={
            "model": {
                "custom_action_dist": "my_dist",
            },
            **SMALL,
        },
    )
    with closing(algo):
        assert algo.policy.model.num_outputs == 7
        assert algo.policy.model.logits.out_features == 7
        assert algo.train()["learner"]["ratio_error"] < 1e-5
        assert algo.compute_single_action(np.zeros(4, np.float32), explore=True) in (0, 1)


# ----------------------------------------------------------------------------------- parametric actions

action_embedding_sz = 2


class MyParamActionEnv(gym.Env):
    def __init__(self, max_avail_actions=4):
        self.action_space = Discrete(max_avail_actions)
        self.observation_space = Dict(
            {
                "action_mask": Box(0, 1, shape=(max_avail_actions,)),
                "avail_actions": Box(-1, 1, shape=(max_avail_actions, action_embedding_sz)),
                "real_obs": Box(-1, 1, shape=(3,)),
            }
        )

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.t = 0
        return self.observe(), {}

    def observe(self):
        obs = self.observation_space.sample()
        obs["action_mask"] = np.eye(self.action_space.n, dtype=np.float32)[self.t % 4] + np.float32([0, 0, 0, 1])
        obs["action_mask"] = obs["action_mask"].clip(max=1)
        self.mask = obs["action_mask"]
        return obs

    def step(self, action):
        if not self.mask[action]:
            raise ValueError(f"action {action} is not available")
        self.t += 1
        return self.observe(), 1.0, False, self.t == 8, {}


def test_an_environment_that_says_which_actions_are_available():
    # It raises where the mask is not heeded.
    with closing(ppo.PPO(env=MyParamActionEnv, config=SMALL)) as algo:
        assert algo.train()["episode_len_mean"] == 8
        assert algo.evaluate(2)["episode_return_mean"] == 8
