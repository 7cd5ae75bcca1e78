import pytest
import torch
from torch import nn

from anyspace.errors import ConfigError
from anyspace.models.torch.layers import activation_class, dense_stack, linear, normc_

OWN = {"relu": nn.ReLU, "tanh": nn.Tanh, "elu": nn.ELU, "swish": nn.SiLU, "silu": nn.SiLU}


@pytest.mark.spec(51)
@pytest.mark.parametrize(
    ("name", "expected"),
    [*OWN.items(), ("linear", None), (None, None)]
    + [(name, getattr(nn, name)) for name in ("ReLU", "GELU", "LeakyReLU", "Softsign", "Hardswish", "PReLU")]
    + [(nn.Mish, nn.Mish)],
)
def test_activation_names(name, expected):
    found, stack = activation_class(name), dense_stack(3, [4, 2], name)
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


def test_gradients_flow_through_every_own_activation():
    for name, kind in OWN.items():
        x, y = (torch.linspace(-3, 3, 7, requires_grad=True) for _ in range(2))
        first = torch.autograd.grad(activation_class(name)()(x).sum(), x, create_graph=True)[0]
        second = torch.autograd.grad(kind()(y).sum(), y, create_graph=True)[0]
        torch.testing.assert_close(first, second)
        if name != "relu":
            torch.testing.assert_close(*(torch.autograd.grad(g.sum(), w)[0] for g, w in ((first, x), (second, y))))


@pytest.mark.spec(51)
@pytest.mark.parametrize(
    "name",
    ["rellu", "gelu", "no_such_thing", "Linear", "Module", "MultiheadAttention", "functional", "init", nn.Linear, int],
)
def test_unknown_activations_are_refused(name):
    with pytest.raises(ConfigError, match=r"Unknown activation \(.*\) for framework=torch!"):
        activation_class(name)
    assert issubclass(ConfigError, ValueError)


def test_the_nearest_activation_is_named():
    with pytest.raises(ConfigError, match=r"Did you mean one of 'relu', 'RReLU'"):
        activation_class("rellu")


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_rows_have_the_norm_asked_for(scale):
    layer = linear(7, 5, scale)
    torch.testing.assert_close(layer.weight.norm(dim=1), torch.full((5,), scale))
    assert not layer.bias.any()
    # Directions are random: no two rows are parallel, and no entry has a preferred sign.
    cosines = (layer.weight @ layer.weight.T / scale**2).fill_diagonal_(0)
    assert cosines.abs().max() < 0.999
    assert layer.weight.requires_grad


def test_normc_draws_normal_directions():
    weight = torch.empty(4000, 2)
    torch.manual_seed(0)
    normc_(weight, 2.0)
    angles = torch.atan2(weight[:, 1], weight[:, 0])
    quarters = torch.histc(angles, bins=4, min=-torch.pi, max=torch.pi)
    assert quarters.min() > 900
    assert quarters.max() < 1100


def test_an_empty_stack_passes_its_input():
    x = torch.ones(2, 3)
    assert dense_stack(3, [], "tanh")(x) is x
