"""Convolutions over pictures: default stacks, output sizes and the layers.

Pictures and kernels lie in memory with their channels last: that is how observations come, and on CPUs a gradient step
takes half the time so (84 x 84 x 4, 256 rows).

Letters: N rows, H and W height and width, C channels, F features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from anyspace.errors import ModelError
from anyspace.models.config import check_filters
from anyspace.models.torch.initializers import initializer_of
from anyspace.models.torch.layers import DenseStack, activation_class
from anyspace.spaces.kinds.images import ImageLayout

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


class Convolution(nn.Conv2d):
    """A convolution over pictures [N, H, W, C].

    It is an ``nn.Conv2d``, so that functions which initialise or freeze layers by their kind find it. Its weights
    lie in another order of axes.

    Args:
        height: H.
        width: W.
        channels: C.
        layer: the filter.
        last: pad nothing, instead of so much that sides shrink by the stride and nothing else.
        model_config: every key of the model configuration.

    Attributes:
        weight: [channels out, kernel height, kernel width, C].
        size: height and width of what comes out; below 1 where the kernel is larger than the picture.
    """

    bias: nn.Parameter

    def __init__(
        self, height: int, width: int, channels: int, layer: Filter, *, last: bool, model_config: Mapping[str, Any]
    ):
        nn.Module.__init__(self)
        self.in_channels, self.out_channels, self.groups = channels, layer.channels, 1
        self.kernel_size, self.stride, self.dilation = layer.kernel, (layer.stride, layer.stride), (1, 1)
        self.padding, self.padding_mode = "valid" if last else "same", "zeros"
        self.output_padding, self.transposed = (0, 0), False
        self._stride, sides = layer.stride, tuple(zip((height, width), layer.kernel, strict=True))
        (self._top, self._bottom), (self._left, self._right) = (
            (0, 0) if last else same_padding(side, kernel, layer.stride) for side, kernel in sides
        )
        padded = (height + self._top + self._bottom, width + self._left + self._right)
        self.size = tuple(
            (side - kernel) // layer.stride + 1 for side, kernel in zip(padded, layer.kernel, strict=True)
        )
        self._covers_all = (height, width) == padded == layer.kernel
        self.weight = nn.Parameter(torch.empty(layer.channels, *layer.kernel, channels))
        self.bias = nn.Parameter(torch.zeros(layer.channels))
        self._initialise(model_config)

    def _initialise(self, model_config: Mapping[str, Any]) -> None:
        assert self.bias is not None
        # Initialisers count what goes in and out, in the order of axes that torch.nn has.
        kernels = torch.empty_like(self.weight.permute(0, 3, 1, 2), memory_format=torch.contiguous_format)
        (initializer_of(model_config, "conv_kernel_initializer") or nn.init.xavier_uniform_)(kernels)
        (initializer_of(model_config, "conv_bias_initializer") or nn.init.zeros_)(self.bias)
        with torch.no_grad():
            self.weight.copy_(kernels.permute(0, 2, 3, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [N, *size, channels out]."""
        if self._covers_all:
            flat = functional.linear(x.flatten(1), self.weight.flatten(1), self.bias)
            return flat[:, None, None]
        if (self._top, self._left) == (self._bottom, self._right):
            padding = self._top, self._left
        else:
            x, padding = functional.pad(x, (0, 0, self._left, self._right, self._top, self._bottom)), (0, 0)
        kernels = self.weight.permute(0, 3, 1, 2)
        return functional.conv2d(x.permute(0, 3, 1, 2), kernels, self.bias, self._stride, padding).permute(0, 2, 3, 1)


class ConvolutionStack(DenseStack):
    """Convolutions, each followed by `conv_activation`: pictures of any layout -> features [N, F].

    Args:
        layout: which axis of the pictures is which.
        filters: at least one; all but the last are padded to keep what their strides leave.
        model_config: every key of the model configuration.

    Attributes:
        filters: the same.
        shape: [height, width, channels] of what comes out.
        width: F, their product.

    Raises:
        ModelError: a kernel is larger than what reaches it.
    """

    def __init__(self, layout: ImageLayout, filters: Sequence[Filter], model_config: Mapping[str, Any]):
        activation = activation_class(model_config["conv_activation"])
        height, width, channels = layout.height, layout.width, layout.channels
        layers: list[nn.Module] = []
        for number, layer in enumerate(filters):
            last = number == len(filters) - 1
            if last and (layer.kernel[0] > height or layer.kernel[1] > width):
                raise ModelError(
                    f"conv_filters {spelled(filters)}: the last kernel, {list(layer.kernel)}, is not padded and takes"
                    f" pictures of at least its own size, but {height} x {width} pixels are left of"
                    f" {layout.height} x {layout.width}. Make it smaller, or the strides before it."
                )
            convolution = Convolution(height, width, channels, layer, last=last, model_config=model_config)
            (height, width), channels = convolution.size, layer.channels
            layers.append(convolution)
            if activation is not None:
                layers.append(activation())
        super().__init__(*layers)
        self.layout, self.filters = layout, list(filters)
        self.shape, self.width = (height, width, channels), height * width * channels

    def require_one_pixel(self) -> None:
        """Raise a ModelError unless one pixel comes out."""
        if self.shape[:2] != (1, 1):
            raise ModelError(
                f"conv_filters {spelled(self.filters)} turn pictures of {self.layout.height} x {self.layout.width}"
                f" pixels into {list(self.shape)}, but [1, 1, {self.shape[2]}] is wanted (height, width, channels)."
                f" Give the last layer the kernel that covers its input, add layers, give `post_fcnet_hiddens`, which"
                " take all pixels, or leave `conv_filters` out for a stack that fits."
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features [N, F] of pictures in the environment's own order of axes, of any dtype."""
        return super().forward(channels_last(x, self.layout)).flatten(1)


def channels_last(x: torch.Tensor, layout: ImageLayout) -> torch.Tensor:
    """Return pictures [N, H, W], [N, H, W, C], [N, C, H, W] or K of them [N, K, ...] as floats [N, H, W, channels]."""
    x = x.float()
    if x.dim() == 3:
        return x[..., None]
    if x.dim() == 4:
        return x.permute(0, 2, 3, 1) if layout.channels_first else x
    return x.permute(*((0, 3, 4, 1, 2) if layout.channels_first else (0, 2, 3, 1, 4))).flatten(3)
