"""TensorFlow's global source: what draws from it, and what it costs to start it anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from gymnasium.spaces import Box

from anyspace.config import merge
from anyspace.distributions import ActionDistribution
from anyspace.execution import backends
from anyspace.models.tf.base import TFModelV2
from anyspace.models.tf.ways import AS_A_GRAPH, EAGERLY
from anyspace.policy.config import PolicyConfig
from anyspace.policy.policy import Policy
from tests.frameworks import tf_models as models
from tests.frameworks.conftest import Build

pytestmark = pytest.mark.xdist_group("tensorflow")

SPACE = Box(-1, 1, (2,))


class Noisy(TFModelV2):
    """Adds noise of the global source to what it gives."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.kernel = tf.Variable(np.zeros((2, num_outputs), np.float32))

    def forward(self, input_dict, state, seq_lens):
        out = input_dict["obs"] @ self.kernel
        return out + tf.random.normal(tf.shape(out)), state


class Asking(Noisy):
    """Takes a branch on the numbers of a tensor, which no graph does."""

    def forward(self, input_dict, state, seq_lens):
        out, state = super().forward(input_dict, state, seq_lens)
        return (out if tf.reduce_sum(out) > 0 else out * 2), state


class Drawing(ActionDistribution):
    """Draws from the global source, as distributions of old files do."""

    @staticmethod
    def required_model_output_shape(action_space, model_config):
        return 2

    def sample(self):
        return tf.random.uniform((len(self.inputs), 2), -1, 1)

    def deterministic_sample(self):
        return tf.zeros((len(self.inputs), 2))

    def logp(self, actions):
        return tf.zeros(len(self.inputs))


def drawn(model: dict[str, Any], explore: bool, way: int, others: int) -> list[Any]:
    """Return actions of two steps in each of two contexts, of a policy whose only randomness is the global source.

    Others draw from it too, and the policy is evaluated, before each context.
    """
    config = merge(PolicyConfig(), {"framework": "tf", "model": {"fcnet_hiddens": [4], **model}})
    tf.random.set_seed(others)
    runtime: Any = backends.backend_of("tf").runtime(config)
    policy = Policy(SPACE, SPACE, config, runtime, seed=3)
    leaves, found = policy.encode(np.zeros((3, 2), np.float32)), []
    for _ in range(2):
        for _ in range(others):
            tf.random.normal(())
            with policy.acting() as act:
                act(leaves, explore=explore)
        with policy.acting("acting") as act:
            found += [act(leaves, explore=explore).raw for _ in range(2)]
    assert runtime.ways.number == way
    return found


@pytest.mark.parametrize(
    ("model", "explore", "way"),
    [
        ({"custom_model": Noisy}, False, 0),
        ({"custom_model": Asking}, False, EAGERLY),
        ({"custom_action_dist": Drawing}, True, 0),
    ],
    ids=["a graph", "eagerly", "a distribution"],
)
def test_draws_from_the_global_source_depend_on_the_seed_and_never_come_again(
    model: dict[str, Any], explore: bool, way: int
) -> None:
    first, second = (drawn(model, explore, way, others) for others in (1, 2))
    np.testing.assert_array_equal(first, second)
    assert len({np.asarray(one).tobytes() for one in first}) == 4, "draws come again"


@pytest.mark.parametrize("model", [{}, {"custom_model": models.Functional}], ids=["built in", "a user's"])
def test_graphs_stay_ready_between_iterations(build: Build, monkeypatch: pytest.MonkeyPatch, model: Any) -> None:
    algorithm = build(framework="tf", model=model, train_batch_size=32, minibatch_size=16, num_epochs=1)
    algorithm.policy.runtime.ways.number = AS_A_GRAPH
    algorithm.train()
    started: list[int] = []
    # TensorFlow forgets all that is ready to run where its global source starts anew.
    monkeypatch.setattr(tf.random, "set_seed", started.append)
    for _ in range(2):
        algorithm.train()
    assert started == []
