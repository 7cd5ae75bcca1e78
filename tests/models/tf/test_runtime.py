"""Where draws outside of passes on tensors come from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from gymnasium.spaces import Box

from anyspace.config import merge
from anyspace.distributions import ActionDistribution
from anyspace.models.tf.runtime import TFRuntime
from anyspace.policy.config import PolicyConfig
from anyspace.policy.policy import Policy

pytestmark = pytest.mark.xdist_group("tensorflow")


class Gaussian(ActionDistribution):
    """Functions of TensorFlow alone, as its users write them."""

    def __init__(self, inputs: Any, model: Any) -> None:
        super().__init__(inputs, model)
        self.mean, self.log_std = tf.split(inputs, 2, -1)

    @staticmethod
    def required_model_output_shape(action_space: Any, model_config: Any) -> int:
        return 2 * int(action_space.shape[0])

    def sample(self, rng: Any = None) -> Any:
        noise = tf.random.stateless_normal(tf.shape(self.mean), seed=rng)
        self.last_sample = self.mean + tf.exp(self.log_std) * noise
        return self.last_sample

    def deterministic_sample(self) -> Any:
        return self.mean

    def logp(self, actions: Any) -> Any:
        return tf.reduce_sum(-0.5 * ((actions - self.mean) / tf.exp(self.log_std)) ** 2 - self.log_std - 0.919, -1)

    def entropy(self) -> Any:
        return tf.reduce_sum(self.log_std + 1.419, -1)


@pytest.mark.parametrize("exploration", [{}, {"type": "StochasticSampling", "random_timesteps": 1000}])
def test_a_distribution_in_functions_of_tensorflow_gets_seeds(exploration: dict[str, Any]) -> None:
    keys: dict[str, Any] = {"exploration_config": exploration} if exploration else {}
    config = merge(PolicyConfig(), {"model": {"custom_action_dist": Gaussian, "fcnet_hiddens": [4]}, **keys})
    policy = Policy(Box(-1, 1, (3,)), Box(-1, 1, (2,)), config, TFRuntime("cpu"))
    drawn = [policy.compute_actions(np.zeros((4, 3), np.float32), explore=True) for _ in range(3)]
    assert len(np.unique(drawn)) > 12
    assert all(isinstance(one, np.ndarray) for one in drawn)


def test_draws_of_built_in_distributions_are_those_of_numpy() -> None:
    runtime = TFRuntime("cpu")
    assert runtime.rng("acting", np.zeros(2)) is runtime.rng("acting") is runtime.generators["acting"]
    one, other = (runtime.rng("acting", tf.zeros(2)) for _ in range(2))
    assert not np.array_equal(one, other)
