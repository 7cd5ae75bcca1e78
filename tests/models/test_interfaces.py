"""Methods put on top of default and custom models by ``model_interface``."""

import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete
from torch import nn

from anyspace.errors import ModelError
from anyspace.models import FullyConnectedNetwork, ModelCatalog, TorchModelV2
from tests.support.torch_nets import draw

OBS, ACTIONS, PUSH = Box(-1, 1, (4,)), Discrete(3), Box(-1, 1, (2,))


class Dueling(TorchModelV2):
    """A dueling head, as on RLlib's page on models."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        super().__init__(obs_space, action_space, None, model_config, name)
        self.a = nn.Linear(self.num_outputs, action_space.n)
        self.v = nn.Linear(self.num_outputs, 1)

    def get_q_values(self, features):
        advantages = self.a(features)
        return self.v(features) + advantages - advantages.mean(1, keepdim=True)


class SingleQ(TorchModelV2):
    """The Q value of one continuous action, as on RLlib's page on models."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        super().__init__(obs_space, action_space, None, model_config, name)
        joint = Box(-1, 1, (self.num_outputs + action_space.shape[0],))
        self.q = FullyConnectedNetwork(joint, action_space, 1, model_config, "q")

    def get_single_q_value(self, features, action):
        return self.q({"obs": torch.cat([features, action], dim=1)})[0]


class Custom(TorchModelV2):
    def __init__(self, obs_space, action_space, num_outputs, model_config, name, width=11):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.num_outputs = num_outputs or width
        self.layer = nn.Linear(obs_space.shape[0], self.num_outputs)

    def forward(self, input_dict, state, seq_lens):
        return self.layer(input_dict["obs_flat"]), state


class Unaware(Custom):
    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)


@pytest.mark.spec(117, 118)
def test_a_dueling_head_on_the_default_model():
    model = ModelCatalog.get_model_v2(OBS, ACTIONS, 3, {}, model_interface=Dueling)
    assert type(model).__name__ == "FullyConnectedNetwork_as_Dueling"
    assert type(model).__module__ == "anyspace.models.torch.fcnet"
    assert model.num_outputs == 256
    features, _ = model([{"obs": draw(5, 4)}])
    assert features.shape == (5, 256)
    q = model.get_q_values(features)
    assert q.shape == (5, 3)
    advantages = model.a(features)
    torch.testing.assert_close(q, model.v(features) + advantages - advantages.mean(1, keepdim=True))
    torch.testing.assert_close(q.mean(1, keepdim=True), model.v(features))


@pytest.mark.spec(119, 120)
@pytest.mark.parametrize("keywords", [{}, {"width": 6}])
def test_a_single_q_value_on_a_custom_model(keywords):
    config = {"custom_model": Custom, "custom_model_config": keywords, "fcnet_hiddens": [8]}
    model = ModelCatalog.get_model_v2(OBS, PUSH, 2, config, model_interface=SingleQ)
    assert type(model).__name__ == "Custom_as_SingleQ"
    assert {kind.__module__ for kind in type(model).__mro__[:3]} == {__name__}
    assert model.num_outputs == keywords.get("width", 11)
    features, _ = model({"obs": draw(5, 4)})
    action = draw(5, 2)
    value = model.get_single_q_value(features, action)
    assert value.shape == (5, 1)
    assert model.q.encoder[0].in_features == model.num_outputs + 2
    assert (value != model.get_single_q_value(features, action + 1)).all()


@pytest.mark.spec(121)
@pytest.mark.parametrize("custom", [{}, {"custom_model": Custom, "custom_model_config": {"width": 6}}])
@pytest.mark.parametrize("memory", ["use_lstm", "use_gru", "use_attention"])
def test_an_interface_on_a_memory(memory, custom):
    config = {memory: True, "lstm_cell_size": 12, "attention_dim": 12, **custom}
    model = ModelCatalog.get_model_v2(OBS, ACTIONS, 3, config, model_interface=Dueling)
    assert type(model).__name__.endswith("Wrapper_as_Dueling")
    assert model.num_outputs == 12
    state = [part.expand(4, *part.shape) for part in model.get_initial_state()]
    if memory == "use_attention":
        state = [torch.zeros(4, 50, 12), torch.zeros(4, 1)]
    features, new = model({"obs": draw(4, 4)}, state, torch.ones(4, dtype=torch.int32))
    assert model.get_q_values(features).shape == (4, 3)
    assert len(new) == len(state)
    assert model.value_function().shape == (4,)


@pytest.mark.spec(120)
def test_models_that_cannot_be_built_for_features_are_named():
    class Silent(TorchModelV2):
        def __init__(self, obs_space, action_space, num_outputs, model_config, name):
            super().__init__(obs_space, action_space, None, model_config, name)

    with pytest.raises(ModelError, match=r"Unaware_as_\w+: num_outputs is None .* must set `self.num_outputs`"):
        ModelCatalog.get_model_v2(OBS, ACTIONS, 3, {"custom_model": Unaware}, model_interface=Silent)
    with pytest.raises(ModelError, match=r"Unaware_as_Dueling cannot be built: .* built with num_outputs=None"):
        ModelCatalog.get_model_v2(OBS, ACTIONS, 3, {"custom_model": Unaware}, model_interface=Dueling)
    with pytest.raises(ModelError, match="model_interface must be a ModelV2 sub-class"):
        ModelCatalog.get_model_v2(OBS, ACTIONS, 3, {}, model_interface=dict)


@pytest.mark.spec(117)
def test_a_model_that_has_the_interface_is_taken_as_it_is():
    class Both(Dueling, FullyConnectedNetwork):
        pass

    model = ModelCatalog.get_model_v2(OBS, ACTIONS, 3, {"custom_model": Both}, model_interface=Dueling)
    assert type(model) is Both


def test_default_models_as_parts_of_custom_ones():
    class Parts(TorchModelV2):
        def __init__(self, obs_space, action_space, num_outputs, model_config, name):
            super().__init__(obs_space, action_space, num_outputs, model_config, name)
            inner = obs_space.original_space["cart"]
            self.net = FullyConnectedNetwork(inner, action_space, num_outputs, model_config, name + "_net")

        def forward(self, input_dict, state, seq_lens):
            return self.net({"obs": input_dict["obs"]["cart"]}, state, seq_lens)

        def value_function(self):
            return self.net.value_function()

    from anyspace.spaces import get_preprocessor

    space = Dict(cart=Box(-1, 1, (4,)), other=Discrete(2))
    model = ModelCatalog.get_model_v2(
        get_preprocessor(space).observation_space, ACTIONS, 3, {"custom_model": Parts, "fcnet_hiddens": [8]}
    )
    output, _ = model({"obs": {"cart": draw(2, 4), "other": draw(2, 2)}})
    assert output.shape == (2, 3)
    assert model.value_function().shape == (2,)
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {"net"}
