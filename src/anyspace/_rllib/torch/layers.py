"""Layers that model files of RLlib's old stack import beside its base classes, with their old signatures.

`anyspace.rllib` offers them under their old paths; nothing else in anyspace needs them. Letters: N rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import Any, cast

import torch
from torch import nn

from anyspace.errors import ConfigError
from anyspace.models.modelv2 import State
from anyspace.models.pictures import default_filters
from anyspace.models.pictures import same_padding as one_side
from anyspace.models.torch.base import TorchModelV2
from anyspace.models.torch.initializers import Initializer, normc_
from anyspace.models.torch.layers import activation_factory
from anyspace.models.torch.slim import Activation, Sides, both
from anyspace.models.torch.slim import AppendBiasLayer as AppendBiasLayer
from anyspace.models.torch.slim import SlimConv2d as SlimConv2d
from anyspace.models.torch.slim import SlimFC as SlimFC


def try_import_torch(error: bool = False) -> tuple[ModuleType, ModuleType]:
    """Return ``(torch, torch.nn)``; ``error`` is accepted for old call sites."""
    return torch, nn


# ----------------------------------------------------------------------------------------------- layers


def normc_initializer(std: float = 1.0) -> Initializer:
    """Return a function that fills weights [out, ...] with normal draws, those of each output of L2 norm ``std``."""
    return partial(normc_, scale=std)


def get_activation_fn(name: Activation = None, framework: str = "torch") -> Callable[[], nn.Module] | None:
    """Return what makes the module of an activation, its class as a rule; None for ``None`` and ``"linear"``.

    Raises:
        ConfigError: there is none of that name, or ``framework`` is another one.
    """
    _require_torch("get_activation_fn", framework)
    return activation_factory(name)


class Reshape(nn.Module):
    """Gives tensors a shape, in which one -1 stands for what is left.

    Args:
        shape: that shape, batch dimensions included.
    """

    def __init__(self, shape: Sequence[int]):
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``x`` in that shape."""
        return x.reshape(self.shape)


class TorchNoopModel(TorchModelV2):
    """Puts out the flat observation [N, F] as it is; for tests of what comes after a model."""

    def forward(
        self, input_dict: dict[str, Any], state: State, seq_lens: torch.Tensor | None
    ) -> tuple[torch.Tensor, State]:
        """Return ``(obs_flat, state)``."""
        flat: torch.Tensor = input_dict["obs_flat"]
        return flat.float(), state


def get_filter_config(shape: Sequence[int]) -> list[list[Any]]:
    """Return the default ``conv_filters`` for pictures of a shape, [channels, kernel, stride] each.

    Args:
        shape: [H, W], or [H, W, C] or [C, H, W]: the smallest of three sides is that of channels.
    """
    sides = list(shape)
    if len(sides) == 3:
        sides.pop(0 if sides[0] < sides[2] else 2)
    return [[channels, list(kernel), stride] for channels, kernel, stride in default_filters(*sides)]


def get_initializer(name: str | Initializer | None, framework: str = "torch") -> Initializer:
    """Return a function that fills weights: by its old name, or the one that is given.

    Args:
        name: "default", "xavier_uniform" or None for Xavier uniform; "xavier_normal"; or a function.
        framework: "torch".

    Raises:
        ConfigError: there is none of that name, or ``framework`` is another one.
    """
    _require_torch("get_initializer", framework)
    if callable(name):
        return name
    if name in (None, "default", "xavier_uniform"):
        return cast(Initializer, nn.init.xavier_uniform_)
    if name == "xavier_normal":
        return cast(Initializer, nn.init.xavier_normal_)
    raise ConfigError(f"get_initializer: expected 'xavier_uniform', 'xavier_normal' or a function, got {name!r}.")


def get_initializer_fn(name: str | Initializer | None, framework: str = "torch") -> Initializer | None:
    """Return the function of ``torch.nn.init`` that has a name, which ends in "_"; a function or None as it came.

    Raises:
        ConfigError: there is none of that name, or ``framework`` is another one.
    """
    _require_torch("get_initializer_fn", framework)
    if name is None or callable(name):
        return name
    found: Initializer | None = getattr(nn.init, name.lower(), None)
    if found is None or not name.endswith("_"):
        raise ConfigError(f"get_initializer_fn: torch.nn.init has no {name!r}. Name one that ends in '_': 'normal_'.")
    return found


def same_padding(
    in_size: Sides, filter_size: Sides, stride_size: Sides
) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
    """Return the zeros at (left, right, top, bottom) that make sides come out ceil(side / stride) long, and these.

    Args:
        in_size: of the picture.
        filter_size: of the kernel.
        stride_size: of the convolution.
    """
    sides = tuple(zip(both(in_size), both(filter_size), both(stride_size), strict=True))
    (top, bottom), (left, right) = (one_side(*side) for side in sides)
    height, width = (-(-size // stride) for size, _, stride in sides)
    return (left, right, top, bottom), (height, width)


def same_padding_transpose_after_stride(
    strided_size: tuple[int, int], kernel: Sides, stride: Sides
) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
    """Return the zeros at (left, right, top, bottom) of a transposed convolution after its stride, and the sides then.

    Args:
        strided_size: width and height once zeros stand between the pixels.
        kernel: width and height of the kernel.
        stride: of the convolution, in width and height.
    """
    totals = [k + s - 2 for k, s in zip(both(kernel), both(stride), strict=True)]
    (left, right), (top, bottom) = ((total - total // 2, total // 2) for total in totals)
    width, height = (size + total - k + 1 for size, total, k in zip(strided_size, totals, both(kernel), strict=True))
    return (left, right, top, bottom), (width, height)


def valid_padding(in_size: Sides, filter_size: Sides, stride_size: Sides) -> tuple[int, int]:
    """Return the sides of what a convolution without padding makes of a picture.

    Args:
        in_size: of the picture.
        filter_size: of the kernel.
        stride_size: of the convolution.
    """
    sides = zip(both(in_size), both(filter_size), both(stride_size), strict=True)
    height, width = (-(-(size - kernel + 1) // stride) for size, kernel, stride in sides)
    return height, width


def _require_torch(function: str, framework: str) -> None:
    if framework != "torch":
        raise ConfigError(
            f"{function}: framework is {framework!r}, but layers are modules of torch.nn; ask for 'torch'."
        )
