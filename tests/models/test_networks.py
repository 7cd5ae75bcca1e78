import sys

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, Tuple

from anyspace import models
from anyspace.errors import ConfigError, ModelError
from anyspace.models import ModelCatalog, ModelV2, networks
from anyspace.models.torch import AttentionWrapper, DQNTorchModel, RecurrentWrapper
from anyspace.spaces import get_preprocessor

OBS, ACTIONS = Box(-1, 1, (4,)), Discrete(3)


@pytest.mark.parametrize("role", [role for role in networks.NETWORKS["torch"] if role != "action network"])
def test_every_role_is_a_model_of_the_framework(role):
    model_class = networks.network(role, "torch")
    assert issubclass(model_class, ModelV2)
    assert model_class.framework == "torch"


def test_public_names_are_found_in_the_table():
    assert models.GTrXLNet is networks.network("gtrxl", "torch")
    assert networks.public("DQNTorchModel") is DQNTorchModel
    with pytest.raises(AttributeError, match="no framework has a model of the name 'Torch'"):
        networks.public("Torch")
    with pytest.raises(AttributeError, match=r"module 'anyspace.models' has no attribute 'DQNTorchModel'"):
        _ = models.DQNTorchModel


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_a_network_of_parts_is_not_given_one_array(framework):
    space = Tuple([Box(-1, 1, (2, 2)), Discrete(3)])
    flat = torch.zeros(2, 7) if framework == "torch" else np.zeros((2, 7), np.float32)
    prepared = get_preprocessor(space).observation_space
    assert ModelCatalog.get_model_v2(prepared, ACTIONS, 3, {}, framework)({"obs": flat})[0].shape == (2, 3)
    with pytest.raises(ModelError, match=r"one array \[2, 7\] came: .* get_preprocessor\(space\)\.observation_space"):
        ModelCatalog.get_model_v2(space, ACTIONS, 3, {}, framework)({"obs": flat})


@pytest.mark.parametrize("config", [{}, {"use_gru": True}, {"use_attention": True}, {"parametric_actions": "learned"}])
def test_a_further_framework_joins_by_its_table(config, monkeypatch):
    """The very same files under another name: nothing asks which framework it is."""
    monkeypatch.setitem(networks.NETWORKS, "second", networks.NETWORKS["torch"])
    for name in ("", ".fcnet", ".recurrent", ".attention", ".parametric"):
        monkeypatch.setitem(sys.modules, f"anyspace.models.second{name}", sys.modules[f"anyspace.models.torch{name}"])
    ours = ModelCatalog.get_model_v2(OBS, ACTIONS, 3, config)
    model = ModelCatalog.get_model_v2(OBS, ACTIONS, 3, config, framework="second")
    assert type(model) is type(ours)
    assert type(getattr(model, "base", None)) is type(getattr(ours, "base", None))


@pytest.mark.parametrize("wrapper", [RecurrentWrapper, AttentionWrapper])
def test_memories_are_asked_for_by_their_keys(wrapper):
    with pytest.raises(
        ConfigError, match=f"{wrapper.__name__} is put on top of another model by `use_lstm`, `use_gru`"
    ):
        ModelCatalog.get_model_v2(OBS, ACTIONS, 3, {"custom_model": wrapper})


def test_a_base_that_is_no_module_is_refused():
    class Plain(ModelV2):
        framework = "torch"

        def __init__(self, obs_space, action_space, num_outputs, model_config, name):
            super().__init__(obs_space, action_space, 5, model_config, name)

    with pytest.raises(
        ModelError, match=r"Plain lies beneath RecurrentWrapper, .* of one framework; derive it from TorchModelV2"
    ):
        ModelCatalog.get_model_v2(OBS, ACTIONS, 3, {"custom_model": Plain, "use_lstm": True})
