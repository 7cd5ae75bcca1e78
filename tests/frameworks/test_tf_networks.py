"""Built-in networks on TensorFlow: equal to PyTorch's with the same weights, compiled with memories and pictures."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete

from anyspace import DQN, PPO
from anyspace.algorithms.on_policy import gae, training_rows
from anyspace.models.tf.ways import AS_A_GRAPH
from tests.frameworks.conftest import REPLAYED, Build
from tests.support.environments import Samples

pytestmark = pytest.mark.xdist_group("tensorflow")

SMALL = {"fcnet_hiddens": [8]}
ATTENTION = {
    "use_attention": True,
    "max_seq_len": 4,
    "attention_dim": 8,
    "attention_head_dim": 4,
    "attention_num_heads": 1,
    "attention_num_transformer_units": 1,
    "attention_memory_inference": 4,
    "attention_memory_training": 4,
}
# The tests of the learner compare dense networks and LSTMs.
MODELS = {
    "gru": {"use_gru": True, "max_seq_len": 4, "lstm_cell_size": 8, "lstm_use_prev_action": True},
    "gtrxl": ATTENTION,
}


@pytest.mark.parametrize("name", [pytest.param("gru", marks=pytest.mark.fuzz), "gtrxl"])
def test_networks_equal_pytorchs_and_learn_in_one_loop(build: Build, name: str) -> None:
    model = {**SMALL, **MODELS[name]}
    theirs, ours = (
        build(framework=framework, model=model, observation_filter="NoFilter", lr=1e-3) for framework in ("torch", "tf")
    )
    ours.policy.load_weights(theirs.policy.weights())
    trajectory = theirs.fleet.gather(64)
    found = [training_rows(one.policy, trajectory, gae(gamma=0.99, lambda_=0.95)) for one in (theirs, ours)]
    for column in ("action_dist_inputs", "vf_preds"):
        np.testing.assert_allclose(*(np.asarray(batch[column]) for batch in found), atol=1e-5, err_msg=column)
    # A graph takes what XLA takes, and is made quicker; dense networks go by XLA in the tests of the learner.
    ours.policy.runtime.ways.number = AS_A_GRAPH
    results = [one.learner.steps(next(one.updates(one.policy, trajectory))) for one in (theirs, ours)]
    assert results[1].metrics["ratio_error"][0] <= 1e-5
    assert ours.policy.runtime.ways.number == AS_A_GRAPH
    assert ours.learner.compilations == 1


PICTURES = Dict({"image": Box(0, 255, (8, 8, 3), np.uint8), "speed": Box(-1, 1, (2,)), "gear": Discrete(3)})


def test_pictures_and_vectors(build: Build) -> None:
    model = {"conv_filters": [[4, [4, 4], 4], [8, [2, 2], 1]], "fcnet_hiddens": [8], "post_fcnet_hiddens": [8]}
    theirs, ours = (
        build(lambda: Samples(PICTURES, Discrete(2)), framework=framework, model=model, observation_filter="NoFilter")
        for framework in ("torch", "tf")
    )
    ours.policy.load_weights(theirs.policy.weights())
    trajectory = theirs.fleet.gather(64)
    found = [training_rows(one.policy, trajectory, gae(gamma=0.99, lambda_=0.95)) for one in (theirs, ours)]
    for column in ("action_dist_inputs", "vf_preds"):
        np.testing.assert_allclose(*(np.asarray(batch[column]) for batch in found), atol=1e-5, err_msg=column)
    assert np.isfinite(ours.train()["learner"]["total_loss"])


@pytest.mark.fuzz
def test_distributions_of_returns_and_noisy_layers_run_in_a_graph(build: Build) -> None:
    rainbow = {"num_atoms": 5, "v_min": 0.0, "v_max": 2.0, "noisy": True, "hiddens": [8]}
    require_a_graph(build, DQN, MultiDiscrete([2, 3]), **REPLAYED, **rainbow)


def test_beta_distributions_run_in_a_graph(build: Build) -> None:
    settings = {"train_batch_size": 32, "minibatch_size": 32, "num_epochs": 1}
    require_a_graph(build, PPO, Box(0, 1, (2,)), model={"custom_action_dist": "Beta"}, **settings)


def require_a_graph(build: Build, kind: type, actions: Any, model: Any = None, **settings: Any) -> None:
    """Train for an iteration, in a graph."""
    algorithm = build(
        lambda: Samples(Box(-1, 1, (3,)), actions),
        kind,
        framework="tf",
        model={"fcnet_hiddens": [8], **(model or {})},
        observation_filter="NoFilter",
        **settings,
    )
    algorithm.policy.runtime.ways.number = AS_A_GRAPH
    before = algorithm.policy.runtime.parameters(algorithm.policy.model)
    algorithm.train()
    after = algorithm.policy.runtime.parameters(algorithm.policy.model)
    assert algorithm.policy.runtime.ways.number == AS_A_GRAPH
    assert algorithm.learner.is_finite()
    assert any((after[key] != before[key]).any() for key in before)


def test_importing_anyspace_loads_neither_tensorflow_nor_keras() -> None:
    script = (
        "import sys, anyspace, anyspace.models, anyspace.rllib.utils.framework as f; f.try_import_tf();"
        "import os, anyspace.models.tf;"
        "assert not {'tensorflow', 'keras', 'jax'} & sys.modules.keys();"
        "print(os.environ['TF_CPP_MIN_LOG_LEVEL'], os.environ['TF_ENABLE_ONEDNN_OPTS'])"
    )
    plain = {key: value for key, value in os.environ.items() if not key.startswith("TF_")}
    said = subprocess.run([sys.executable, "-c", script], check=True, env=plain, capture_output=True, text=True)
    # It says nothing of itself, and sums in the order of other frameworks.
    assert said.stdout.split() == ["3", "0"]


@pytest.mark.skipif(find_spec("tf_keras") is None, reason="tf_keras is not installed")
def test_files_for_keras_2_run_on_it(tmp_path: Path) -> None:
    script = """
from anyspace.rllib.algorithms.ppo import PPO
from anyspace.rllib.models.tf.tf_modelv2 import TFModelV2
from anyspace.rllib.utils.framework import try_import_tf
tf1, tf, tfv = try_import_tf()


class Old(TFModelV2):
    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        inputs = tf.keras.layers.Input(shape=obs_space.shape)
        hidden = tf.keras.layers.Dense(8, activation=tf.nn.tanh)(inputs)
        hidden = tf.nn.relu(hidden) - tf.reduce_mean(hidden, axis=1, keepdims=True)
        self.base_model = tf.keras.Model(
            inputs, [tf.keras.layers.Dense(num_outputs)(hidden), tf.keras.layers.Dense(1)(hidden)]
        )

    def forward(self, input_dict, state, seq_lens):
        out, self._value_out = self.base_model(input_dict["obs"])
        return out, state

    def value_function(self):
        return tf.reshape(self._value_out, [-1])


assert not hasattr(tf.keras, "Operation"), "this is Keras 3"
settings = {"framework": "tf", "train_batch_size": 32, "minibatch_size": 16, "num_epochs": 1}
algo = PPO("CartPole-v1", {**settings, "model": {"custom_model": Old}})
algo.train()
assert algo.policy.runtime.ways.number == 0
assert [*algo.policy.model.trainable_variables(as_dict=True)][0] == "base_model/0"
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)


@pytest.mark.skipif(find_spec("tf_keras") is None, reason="tf_keras is not installed")
def test_what_keras_2_makes_late_or_is_asked_of_arrays(tmp_path: Path) -> None:
    script = """
import numpy as np
from anyspace.rllib.algorithms.ppo import PPO
from anyspace.rllib.algorithms.sac import SAC
from anyspace.rllib.agents.sac.sac_tf_model import SACTFModel
from anyspace.rllib.models.tf.fcnet import FullyConnectedNetwork
from anyspace.rllib.models.tf.recurrent_net import RecurrentNetwork
from anyspace.rllib.utils.framework import try_import_tf
tf1, tf, tfv = try_import_tf()


class Late(RecurrentNetwork):
    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        steps = tf.keras.layers.Input(shape=(None, 4))
        memory, lens = tf.keras.layers.Input(shape=(8,)), tf.keras.layers.Input(shape=(), dtype=tf.int32)
        out, new = tf.keras.layers.GRU(8, return_sequences=True, return_state=True)(
            steps, mask=tf.sequence_mask(lens), initial_state=memory
        )
        self.rnn = tf.keras.Model([steps, lens, memory], [out, new])
        self.heads = tf.keras.Sequential([tf.keras.layers.Dense(num_outputs + 1)])  # weights are made when it is called

    def forward_rnn(self, inputs, state, seq_lens):
        out, new = self.rnn([inputs, seq_lens, state[0]])
        out = self.heads(out)
        self._value = out[:, :, -1]
        return out[:, :, :-1], [new]

    def get_initial_state(self):
        return [np.zeros(8, np.float32)]

    def value_function(self):
        return tf.reshape(self._value, [-1])


class Own(SACTFModel):
    def build_policy_model(self, obs_space, num_outputs, policy_model_config, name):
        return FullyConnectedNetwork(obs_space, self.action_space, num_outputs, policy_model_config, name)


assert not hasattr(tf.keras, "Operation"), "this is Keras 3"
settings = {"framework": "tf", "train_batch_size": 32, "minibatch_size": 16, "num_epochs": 1}
algo = PPO("CartPole-v1", {**settings, "model": {"custom_model": Late, "max_seq_len": 5}})
before = algo.policy.runtime.parameters(algo.policy.model)
algo.train()
after = algo.policy.runtime.parameters(algo.policy.model)
assert {name.partition("/")[0] for name in after} == {"rnn", "heads"}
assert all((after[name] != before[name]).any() for name in after)
settings = {"framework": "tf", "train_batch_size": 8, "num_steps_sampled_before_learning_starts": 8}
SAC("Pendulum-v1", {**settings, "min_sample_timesteps_per_iteration": 12, "model": {"custom_model": Own}}).train()
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
