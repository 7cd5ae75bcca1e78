"""Lists beside pictures, which compiled frameworks run: models that hand their observations on learn from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict

from anyspace import PPO, SAC
from anyspace.models.tf.ways import AS_A_GRAPH
from anyspace.spaces import BoundedSequence
from tests.frameworks.conftest import REPLAYED, Build
from tests.support.environments import Samples

pytestmark = pytest.mark.xdist_group("tensorflow")

SPACE = Dict(items=BoundedSequence(Box(-1, 1, (2,)), 3), picture=Box(0, 255, (10, 10, 3), np.uint8))
SHORT = {
    **REPLAYED,
    "train_batch_size": 4,
    "num_steps_sampled_before_learning_starts": 4,
    "min_sample_timesteps_per_iteration": 8,
    "twin_q": False,
}


@pytest.mark.parametrize(
    ("framework", "kind", "model", "settings"),
    [
        ("jax", SAC, {}, SHORT),
        ("tf", SAC, {}, SHORT),
        ("tf", PPO, {"use_lstm": True, "lstm_cell_size": 4}, {"train_batch_size": 8, "minibatch_size": None}),
    ],
    ids=["JAX", "TensorFlow", "TensorFlow, a memory"],
)
def test_lists_beside_pictures_are_learnt_from(
    build: Build, framework: str, kind: Any, model: dict[str, Any], settings: dict[str, Any]
) -> None:
    env = lambda: Samples(SPACE, Box(-1, 1, (2,)))  # noqa: E731
    algorithm = build(env, kind, {"fcnet_hiddens": [4], **model}, framework, **settings)
    if framework == "tf":
        algorithm.policy.runtime.ways.number = AS_A_GRAPH
    before = algorithm.policy.weights()
    algorithm.train()
    assert any((array != before[name]).any() for name, array in algorithm.policy.weights().items())
