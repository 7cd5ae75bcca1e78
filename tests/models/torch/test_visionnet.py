"""The default model of pictures: parameter counts, heads, layouts, features, scaling."""

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete
from torch import nn

from anyspace.config import merge
from anyspace.errors import ConfigError, ModelError, UnsupportedSpaceError
from anyspace.models import ModelCatalog
from anyspace.models.torch import VisionNetwork
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.batch import Batch
from anyspace.policy.config import PolicyConfig
from anyspace.policy.policy import Policy
from anyspace.spaces import Image, get_preprocessor
from anyspace.spaces.kinds.images import ImageLayout
from tests.support.torch_nets import draw, shuffled

FOUR = Discrete(4)
# 14 x 12 pixels: convolutions of 7 x 6 and 1 x 1.
SMALL, FILTERS = Box(0, 255, (14, 12, 3), np.uint8), [[6, 4, 2], [5, [7, 6], 1]]


def pictures(*shape):
    return Box(0, 255, shape, np.uint8)


def network(space=SMALL, num_outputs=4, filters=FILTERS, **config):
    model = ModelCatalog.get_model_v2(space, FOUR, num_outputs, {"conv_filters": filters, **config})
    assert type(model) is VisionNetwork
    return model


def size(model):
    return sum(parameter.numel() for parameter in model.parameters())


def dense(module):
    """The dense layers of an encoder and what lies between them."""
    return [layer.out_features if isinstance(layer, nn.Linear) else type(layer) for layer in [*module][1:]]


@pytest.mark.spec(63)
@pytest.mark.parametrize(
    ("side", "channels", "parameters"),
    [(84, 3, 1_004_085), (42, 3, 1_001_781), (10, 3, 14_213), (96, 3, 1_004_085), (84, 4, 1_005_109), (64, 3, None)],
)
def test_default_stacks_build_run_and_have_the_documented_size(side, channels, parameters):
    space = pictures(side, side, channels)
    model = network(space, filters=None)
    assert parameters in (None, size(model))
    outputs, state = model({"obs": draw(3, side, side, channels)})
    assert (outputs.shape, state) == ((3, 4), [])
    assert model.value_function().shape == (3,)
    assert outputs.std(dim=0).all()


@pytest.mark.spec(65)
def test_the_documented_example():
    model = network(pictures(42, 42, 3), filters=[[16, [4, 4], 2], [32, [4, 4], 2], [512, [11, 11], 1]])
    assert size(model) == 1_994_549
    assert model({"obs": draw(2, 42, 42, 3)})[0].shape == (2, 4)


@pytest.mark.spec(67)
@pytest.mark.parametrize("shape", [(50, 50, 3), (84, 96, 3), (7, 30, 1), (1, 1, 2)])
def test_pictures_of_any_size_have_a_stack(shape):
    model = network(pictures(*shape), filters=None)
    assert model({"obs": draw(2, *shape)})[0].shape == (2, 4)
    assert model.model_config["conv_filters"] is None


def test_rectangles_take_kernels_that_match():
    model = network(pictures(84, 96, 3), filters=[[16, [8, 8], 4], [32, [21, 24], 1]])
    assert model({"obs": draw(2, 84, 96, 3)})[0].shape == (2, 4)


@pytest.mark.spec(66)
@pytest.mark.parametrize("config", [{}, {"no_final_linear": True}])
def test_filters_that_do_not_end_in_one_pixel_are_refused_at_once(config):
    with pytest.raises(ModelError) as caught:
        network(filters=[[6, 4, 2], [4, 3, 1]], **config)
    for part in ("conv_filters [[6, [4, 4], 2], [4, [3, 3], 1]]", "into [5, 4, 4]", "but [1, 1, 4] is wanted"):
        assert part in str(caught.value)


@pytest.mark.parametrize("config", [{"post_fcnet_hiddens": [7]}, {"num_outputs": None}])
def test_dense_layers_and_features_take_all_pixels(config):
    model = network(filters=[[6, 4, 2], [4, 3, 1]], **config)
    assert model({"obs": draw(2, 14, 12, 3)})[0].shape == (2, config.get("num_outputs", 4) or 5 * 4 * 4)


def test_without_filters_nothing_is_built():
    with pytest.raises(ConfigError, match=r"model\.conv_filters"):
        network(filters=[])


# -------------------------------------------------------------------------------------------- heads


@pytest.mark.spec(68)
@pytest.mark.parametrize("share", [True, False])
def test_dense_layers_after_convolutions(share):
    model = shuffled(network(post_fcnet_hiddens=[9, 8], post_fcnet_activation="tanh", vf_share_layers=share))
    assert dense(model.encoder) == [9, type(model.encoder[2]), 8, type(model.encoder[2])]
    assert issubclass(type(model.encoder[2]), nn.Tanh)
    assert (model.logits.in_features, model.logits.out_features) == (8, 4)
    x = draw(3, 14, 12, 3)
    outputs, _ = model({"obs": x})
    convolutions, first, _, second, _ = model.encoder
    hidden = torch.tanh(second(torch.tanh(first(convolutions(x)))))
    torch.testing.assert_close(outputs, model.logits(hidden))
    if share:
        assert model.value_encoder is None
        expected = model.value_head(hidden)
    else:
        # The value's own convolutions have no dense layers after them.
        assert model.value_head.in_features == 5
        expected = model.value_head(model.value_encoder(x))
        assert not torch.allclose(model.value_encoder(x), convolutions(x))
    torch.testing.assert_close(model.value_function(), expected[:, 0])


def test_initial_heads():
    model = network(post_fcnet_hiddens=[9])
    torch.testing.assert_close(model.encoder[1].weight.norm(dim=1), torch.ones(9))
    for head in (model.logits, model.value_head):
        torch.testing.assert_close(head.weight.norm(dim=1), torch.full((head.out_features,), 0.01))
        assert not head.bias.any()


def test_post_initialisers():
    model = network(post_fcnet_hiddens=[9], post_fcnet_weights_initializer="zeros", post_fcnet_bias_initializer="ones")
    assert not model.encoder[1].weight.any()
    assert (model.encoder[1].bias == 1).all()
    assert model.logits.weight.any()


@pytest.mark.spec(69)
@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("post", [[], [9], [9, 8]])
def test_no_final_linear(post, share):
    model = network(post_fcnet_hiddens=post, no_final_linear=True, vf_share_layers=share)
    assert model.logits is None
    assert dense(model.encoder)[::2] == [*post[:-1], 4][: len(post)]
    assert model.encoder[0].placed.filters[-1].channels == (5 if post else 4)
    outputs, _ = model({"obs": draw(3, 14, 12, 3)})
    assert outputs.shape == (3, 4)
    # A rectifier is the last thing that they go through.
    assert outputs.min() == 0
    assert model.value_function().shape == (3,)
    if not share:
        assert model.value_encoder.placed.filters[-1].channels == 5


@pytest.mark.parametrize("no_final_linear", [True, False])
def test_free_log_std(no_final_linear):
    model = network(free_log_std=True, no_final_linear=no_final_linear)
    with torch.no_grad():
        model.log_std.copy_(torch.tensor([0.5, -1.0]))
    outputs, _ = model({"obs": draw(3, 14, 12, 3)})
    assert outputs.shape == (3, 4)
    assert outputs[:, 2:].tolist() == [[0.5, -1.0]] * 3
    assert outputs[:, :2].std(dim=0).any()


@pytest.mark.spec(70)
@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize(("post", "width"), [([], 256), ([16], 16), ([9, 8], 8)])
def test_without_outputs_the_features_come_out(post, width, share):
    config = {"post_fcnet_hiddens": post, "vf_share_layers": share, "no_final_linear": True, "free_log_std": True}
    model = network(pictures(84, 84, 3), None, None, **config)
    features, _ = model({"obs": draw(2, 84, 84, 3)})
    assert (model.num_outputs, features.shape) == (width, (2, width))
    torch.testing.assert_close(features, model.encoder(draw(2, 84, 84, 3)))
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {"encoder"}


@pytest.mark.parametrize("share", [True, False])
def test_every_parameter_learns(share):
    model = shuffled(network(post_fcnet_hiddens=[9], vf_share_layers=share))
    outputs, _ = model({"obs": draw(8, 14, 12, 3)})
    (outputs.square().sum() + model.value_function().square().sum()).backward()
    assert [name for name, parameter in model.named_parameters() if not parameter.grad.any()] == []


# ------------------------------------------------------------------------------------------- layouts


@pytest.mark.spec(72)
@pytest.mark.parametrize(
    ("shape", "space"),
    [
        ((3, 84, 84), pictures(3, 84, 84)),
        ((3, 14, 12), Image((3, 14, 12), channels_first=True)),
        ((12, 14, 3), Image((12, 14, 3), channels_first=True)),
    ],
    ids=str,
)
def test_channels_first_pictures_give_what_permuted_ones_give(shape, space):
    ordered = Image(tuple(np.moveaxis(np.empty(shape), 0, -1).shape), channels_first=False)
    first, last = (network(each, filters=None) for each in (space, ordered))
    last.load_state_dict(first.state_dict())
    x = draw(2, *shape)
    torch.testing.assert_close(first({"obs": x})[0], last({"obs": x.movedim(1, -1)})[0])
    torch.testing.assert_close(first.value_function(), last.value_function())


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.uint8])
def test_other_boxes_of_rank_three_have_their_channels_last(dtype):
    space = Box(-1 if dtype is not np.uint8 else 0, 1, (3, 14, 12), dtype)
    model = network(space, filters=None)
    assert model.encoder[0].placed.layout == ImageLayout(3, 14, 12)
    assert model({"obs": draw(2, 3, 14, 12).to(torch.from_numpy(np.zeros(1, dtype)).dtype)})[0].shape == (2, 4)


@pytest.mark.parametrize(
    ("space", "ordered", "axes"),
    [
        (pictures(14, 12), (14, 12, 1), None),
        (pictures(2, 14, 12, 3), (14, 12, 6), (0, 2, 3, 1, 4)),
        (Image((2, 3, 14, 12), channels_first=True), (14, 12, 6), (0, 3, 4, 1, 2)),
    ],
    ids=str,
)
def test_pictures_without_channels_or_of_several_frames(space, ordered, axes):
    config = {"conv_filters": FILTERS, "vf_share_layers": False}
    # The catalogue gives rank 2 and 4 to the network of components, whose convolutions are the same.
    model = VisionNetwork(space, FOUR, 4, config)
    plain = network(pictures(*ordered), **config)
    plain.load_state_dict(model.state_dict())
    x = draw(2, *space.shape)
    x_ordered = (x if axes is None else x.permute(axes)).reshape(2, *ordered)
    torch.testing.assert_close(model({"obs": x})[0], plain({"obs": x_ordered})[0])


@pytest.mark.parametrize("space", [Box(-1, 1, (14, 12)), Box(0, 1, (4,)), FOUR, Dict(a=SMALL)], ids=str)
def test_what_is_no_picture_is_refused(space):
    with pytest.raises(UnsupportedSpaceError, match=r"VisionNetwork takes pictures: .* Leave the choice"):
        VisionNetwork(space, FOUR, 4, {})


# ------------------------------------------------------------------------------------------- scaling


@pytest.mark.spec(71)
@pytest.mark.parametrize(("scale", "factor"), [(True, 1 / 255), (False, 1.0)])
def test_pictures_are_scaled_unless_switched_off(scale, factor):
    config = {"scale_images": scale, "model": {"conv_filters": FILTERS}}
    policy = Policy(SMALL, FOUR, merge(PolicyConfig(), config), TorchRuntime("cpu"), seed=0)
    assert type(policy.model) is VisionNetwork
    obs = np.random.default_rng(0).integers(0, 256, (3, *SMALL.shape), np.uint8)
    outputs = policy.evaluate(Batch(obs=[torch.from_numpy(obs)])).output
    expected = policy.model({"obs": torch.from_numpy(obs).float() * factor})[0]
    torch.testing.assert_close(outputs, expected)
    assert expected.std(dim=0).any()
    # The default scales, and preprocessed observations lie between 0 and 1 then.
    assert PolicyConfig().scale_images
    (features,) = get_preprocessor(SMALL, scale).expand([torch.from_numpy(obs)])
    assert features.max() == obs.max() * np.float32(factor)
