"""The layers that networks of RLlib's old stack are made of, with their old signatures.

Letters: N rows, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from anyspace.models.torch.layers import activation_factory

Activation = str | Callable[[], nn.Module] | None
"""As `layers.activation_factory` takes it."""
Sides = int | Sequence[int]
"""One number for height and width, or both."""


class SlimFC(nn.Module):
    """A dense layer and its activation: [..., in_size] -> [..., out_size].

    Args:
        in_size: width of the input.
        out_size: width of the output.
        initializer: fills the weights; None: Xavier uniform.
        activation_fn: as `layers.activation_factory` takes it; None: none.
        use_bias: whether there are biases.
        bias_init: what they start at.
    """

    def __init__(
        self,
        in_size: int,
        out_size: int,
        initializer: Callable[..., Any] | None = None,
        activation_fn: Activation = None,
        use_bias: bool = True,
        bias_init: float = 0.0,
    ):
        super().__init__()
        linear = nn.Linear(in_size, out_size, bias=use_bias)
        (initializer or nn.init.xavier_uniform_)(linear.weight)
        if use_bias:
            nn.init.constant_(linear.bias, bias_init)
        self._model = _stack([linear], activation_fn)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's output."""
        y: torch.Tensor = self._model(x)
        return y


class SlimConv2d(nn.Module):
    """A padded convolution and its activation: [N, in_channels, H, W] -> [N, out_channels, H', W'].

    Args:
        in_channels: channels of the input, which come first.
        out_channels: channels of the output.
        kernel: of the convolution.
        stride: of the convolution.
        padding: how many zeros at (left, right, top, bottom), as `same_padding` counts them, or at each of them; None:
            none.
        initializer: fills the kernels; "default": Xavier uniform.
        activation_fn: as `layers.activation_factory` takes it; "default": ReLU; None: none.
        bias_init: what the biases start at.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: Sides,
        stride: Sides,
        padding: int | tuple[int, int, int, int] | None,
        initializer: str | Callable[..., Any] = "default",
        activation_fn: Activation = "default",
        bias_init: float = 0.0,
    ):
        super().__init__()
        convolution = nn.Conv2d(in_channels, out_channels, both(kernel), both(stride))
        (initializer if callable(initializer) else nn.init.xavier_uniform_)(convolution.weight)
        assert convolution.bias is not None
        nn.init.constant_(convolution.bias, bias_init)
        padded: list[nn.Module] = [nn.ZeroPad2d(padding)] if padding else []
        self._model = _stack([*padded, convolution], "relu" if activation_fn == "default" else activation_fn)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's output."""
        y: torch.Tensor = self._model(x)
        return y


class AppendBiasLayer(nn.Module):
    """Appends learnt numbers to each row: [N, F] -> [N, F + num_bias_vars]; they start at zero.

    Args:
        num_bias_vars: how many.
    """

    def __init__(self, num_bias_vars: int):
        super().__init__()
        self.log_std = nn.Parameter(torch.zeros(num_bias_vars))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``x`` with the numbers on its right."""
        return torch.cat([x, self.log_std.expand(len(x), -1)], dim=1)


def both(sides: Sides) -> tuple[int, int]:
    """Return height and width."""
    if isinstance(sides, int):
        return sides, sides
    height, width = sides
    return height, width


def _stack(layers: list[nn.Module], activation: Activation) -> nn.Sequential:
    module = activation_factory(activation)
    return nn.Sequential(*layers, *([] if module is None else [module()]))
