"""The default model of observations with several parts, or with parts of varying size."""

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, OneOf, Tuple
from torch import nn

from anyspace.config import merge
from anyspace.errors import ModelError
from anyspace.models import ModelCatalog
from anyspace.models.torch import ComplexInputNetwork
from anyspace.models.torch.components import DenseEncoder, PictureEncoder
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.config import PolicyConfig
from anyspace.policy.policy import Policy
from anyspace.spaces import Image, Repeated, get_preprocessor
from anyspace.spaces.repeated_values import RepeatedValues
from tests.support.catalogue import OBSERVATION_SPACES
from tests.support.torch_nets import shuffled

FOUR = Discrete(4)
FOUR_PARTS = Dict(
    [
        ("img", Box(0, 255, (84, 84, 3), np.uint8)),
        ("vec", Box(-1, 1, (5,))),
        ("discrete", Discrete(3, start=2)),
        ("multidiscrete", MultiDiscrete([2, 3])),
    ]
)
SMALL = Dict([("z", Box(-1, 1, (5,))), ("img", Box(0, 255, (8, 9, 3), np.uint8)), ("a", Discrete(3, start=2))])


def observations(space, rows=12, *, raw=False, scale=True):
    """Random observations, as models see them: features, or without preprocessing what is stored."""
    space.seed(3)
    preprocessor = get_preprocessor(space, scale)
    samples = [preprocessor.encode.single(space.sample()) for _ in range(rows)]
    tensors = [torch.from_numpy(np.stack(leaf)) for leaf in zip(*samples, strict=True)]
    return preprocessor.restore(tensors if raw else preprocessor.expand(tensors))


def network(space, num_outputs=4, *, raw=False, **config):
    seen = space if raw else get_preprocessor(space).observation_space
    return ComplexInputNetwork(seen, FOUR, num_outputs, {"fcnet_hiddens": [8], **config})


@pytest.mark.spec(123)
def test_each_part_has_a_network_of_its_own():
    model = ModelCatalog.get_model_v2(get_preprocessor(FOUR_PARTS).observation_space, FOUR, 4, {})
    assert type(model) is ComplexInputNetwork
    picture, vector, discrete, multidiscrete = model.encoder[0].parts
    assert isinstance(picture, PictureEncoder)
    assert [layer.channels for layer in picture.convolutions.placed.filters] == [16, 32, 256]
    for part, width in ((vector, 5), (discrete, 3), (multidiscrete, 5)):
        assert isinstance(part, DenseEncoder)
        sizes = [(layer.in_features, layer.out_features) for layer in part.dense if isinstance(layer, nn.Linear)]
        assert sizes == [(width, 256), (256, 256)]
    assert model.logits.in_features == model.value_head.in_features == 1024
    output, state = model({"obs": observations(FOUR_PARTS, 2)})
    assert (output.shape, state) == ((2, 4), [])
    assert model.value_function().shape == (2,)
    own = [parameter.data_ptr() for parameter in model.parameters()]
    assert len(own) == len(set(own)) == len(model.state_dict())


def test_the_forward_pass_is_what_its_parts_give():
    model, obs = shuffled(network(SMALL, post_fcnet_hiddens=[6])), observations(SMALL)
    z, img, a = model.encoder[0].parts
    assert z.dense[0].in_features == 5
    features = [torch.tanh(part.dense[0](obs[key])) for key, part in (("z", z), ("a", a))]
    joined = torch.cat([features[0], img.convolutions(obs["img"]), features[1]], dim=1)
    hidden = torch.relu(model.encoder[1](joined))
    torch.testing.assert_close(model({"obs": obs})[0], model.logits(hidden))
    torch.testing.assert_close(model.value_function(), model.value_head(hidden)[:, 0])


def test_parts_lie_in_the_order_of_the_space():
    model, obs = shuffled(network(SMALL, None)), observations(SMALL)
    base = model({"obs": obs})[0]
    widths = {"z": 8, "img": 32, "a": 8}
    start = 0
    for key, width in widths.items():
        changed = (model({"obs": {**obs, key: obs[key].flip(0)}})[0] != base).any(dim=0)
        assert changed[start : start + width].any()
        assert not changed[:start].any()
        assert not changed[start + width :].any()
        start += width
    assert start == model.num_outputs == base.shape[1]


@pytest.mark.spec(124)
@pytest.mark.parametrize("post", [[6], [7, 5]])
def test_a_dense_stack_on_all_features(post):
    model = network(SMALL, post_fcnet_hiddens=post, post_fcnet_activation="elu", post_fcnet_weights_initializer="ones")
    stack = [*model.encoder][1:]
    assert [layer.out_features for layer in stack[::2]] == post
    assert {type(layer) for layer in stack[1::2]} == {nn.ELU}
    assert stack[0].in_features == 8 + 32 + 8
    assert (stack[0].weight == 1).all()
    assert model.logits.in_features == model.value_head.in_features == post[-1]
    assert model({"obs": observations(SMALL)})[0].shape == (12, 4)


def test_without_a_dense_stack_the_parts_add_up():
    # What the docstring of the network warns of.
    model, obs = shuffled(network(Tuple((Discrete(2), Discrete(2))))), torch.eye(2)
    corners = [[model({"obs": [obs[i : i + 1], obs[j : j + 1]]})[0] for j in (0, 1)] for i in (0, 1)]
    torch.testing.assert_close(corners[0][0] + corners[1][1], corners[0][1] + corners[1][0])
    model = shuffled(network(Tuple((Discrete(2), Discrete(2))), post_fcnet_hiddens=[8]))
    corners = [[model({"obs": [obs[i : i + 1], obs[j : j + 1]]})[0] for j in (0, 1)] for i in (0, 1)]
    assert not torch.allclose(corners[0][0] + corners[1][1], corners[0][1] + corners[1][0])


def test_dense_layers_by_key():
    model = network(SMALL, fcnet_hiddens=[6, 5], fcnet_activation="elu", fcnet_bias_initializer="ones")
    dense = model.encoder[0].parts[0].dense
    assert [type(layer) for layer in dense] == [nn.Linear, nn.ELU] * 2
    assert (dense[0].bias == 1).all()
    plain = network(SMALL, None, fcnet_hiddens=[])
    assert plain.num_outputs == 5 + 32 + 3
    obs = observations(SMALL)
    torch.testing.assert_close(plain({"obs": obs})[0][:, :5], obs["z"])


def test_filters_serve_all_pictures():
    space = Dict(a=Box(0, 255, (8, 9, 3), np.uint8), b=Image((2, 8, 9), channels_first=True))
    model = network(space, None, conv_filters=[[4, 3, 2], [5, [3, 3], 2]])
    assert model.num_outputs == 2 * 5 * 1 * 2
    assert model({"obs": observations(space)})[0].shape == (12, 20)
    with pytest.raises(ModelError, match=r'obs\["a"\]: conv_filters .* 4 x 5 pixels are left of 8 x 9'):
        network(space, conv_filters=[[4, 3, 2], [5, [5, 5], 2]])


# ------------------------------------------------------------------------------- values and features


@pytest.mark.parametrize("post", [[], [6]])
@pytest.mark.parametrize("share", [True, False])
def test_the_value_has_a_stack_of_its_own_if_wanted(share, post):
    model = shuffled(network(SMALL, vf_share_layers=share, post_fcnet_hiddens=post))
    obs = observations(SMALL)
    model({"obs": obs})[0].sum().backward()
    assert (model.value_encoder is None) == share
    own = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert {name.split(".")[0] for name in own} == ({"value_head"} if share else {"value_head", "value_encoder"})
    expected = model.value_head((model.encoder if share else model.value_encoder)(obs))
    torch.testing.assert_close(model.value_function(), expected[:, 0])


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("post", [[], [6], [7, 6]])
def test_no_final_linear(post, share):
    model = network(SMALL, post_fcnet_hiddens=post, no_final_linear=True, vf_share_layers=share)
    assert model.logits is None
    assert [layer.out_features for layer in [*model.encoder][1::2]] == [*post[:-1], 4]
    output = model({"obs": observations(SMALL)})[0]
    assert output.shape == (12, 4)
    assert output.min() == 0
    assert model.value_function().shape == (12,)


@pytest.mark.parametrize("no_final_linear", [True, False])
def test_free_log_std(no_final_linear):
    model = network(SMALL, free_log_std=True, no_final_linear=no_final_linear)
    with torch.no_grad():
        model.log_std.copy_(torch.tensor([0.5, -1.0]))
    output = model({"obs": observations(SMALL)})[0]
    assert output[:, 2:].tolist() == [[0.5, -1.0]] * 12
    assert output[:, :2].std(dim=0).any()


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize(("post", "width"), [([], 48), ([6], 6)])
def test_without_outputs_the_features_come_out(post, width, share):
    model = network(SMALL, None, post_fcnet_hiddens=post, vf_share_layers=share, free_log_std=True)
    features = model({"obs": observations(SMALL)})[0]
    assert (model.num_outputs, features.shape) == (width, (12, width))
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {"encoder"}


@pytest.mark.spec(84)
@pytest.mark.parametrize("post", [[], [12]])
@pytest.mark.parametrize("memory", ["use_lstm", "use_gru", "use_attention"])
def test_memories_take_the_features(memory, post):
    config = {memory: True, "post_fcnet_hiddens": post, "lstm_cell_size": 10, "attention_dim": 10, "fcnet_hiddens": [8]}
    policy = Policy(SMALL, FOUR, merge(PolicyConfig(), {"model": config}), TorchRuntime("cpu"), seed=0)
    assert type(policy.model.base) is ComplexInputNetwork
    assert policy.model.width_in == policy.model.base.num_outputs == (post[0] if post else 48)
    SMALL.seed(0)
    first = [SMALL.sample() for _ in range(2)]
    stacked = {key: np.stack([obs[key] for obs in first]) for key in SMALL.spaces}
    actions, state = policy.compute_actions(stacked)
    again, _ = policy.compute_actions(stacked, state)
    assert actions.shape == again.shape == (2,)


# ------------------------------------------------------------------------------ every kind of space


# The largest floats overflow, as they do in every network.
@pytest.mark.parametrize("name", [name for name in OBSERVATION_SPACES if name != "box largest floats"])
def test_every_space_has_finite_outputs_and_gradients(name):
    space = OBSERVATION_SPACES[name]
    model, obs = shuffled(network(space, vf_share_layers=False)), observations(space, 24)
    output = model({"obs": obs})[0]
    assert output.shape == (24, 4)
    assert output.isfinite().all()
    (output.sum() + model.value_function().sum()).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.any(), key


@pytest.mark.spec(125)
@pytest.mark.parametrize("name", OBSERVATION_SPACES)
def test_without_preprocessing_the_network_gives_the_same(name):
    space = OBSERVATION_SPACES[name]
    model, raw_model = network(space, post_fcnet_hiddens=[6]), network(space, raw=True, post_fcnet_hiddens=[6])
    shuffled(model)
    raw_model.load_state_dict(model.state_dict())
    raw, obs = observations(space, raw=True), observations(space, scale=False)
    torch.testing.assert_close(raw_model({"obs": raw})[0], model({"obs": obs})[0], equal_nan=True)


@pytest.mark.parametrize("name", ["dict", "tuple in dict in tuple", "all mixed", "graph", "one of", "text"])
def test_flat_observations_are_restored(name):
    space = OBSERVATION_SPACES[name]
    preprocessor, model = get_preprocessor(space), shuffled(network(space))
    space.seed(3)
    flat = torch.from_numpy(np.stack([preprocessor.transform(space.sample()) for _ in range(12)]))
    torch.testing.assert_close(model({"obs": flat})[0], model({"obs": observations(space)})[0])


@pytest.mark.spec(125)
def test_raw_integers_are_one_hot_in_the_network():
    space = Dict(n=Discrete(3, start=5), m=MultiDiscrete([[2, 3]], start=[[1, -1]]))
    model = shuffled(network(space, None, raw=True, fcnet_hiddens=[]))
    for dtype in (torch.uint8, torch.int32, torch.int64):
        obs = {"n": torch.tensor([0, 2], dtype=dtype), "m": torch.tensor([[[1, 0]], [[0, 2]]], dtype=dtype)}
        assert model({"obs": obs})[0].tolist() == [[1, 0, 0, 0, 1, 1, 0, 0], [0, 0, 1, 1, 0, 0, 0, 1]]
    hot = {"n": torch.eye(3)[[0, 2]], "m": torch.tensor([[0.0, 1, 1, 0, 0], [1, 0, 0, 0, 1]])}
    assert model({"obs": hot})[0].tolist() == model({"obs": obs})[0].tolist()


@pytest.mark.spec(125)
def test_policies_without_preprocessing_take_raw_observations():
    config = merge(PolicyConfig(), {"_disable_preprocessor_api": True, "model": {"fcnet_hiddens": [8]}})
    policy = Policy(SMALL, FOUR, config, TorchRuntime("cpu"), seed=0)
    assert type(policy.model) is ComplexInputNetwork
    obs, seen = SMALL.sample(), []
    policy.model.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]["a"]))
    assert SMALL["a"].contains(obs["a"])
    policy.compute_single_action(obs)
    assert seen[0].tolist() == [int(obs["a"]) - 2]
    assert not seen[0].is_floating_point()


# -------------------------------------------------------------------------------------- alternatives


CHOICE = OneOf((Discrete(3), Box(-2, 2, (2,)), Repeated(Box(-1, 1, ()), 2)))


def test_what_is_not_chosen_changes_nothing():
    model = shuffled(network(CHOICE))
    obs = observations(CHOICE)
    which = obs[0].argmax(dim=1)
    assert set(which.tolist()) == {0, 1, 2}
    base = model({"obs": obs})[0]
    others = [obs[1] + 1, obs[2] + 1, RepeatedValues(obs[3].values + 1, obs[3].lengths, 2)]
    for position, other in enumerate(others):
        changed = [other if 1 + position == place else part for place, part in enumerate(obs)]
        differs = (model({"obs": changed})[0] != base).any(dim=1)
        # Numbers beyond the length of an empty list are not seen either.
        there = (which == position) & ((obs[3].lengths > 0) if position == 2 else True)
        assert differs.tolist() == there.tolist()


def test_the_choice_itself_is_seen():
    model = shuffled(network(OneOf((Box(-1, 1, (2,)), Box(-1, 1, (2,))))))
    values = torch.zeros(2, 2)
    first, second = model({"obs": [torch.eye(2), values, values]})[0]
    assert not torch.allclose(first, second)
