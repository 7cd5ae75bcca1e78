"""Convolutions over pictures, as layers.

Pictures and kernels lie in memory with their channels last: that is how observations come, and on CPUs a gradient step
takes half the time so (84 x 84 x 4, 256 rows).

Letters: N rows, H and W height and width, C channels, F features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from anyspace.models.pictures import Convolutions, PlacedFilter, channels_last
from anyspace.models.torch.initializers import initializer_of
from anyspace.models.torch.layers import DenseStack, activation_factory


class Convolution(nn.Conv2d):
    """A convolution over pictures [N, H, W, C].

    It is an ``nn.Conv2d``, so that functions which initialise or freeze layers by their kind find it. Its weights
    lie in another order of axes.

    Args:
        placed: the filter, and where it lies.
        model_config: every key of the model configuration.

    Attributes:
        weight: [channels out, kernel height, kernel width, C].
        size: height and width of what comes out; below 1 where the kernel is larger than the picture.
    """

    bias: nn.Parameter

    def __init__(self, placed: PlacedFilter, model_config: Mapping[str, Any]):
        nn.Module.__init__(self)
        layer = placed.filter
        self.in_channels, self.out_channels, self.groups = placed.channels, layer.channels, 1
        self.kernel_size, self.stride, self.dilation = layer.kernel, (layer.stride, layer.stride), (1, 1)
        (self._top, self._bottom), (self._left, self._right) = placed.padding
        self.padding, self.padding_mode = "valid" if placed.last else "same", "zeros"
        self.output_padding, self.transposed = (0, 0), False
        self._stride, self.size, self._covers_all = layer.stride, placed.size, placed.covers_all
        self.weight = nn.Parameter(torch.empty(layer.channels, *layer.kernel, placed.channels))
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
        placed: the convolutions, at least one.
        model_config: every key of the model configuration.

    Attributes:
        placed: the same.
        width: F.
    """

    def __init__(self, placed: Convolutions, model_config: Mapping[str, Any]):
        activation = activation_factory(model_config["conv_activation"])
        layers: list[nn.Module] = []
        for layer in placed.layers:
            layers.append(Convolution(layer, model_config))
            if activation is not None:
                layers.append(activation())
        super().__init__(*layers)
        self.placed, self.width = placed, placed.width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features [N, F] of pictures in the environment's own order of axes, of any dtype."""
        return super().forward(channels_last(x, self.placed.layout)).flatten(1)
