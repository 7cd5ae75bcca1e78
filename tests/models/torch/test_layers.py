from functools import partial

import pytest
import torch
from torch import nn

from anyspace.errors import ConfigError
from anyspace.models import MODEL_DEFAULTS
from anyspace.models.architecture import stack
from anyspace.models.torch.layers import DenseStack, activation_factory, configured_stack, dense_stack, linear

OWN = {"relu": nn.ReLU, "tanh": nn.Tanh, "elu": nn.ELU, "swish": nn.SiLU, "silu": nn.SiLU}


@pytest.mark.spec(51)
@pytest.mark.parametrize(
    ("name", "expected"),
    [*OWN.items(), ("linear", None), (None, None)]
    + [(name, getattr(nn, name)) for name in ("ReLU", "GELU", "LeakyReLU", "Softsign", "Hardswish", "PReLU")]
    + [(nn.Mish, nn.Mish)],
)
def test_activation_names(name, expected):
    found, stack = activation_factory(name), dense_stack(3, [4, 2], name)
    x = torch.linspace(-3, 3, 15).reshape(5, 3)
    if expected is None:
        assert found is None
        assert [type(layer) for layer in stack] == [nn.Linear] * 2
        expected = nn.Identity
    else:
        assert issubclass(found, expected)
        assert [type(layer) for layer in stack] == [nn.Linear, found] * 2
    first, second = (layer for layer in stack if isinstance(layer, nn.Linear))
    activation = expected()
    torch.testing.assert_close(stack(x), activation(second(activation(first(x)))), rtol=1e-5, atol=1e-6)


def test_a_function_may_make_the_module():
    for factory in (partial(nn.LeakyReLU, 0.2), lambda: nn.ELU(2.0)):
        layer = dense_stack(3, [4], factory)[1]
        assert type(layer) is type(factory())
        assert layer(torch.tensor(-1.0)) == factory()(torch.tensor(-1.0))
    for function in (torch.relu, nn.ReLU(), lambda x: x, lambda: 1, nn.functional.relu):
        with pytest.raises(ConfigError, match=r"Unknown .* or a function without arguments that returns a module"):
            activation_factory(function)


def test_gradients_flow_through_every_own_activation():
    for name, kind in OWN.items():
        x, y = (torch.linspace(-3, 3, 7, requires_grad=True) for _ in range(2))
        first = torch.autograd.grad(activation_factory(name)()(x).sum(), x, create_graph=True)[0]
        second = torch.autograd.grad(kind()(y).sum(), y, create_graph=True)[0]
        torch.testing.assert_close(first, second)
        if name != "relu":
            torch.testing.assert_close(*(torch.autograd.grad(g.sum(), w)[0] for g, w in ((first, x), (second, y))))


@pytest.mark.spec(51)
@pytest.mark.parametrize(
    "name",
    [
        "rellu",
        "gelu",
        "no_such_thing",
        "Linear",
        "Module",
        "MultiheadAttention",
        "functional",
        "init",
        nn.Linear,
        int,
        "LSTM",
        "Sequential",
        "CrossEntropyLoss",
        "Flatten",
        nn.LSTM,
        "torch.nn.LSTM",
    ],
)
def test_unknown_activations_are_refused(name):
    with pytest.raises(ConfigError, match=r"Unknown activation \(.*\) for framework=torch!"):
        dense_stack(3, [4], name)
    assert issubclass(ConfigError, ValueError)


@pytest.mark.parametrize("path", ["torch.nn:Hardswish", "torch.nn.Hardswish"])
def test_an_activation_may_be_a_path(path):
    assert activation_factory(path) is nn.Hardswish
    with pytest.raises(ConfigError, match=r"'torch\.nn:Nothing' cannot be imported"):
        activation_factory("torch.nn.Nothing")


def test_a_layer_that_drops_units_counts_as_an_activation():
    assert activation_factory("Dropout") is nn.Dropout
    with pytest.raises(ConfigError, match=r"It is not made without arguments: .*embed_dim"):
        activation_factory("MultiheadAttention")


def test_the_nearest_activation_is_named():
    with pytest.raises(ConfigError, match=r"Did you mean one of 'relu', 'RReLU'"):
        activation_factory("rellu")


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_rows_have_the_norm_asked_for(scale):
    layer = linear(7, 5, scale)
    torch.testing.assert_close(layer.weight.norm(dim=1), torch.full((5,), scale))
    assert not layer.bias.any()
    # Directions are random: no two rows are parallel, and no entry has a preferred sign.
    cosines = (layer.weight @ layer.weight.T / scale**2).fill_diagonal_(0)
    assert cosines.abs().max() < 0.999
    assert layer.weight.requires_grad


def test_an_empty_stack_passes_its_input():
    x = torch.ones(2, 3)
    assert dense_stack(3, [], "tanh")(x) is x


@pytest.mark.parametrize("prefix", ["fcnet", "post_fcnet"])
def test_a_stack_heeds_the_keys_of_its_prefix(prefix):
    config = dict(MODEL_DEFAULTS)
    for other, (activation, val) in {"fcnet": ("elu", 1.0), "post_fcnet": ("tanh", 2.0)}.items():
        config |= {f"{other}_activation": activation, f"{other}_hiddens": [9]}
        for part in ("weights", "bias"):
            config |= {f"{other}_{part}_initializer": "constant", f"{other}_{part}_initializer_config": {"val": val}}
    layers = configured_stack(stack(3, [4, 2], config, prefix), config)
    val, activation = (1, nn.ELU) if prefix == "fcnet" else (2, nn.Tanh)
    assert [layer.out_features for layer in layers[::2]] == [4, 2]
    assert all(isinstance(layer, activation) for layer in layers[1::2])
    assert all((parameter == val).all() for parameter in layers.parameters())
    assert len(configured_stack(stack(3, [], config, prefix), config)) == 0


def test_hooks_on_a_stack_run():
    stack, calls = DenseStack(nn.Linear(2, 2), nn.ReLU()), []
    stack.register_forward_hook(lambda *_: calls.append(1))
    x = torch.ones(1, 2)
    torch.testing.assert_close(stack(x), torch.relu(stack[0](x)))
    assert calls == [1]
