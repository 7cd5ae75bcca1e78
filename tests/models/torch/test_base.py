import copy
from abc import ABC
from typing import Protocol

import gymnasium as gym
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from torch import nn

from anyspace.errors import ModelError
from anyspace.models import MODEL_DEFAULTS, FullyConnectedNetwork, ModelCatalog, ModelV2, TorchModelV2
from anyspace.models.torch.runtime import TorchRuntime

ARGUMENTS = (Box(-1, 1, (2,)), Discrete(3), 3, MODEL_DEFAULTS, "mine")


class Body:
    """What the variants below share: layers of every kind that keeps something."""

    def add_layers(self):
        self.first = nn.Linear(2, 4)
        self.norm = nn.BatchNorm1d(4)
        self.last = nn.Linear(4, 3)
        self.last.bias.requires_grad_(False)
        self.scale = nn.Parameter(torch.ones(1))
        self.register_buffer("offset", torch.zeros(1))

    def forward(self, input_dict, state, seq_lens):
        return self.last(self.norm(self.first(input_dict["obs_flat"]))) * self.scale + self.offset, state


class OursFirst(Body, TorchModelV2, nn.Module):
    def __init__(self, *arguments):
        TorchModelV2.__init__(self, *arguments)
        nn.Module.__init__(self)
        self.add_layers()


class TorchFirst(Body, TorchModelV2, nn.Module):
    def __init__(self, *arguments):
        nn.Module.__init__(self)
        TorchModelV2.__init__(self, *arguments)
        self.add_layers()


class BetweenTheTwo(Body, TorchModelV2, nn.Module):
    def __init__(self, *arguments):
        nn.Module.__init__(self)
        self.add_layers()
        TorchModelV2.__init__(self, *arguments)


class OneCall(Body, TorchModelV2):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.add_layers()


PARAMETERS = ["scale", "first.weight", "first.bias", "norm.weight", "norm.bias", "last.weight", "last.bias"]
BUFFERS = ["offset", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked"]


@pytest.fixture(params=[OursFirst, TorchFirst, BetweenTheTwo, OneCall])
def model(request):
    return request.param(*ARGUMENTS)


def test_protocols_and_abstract_classes_are_bases_beside_it():
    class Named(Protocol):
        def label(self): ...

    class Mine(OneCall, Named, ABC):
        def label(self):
            return self.name

    model = Mine(*ARGUMENTS)
    assert model.label() == "mine"
    assert [isinstance(one, kind) for one in (model, 1) for kind in (TorchModelV2, Mine)] == [True, True, False, False]


def test_initialisers_in_any_order_lose_nothing(model):
    assert sorted(name for name, _ in model.named_parameters()) == sorted(PARAMETERS)
    assert (model.obs_space, model.num_outputs, model.name) == (ARGUMENTS[0], 3, "mine")
    out, state = model({"obs": torch.randn(4, 2)})
    assert (out.shape, state) == ((4, 3), [])
    assert isinstance(model, nn.Module)
    assert isinstance(model, ModelV2)


def test_the_base_registers_nothing():
    bare = TorchModelV2(*ARGUMENTS)
    assert (bare.variables(), bare.trainable_variables(), list(bare.children())) == ([], [], [])
    with pytest.raises(NotImplementedError, match="TorchModelV2 must implement forward"):
        bare({"obs": torch.zeros(1, 2)})


@pytest.mark.spec(100)
def test_variables_are_named_rightly_beside_buffers(model):
    variables = model.variables(as_dict=True)
    assert sorted(variables) == sorted(PARAMETERS + BUFFERS)
    for name, value in variables.items():
        holder = model.get_submodule(name.rpartition(".")[0])
        assert value is getattr(holder, name.rpartition(".")[2])
    assert [value is other for value, other in zip(model.variables(), variables.values(), strict=True)] == [True] * 11


@pytest.mark.spec(100)
def test_trainable_variables_are_the_parameters_that_take_gradients(model):
    trainable = model.trainable_variables(as_dict=True)
    assert sorted(trainable) == sorted(set(PARAMETERS) - {"last.bias"})
    assert trainable["norm.weight"] is model.norm.weight
    assert {id(value) for value in model.trainable_variables()} == {id(value) for value in trainable.values()}


def test_variables_keep_their_gradients():
    model = FullyConnectedNetwork(*ARGUMENTS)
    model({"obs": torch.ones(1, 2)})[0].sum().backward()
    assert model.variables(as_dict=True)["logits.weight"].grad is not None


@pytest.mark.spec(97)
def test_a_torch_model_is_a_module():
    class NoModule(ModelV2):
        def forward(self, input_dict, state, seq_lens):
            return input_dict["obs_flat"], state

    class NoBase(ModelV2, nn.Module):
        pass

    for wrong in (NoModule, NoBase):
        with pytest.raises(ModelError, match=r"no model of framework 'torch'.*derive it from TorchModelV2"):
            ModelCatalog.get_model_v2(*ARGUMENTS[:3], {"custom_model": wrong})
    with pytest.raises(ValueError, match=r"NoModule is not an nn.Module.*derive it from TorchModelV2"):
        TorchRuntime("cpu").place(NoModule(*ARGUMENTS))


def test_modules_inside_run_their_hooks():
    model, calls = OneCall(*ARGUMENTS), []
    model.first.register_forward_hook(lambda *_: calls.append(1))
    model({"obs": torch.zeros(2, 2)})
    assert calls == [1]


def test_dict_spaces_are_kept():
    space = gym.spaces.Dict(a=Discrete(2))
    assert OneCall(space, Discrete(3), 3, MODEL_DEFAULTS, "x").obs_space is space


def test_what_a_pass_computed_is_kept_without_becoming_a_part_of_the_module():
    model = TorchModelV2(*ARGUMENTS)
    layer = nn.Linear(2, 3)
    model._keep("_features", layer)
    assert model._features is layer
    assert not list(model.parameters())
    plain = ModelV2(*ARGUMENTS)
    plain._keep("_features", 7)
    assert plain._features == 7


@pytest.mark.parametrize("config", [{}, {"use_lstm": True, "lstm_cell_size": 4}, {"vf_share_layers": True}])
def test_models_are_copied_after_a_pass_with_gradients_too(config):
    """As a target network is made by hand."""
    model = ModelCatalog.get_model_v2(Box(-1, 1, (2,)), Discrete(3), 3, {"fcnet_hiddens": [4], **config})
    given = {"obs": torch.ones(2, 2)}, [torch.zeros(2, 4)] * 2 if config.get("use_lstm") else [], torch.tensor([1, 1])
    output, _ = model(*given)
    twin = copy.deepcopy(model)
    output.sum().backward()
    with torch.no_grad():
        next(iter(model.parameters())).add_(1.0)
    assert torch.equal(twin(*given)[0], output)
    assert not torch.equal(model(*given)[0], output)
