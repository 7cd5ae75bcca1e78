"""Functions of tensors that files of RLlib's old stack import, with their old signatures.

`anyspace.rllib` offers them as `utils.torch_utils`, `utils.numpy` and `policy.rnn_sequencing`; nothing else in anyspace
needs them.

Letters: N rows; S sequences, T the length of the longest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from torch.nn import functional

from anyspace import tree
from anyspace._rllib import side_by_side
from anyspace.errors import ConfigError, UnsupportedSpaceError
from anyspace.maths import sequences
from anyspace.spaces.repeated_values import RepeatedValues, map_arrays
from anyspace.tree import Tree

FLOAT_MIN = -3.4e38
"""Lower end of float32, nearly: added to a logit, it leaves the choice no probability."""
FLOAT_MAX = 3.4e38
"""Upper end of float32, nearly."""

# -------------------------------------------------------------------------------------------- reductions


def huber_loss(x: torch.Tensor, delta: float = 1.0) -> torch.Tensor:
    """Return x² / 2 where |x| is below ``delta``, and delta (|x| - delta / 2) elsewhere, of the shape of ``x``."""
    return functional.huber_loss(x, torch.zeros_like(x), reduction="none", delta=delta)


def l2_loss(x: torch.Tensor) -> torch.Tensor:
    """Return half the sum of squares, a scalar."""
    return 0.5 * x.square().sum()


def reduce_mean_ignore_inf(x: torch.Tensor, axis: int | None = None) -> torch.Tensor:
    """Return the mean over ``axis``, or over everything, of what is above `FLOAT_MIN`: masked actions have less."""
    there = ~(x <= FLOAT_MIN)  # of NaN as well: it shows in the mean
    if axis is None:
        return torch.where(there, x, 0.0).sum() / there.sum()
    return torch.where(there, x, 0.0).sum(axis) / there.sum(axis)


def softmax_cross_entropy_with_logits(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the cross entropies [N] of probabilities ``labels`` and of the softmax of ``logits``, both [N, n]."""
    return -(labels * functional.log_softmax(logits, dim=-1)).sum(dim=-1)


def explained_variance(y: torch.Tensor, pred: torch.Tensor) -> torch.Tensor:
    """Return the share of the variance of ``y`` [N] that ``pred`` [N] explains, at least -1: a scalar.

    It is 1 - Var(y - pred) / (Var(y) + 1e-6). `anyspace.maths.explained_variance` has no floor and no constant.
    """
    return (1.0 - (y - pred).var(dim=0) / (y.var(dim=0) + 1e-6)).clamp(min=-1.0)


def flatten(obs: torch.Tensor, framework: str = "torch") -> torch.Tensor:
    """Return rows [N, ...] as [N, F]; ``framework`` is accepted for old call sites."""
    return obs.flatten(1)


# ----------------------------------------------------------------------------------------------- indices


def one_hot(x: torch.Tensor, space: gym.Space[Any]) -> torch.Tensor:
    """Return actions [...] of a Discrete as one-hot int64 [..., n]; [..., *shape] of a MultiDiscrete as [..., sum(n)].

    Args:
        x: indices counted from 0, as models and losses see actions.
        space: the action space.

    Raises:
        UnsupportedSpaceError: the space is neither.
    """
    match space:
        case spaces.Discrete():
            return functional.one_hot(x.long(), int(space.n))
        case spaces.MultiDiscrete():
            flat = x.long().reshape(*x.shape[: x.dim() - space.nvec.ndim], -1)
            components = zip(flat.unbind(-1), space.nvec.flat, strict=True)
            return torch.cat([functional.one_hot(component, int(n)) for component, n in components], dim=-1)
    raise UnsupportedSpaceError(f"one_hot: expected Discrete or MultiDiscrete, got {space}.")


def flatten_inputs_to_1d_tensor(
    inputs: Tree, spaces_struct: Tree | None = None, time_axis: bool = False
) -> torch.Tensor:
    """Return nested tensors [N, ...] side by side, float32 [N, F]; [N, T, ...] as [N, T, F] with ``time_axis``.

    Args:
        inputs: nested tensors, indices where the space is Discrete or MultiDiscrete.
        spaces_struct: the space, or its leaves nested like the inputs: Discrete and MultiDiscrete become one-hot. None
            takes all numbers as they are. Parts of dicts are taken in the order of their sorted keys.
        time_axis: whether a second axis is one of time.
    """
    parts = side_by_side.parts(inputs, spaces_struct, one_hot)
    axes = 2 if time_axis else 1
    return torch.cat([part.reshape(*part.shape[:axes], -1).float() for part in parts], dim=-1)


# --------------------------------------------------------------------------------------------- sequences


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
    padded_inputs: torch.Tensor | npt.NDArray[Any],
    seq_lens: torch.Tensor | npt.NDArray[Any] | Sequence[int] | int | None = None,
    framework: str = "torch",
    time_major: bool = False,
    *,
    max_seq_len: int | None = None,
) -> Any:
    """Return padded rows [S * T, ...] as [S, T, ...], or [T, S, ...] if ``time_major``.

    Args:
        padded_inputs: sequence after sequence.
        seq_lens: [S] lengths; one number, as older releases had it, is T; None: every row is a sequence.
        framework: "torch"; "np" returns an array; of "tf" and "tf2" the rows are tensors.
        time_major: the order of the two axes.
        max_seq_len: T, as older releases had it, instead of ``seq_lens``.

    Raises:
        ConfigError: ``framework`` is another one.
    """
    if framework not in ("torch", "np", "tf", "tf2"):
        raise ConfigError(f"add_time_dimension: framework is {framework!r}, but expected 'torch', 'tf' or 'np'.")
    longest = seq_lens if isinstance(seq_lens, int) else max_seq_len
    if framework.startswith("tf"):
        lens = seq_lens if longest is None else np.empty(padded_inputs.shape[0] // longest)
        return sequences.add_time_dimension(padded_inputs, lens, time_major=time_major)
    rows = torch.as_tensor(padded_inputs)
    if longest is None:
        lens = None if seq_lens is None else torch.as_tensor(seq_lens)
    else:
        lens = torch.empty(len(rows) // longest)
    by_both = sequences.add_time_dimension(rows, lens, time_major=time_major)
    return by_both.numpy() if framework == "np" else by_both


def get_fold_unfold_fns(
    b_dim: int, t_dim: int, framework: str
) -> tuple[Callable[[Tree], Tree], Callable[[Tree], Tree]]:
    """Return two functions of nested tensors: from [B, T, ...] to [B * T, ...], and back. None stays None.

    Args:
        b_dim: B.
        t_dim: T.
        framework: "torch".

    Raises:
        ConfigError: ``framework`` is another one.
    """
    if framework != "torch":
        raise ConfigError(f"get_fold_unfold_fns: framework is {framework!r}, but expected 'torch'.")

    def fold(item: Any) -> torch.Tensor | None:
        return None if item is None else torch.as_tensor(item).reshape(b_dim * t_dim, *item.shape[2:])

    def unfold(item: Any) -> torch.Tensor | None:
        return None if item is None else torch.as_tensor(item).reshape(b_dim, t_dim, *item.shape[1:])

    return partial(tree.map_leaves, fold), partial(tree.map_leaves, unfold)


# -------------------------------------------------------------------------------------------- conversions


def convert_to_torch_tensor(x: Tree, device: str | torch.device | None = None, pin_memory: bool = False) -> Tree:
    """Return nested arrays and numbers as tensors on the device, float64 as float32.

    None stays None, and arrays of objects or texts stay as they are, as do the lengths of RepeatedValues.

    Args:
        x: nested arrays, tensors and numbers.
        device: where to; None: where they are.
        pin_memory: copy them to page-locked memory, from which a GPU is filled faster. Without CUDA nothing is done.
    """

    def convert(leaf: Any) -> Any:
        if leaf is None:
            return None
        if isinstance(leaf, RepeatedValues):
            return RepeatedValues(tree.map_leaves(convert, leaf.values), leaf.lengths, leaf.max_len)
        if not isinstance(leaf, torch.Tensor):
            leaf = np.asarray(leaf)
            if leaf.dtype.kind in "OUS":
                return leaf
            leaf = torch.from_numpy(leaf if leaf.flags.writeable else leaf.copy())
        tensor: torch.Tensor = leaf.float() if leaf.is_floating_point() and leaf.dtype is not torch.float16 else leaf
        if pin_memory and torch.cuda.is_available():
            tensor = tensor.pin_memory()
        return tensor if device is None else tensor.to(device)

    return tree.map_leaves(convert, x)


def convert_to_tensor(data: Tree, framework: str, device: str | None = None) -> Tree:
    """Return `convert_to_torch_tensor` of nested arrays; ``framework`` is "torch".

    Raises:
        ConfigError: ``framework`` is another one.
    """
    if framework != "torch":
        raise ConfigError(f"convert_to_tensor: framework is {framework!r}, but tensors are PyTorch's; ask for 'torch'.")
    return convert_to_torch_tensor(data, device)


def convert_to_numpy(x: Tree, reduce_type: bool = True) -> Tree:
    """Return nested tensors as NumPy arrays, tensors without axes as numbers, and everything else as it is.

    By default arrays of floats become float32, and arrays of int64 become int32.
    """

    def convert(leaf: Any) -> Any:
        if isinstance(leaf, torch.Tensor):
            leaf = leaf.detach().cpu().numpy() if leaf.dim() else leaf.item()
        if reduce_type and isinstance(leaf, np.ndarray):
            reduced = np.float32 if leaf.dtype.kind == "f" else np.int32 if leaf.dtype == np.int64 else leaf.dtype
            return leaf.astype(reduced, copy=False)
        return leaf

    return map_arrays(convert, x)


def copy_torch_tensors(x: Tree, device: str | torch.device | None = None) -> Tree:
    """Return a nested structure with copies of its tensors, without their graphs; everything else is the same object.

    Args:
        x: any nested structure.
        device: where the copies go; None: where the tensors are.
    """

    def copied(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor):
            return leaf
        return leaf.detach().clone() if device is None else leaf.detach().to(device, copy=True)

    return tree.map_leaves(copied, x)


def get_variable(
    value: Any,
    framework: str = "torch",
    trainable: bool = False,
    tf_name: str = "unnamed-variable",
    torch_tensor: bool = False,
    device: str | None = None,
    shape: Sequence[int] | None = None,
    dtype: Any = None,
) -> Any:
    """Return ``value`` as it is or, with ``torch_tensor``, as a tensor.

    Args:
        value: a number or an array.
        framework: "torch"; without ``torch_tensor`` it does not matter.
        trainable: whether the tensor takes gradients.
        tf_name: accepted for old call sites.
        torch_tensor: whether a tensor is wanted.
        device: the tensor's.
        shape: accepted for old call sites.
        dtype: the tensor's, as PyTorch or NumPy name it; None: that of the value.

    Raises:
        ConfigError: a TensorFlow variable is asked for.
    """
    if framework in ("tf", "tf2"):
        raise ConfigError(f"get_variable: framework is {framework!r}, but tensors are PyTorch's; ask for 'torch'.")
    if not torch_tensor or framework != "torch":
        return value
    tensor = torch.as_tensor(np.asarray(value), device=device)
    if dtype is not None:
        tensor = tensor.to(dtype if isinstance(dtype, torch.dtype) else numpy_to_torch_dtype_dict[np.dtype(dtype).type])
    return tensor.requires_grad_(trainable)


_TYPES = [
    "bool",
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
]
numpy_to_torch_dtype_dict: Mapping[type, torch.dtype] = MappingProxyType(
    {np.dtype(name).type: getattr(torch, name) for name in _TYPES}
)
"""NumPy's classes of numbers -> PyTorch's dtypes."""
torch_to_numpy_dtype_dict: Mapping[torch.dtype, type] = MappingProxyType(
    {new: old for old, new in numpy_to_torch_dtype_dict.items()}
)
"""PyTorch's dtypes -> NumPy's classes of numbers."""


def get_np_dtype(x: torch.Tensor | npt.NDArray[Any]) -> Any:
    """Return the dtype of an array, or NumPy's class for that of a tensor.

    Raises:
        TypeError: ``x`` is neither.
    """
    if isinstance(x, torch.Tensor):
        return torch_to_numpy_dtype_dict[x.dtype]
    if isinstance(x, np.ndarray):
        return x.dtype
    raise TypeError(f"get_np_dtype: expected a tensor or an array, got {type(x).__name__}.")
