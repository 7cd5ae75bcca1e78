"""The fully connected network over arrays is that of PyTorch."""

import random

import gymnasium as gym
import numpy as np
import pytest
import torch

from anyspace.errors import ConfigError, ModelError, UnsupportedSpaceError
from anyspace.models import ModelCatalog
from anyspace.models.input_dict import InputDict
from anyspace.models.pure.fcnet import FullyConnectedNetwork
from anyspace.models.torch import fcnet
from tests.models.pure.equal import assert_equal, named_weights, take_weights

BOX = gym.spaces.Box(-3, 3, (4,))
ACTIONS = gym.spaces.Box(-1, 1, (3,))

CASES = {
    "default": {},
    "two layers": {"fcnet_hiddens": [5, 7], "fcnet_activation": "relu"},
    "no activation": {"fcnet_hiddens": [5, 7], "fcnet_activation": "linear"},
    "post": {"fcnet_hiddens": [5], "post_fcnet_hiddens": [6], "post_fcnet_activation": "elu"},
    "post alone": {"fcnet_hiddens": [], "post_fcnet_hiddens": [6], "post_fcnet_activation": "swish"},
    "no layers": {"fcnet_hiddens": []},
    "own value": {"fcnet_hiddens": [5], "vf_share_layers": False, "fcnet_activation": "SELU"},
    "own deviations": {"fcnet_hiddens": [5], "free_log_std": True, "fcnet_activation": "LeakyReLU"},
    "no final layer": {"fcnet_hiddens": [5, 7], "no_final_linear": True, "fcnet_activation": "Softplus"},
    "no final layer, post": {"fcnet_hiddens": [5], "post_fcnet_hiddens": [9], "no_final_linear": True},
    "no final layer at all": {"fcnet_hiddens": [], "no_final_linear": True, "vf_share_layers": False},
    "all": {"fcnet_hiddens": [5], "no_final_linear": True, "vf_share_layers": False, "free_log_std": True},
}


def built(kind, num_outputs, config, space=BOX):
    return kind(space, ACTIONS, num_outputs, {"fcnet_hiddens": [8, 8], **config})


def pair(*arguments):
    return [built(kind, *arguments) for kind in (FullyConnectedNetwork, fcnet.FullyConnectedNetwork)]


@pytest.mark.parametrize("num_outputs", [6, None])
@pytest.mark.parametrize("case", CASES)
def test_outputs_and_values_are_those_of_pytorch(case, num_outputs):
    model, module = pair(num_outputs, CASES[case])
    assert model.num_outputs == module.num_outputs
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    assert_equal(
        model,
        module,
        {"obs": x, "obs_flat": x},
        gradients=case == "all" and num_outputs == 6,
        compiled=bool(num_outputs),
    )


def test_other_dtypes_and_ranks_are_flat_floats():
    model, module = pair(6, {}, gym.spaces.Box(0, 9, (2, 3), np.int64))
    x = np.arange(30).reshape(5, 2, 3)
    assert_equal(model, module, {"obs": x, "obs_flat": x})


@pytest.mark.parametrize("activation", ["tanh", "GELU", "Mish"])
def test_activations_are_those_of_pytorch(activation):
    model, module = pair(None, {"fcnet_activation": activation})
    x = np.linspace(-9, 9, 20, dtype=np.float32).reshape(5, 4)
    assert_equal(model, module, {"obs": x, "obs_flat": x}, gradients=True)


def test_a_function_may_be_an_activation():
    function = {"fcnet_hiddens": [8, 8], "fcnet_activation": lambda x: abs(x) + x}
    model = ModelCatalog.get_model_v2(BOX, ACTIONS, None, function, "pure")
    module = built(fcnet.FullyConnectedNetwork, None, {"fcnet_activation": "relu"})
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    state = take_weights(model, module)
    model.weights["encoder.2.weight"] = state["encoder.2.weight"] / 2
    expected, _ = module({"obs": torch.as_tensor(x)})
    np.testing.assert_allclose(model({"obs": x})[0], 2 * expected.detach(), atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_what_acts_is_what_learns(case):
    model = built(FullyConnectedNetwork, 6, CASES[case])
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    acted, _ = model.acting_pass()(InputDict({"obs_flat": x}), [])
    np.testing.assert_allclose(acted, model({"obs": x, "obs_flat": x})[0], rtol=1e-5, atol=1e-6)


def test_weights_start_as_those_of_pytorch():
    weights = named_weights(pair(6, {"fcnet_hiddens": [300], "vf_share_layers": False})[0])
    for name, norm in (("encoder.0", 1), ("value_encoder.0", 1), ("logits", 0.01), ("value_head", 0.01)):
        np.testing.assert_allclose(np.linalg.norm(weights[f"{name}.weight"], axis=1), norm, rtol=1e-5)
        assert not weights[f"{name}.bias"].any()
    assert {value.dtype for value in weights.values()} == {np.dtype(np.float32)}
    assert not np.allclose(weights["encoder.0.weight"], weights["value_encoder.0.weight"])


def test_equal_seeds_give_equal_weights():
    def drawn(seed):
        random.seed(seed)
        return pair(6, {})[0].weights["encoder.0.weight"]

    np.testing.assert_array_equal(drawn(1), drawn(1))
    assert not np.array_equal(drawn(1), drawn(2))


def test_what_cannot_be_built_is_refused():
    with pytest.raises(ConfigError, match=r"Unknown activation \(tanhh\) for framework=.* Did you mean .*tanh"):
        pair(6, {"fcnet_activation": "tanhh"})
    with pytest.raises(ConfigError, match=r"Unknown activation .* for framework=torch"):
        built(fcnet.FullyConnectedNetwork, 6, {"fcnet_activation": abs})
    with pytest.raises(ConfigError, match=r"Unknown activation .* for framework=pure"):
        built(FullyConnectedNetwork, 6, {"fcnet_activation": torch.nn.Tanh})
    with pytest.raises(ModelError, match="needs an even number of outputs"):
        FullyConnectedNetwork(BOX, ACTIONS, 5, {"free_log_std": True})
    with pytest.raises(UnsupportedSpaceError, match="takes observations that are one array"):
        FullyConnectedNetwork(gym.spaces.Dict({"a": BOX}), ACTIONS, 6, {})
