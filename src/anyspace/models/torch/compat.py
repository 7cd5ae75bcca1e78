"""Layers and helpers that model files of RLlib's old stack import beside its base classes, with their old signatures.

`anyspace.rllib` offers them under their old paths; nothing else in anyspace needs them.

Letters: N rows; S sequences, T the length of the longest.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import ModuleType
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import nn
from torch.nn import functional

from anyspace.errors import ConfigError, UnsupportedSpaceError
from anyspace.models.torch import recurrent
from anyspace.models.torch.convolution import same_padding as one_side
from anyspace.models.torch.initializers import Initializer, normc_
from anyspace.models.torch.layers import activation_class
from anyspace.models.torch.slim import Activation, Sides, both
from anyspace.models.torch.slim import AppendBiasLayer as AppendBiasLayer
from anyspace.models.torch.slim import SlimConv2d as SlimConv2d
from anyspace.models.torch.slim import SlimFC as SlimFC
from anyspace.spaces.repeated_values import map_arrays
from anyspace.tree import Tree

FLOAT_MIN = -3.4e38
"""Lower end of float32, nearly: added to a logit, it leaves the choice no probability."""
FLOAT_MAX = 3.4e38
"""Upper end of float32, nearly."""


def try_import_torch(error: bool = False) -> tuple[ModuleType, ModuleType]:
    """Return ``(torch, torch.nn)``; ``error`` is accepted for old call sites."""
    return torch, nn


# ----------------------------------------------------------------------------------------------- layers


def normc_initializer(std: float = 1.0) -> Initializer:
    """Return a function that fills weights [out, ...] with normal draws, those of each output of L2 norm ``std``."""
    return partial(normc_, scale=std)


def get_activation_fn(name: Activation = None, framework: str = "torch") -> type[nn.Module] | None:
    """Return the module class of an activation; None for ``None`` and ``"linear"``.

    Raises:
        ConfigError: there is none of that name, or ``framework`` is another one.
    """
    if framework != "torch":
        raise ConfigError(
            f"get_activation_fn: framework is {framework!r}, but activations are modules of torch.nn; ask for 'torch'."
        )
    return activation_class(name)


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


# ---------------------------------------------------------------------------------------------- tensors


def huber_loss(x: torch.Tensor, delta: float = 1.0) -> torch.Tensor:
    """Return x² / 2 where |x| is below ``delta``, and delta (|x| - delta / 2) elsewhere, of the shape of ``x``."""
    return functional.huber_loss(x, torch.zeros_like(x), reduction="none", delta=delta)


def l2_loss(x: torch.Tensor) -> torch.Tensor:
    """Return half the sum of squares, a scalar."""
    return 0.5 * x.square().sum()


def reduce_mean_ignore_inf(x: torch.Tensor, axis: int | None = None) -> torch.Tensor:
    """Return the mean over ``axis``, or over everything, of all but the values of masked actions (`FLOAT_MIN`)."""
    there = x != FLOAT_MIN
    if axis is None:
        return torch.where(there, x, 0.0).sum() / there.sum()
    return torch.where(there, x, 0.0).sum(axis) / there.sum(axis)


def softmax_cross_entropy_with_logits(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the cross entropies [N] of probabilities ``labels`` and of the softmax of ``logits``, both [N, n]."""
    return -(labels * functional.log_softmax(logits, dim=-1)).sum(dim=-1)


def one_hot(x: torch.Tensor, space: gym.Space[Any]) -> torch.Tensor:
    """Return actions [...] of a Discrete as one-hot float32 [..., n], or [..., k] of a MultiDiscrete as [..., sum(n)].

    Args:
        x: indices counted from 0, as models and losses see actions.
        space: the action space.

    Raises:
        UnsupportedSpaceError: the space is neither.
    """
    match space:
        case spaces.Discrete():
            return functional.one_hot(x.long(), int(space.n)).float()
        case spaces.MultiDiscrete() if space.nvec.ndim == 1:
            components = zip(x.long().unbind(-1), space.nvec, strict=True)
            return torch.cat([functional.one_hot(component, int(n)) for component, n in components], dim=-1).float()
    raise UnsupportedSpaceError(f"one_hot: expected Discrete or MultiDiscrete with one axis, got {space}.")


def sequence_mask(
    lengths: torch.Tensor, maxlen: int | None = None, dtype: torch.dtype | None = None, time_major: bool = False
) -> torch.Tensor:
    """Return which steps of padded sequences are real: [S, T], or [T, S] if ``time_major``.

    Args:
        lengths: [S].
        maxlen: T; None: the longest of them.
        dtype: of the result; None: bool.
        time_major: the order of axes.
    """
    steps = torch.arange(int(lengths.max()) if maxlen is None else maxlen, device=lengths.device)
    mask = steps < lengths[:, None]
    return (mask.T if time_major else mask).to(dtype or torch.bool)


def add_time_dimension(
    padded_inputs: torch.Tensor,
    *,
    seq_lens: torch.Tensor | None,
    framework: str = "torch",
    time_major: bool = False,
) -> torch.Tensor:
    """Return padded rows [S * T, ...] as [S, T, ...], or [T, S, ...] if ``time_major``.

    Args:
        padded_inputs: sequence after sequence, or step after step if ``time_major``.
        seq_lens: [S] lengths; None: every row is a sequence.
        framework: accepted for old call sites.
        time_major: the order of rows.
    """
    return recurrent.add_time_dimension(padded_inputs, seq_lens, time_major=time_major)


def convert_to_torch_tensor(x: Tree, device: str | torch.device | None = None) -> Tree:
    """Return nested arrays and numbers as tensors on the device, float64 as float32."""

    def convert(leaf: Any) -> torch.Tensor:
        tensor = torch.as_tensor(leaf, device=device)
        return tensor.float() if tensor.dtype is torch.float64 else tensor

    return map_arrays(convert, x)


def convert_to_numpy(x: Tree, reduce_type: bool = True) -> Tree:
    """Return nested tensors and numbers as NumPy arrays, by default floats as float32 and integers as int32."""

    def convert(leaf: Any) -> np.ndarray[Any, Any]:
        array = leaf.detach().cpu().numpy() if isinstance(leaf, torch.Tensor) else np.asarray(leaf)
        reduced = {"f": np.float32, "i": np.int32}.get(array.dtype.kind) if reduce_type else None
        return array if reduced is None else array.astype(reduced)

    return map_arrays(convert, x)
