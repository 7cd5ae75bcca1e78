"""What a model of TensorFlow holds beside its variables: weights in NumPy, which are read outside of passes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, Tuple

from anyspace import PPO
from anyspace.algorithms.on_policy import minibatches
from anyspace.models.tf.ways import EAGERLY
from anyspace.policy.pipeline import Pipeline
from tests.frameworks.conftest import rows
from tests.frameworks.tf_models import Plain

pytestmark = pytest.mark.xdist_group("tensorflow")


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
