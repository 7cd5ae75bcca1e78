"""What a model of TensorFlow holds beside its variables: weights in NumPy, which are read outside of passes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import tensorflow as tf
from gymnasium.spaces import Box, Discrete, Tuple

from anyspace import PPO
from anyspace.algorithms.on_policy import minibatches
from anyspace.errors import ModelError
from anyspace.models.tf.base import TFModelV2
from anyspace.models.tf.ways import AS_A_GRAPH, EAGERLY
from anyspace.policy.pipeline import Pipeline
from tests.frameworks.conftest import rows
from tests.frameworks.tf_models import Plain

pytestmark = pytest.mark.xdist_group("tensorflow")


class Mixed(TFModelV2):
    """Layers of Keras that compute in one type and keep their weights in one, which may be the same."""

    kind = "mixed_bfloat16"

    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        layers = [tf.keras.layers.Dense(width, dtype=self.kind) for width in (8, num_outputs + 1)]
        self.network = tf.keras.Sequential(layers)

    def forward(self, input_dict, state, seq_lens):
        out = self.network(input_dict["obs_flat"])
        self._value = out[:, -1]
        return out[:, :-1], state

    def value_function(self):
        return self._value


class Half(Mixed):
    kind = "float16"


class Double(Mixed):
    kind = "float64"


@pytest.mark.parametrize("kind", [Mixed, Half, Double])
def test_layers_of_any_precision_learn(kind: type[Mixed]) -> None:
    sizes: dict[str, Any] = {"train_batch_size": 32, "minibatch_size": 32, "num_epochs": 1, "grad_clip": 0.5}
    algorithm = PPO("CartPole-v1", framework="tf", model={"custom_model": kind}, lr=0.1, preset="none", **sizes)
    algorithm.policy.runtime.ways.number = AS_A_GRAPH
    before = algorithm.get_weights()
    algorithm.train()
    after = algorithm.get_weights()
    assert not any(np.array_equal(after[name], value) for name, value in before.items() if name.startswith("model/"))
    algorithm.close()


class Draws(Mixed):
    """Draws where a graph would keep the number."""

    kind = "float32"

    def forward(self, input_dict, state, seq_lens):
        out, state = super().forward(input_dict, state, seq_lens)
        return out + np.float32(np.random.normal()), state


class CountsInList(Mixed):
    """Counts where a graph would not."""

    kind = "float32"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.calls = [0]

    def forward(self, input_dict, state, seq_lens):
        self.calls[0] += 1
        return super().forward(input_dict, state, seq_lens)


class MakesLayers(Mixed):
    """Makes a layer in every pass, whose first weights are random."""

    kind = "float32"

    def forward(self, input_dict, state, seq_lens):
        out, state = super().forward(input_dict, state, seq_lens)
        return tf.keras.layers.Dense(2)(out), state


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (MakesLayers, "MakesLayers makes a variable in every pass, .* make variables and layers in the constructor"),
        (Draws, r"forward\(\) draws from np\.random, .*: draw by tf\.random\."),
        (CountsInList, r"CountsInList\.calls changes with every forward\(\), .* in a tf\.Variable\(0"),
    ],
)
def test_what_python_would_do_once_is_refused(kind: type[Mixed], expected: str) -> None:
    with pytest.raises(ModelError, match=expected):
        PPO("CartPole-v1", framework="tf", model={"custom_model": kind}, preset="none", train_batch_size=32).train()


class Pairs(gym.Env[Any, Any]):
    """Wants two choices, which depend on each other."""

    observation_space = Box(-1, 1, (3,))
    action_space = Tuple((Discrete(3), Discrete(3)))

    def reset(self, **options: Any) -> Any:
        super().reset(**options)
        return np.ones(3, np.float32), {}

    def step(self, action: Any) -> Any:
        return np.ones(3, np.float32), 1.0, True, False, {}


class Features(Plain):
    """A user's model, which NumPy does not run, beneath the network of dependent parts, which it runs."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        super().__init__(obs_space, action_space, 8, model_config, name)
        self.num_outputs = 8


def variables(pipeline: Pipeline) -> dict[str, Any]:
    found = pipeline.runtime.parameters(pipeline.model)
    return {name: value for name, value in found.items() if name.startswith("action_network")}


def test_weights_that_numpy_reads_are_those_of_now() -> None:
    model = {"custom_model": Features, "fcnet_hiddens": [8], "autoregressive_actions": True}
    algorithm = PPO(Pairs, framework="tf", model=model, train_batch_size=8, minibatch_size=8, lr=0.1, preset="none")
    policy, learner = algorithm.policy, algorithm.learner
    policy.runtime.ways.number = EAGERLY
    target = policy.sibling()
    assert not policy.model.runs_in_numpy
    # Of a checkpoint, and of another process.
    policy.load_weights({name: value + np.ones_like(value) for name, value in policy.weights().items()})
    for pipeline in (policy, target):
        np.testing.assert_equal(pipeline.model.weights, variables(pipeline))
    # A step, which a target follows, and one that it does not.
    steps = minibatches(policy, rows(algorithm), 8, 1)
    for followed in (1.0, 0.0):
        learner.steps(replace(steps, tau=np.full(len(steps.order), followed)))
        np.testing.assert_equal(target.model.weights, variables(target))
        learnt = policy.model.weights["action_network.bias"]
        np.testing.assert_equal(policy.model.weights, variables(policy))
        assert (target.model.weights["action_network.bias"] == learnt).all() == (followed == 1)
    learner.follow(target, 1.0)
    np.testing.assert_equal(target.model.weights, variables(policy))
    # In a pass on tensors they are its own, and NumPy's again afterwards.
    with policy.model.bound():
        assert not isinstance(policy.model.weights["action_network.bias"], np.ndarray)
    np.testing.assert_equal(policy.model.weights, variables(policy))
    algorithm.close()
