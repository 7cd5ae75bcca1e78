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
from gymnasium.spaces import Box, Dict, Discrete, Tuple

from anyspace.errors import ModelError
from anyspace.models import action_dists, catalog
from anyspace.rllib.algorithms import ppo
from anyspace.rllib.models import ActionDistribution, ModelCatalog
from anyspace.rllib.models.modelv2 import restore_original_dimensions
from anyspace.rllib.models.tf.fcnet import FullyConnectedNetwork
from anyspace.rllib.models.tf.misc import normc_initializer
from anyspace.rllib.models.tf.tf_action_dist import Categorical
from anyspace.rllib.models.tf.tf_modelv2 import TFModelV2
from anyspace.rllib.models.torch.torch_modelv2 import TorchModelV2
from anyspace.rllib.utils.framework import try_import_tf
from anyspace.rllib.utils.numpy import one_hot

_, tf, _ = try_import_tf()

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


def test_a_custom_tensorflow_model_can_be_defined_and_registered_only():
    import anyspace.rllib.algorithms.ppo as ppo
    from anyspace.rllib.models import ModelCatalog
    from anyspace.rllib.models.tf.tf_modelv2 import TFModelV2

    class MyModelClass(TFModelV2):
        def __init__(self, obs_space, action_space, num_outputs, model_config, name):
            super().__init__(obs_space, action_space, num_outputs, model_config, name)

        def forward(self, input_dict, state, seq_lens):
            return tf.zeros((1, 2)), state

        def value_function(self):
            return tf.zeros((1,))

    ModelCatalog.register_custom_model("my_tf_model", MyModelClass)
    with pytest.raises(ModelError, match=r"MyModelClass is no model of framework 'torch'.* TorchModelV2"):
        ppo.PPO(
            env="CartPole-v1",
            config={
                "model": {
                    "custom_model": "my_tf_model",
                    # Extra kwargs to be passed to your model's c'tor.
                    "custom_model_config": {},
                },
            },
        )


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


class ParametricActionsModel(TFModelV2):
    def __init__(
        self, obs_space, action_space, num_outputs, model_config, name, true_obs_shape=(4,), action_embed_size=2
    ):
        super(ParametricActionsModel, self).__init__(obs_space, action_space, num_outputs, model_config, name)
        self.action_embed_model = FullyConnectedNetwork(
            Box(-1, 1, shape=true_obs_shape), action_space, action_embed_size, model_config, name + "_embed"
        )

    def forward(self, input_dict, state, seq_lens):
        # Extract the available actions tensor from the observation.
        avail_actions = input_dict["obs"]["avail_actions"]
        action_mask = input_dict["obs"]["action_mask"]

        # Compute the predicted action embedding
        action_embed, _ = self.action_embed_model({"obs": input_dict["obs"]["cart"]})

        # Expand the model output to [BATCH, 1, EMBED_SIZE]. Note that the
        # avail actions tensor is of shape [BATCH, MAX_ACTIONS, EMBED_SIZE].
        intent_vector = tf.expand_dims(action_embed, 1)

        # Batch dot product => shape of logits is [BATCH, MAX_ACTIONS].
        action_logits = tf.reduce_sum(avail_actions * intent_vector, axis=2)

        # Mask out invalid actions (use tf.float32.min for stability)
        inf_mask = tf.maximum(tf.log(action_mask), tf.float32.min)
        return action_logits + inf_mask, state


def test_an_environment_that_says_which_actions_are_available():
    # It raises where the mask is not heeded.
    with closing(ppo.PPO(env=MyParamActionEnv, config=SMALL)) as algo:
        assert algo.train()["episode_len_mean"] == 8
        assert algo.evaluate(2)["episode_return_mean"] == 8


def test_a_tensorflow_model_of_parametric_actions_explains_itself():
    model = {"custom_model": ParametricActionsModel, "custom_model_config": {"true_obs_shape": (3,)}}
    with pytest.raises(ModelError, match=r"ParametricActionsModel is no model of framework 'torch'"):
        ppo.PPO(env=MyParamActionEnv, config={"model": model})
    env = MyParamActionEnv()
    with pytest.raises(ModelError, match=r"ParametricActionsModel is a TensorFlow model"):
        ParametricActionsModel(env.observation_space, env.action_space, 4, {}, "parametric", true_obs_shape=(3,))


# -------------------------------------------------------------------------------- autoregressive actions


class BinaryAutoregressiveOutput(ActionDistribution):
    """Action distribution P(a1, a2) = P(a1) * P(a2 | a1)"""

    @staticmethod
    def required_model_output_shape(self, model_config):
        return 16  # controls model output feature vector size

    def sample(self):
        # first, sample a1
        a1_dist = self._a1_distribution()
        a1 = a1_dist.sample()

        # sample a2 conditioned on a1
        a2_dist = self._a2_distribution(a1)
        a2 = a2_dist.sample()

        # return the action tuple
        return TupleActions([a1, a2])  # noqa: F821

    def logp(self, actions):
        a1, a2 = actions[:, 0], actions[:, 1]
        a1_vec = tf.expand_dims(tf.cast(a1, tf.float32), 1)
        a1_logits, a2_logits = self.model.action_model([self.inputs, a1_vec])
        return Categorical(a1_logits, None).logp(a1) + Categorical(a2_logits, None).logp(a2)

    def _a1_distribution(self):
        BATCH = tf.shape(self.inputs)[0]
        a1_logits, _ = self.model.action_model([self.inputs, tf.zeros((BATCH, 1))])
        a1_dist = Categorical(a1_logits, None)
        return a1_dist

    def _a2_distribution(self, a1):
        a1_vec = tf.expand_dims(tf.cast(a1, tf.float32), 1)
        _, a2_logits = self.model.action_model([self.inputs, a1_vec])
        a2_dist = Categorical(a2_logits, None)
        return a2_dist


class AutoregressiveActionsModel(TFModelV2):
    """Implements the `.action_model` branch required above."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        super(AutoregressiveActionsModel, self).__init__(obs_space, action_space, num_outputs, model_config, name)
        if action_space != Tuple([Discrete(2), Discrete(2)]):
            raise ValueError("This model only supports the [2, 2] action space")

        # Inputs
        obs_input = tf.keras.layers.Input(shape=obs_space.shape, name="obs_input")
        a1_input = tf.keras.layers.Input(shape=(1,), name="a1_input")
        ctx_input = tf.keras.layers.Input(shape=(num_outputs,), name="ctx_input")

        # Output of the model (normally 'logits', but for an autoregressive
        # dist this is more like a context/feature layer encoding the obs)
        context = tf.keras.layers.Dense(
            num_outputs, name="hidden", activation=tf.nn.tanh, kernel_initializer=normc_initializer(1.0)
        )(obs_input)

        # P(a1 | obs)
        a1_logits = tf.keras.layers.Dense(
            2, name="a1_logits", activation=None, kernel_initializer=normc_initializer(0.01)
        )(ctx_input)

        # P(a2 | a1)
        # --note: typically you'd want to implement P(a2 | a1, obs) as follows:
        # a2_context = tf.keras.layers.Concatenate(axis=1)([ctx_input, a1_input])
        a2_context = a1_input
        a2_hidden = tf.keras.layers.Dense(
            16, name="a2_hidden", activation=tf.nn.tanh, kernel_initializer=normc_initializer(1.0)
        )(a2_context)
        a2_logits = tf.keras.layers.Dense(
            2, name="a2_logits", activation=None, kernel_initializer=normc_initializer(0.01)
        )(a2_hidden)

        # Base layers
        self.base_model = tf.keras.Model(obs_input, context)
        self.register_variables(self.base_model.variables)
        self.base_model.summary()

        # Autoregressive action sampler
        self.action_model = tf.keras.Model([ctx_input, a1_input], [a1_logits, a2_logits])
        self.action_model.summary()
        self.register_variables(self.action_model.variables)


def test_autoregressive_actions_of_tensorflow_can_be_defined_and_explain_themselves():
    space = Tuple([Discrete(2), Discrete(2)])
    ModelCatalog.register_custom_action_dist("binary", BinaryAutoregressiveOutput)
    ModelCatalog.register_custom_model("autoregressive", AutoregressiveActionsModel)
    model = {"custom_model": "autoregressive", "custom_action_dist": "binary"}
    dist_class, size = ModelCatalog.get_action_dist(space, model)
    assert issubclass(dist_class, BinaryAutoregressiveOutput)
    assert size == 16
    with pytest.raises(ModelError, match=r"AutoregressiveActionsModel is no model of framework 'torch'"):
        ModelCatalog.get_model_v2(Box(-1, 1, (4,)), space, size, model)
    with pytest.raises(ModelError, match=r"AutoregressiveActionsModel is a TensorFlow model"):
        AutoregressiveActionsModel(Box(-1, 1, (4,)), space, size, model, "autoregressive")
    with pytest.raises(ModelError, match=r"TFActionDistribution is a TensorFlow distribution"):
        Categorical(np.zeros((1, 2), np.float32), None)
