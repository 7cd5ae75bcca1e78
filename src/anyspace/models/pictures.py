"""Pictures and the convolutions on them: layouts, filters, what comes out of each layer, in any framework.

Letters: N rows, H and W height and width, C channels, F features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import gymnasium as gym

from anyspace.errors import ModelError, UnsupportedSpaceError
from anyspace.maths.xp import Array, xp
from anyspace.models.architecture import Stack, after_encoder
from anyspace.models.config import check_filters
from anyspace.spaces.kinds.images import ImageLayout
from anyspace.spaces.leaves import LeafSpec
from anyspace.spaces.restore import structure_of

LARGEST_REST = 11
"""Longest side of a picture that the last layer of a computed stack covers at once."""


class Filter(NamedTuple):
    """One convolution."""

    channels: int
    """It puts out."""
    kernel: tuple[int, int]
    """Height and width."""
    stride: int


def _filters(*layers: tuple[int, int, int]) -> list[Filter]:
    return [Filter(channels, (side, side), stride) for channels, side, stride in layers]


_DEFAULTS = {
    96: _filters((16, 8, 4), (32, 4, 2), (256, 11, 2)),
    84: _filters((16, 8, 4), (32, 4, 2), (256, 11, 1)),
    64: _filters((32, 4, 2), (64, 4, 2), (128, 4, 2), (256, 8, 1)),
    42: _filters((16, 4, 2), (32, 4, 2), (256, 11, 1)),
    10: _filters((16, 5, 2), (32, 5, 2)),
}


def default_filters(height: int, width: int) -> list[Filter]:
    """Return a stack that ends in one pixel.

    Square pictures of 96, 84, 64, 42 and 10 pixels have stacks of their own (`_DEFAULTS`). Other pictures up to
    `LARGEST_REST` get two layers like the ones for 10 x 10. Larger pictures get two or more layers that shrink the
    longer side to `LARGEST_REST` (by 4 while more than that is left, then by 2), and one that covers the rest.
    """
    if height == width and height in _DEFAULTS:
        return list(_DEFAULTS[height])
    if max(height, width) <= LARGEST_REST:
        return [
            Filter(16, (min(5, height), min(5, width)), 2),
            Filter(32, (-(-height // 2), -(-width // 2)), 1),
        ]
    filters: list[Filter] = []
    while len(filters) < 2 or max(height, width) > LARGEST_REST:
        longer = max(height, width)
        stride = 4 if longer > 4 * LARGEST_REST else 2 if longer > LARGEST_REST else 1
        side = 3 if stride == 1 else 2 * stride
        filters.append(Filter(min(16 << len(filters), 64), (min(side, height), min(side, width)), stride))
        height, width = -(-height // stride), -(-width // stride)
    return [*filters, Filter(256, (height, width), 1)]


def filters_of(model_config: Mapping[str, Any], layout: ImageLayout) -> list[Filter]:
    """Return the filters that a configuration gives, or the default ones for pictures of that size.

    Raises:
        ConfigError: `conv_filters` is no list of [channels, kernel, stride].
    """
    given = model_config["conv_filters"]
    if given is None:
        return default_filters(layout.height, layout.width)
    check_filters(given)
    return [
        Filter(channels, (kernel[0], kernel[1]) if isinstance(kernel, list | tuple) else (kernel, kernel), stride)
        for channels, kernel, stride in given
    ]


def spelled(filters: Sequence[Filter]) -> str:
    """Spell filters as the configuration takes them."""
    return str([[channels, list(kernel), stride] for channels, kernel, stride in filters])


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return how many zeros go before and after a side of ``size``, so that the result is ceil(size / stride) long."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class PlacedFilter(NamedTuple):
    """A convolution where it lies: what it takes and what comes out."""

    height: int
    """Of what it takes."""
    width: int
    channels: int
    filter: Filter
    last: bool
    """Whether it is the last of its row: all but that one are padded to keep what their strides leave."""

    @property
    def padding(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """How many zeros go above and below, left and right."""
        if self.last:
            return (0, 0), (0, 0)
        (tall, wide), stride = self.filter.kernel, self.filter.stride
        return same_padding(self.height, tall, stride), same_padding(self.width, wide, stride)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of what comes out; below 1 where the kernel is larger than the picture."""
        height, width = (
            (side + sum(zeros) - kernel) // self.filter.stride + 1
            for side, zeros, kernel in zip((self.height, self.width), self.padding, self.filter.kernel, strict=True)
        )
        return height, width

    @property
    def covers_all(self) -> bool:
        """Whether one kernel covers the whole picture, so that the convolution is a matrix product."""
        return self.padding == ((0, 0), (0, 0)) and (self.height, self.width) == self.filter.kernel


class Convolutions(NamedTuple):
    """Convolutions in a row, on pictures of one layout."""

    layout: ImageLayout
    layers: list[PlacedFilter]

    @classmethod
    def of(cls, layout: ImageLayout, filters: Sequence[Filter]) -> Convolutions:
        """Return filters on pictures of a layout.

        Raises:
            ModelError: a kernel is larger than what reaches it.
        """
        height, width, channels = layout.height, layout.width, layout.channels
        layers: list[PlacedFilter] = []
        for number, layer in enumerate(filters):
            last = number == len(filters) - 1
            if last and (layer.kernel[0] > height or layer.kernel[1] > width):
                raise ModelError(
                    f"conv_filters {spelled(filters)}: the last kernel, {list(layer.kernel)}, is not padded and takes"
                    f" pictures of at least its own size, but {height} x {width} pixels are left of"
                    f" {layout.height} x {layout.width}. Make it smaller, or the strides before it."
                )
            layers.append(PlacedFilter(height, width, channels, layer, last))
            (height, width), channels = layers[-1].size, layer.channels
        return cls(layout, layers)

    @property
    def shape(self) -> tuple[int, int, int]:
        """[height, width, channels] of what comes out."""
        last = self.layers[-1]
        return (*last.size, last.filter.channels)

    @property
    def width(self) -> int:
        """F."""
        return math.prod(self.shape)

    @property
    def filters(self) -> list[Filter]:
        """The filters in a row."""
        return [layer.filter for layer in self.layers]

    def require_one_pixel(self) -> None:
        """Raise a ModelError unless one pixel comes out."""
        if self.shape[:2] != (1, 1):
            raise ModelError(
                f"conv_filters {spelled(self.filters)} turn pictures of {self.layout.height} x {self.layout.width}"
                f" pixels into {list(self.shape)}, but [1, 1, {self.shape[2]}] is wanted (height, width, channels)."
                f" Give the last layer the kernel that covers its input, add layers, give `post_fcnet_hiddens`, which"
                " take all pixels, or leave `conv_filters` out for a stack that fits."
            )


def vision(
    layout: ImageLayout, model_config: Mapping[str, Any], num_outputs: int | None, resized: int | None
) -> tuple[Convolutions, Stack]:
    """Return the convolutions of a vision network and the dense layers behind them.

    Args:
        layout: of the pictures.
        model_config: every key of the model configuration.
        num_outputs: of the network; None or 0 for features, which may be of several pixels.
        resized: the width that the last layer gets, as the output; None: it keeps its own.

    Raises:
        ModelError: convolutions without a dense stack after them do not end in one pixel, where there are outputs.
    """
    filters = filters_of(model_config, layout)
    if resized and not model_config["post_fcnet_hiddens"]:
        filters[-1], resized = filters[-1]._replace(channels=resized), None
    convolutions = Convolutions.of(layout, filters)
    post = after_encoder(convolutions.width, model_config, resized)
    if num_outputs and not post.sizes:
        convolutions.require_one_pixel()
    return convolutions, post


def picture_layout(leaf: LeafSpec) -> ImageLayout | None:
    """Return which axis of a leaf is which, or None where it is no picture.

    Pictures are the Boxes of bytes that `spaces.images` takes for ones, and every other Box of rank 3, whose channels
    come last.
    """
    is_box = isinstance(leaf.space, gym.spaces.Box)
    if leaf.image is not None or not is_box or len(leaf.element_shape) != 3 or not leaf.width:
        return leaf.image
    height, width, channels = leaf.element_shape
    return ImageLayout(height, width, channels)


def channels_last(x: Array, layout: ImageLayout) -> Array:
    """Return pictures [N, H, W], [N, H, W, C], [N, C, H, W] or K of them [N, K, ...] as floats [N, H, W, channels]."""
    ns = xp(x)
    x = ns.astype(x, "float32")
    if len(x.shape) == 3:
        return x[..., None]
    if layout.channels_first:
        x = ns.moveaxis(x, -3, -1)
    if len(x.shape) == 4:
        return x
    x = ns.moveaxis(x, 1, -2)  # [N, H, W, K, C]
    return ns.reshape(x, (*x.shape[:3], layout.channels))


def layout_of(model: object, obs_space: gym.Space[Any]) -> ImageLayout:
    """Return the layout of observations that are pictures.

    Args:
        model: takes them, for messages.
        obs_space: theirs.

    Raises:
        UnsupportedSpaceError: they are something else.
    """
    leaf = structure_of(obs_space)
    layout = picture_layout(leaf) if isinstance(leaf, LeafSpec) else None
    if layout is None:
        raise UnsupportedSpaceError(
            f"{type(model).__name__} takes pictures: Boxes of rank 3, or of bytes 0 to 255 with two, three or four"
            f" axes, not {obs_space}. Leave the choice of the model to the catalogue."
        )
    return layout
