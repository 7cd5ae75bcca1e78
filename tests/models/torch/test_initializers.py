"""How weights and biases start, by each key of the model configuration."""

import pytest
import torch
from gymnasium.spaces import Box, Discrete
from torch import nn

from anyspace.errors import ConfigError
from anyspace.models import MODEL_DEFAULTS, ModelCatalog
from anyspace.models.torch.initializers import initialise, initializer_of, normc_

KEYS = ["fcnet_weights_initializer", "fcnet_bias_initializer"]
KEYS += [f"post_{key}" for key in KEYS]


def network(**config):
    """A dense network of two hidden layers, the second of them a post layer."""
    config = {"fcnet_hiddens": [6], "post_fcnet_hiddens": [5], "vf_share_layers": False, **config}
    return ModelCatalog.get_model_v2(Box(-1, 1, (4,)), Discrete(3), 3, config)


def parameters(model):
    """What each key is about, of the policy and of the value; and the heads, which no key is about."""
    found = {}
    for encoder in (model.encoder, model.value_encoder):
        for prefix, layer in (("fcnet", encoder[0]), ("post_fcnet", encoder[2])):
            found.setdefault(f"{prefix}_weights_initializer", []).append(layer.weight.detach())
            found.setdefault(f"{prefix}_bias_initializer", []).append(layer.bias.detach())
    heads = (model.logits, model.value_head)
    return found | {"heads": [value.detach() for head in heads for value in (head.weight, head.bias)]}


@pytest.mark.spec(52)
@pytest.mark.parametrize("key", KEYS)
def test_every_key_changes_what_it_is_about_and_nothing_else(key):
    default = parameters(network())
    for other, values in parameters(network(**{key: "constant", f"{key}_config": {"val": 0.25}})).items():
        for value, before in zip(values, default[other], strict=True):
            if other == key:
                assert (value == 0.25).all()
            else:
                assert not (value == 0.25).any()
                # Biases start at zero, and rows of weights have one norm.
                assert value.dim() < 2 or torch.allclose(value.norm(dim=1), before.norm(dim=1))
                assert value.dim() == 2 or not value.any()
    for value in parameters(network(**{key: "uniform", f"{key}_config": {"a": 3.0, "b": 4.0}}))[key]:
        assert value.min() >= 3
        assert value.max() <= 4


@pytest.mark.spec(52)
@pytest.mark.parametrize(
    ("initializer", "config", "holds"),
    [
        ("orthogonal", {}, lambda w: torch.allclose(w @ w.T, torch.eye(4), atol=1e-5)),
        ("orthogonal_", {"gain": 2.0}, lambda w: torch.allclose(w @ w.T, 4 * torch.eye(4), atol=1e-5)),
        ("xavier_uniform", {}, lambda w: 0.5 < w.abs().max() <= (6 / 13) ** 0.5),
        ("xavier_uniform", {"gain": 10.0}, lambda w: 5 < w.abs().max() <= 10 * (6 / 13) ** 0.5),
        ("fan_in_uniform", {}, lambda w: 0.25 < w.abs().max() <= 9**-0.5),
        ("normc", {}, lambda w: torch.allclose(w.norm(dim=1), torch.ones(4))),
        ("normc", {"scale": 0.3}, lambda w: torch.allclose(w.norm(dim=1), torch.full((4,), 0.3))),
        (nn.init.ones_, {}, lambda w: (w == 1).all()),
        (lambda w, by=1.0: w.fill_(by), {"by": 7.0}, lambda w: (w == 7).all()),
    ],
)
def test_initialisers_by_name_and_as_functions(initializer, config, holds):
    torch.manual_seed(0)
    weight = nn.Parameter(torch.full((4, 9), torch.nan))
    initialise(weight, initializer, config)
    assert holds(weight.detach())
    assert weight.requires_grad
    assert weight.grad_fn is None


def test_normc_draws_normal_directions():
    weight = torch.empty(4000, 2)
    torch.manual_seed(0)
    normc_(weight, 2.0)
    angles = torch.atan2(weight[:, 1], weight[:, 0])
    quarters = torch.histc(angles, bins=4, min=-torch.pi, max=torch.pi)
    assert quarters.min() > 900
    assert quarters.max() < 1100


def test_normc_counts_all_weights_of_an_output():
    kernels = torch.empty(5, 3, 2, 4)
    normc_(kernels, 0.5)
    torch.testing.assert_close(kernels.square().sum(dim=(1, 2, 3)), torch.full((5,), 0.25))


@pytest.mark.parametrize("path", ["torch.nn.init:ones_", "torch.nn.init.ones_"])
def test_an_initialiser_may_be_a_path(path):
    weights = torch.zeros(2, 3)
    initialise(weights, path)
    assert torch.equal(weights, torch.ones(2, 3))


def test_without_an_initialiser_the_layer_keeps_its_own():
    assert initializer_of(MODEL_DEFAULTS, "fcnet_weights_initializer") is None


# ------------------------------------------------------------------------------------ what is refused


@pytest.mark.spec(52)
@pytest.mark.parametrize("key", KEYS)
def test_unknown_names_are_refused_with_the_nearest(key):
    with pytest.raises(ConfigError, match=rf"`model.{key}` is 'xavier_unifrom', .* Did you mean .*'xavier_uniform'"):
        network(**{key: "xavier_unifrom"})


@pytest.mark.spec(52)
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    ("initializer", "config"),
    [
        ("uniform", {"low": 1}),
        ("constant", {}),
        ("normal", {"std": -1.0}),
        ("sparse", {}),
        (lambda tensor: tensor.fill_(0), {"by": 1}),
    ],
)
def test_arguments_that_do_not_fit_are_refused(key, initializer, config):
    with pytest.raises(ConfigError, match=rf"(?s)`model.{key}` is .* cannot fill a.*Correct `model.{key}_config`"):
        network(**{key: initializer, f"{key}_config": config})


@pytest.mark.parametrize("name", ["normc", "xavier_uniform", "orthogonal", "eye"])
def test_initialisers_of_weights_do_not_fill_biases(name):
    with pytest.raises(ConfigError, match=r"`model.fcnet_bias_initializer` is .* tensor of shape \(6,\): "):
        network(fcnet_bias_initializer=name)


@pytest.mark.parametrize("key", KEYS)
def test_arguments_without_an_initialiser_are_refused(key):
    with pytest.raises(ConfigError, match=rf"`model.{key}_config` .* name the initialiser"):
        network(**{f"{key}_config": {"val": 1.0}})


@pytest.mark.parametrize("name", ["_no_grad_fill", "calculate_gain", "init", ""])
def test_other_names_of_the_module_are_no_initialisers(name):
    with pytest.raises(ConfigError, match="there is no such initialiser"):
        initialise(torch.empty(2, 2), name)
