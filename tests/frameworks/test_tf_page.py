"""The TensorFlow blocks of RLlib's page on models, preprocessors and distributions, with only the changes of a port.

``import ray`` and ``ray.init()`` are left out, ``ray.rllib`` is ``anyspace.rllib``, ``...`` is filled in with the least
that runs, and what a block does not import is imported here. Where the page points to a file, a model of the same kind
stands here.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Tuple

from anyspace.errors import ModelError
from anyspace.models import action_dists, catalog
from anyspace.rllib.algorithms import ppo
from anyspace.rllib.models import ActionDistribution, ModelCatalog
from anyspace.rllib.models.modelv2 import restore_original_dimensions
from anyspace.rllib.models.tf.fcnet import FullyConnectedNetwork
from anyspace.rllib.models.tf.misc import normc_initializer
from anyspace.rllib.models.tf.recurrent_net import RecurrentNetwork
from anyspace.rllib.models.tf.tf_action_dist import Categorical
from anyspace.rllib.models.tf.tf_modelv2 import TFModelV2
from anyspace.rllib.models.tf.visionnet import VisionNetwork
from anyspace.rllib.offline.json_reader import JsonReader
from anyspace.rllib.offline.json_writer import JsonWriter
from anyspace.rllib.policy.sample_batch import SampleBatch
from anyspace.rllib.policy.view_requirement import ViewRequirement
from anyspace.rllib.utils.framework import try_import_tf
from tests.rllib_files.fully_connected import KerasDenseModel, KerasWrapper

tf1, tf, tfv = try_import_tf()

pytestmark = pytest.mark.xdist_group("tensorflow")

SMALL: dict[str, Any] = {
    "framework": "tf",
    "num_envs_per_env_runner": 2,
    "train_batch_size": 32,
    "minibatch_size": 16,
    "num_epochs": 1,
    "seed": 0,
}
AS_A_GRAPH, EAGERLY = 1, 2


@pytest.fixture(autouse=True)
def registries(monkeypatch):
    """Let every test register names of its own."""
    monkeypatch.setattr(catalog, "_custom_models", {})
    monkeypatch.setattr(action_dists, "_registered", {})


def trained(env: Any, way: int = EAGERLY, **settings: Any) -> Any:
    """Train a little, eagerly or as a graph, and return PPO: XLA takes what a graph takes, but for calls of Python."""
    with closing(ppo.PPO(env=env, config={**SMALL, **settings})) as algo:
        algo.policy.runtime.ways.number = way
        before = algo.policy.runtime.parameters(algo.policy.model)
        result = algo.train()
        assert np.isfinite(result["learner"]["total_loss"])
        assert algo.policy.runtime.ways.number == way
        after = algo.policy.runtime.parameters(algo.policy.model)
        assert any((after[name] != before[name]).any() for name in before)
        return algo


# --------------------------------------------------------------------------------------- custom models


def test_a_custom_tensorflow_model():
    import anyspace.rllib.algorithms.ppo as ppo
    from anyspace.rllib.models import ModelCatalog
    from anyspace.rllib.models.tf.tf_modelv2 import TFModelV2

    class MyModelClass(TFModelV2):
        def __init__(self, obs_space, action_space, num_outputs, model_config, name):
            super().__init__(obs_space, action_space, num_outputs, model_config, name)
            self.hidden = tf.keras.layers.Dense(8, activation="tanh")
            self.heads = tf.keras.layers.Dense(num_outputs + 1)

        def forward(self, input_dict, state, seq_lens):
            out = self.heads(self.hidden(input_dict["obs"]))
            self._value = out[:, -1]
            return out[:, :-1], state

        def value_function(self):
            return self._value

    ModelCatalog.register_custom_model("my_tf_model", MyModelClass)
    settings = {
        "model": {
            "custom_model": "my_tf_model",
            # Extra kwargs to be passed to your model's c'tor.
            "custom_model_config": {},
        },
    }
    assert type(trained("CartPole-v1", **settings).policy.model) is MyModelClass
    with pytest.raises(ModelError, match=r"MyModelClass is no model of framework 'torch'.* TorchModelV2"):
        ppo.PPO(env="CartPole-v1", config=settings)


@pytest.mark.parametrize("model", [KerasDenseModel, KerasWrapper])
def test_models_of_a_file_that_has_both_frameworks(model):
    algo = trained("CartPole-v1", model={"custom_model": model, "fcnet_hiddens": [16]})
    assert algo.policy.model.base_model.count_params() > 0


class TwoPictures(gym.Env):
    """Shows a little picture and a vector."""

    observation_space = Dict({"image": Box(0, 1, (8, 8, 1)), "vector": Box(-1, 1, (3,)), "choice": Discrete(3)})
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.t += 1
        return self.observation_space.sample(), 1.0, False, self.t == 8, {}


class ComplexModel(TFModelV2):
    """A picture through convolutions, the rest beside it, as ``complex_input_net.py`` does it."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        parts = obs_space.original_space
        config = {**model_config, "conv_filters": [[4, [4, 4], 4], [8, [2, 2], 1]]}
        self.cnn = VisionNetwork(parts["image"], action_space, None, config, "cnn")
        self.flatten = FullyConnectedNetwork(Box(-1, 1, (3,)), action_space, None, model_config, "vector")
        width = self.cnn.num_outputs + self.flatten.num_outputs + 3
        concat = tf.keras.layers.Input((width,))
        self.heads = tf.keras.models.Model(
            concat, [tf.keras.layers.Dense(num_outputs)(concat), tf.keras.layers.Dense(1)(concat)]
        )

    def forward(self, input_dict, state, seq_lens):
        obs = restore_original_dimensions(input_dict["obs_flat"], self.obs_space, "tf")
        outs = [
            self.cnn({"obs": obs["image"]})[0],
            self.flatten({"obs": obs["vector"]})[0],
            obs["choice"],
        ]
        logits, values = self.heads(tf.concat(outs, axis=1))
        self._value_out = tf.reshape(values, [-1])
        return logits, []

    def value_function(self):
        return self._value_out


def test_a_model_of_an_observation_of_several_parts():
    trained(TwoPictures, AS_A_GRAPH, model={"custom_model": ComplexModel, "fcnet_hiddens": [8]})


class LastThree(TFModelV2):
    """Sees the last three observations, as ``trajectory_view_utilizing_models.py`` does."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name, num_frames=3):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.num_frames = num_frames
        obs = tf.keras.layers.Input(shape=(self.num_frames, obs_space.shape[0]))
        obs_reshaped = tf.keras.layers.Reshape([obs_space.shape[0] * self.num_frames])(obs)
        rewards = tf.keras.layers.Input(shape=self.num_frames)
        rewards_reshaped = tf.keras.layers.Reshape([self.num_frames])(rewards)
        actions = tf.keras.layers.Input(shape=(self.num_frames, self.action_space.n))
        actions_reshaped = tf.keras.layers.Reshape([action_space.n * self.num_frames])(actions)
        input_ = tf.keras.layers.Concatenate(axis=-1)([obs_reshaped, actions_reshaped, rewards_reshaped])
        layer1 = tf.keras.layers.Dense(16, activation=tf.nn.relu)(input_)
        out = tf.keras.layers.Dense(self.num_outputs)(layer1)
        values = tf.keras.layers.Dense(1)(layer1)
        self.base_model = tf.keras.models.Model([obs, actions, rewards], [out, values])
        self.view_requirements["prev_n_obs"] = ViewRequirement(
            data_col="obs", shift="-{}:0".format(num_frames - 1), space=obs_space
        )
        self.view_requirements["prev_n_rewards"] = ViewRequirement(
            data_col="rewards", shift="-{}:-1".format(self.num_frames)
        )
        self.view_requirements["prev_n_actions"] = ViewRequirement(
            data_col="actions", shift="-{}:-1".format(self.num_frames), space=self.action_space
        )

    def forward(self, input_dict, states, seq_lens):
        obs = tf.cast(input_dict["prev_n_obs"], tf.float32)
        rewards = tf.cast(input_dict["prev_n_rewards"], tf.float32)
        actions = tf.one_hot(tf.cast(input_dict["prev_n_actions"], tf.int32), int(self.action_space.n))
        out, self._last_value = self.base_model([obs, actions, rewards])
        return out, []

    def value_function(self):
        return tf.squeeze(self._last_value, -1)


def test_a_model_of_the_last_three_observations():
    trained("CartPole-v1", model={"custom_model": LastThree})


class RNNModel(RecurrentNetwork):
    """An LSTM of Keras, as ``rnn_model.py`` has it."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name, hiddens_size=8, cell_size=8):
        super(RNNModel, self).__init__(obs_space, action_space, num_outputs, model_config, name)
        self.cell_size = cell_size

        # Define input layers
        input_layer = tf.keras.layers.Input(shape=(None, obs_space.shape[0]), name="inputs")
        state_in_h = tf.keras.layers.Input(shape=(cell_size,), name="h")
        state_in_c = tf.keras.layers.Input(shape=(cell_size,), name="c")
        seq_in = tf.keras.layers.Input(shape=(), name="seq_in", dtype=tf.int32)

        # Preprocess observation with a hidden layer and send to LSTM cell
        dense1 = tf.keras.layers.Dense(hiddens_size, activation=tf.nn.relu, name="dense1")(input_layer)
        lstm_out, state_h, state_c = tf.keras.layers.LSTM(
            cell_size, return_sequences=True, return_state=True, name="lstm"
        )(
            inputs=dense1,
            mask=tf.sequence_mask(seq_in),
            initial_state=[state_in_h, state_in_c],
        )

        # Postprocess LSTM output with another hidden layer and compute values
        logits = tf.keras.layers.Dense(self.num_outputs, activation=tf.keras.activations.linear, name="logits")(
            lstm_out
        )
        values = tf.keras.layers.Dense(1, activation=None, name="values")(lstm_out)

        # Create the RNN model
        self.rnn_model = tf.keras.Model(
            inputs=[input_layer, seq_in, state_in_h, state_in_c], outputs=[logits, values, state_h, state_c]
        )

    def forward_rnn(self, inputs, state, seq_lens):
        model_out, self._value_out, h, c = self.rnn_model([inputs, seq_lens] + state)
        return model_out, [h, c]

    def get_initial_state(self):
        return [np.zeros(self.cell_size, np.float32), np.zeros(self.cell_size, np.float32)]

    def value_function(self):
        return tf.reshape(self._value_out, [-1])


def test_a_custom_recurrent_network():
    algo = trained("CartPole-v1", AS_A_GRAPH, model={"custom_model": RNNModel, "max_seq_len": 5})
    action, _ = algo.compute_single_action(np.zeros(4, np.float32))
    assert action in (0, 1)


class BatchNormModel(TFModelV2):
    """Batch normalisation as the page spells it: by functions of TensorFlow 1, which make layers in ``forward``."""

    def forward(self, input_dict, state, seq_lens):
        last_layer = input_dict["obs"]
        hiddens = [16, 16]
        for i, size in enumerate(hiddens):
            label = "fc{}".format(i)
            last_layer = tf1.layers.dense(
                inputs=last_layer,
                units=size,
                kernel_initializer=normc_initializer(1.0),
                activation=tf.nn.tanh,
                name=label,
            )
            # Add a batch norm layer
            last_layer = tf.layers.batch_normalization(last_layer, training=input_dict["is_training"])
        output = tf1.layers.dense(
            inputs=last_layer,
            units=self.num_outputs,
            kernel_initializer=normc_initializer(0.01),
            activation=None,
            name="out",
        )
        self._value_out = tf1.layers.dense(
            inputs=last_layer, units=1, kernel_initializer=normc_initializer(1.0), activation=None, name="vf"
        )
        return output, []

    def value_function(self):
        return tf.reshape(self._value_out, [-1])


def test_batch_normalisation():
    algo = trained("CartPole-v1", AS_A_GRAPH, model={"custom_model": BatchNormModel})
    model = algo.policy.model
    assert algo.policy.runtime.has_batch_statistics(model)
    names = [*algo.policy.runtime.parameters(model)]
    assert names[:6] == [*(f"tf1/fc0/{i}" for i in range(2)), *(f"tf1/batch_normalization/{i}" for i in range(4))]
    moving = model.variables(as_dict=True)["tf1/batch_normalization/2"]
    assert (moving.numpy() != 0).any(), "the statistics are updated by training"


# ------------------------------------------------------------------------------------------ interfaces


class DuelingQModel(TFModelV2):
    """Adds a dueling head to whatever model there is."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        # num_outputs=None: no output layer, so that `self.num_outputs` is the width of the last layer.
        super(DuelingQModel, self).__init__(obs_space, action_space, None, model_config, name)
        # Build Q-values layer(s).
        underlying = tf.keras.layers.Input(shape=(self.num_outputs,))
        advantages = tf.keras.layers.Dense(action_space.n)(underlying)
        state_value = tf.keras.layers.Dense(1)(underlying)
        q_values = state_value + (advantages - tf.reduce_mean(advantages, axis=1, keepdims=True))
        self.q_value_head = tf.keras.Model(underlying, q_values)

    def get_q_values(self, underlying_output):
        return self.q_value_head(underlying_output)


class ContActionQModel(TFModelV2):
    """Adds the value of one given action."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        super(ContActionQModel, self).__init__(obs_space, action_space, None, model_config, name)
        self.q_head_input_space = Box(-1.0, 1.0, shape=(self.num_outputs + action_space.shape[0],))
        self.q_head = FullyConnectedNetwork(self.q_head_input_space, action_space, 1, model_config, "q_head")

    def get_single_q_value(self, underlying_output, action):
        input_ = tf.concat([underlying_output, action], axis=-1)
        q_value, _ = self.q_head({"obs": input_})
        return q_value


def test_interfaces_on_default_models():
    obs_space = Box(-1.0, 1.0, (3,))
    input_dict = {"obs": np.array([obs_space.sample()])}
    my_dueling_model = ModelCatalog.get_model_v2(
        obs_space=obs_space,
        action_space=Discrete(3),
        num_outputs=3,
        model_config={"fcnet_hiddens": [8]},
        framework="tf",
        model_interface=DuelingQModel,
        name="dueling_q_model",
    )
    underlying, _ = my_dueling_model([input_dict])
    assert underlying.shape == (1, 8)
    assert my_dueling_model.get_q_values(underlying).shape == (1, 3)
    assert {"encoder.0.weight", "q_value_head/0"} <= {*my_dueling_model.variables(as_dict=True)}
    my_cont_action_q_model = ModelCatalog.get_model_v2(
        obs_space=obs_space,
        action_space=Box(-1.0, -1.0, (2,)),
        num_outputs=2,
        model_config={"fcnet_hiddens": [8]},
        framework="tf",
        model_interface=ContActionQModel,
        name="cont_action_q_model",
    )
    out, _ = my_cont_action_q_model([input_dict])
    assert my_cont_action_q_model.get_single_q_value(out, np.zeros((1, 2), np.float32)).shape == (1, 1)


# -------------------------------------------------------------------------------------- distributions


def test_a_custom_action_distribution():
    class MyActionDist(ActionDistribution):
        @staticmethod
        def required_model_output_shape(action_space, model_config):
            return 7  # controls model output feature vector size

        def __init__(self, inputs, model):
            super(MyActionDist, self).__init__(inputs, model)
            assert model.num_outputs == 7
            self.choice = Categorical(inputs[:, :2], model)

        def sample(self):
            return self.choice.sample()

        def deterministic_sample(self):
            return self.choice.deterministic_sample()

        def logp(self, actions):
            return self.choice.logp(actions)

        def entropy(self):
            return self.choice.entropy()

    ModelCatalog.register_custom_action_dist("my_dist", MyActionDist)
    trained("CartPole-v1", kl_coeff=0.0, model={"custom_action_dist": "my_dist", "fcnet_hiddens": [8]})


# ------------------------------------------------------------------------------------------- losses


class CustomLossModel(TFModelV2):
    """Imitates recorded steps beside what it learns by itself."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name, input_files=None, is_built=True):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.fcnet = FullyConnectedNetwork(self.obs_space, self.action_space, num_outputs, model_config, name="fcnet")
        self.reader = JsonReader(input_files)
        self.predictor = tf.keras.layers.Dense(4)
        if is_built:
            self.predictor.build((None, 2))

    def forward(self, input_dict, state, seq_lens):
        return self.fcnet(input_dict, state, seq_lens)

    def value_function(self):
        return self.fcnet.value_function()

    def custom_loss(self, policy_loss, loss_inputs):
        # Read from the offline data.
        batch = self.reader.next()
        logits, _ = self.fcnet({"obs": tf.cast(batch["obs"], tf.float32)}, [], None)
        # Compute the IL loss.
        action_dist = Categorical(logits, self.model_config)
        self.policy_loss = policy_loss
        self.imitation_loss = tf.reduce_mean(-action_dist.logp(batch["actions"]))
        self.first_obs = tf.cast(batch["obs"][0, 0], tf.float32)
        self.prediction_loss = tf.reduce_mean(tf.square(self.predictor(logits) - loss_inputs["obs"][0]))
        assert loss_inputs["is_training"]
        return policy_loss + (10 * self.imitation_loss + self.prediction_loss)

    def metrics(self):
        return {
            "policy_loss": self.policy_loss[0],
            "imitation_loss": self.imitation_loss,
            "first_obs": self.first_obs,
        }


def test_a_reader_gives_a_new_batch_at_every_step(tmp_path, caplog):
    writer = JsonWriter(str(tmp_path))
    for number in range(12):
        obs = np.full((4, 4), number / 10, np.float32)
        writer.write(SampleBatch({"obs": obs, "actions": np.array([0, 1, 0, 1]), "rewards": np.ones(4)}))
    model = {"custom_model": CustomLossModel, "custom_model_config": {"input_files": str(tmp_path)}}
    settings = {**SMALL, "num_epochs": 4, "model": {**model, "fcnet_hiddens": [8]}}
    with closing(ppo.PPO(env="CartPole-v1", config=settings)) as algo:
        seen = [algo.train()["learner"]["model"]["first_obs"] for _ in range(4)]
        assert len(set(seen)) >= 3
    said = [record.getMessage() for record in caplog.records if "slower" in record.getMessage()]
    assert len(said) == 1
    model["custom_model_config"]["is_built"] = False
    untold = r"CustomLossModel.predictor .* by self.predictor.build\(\(None, 2\)\)"
    with closing(ppo.PPO(env="CartPole-v1", config=settings)) as algo, pytest.raises(ModelError, match=untold):
        algo.train()


# ----------------------------------------------------------------------------------- parametric actions

action_embedding_sz = 2


class MyParamActionEnv(gym.Env):
    def __init__(self, max_avail_actions=4):
        self.action_space = Discrete(max_avail_actions)
        self.observation_space = Dict(
            {
                "action_mask": Box(0, 1, shape=(max_avail_actions,)),
                "avail_actions": Box(-1, 1, shape=(max_avail_actions, action_embedding_sz)),
                "cart": Box(-1, 1, shape=(3,)),
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

    def value_function(self):
        return self.action_embed_model.value_function()


def test_parametric_actions():
    # The environment raises where the mask is not respected.
    model = {"custom_model": ParametricActionsModel, "custom_model_config": {"true_obs_shape": (3,)}}
    trained(MyParamActionEnv, AS_A_GRAPH, model={**model, "fcnet_hiddens": [8], "vf_share_layers": True})


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
        return TupleActions([a1, a2])

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

        # Left out on the page: the value, and forward().
        self.value_layer = tf.keras.layers.Dense(1)
        self.value_layer.build((None, num_outputs))
        self.register_variables(self.value_layer.variables)

    def forward(self, input_dict, state, seq_lens):
        self._context = self.base_model(input_dict["obs"])
        return self._context, state

    def value_function(self):
        return self.value_layer(self._context)[:, 0]


def TupleActions(parts):
    """Stands for a class that RLlib itself no longer has."""
    return tuple(parts)


class Pairs(gym.Env):
    """Pays where both parts of an action are equal."""

    observation_space = Box(-1, 1, (4,))
    action_space = Tuple([Discrete(2), Discrete(2)])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(4, np.float32), {}

    def step(self, action):
        self.t += 1
        return np.full(4, self.t / 8, np.float32), float(action[0] == action[1]), False, self.t == 8, {}


class WithEntropyAndValue(BinaryAutoregressiveOutput):
    """What PPO asks for beside what the page shows."""

    def entropy(self):
        a1_dist = self._a1_distribution()
        return a1_dist.entropy() + self._a2_distribution(a1_dist.sample()).entropy()

    def deterministic_sample(self):
        a1 = self._a1_distribution().deterministic_sample()
        return TupleActions([a1, self._a2_distribution(a1).deterministic_sample()])


def test_autoregressive_actions():
    ModelCatalog.register_custom_action_dist("binary", WithEntropyAndValue)
    ModelCatalog.register_custom_model("autoregressive", AutoregressiveActionsModel)
    model = {"custom_model": "autoregressive", "custom_action_dist": "binary"}
    algo = trained(Pairs, AS_A_GRAPH, kl_coeff=0.0, model=model)
    names = {*algo.policy.model.trainable_variables(as_dict=True)}
    assert {"base_model/0", "base_model/1"} | {f"action_model/{i}" for i in range(6)} == {
        name for name in names if not name.startswith("value")
    }
