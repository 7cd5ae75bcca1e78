import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete
from torch import nn

from anyspace.errors import ConfigError, ModelError, UnsupportedSpaceError
from anyspace.models import MODEL_DEFAULTS, FullyConnectedNetwork, ModelCatalog

BOX, FOUR = Box(-1, 1, (4,)), Discrete(4)
OBS = torch.linspace(-1, 1, 20).reshape(5, 4)


def network(num_outputs=4, **config):
    return ModelCatalog.get_model_v2(BOX, FOUR, num_outputs, config)


def size(model):
    return sum(parameter.numel() for parameter in model.parameters())


def layers(module):
    return [
        (type(layer).__name__, *((layer.out_features,) if isinstance(layer, nn.Linear) else ())) for layer in module
    ]


@pytest.mark.spec(56)
def test_parameter_counts_with_a_shared_and_a_separate_value():
    assert size(network(vf_share_layers=True)) == 68_357
    assert size(network(vf_share_layers=False)) == 135_429


@pytest.mark.spec(60)
@pytest.mark.parametrize("share", [True, False])
def test_initial_weights(share):
    model = network(vf_share_layers=share, post_fcnet_hiddens=[16])
    hidden = [*model.encoder, *([] if share else model.value_encoder)]
    for layer in hidden:
        if isinstance(layer, nn.Linear):
            torch.testing.assert_close(layer.weight.norm(dim=1), torch.ones(layer.out_features))
    for head in (model.logits, model.value_head):
        torch.testing.assert_close(head.weight.norm(dim=1), torch.full((head.out_features,), 0.01))
    biases = [value for name, value in model.named_parameters() if name.endswith("bias")]
    assert len(biases) == (5 if share else 8)
    assert not any(bias.any() for bias in biases)


@pytest.mark.spec(49)
def test_overriding_a_subset():
    model = network(fcnet_hiddens=[512] * 3, fcnet_activation="relu")
    assert layers(model.encoder) == [("Linear", 512), ("ReLU",)] * 3
    assert model.logits.out_features == 4


@pytest.mark.spec(62)
def test_post_layers_are_appended_with_the_first_activation():
    model = network(fcnet_hiddens=[8, 6], fcnet_activation="elu", post_fcnet_hiddens=[5], post_fcnet_activation="relu")
    assert layers(model.encoder) == [("Linear", 8), ("ELU",), ("Linear", 6), ("ELU",), ("Linear", 5), ("ELU",)]
    assert model.logits.in_features == model.value_head.in_features == 5
    only_post = network(fcnet_hiddens=[], fcnet_activation="elu", post_fcnet_hiddens=[5], post_fcnet_activation="relu")
    assert layers(only_post.encoder) == [("Linear", 5), ("ReLU",)]


@pytest.mark.spec(51)
@pytest.mark.parametrize("key", ["fcnet", "post_fcnet"])
def test_activations_by_key(key):
    sizes = {"fcnet_hiddens": [], "post_fcnet_hiddens": [], f"{key}_hiddens": [3]}
    assert layers(network(**sizes, **{f"{key}_activation": "GELU"}).encoder) == [("Linear", 3), ("GELU",)]
    assert layers(network(**sizes, **{f"{key}_activation": nn.ReLU6}).encoder) == [("Linear", 3), ("ReLU6",)]
    assert layers(network(**sizes, **{f"{key}_activation": None}).encoder) == [("Linear", 3)]
    with pytest.raises(ConfigError, match=r"Unknown activation \(rellu\) for framework=torch!"):
        network(**sizes, **{f"{key}_activation": "rellu"})


def test_the_forward_pass_is_what_the_layers_say():
    model = network(fcnet_hiddens=[3], vf_share_layers=False)
    weights = {name: value.detach().numpy() for name, value in model.named_parameters()}
    x = OBS.numpy()
    hidden = np.tanh(x @ weights["encoder.0.weight"].T + weights["encoder.0.bias"])
    logits, state = model({"obs": OBS}, [])
    np.testing.assert_allclose(logits.detach(), hidden @ weights["logits.weight"].T + weights["logits.bias"], atol=1e-6)
    assert state == []
    hidden = np.tanh(x @ weights["value_encoder.0.weight"].T + weights["value_encoder.0.bias"])
    values = hidden @ weights["value_head.weight"].T + weights["value_head.bias"]
    np.testing.assert_allclose(model.value_function().detach(), values[:, 0], atol=1e-6)


def test_a_shared_value_reads_the_policys_features():
    model = network(fcnet_hiddens=[3], vf_share_layers=True)
    model({"obs": OBS})
    expected = model.value_head(model.encoder(OBS))[:, 0]
    torch.testing.assert_close(model.value_function(), expected)
    assert model.value_encoder is None
    expected.sum().backward()
    assert model.encoder[0].weight.grad.any()


@pytest.mark.spec(55)
@pytest.mark.parametrize("share", [True, False])
def test_no_final_linear(share):
    model = network(fcnet_hiddens=[8, 6], no_final_linear=True, vf_share_layers=share)
    assert layers(model.encoder) == [("Linear", 8), ("Tanh",), ("Linear", 4), ("Tanh",)]
    assert model.logits is None
    out, _ = model({"obs": 100 * OBS})
    assert out.shape == (5, 4)
    assert out.abs().max() <= 1
    torch.testing.assert_close(model.encoder[2].weight.norm(dim=1), torch.ones(4))
    assert model.value_function().shape == (5,)
    if not share:
        assert layers(model.value_encoder) == [("Linear", 8), ("Tanh",), ("Linear", 6), ("Tanh",)]


def test_no_final_linear_without_hidden_layers():
    model = network(fcnet_hiddens=[], no_final_linear=True, post_fcnet_activation="elu")
    assert layers(model.encoder) == [("Linear", 4), ("ELU",)]
    assert model({"obs": OBS})[0].shape == (5, 4)


@pytest.mark.spec(54)
@pytest.mark.parametrize("no_final_linear", [True, False])
def test_free_log_std(no_final_linear):
    model = network(6, fcnet_hiddens=[8], free_log_std=True, no_final_linear=no_final_linear)
    out, _ = model({"obs": OBS})
    assert out.shape == (5, 6)
    assert (out[:, :3].std(dim=0) > 0).all()
    assert not out[:, 3:].any()
    assert "log_std" in dict(model.named_parameters())
    with torch.no_grad():
        model.log_std.copy_(torch.tensor([0.1, 0.2, 0.3]))
    torch.testing.assert_close(model({"obs": OBS})[0][:, 3:], torch.tensor([[0.1, 0.2, 0.3]]).expand(5, 3))
    model({"obs": OBS})[0][:, 3:].sum().backward()
    assert model.log_std.grad.tolist() == [5, 5, 5]
    assert model.encoder[0].weight.grad is None or not model.encoder[0].weight.grad.any()
    assert model.value_function().shape == (5,)


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("free_log_std", [True, False])
def test_every_parameter_learns(share, free_log_std):
    config = {"no_final_linear": True, "post_fcnet_hiddens": [5], "vf_share_layers": share}
    model = network(4, fcnet_hiddens=[8], free_log_std=free_log_std, **config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    out, _ = model({"obs": OBS})
    (out.square().sum() + model.value_function().square().sum()).backward()
    assert [name for name, parameter in model.named_parameters() if not parameter.grad.any()] == []


def test_an_odd_number_of_outputs_has_no_log_std():
    with pytest.raises(ModelError, match=r"`free_log_std` needs an even number of outputs .* takes 5"):
        network(5, free_log_std=True)


@pytest.mark.spec(70)
@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("num_outputs", [None, 0])
@pytest.mark.parametrize(("hiddens", "width"), [([8, 6], 6), ([], 4)])
def test_without_outputs_the_features_come_out(num_outputs, hiddens, width, share):
    config = {"free_log_std": True, "no_final_linear": True, "vf_share_layers": share}
    model = network(num_outputs, fcnet_hiddens=hiddens, **config)
    out, _ = model({"obs": OBS})
    assert (model.num_outputs, model.logits, model.log_std, out.shape) == (width, None, None, (5, width))
    torch.testing.assert_close(out, model.encoder(OBS))
    assert network(None).num_outputs == 256
    # Nothing is built that nobody would train.
    assert {name.split(".")[0] for name, _ in model.named_parameters()} <= {"encoder"}
    with pytest.raises(AssertionError, match=r"FullyConnectedNetwork was built for features .* and has no value"):
        model.value_function()


@pytest.mark.spec(61)
def test_the_value_needs_a_forward_pass():
    with pytest.raises(AssertionError, match="refers to the latest forward pass; there is none"):
        network().value_function()


@pytest.mark.spec(96)
@pytest.mark.parametrize("share", [True, False])
def test_the_value_is_that_of_the_latest_forward_pass(share):
    model = network(fcnet_hiddens=[8], vf_share_layers=share)
    model({"obs": OBS})
    first = model.value_function()
    model({"obs": 2 * OBS[:2]})
    second = model.value_function()
    assert (first.shape, second.shape) == ((5,), (2,))
    assert not torch.allclose(first[:2], second)
    model({"obs": OBS})
    torch.testing.assert_close(model.value_function(), first)


@pytest.mark.parametrize("share", [True, False])
def test_the_value_is_computed_only_when_asked_for(share):
    model, calls = network(fcnet_hiddens=[8], vf_share_layers=share), []
    for module in (model.value_head, model.value_encoder):
        if module is not None:
            module.register_forward_hook(lambda *_: calls.append(1))
    model({"obs": OBS})
    assert calls == []
    model.value_function()
    assert len(calls) == (1 if share else 2)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.uint8])
def test_any_array_is_flattened_and_read_as_float32(shape, dtype):
    model = FullyConnectedNetwork(Box(0, 9, shape), FOUR, 4, {**MODEL_DEFAULTS, "fcnet_hiddens": [5]}, "net")
    obs = torch.ones(7, *shape).to(dtype)
    for columns in ({"obs": obs}, {"obs": obs, "obs_flat": obs}):
        out, _ = model(columns)
        assert (out.shape, out.dtype) == ((7, 4), torch.float32)


def test_keys_left_out_have_their_defaults():
    model = FullyConnectedNetwork(BOX, FOUR, 4, {"fcnet_hiddens": [5]}, "net")
    assert layers(model.encoder) == [("Linear", 5), ("Tanh",)]
    assert model.value_encoder is None
    assert model.model_config == {**MODEL_DEFAULTS, "fcnet_hiddens": [5]}


def test_observations_of_several_arrays_are_refused():
    with pytest.raises(UnsupportedSpaceError, match="takes observations that are one array, not Dict"):
        FullyConnectedNetwork(Dict(a=BOX), FOUR, 4, MODEL_DEFAULTS)
