"""Convolutions beside plain NumPy loops, the default stacks, and what is refused."""

import math

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from hypothesis import given, settings
from hypothesis import strategies as st

from anyspace.errors import ConfigError, ModelError
from anyspace.models import MODEL_DEFAULTS
from anyspace.models.config import check_filters
from anyspace.models.pictures import Convolutions, Filter, PlacedFilter, default_filters, filters_of, same_padding
from anyspace.models.torch.convolution import Convolution, ConvolutionStack
from anyspace.spaces import Image
from anyspace.spaces.kinds.images import ImageLayout, image_layout
from tests.support.torch_nets import draw, shuffled

SQUARE = {
    96: [(16, 8, 4), (32, 4, 2), (256, 11, 2)],
    84: [(16, 8, 4), (32, 4, 2), (256, 11, 1)],
    64: [(32, 4, 2), (64, 4, 2), (128, 4, 2), (256, 8, 1)],
    42: [(16, 4, 2), (32, 4, 2), (256, 11, 1)],
    10: [(16, 5, 2), (32, 5, 2)],
}


def stack(layout, filters=None, **config):
    config = {**MODEL_DEFAULTS, "conv_filters": filters, **config}
    return ConvolutionStack(Convolutions.of(layout, filters_of(config, layout)), config)


def convolved(x, weight, bias, stride, before, after):
    """What a convolution is, pixel by pixel: x [H, W, C], weight [out, kernel height, kernel width, C]."""
    x = np.pad(x, ((before[0], after[0]), (before[1], after[1]), (0, 0)))
    tall, wide = weight.shape[1:3]
    rows, columns = ((side - kernel) // stride + 1 for side, kernel in zip(x.shape, (tall, wide), strict=False))
    out = np.empty((rows, columns, len(weight)))
    for i in range(rows):
        for j in range(columns):
            window = x[i * stride : i * stride + tall, j * stride : j * stride + wide]
            out[i, j] = (weight * window).sum(axis=(1, 2, 3)) + bias
    return out


def arrays(layer):
    return layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()


@pytest.mark.spec(64)
@pytest.mark.parametrize(
    ("side", "kernel", "stride", "padding", "out"),
    [
        (84, 8, 4, (2, 2), 21),
        (21, 4, 2, (1, 2), 11),
        (42, 4, 2, (1, 1), 21),
        (10, 5, 2, (1, 2), 5),
        (96, 8, 4, (2, 2), 24),
        (64, 4, 2, (1, 1), 32),
    ],
)
def test_same_padding(side, kernel, stride, padding, out):
    assert same_padding(side, kernel, stride) == padding
    one = Filter(2, (kernel, kernel), stride)
    inner = Convolution(PlacedFilter(side, side, 3, one, last=False), MODEL_DEFAULTS)
    assert inner.size == (out, out)
    assert inner(torch.zeros(1, side, side, 3)).shape == (1, out, out, 2)
    # Nothing is padded before the last layer.
    last = Convolution(PlacedFilter(side, side, 3, one, last=True), MODEL_DEFAULTS)
    assert last.size == (math.ceil((side - kernel + 1) / stride),) * 2
    assert last(torch.zeros(1, side, side, 3)).shape == (1, *last.size, 2)


@given(st.integers(1, 30), st.integers(1, 9), st.integers(1, 6))
def test_padded_sides_shrink_by_the_stride_alone(side, kernel, stride):
    before, after = same_padding(side, kernel, stride)
    assert after - before in (0, 1)
    assert (side + before + after - kernel) // stride + 1 == math.ceil(side / stride)
    # Not a zero more than it takes.
    assert before + after == 0 or (side + before + after - 1 - kernel) // stride + 1 < math.ceil(side / stride)


FITTING = [(7, 5, (4, 3), 2), (6, 6, (3, 3), 1), (4, 5, (4, 5), 1), (4, 4, (2, 2), 3), (9, 4, (2, 4), 2)]
# Kernels larger than the picture and strides that leave one pixel of it: padding makes them fit.
PADDED = [(3, 3, (5, 5), 3), (4, 3, (8, 6), 4)]


@pytest.mark.parametrize(
    ("height", "width", "kernel", "stride", "last"),
    [(*case, last) for case in FITTING for last in (True, False)] + [(*case, False) for case in PADDED],
)
def test_a_convolution_is_what_loops_give(height, width, kernel, stride, last):
    layer = shuffled(Convolution(PlacedFilter(height, width, 2, Filter(3, kernel, stride), last), MODEL_DEFAULTS))
    x = draw(2, height, width, 2)
    sides = zip((height, width), kernel, strict=True)
    padding = [(0, 0) if last else same_padding(side, length, stride) for side, length in sides]
    before, after = zip(*padding, strict=True)
    expected = [convolved(row, *arrays(layer), stride, before, after) for row in x.double().numpy()]
    np.testing.assert_allclose(layer(x).detach(), expected, rtol=1e-5, atol=1e-5)


def test_a_stack_is_its_layers_with_activations_between():
    layout = ImageLayout(7, 6, 2)
    made = shuffled(stack(layout, [[3, [3, 2], 2], [4, [2, 3], 1]], conv_activation="tanh"))
    x = draw(2, 7, 6, 2)
    first, second = (layer for layer in made if isinstance(layer, Convolution))
    for row, features in zip(x.double().numpy(), made(x).detach(), strict=True):
        hidden = np.tanh(convolved(row, *arrays(first), 2, (1, 0), (1, 0)))
        expected = np.tanh(convolved(hidden, *arrays(second), 1, (0, 0), (0, 0)))
        assert expected.shape == made.placed.shape == (3, 1, 4)
        np.testing.assert_allclose(features, expected.ravel(), rtol=1e-5, atol=1e-5)
    assert made.width == 12


@pytest.mark.spec(63)
@pytest.mark.parametrize("side", SQUARE)
def test_the_default_stacks_of_five_sizes(side):
    assert default_filters(side, side) == [Filter(out, (kernel, kernel), step) for out, kernel, step in SQUARE[side]]
    assert stack(ImageLayout(side, side, 3)).placed.shape == (1, 1, SQUARE[side][-1][0])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 120), st.integers(1, 120), st.integers(1, 5))
def test_every_size_ends_in_one_pixel(height, width, channels):
    # Shapes alone are computed on this device.
    with torch.device("meta"):
        made = stack(ImageLayout(height, width, channels))
        assert made.placed.shape[:2] == (1, 1)
        assert made(torch.empty(2, height, width, channels)).shape == (2, made.width)
    made.placed.require_one_pixel()
    assert sum(parameter.numel() for parameter in made.parameters()) < 2_300_000


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (2, 3), (11, 11), (12, 12), (13, 1), (45, 44), (3, 200)])
def test_pixels_at_the_edges_reach_the_features(height, width):
    made = stack(ImageLayout(height, width, 1), conv_activation="linear", conv_kernel_initializer="ones")
    pixel = torch.zeros(4, height, width, 1)
    for row, corner in zip(pixel, [(0, 0), (0, -1), (-1, 0), (-1, -1)], strict=True):
        row[corner] = 1
    assert (made(pixel) > 0).all()


def test_stacks_are_not_shared():
    default_filters(84, 84).append(Filter(1, (1, 1), 1))
    assert len(default_filters(84, 84)) == 3


# ------------------------------------------------------------------------------------------ layouts


PICTURES = {
    "last": Box(0, 255, (12, 10, 3), np.uint8),
    "first": Box(0, 255, (3, 12, 10), np.uint8),
    "no channels": Box(0, 255, (12, 10), np.uint8),
    "several": Box(0, 255, (2, 12, 10, 3), np.uint8),
    "several, first": Image((2, 3, 12, 10), channels_first=True),
}
TO_LAST = {
    "last": "nhwc -> nhwc",
    "first": "nchw -> nhwc",
    "no channels": "nhw -> nhw",
    "several": "nkhwc -> nhwkc",
    "several, first": "nkchw -> nhwkc",
}


@pytest.mark.spec(72)
@pytest.mark.parametrize("name", PICTURES)
def test_axes_are_put_in_order(name):
    space = PICTURES[name]
    layout = image_layout(space)
    assert (layout.height, layout.width) == (12, 10)
    made = stack(layout)
    plain = stack(ImageLayout(12, 10, layout.channels))
    plain.load_state_dict(made.state_dict())
    pictures = np.random.default_rng(0).integers(0, 256, (4, *space.shape), np.uint8)
    ordered = np.einsum(TO_LAST[name].replace(" ", ""), pictures).reshape(4, 12, 10, layout.channels)
    expected = plain(torch.from_numpy(ordered).float())
    torch.testing.assert_close(made(torch.from_numpy(pictures)), expected)
    assert expected.std(dim=0).any()


# ------------------------------------------------------------------------------------- configuration


def weights(**config):
    torch.manual_seed(0)
    layer = stack(ImageLayout(6, 6, 3), [[8, 3, 2], [5, 3, 1]], **config)[0]
    return layer.weight.detach(), layer.bias.detach()


def test_kernel_initialisers():
    kernels, biases = weights()
    # Xavier: sqrt(6 / (in + out)), where each kernel pixel counts.
    bound = math.sqrt(6 / (9 * 3 + 9 * 8))
    assert 0.95 * bound < kernels.abs().max() <= bound
    assert not biases.any()
    assert (weights(conv_kernel_initializer="zeros")[0] == 0).all()
    wide, _ = weights(conv_kernel_initializer="normal_", conv_kernel_initializer_config={"std": 7.0})
    assert 6 < wide.std() < 8
    unit, _ = weights(conv_kernel_initializer="normc", conv_kernel_initializer_config={"scale": 2.0})
    torch.testing.assert_close(unit.flatten(1).norm(dim=1), torch.full((8,), 2.0))
    # Dirac kernels pass the input on, which tells the order of the axes.
    passing, _ = weights(conv_kernel_initializer="dirac")
    assert passing.nonzero().tolist() == [[channel, 1, 1, channel] for channel in range(3)]


def test_bias_initialisers():
    assert (weights(conv_bias_initializer="constant", conv_bias_initializer_config={"val": 0.5})[1] == 0.5).all()
    assert (weights(conv_bias_initializer=torch.nn.init.ones_)[1] == 1).all()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "conv_kernel_initializer",
            "xavier_unifrom",
            r"`model.conv_kernel_initializer` .* no such .* 'xavier_unif",
        ),
        (
            "conv_bias_initializer",
            "orthogonal",
            r"`model.conv_bias_initializer` .* a tensor of shape \(8,\)",
        ),
        ("conv_activation", "rellu", r"Unknown activation \(rellu\)"),
    ],
)
def test_unfit_values_are_refused(key, value, message):
    with pytest.raises(ConfigError, match=message):
        weights(**{key: value})


@pytest.mark.parametrize("activation", ["relu", "tanh", "linear", torch.nn.ELU])
def test_activations(activation):
    made = shuffled(stack(ImageLayout(6, 6, 3), [[8, 3, 2], [5, 3, 1]], conv_activation=activation))
    function = {"relu": torch.relu, "tanh": torch.tanh, "linear": torch.nn.Identity()}.get(activation, torch.nn.ELU())
    first, second = (layer for layer in made if isinstance(layer, Convolution))
    x = draw(2, 6, 6, 3)
    torch.testing.assert_close(made(x), function(second(function(first(x)))).flatten(1))


@pytest.mark.parametrize("filters", [[], [[16, 4]], [[16, 4, 0]], [[16, [4, 4, 4], 1]], [[16, 4.5, 1]], ["16"]])
def test_what_are_no_filters_is_refused(filters):
    with pytest.raises(ConfigError, match=r"model.conv_filters.*a list of one convolution or more"):
        check_filters(filters)
    with pytest.raises(ConfigError, match=r"model\.conv_filters"):
        stack(ImageLayout(9, 9, 3), filters)


def test_kernels_are_sides_or_pairs_of_any_whole_numbers():
    layout = ImageLayout(9, 9, 3)
    for kernel in (3, (3, 3), [3, 3], np.int64(3)):
        assert stack(layout, [(np.int64(4), kernel, 2), [5, 5, 1]]).placed.filters == [
            Filter(4, (3, 3), 2),
            Filter(5, (5, 5), 1),
        ]


@pytest.mark.spec(66)
def test_filters_that_leave_several_pixels_say_what_they_leave():
    made = stack(ImageLayout(20, 24, 3), [[16, [4, 4], 2], [32, 5, 1]])
    with pytest.raises(ModelError) as caught:
        made.placed.require_one_pixel()
    for part in ("[[16, [4, 4], 2], [32, [5, 5], 1]]", "20 x 24", "into [6, 8, 32]", "[1, 1, 32] is wanted"):
        assert part in str(caught.value)
    made = stack(ImageLayout(20, 24, 3), [[16, [4, 4], 2], [32, [10, 12], 1]])
    made.placed.require_one_pixel()


def test_a_last_kernel_larger_than_what_is_left_is_refused():
    with pytest.raises(ModelError, match=r"\[\[16, \[4, 4\], 4\], \[32, \[9, 9\], 1\]\].* 5 x 6 pixels are left of 20"):
        stack(ImageLayout(20, 24, 3), [[16, 4, 4], [32, 9, 1]])
