"""The built-in networks on TensorFlow, as files for RLlib ask them."""

from __future__ import annotations

import pytest
from gymnasium.spaces import Box, Discrete

from anyspace.models import ModelCatalog
from anyspace.models.tf.networks import DQNTFModel, SACTFModel

pytestmark = pytest.mark.xdist_group("tensorflow")
OBS = Box(-1, 1, (3,))


def test_models_of_keras_that_there_are_not_are_explained() -> None:
    model = ModelCatalog.get_model_v2(
        OBS, Discrete(2), 2, {"fcnet_hiddens": [4]}, framework="tf", model_interface=DQNTFModel, q_hiddens=[4]
    )
    for name, hint in (
        ("base_model", "'custom_model': FullyConnectedNetwork"),
        ("q_value_head", "distributions"),
        ("state_value_head", "get_state_value"),
    ):
        with pytest.raises(AttributeError, match=f"no attribute {name!r}.*{hint}"):
            getattr(model, name)


def test_variables_of_the_policy_and_of_the_q_networks() -> None:
    model = ModelCatalog.get_model_v2(
        OBS, Box(-1, 1, (1,)), 2, {"fcnet_hiddens": [4]}, framework="tf", model_interface=SACTFModel, twin_q=True
    )
    policy, values = model.policy_variables(), model.q_variables()
    assert len(values) == 2 * len(policy)
    assert len({*map(id, [*policy, *values])} & {*map(id, model.trainable_variables())}) == len(policy) + len(values)
