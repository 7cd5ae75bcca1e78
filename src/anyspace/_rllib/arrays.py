"""`utils.numpy` and `utils.images` of RLlib's old stack: functions of NumPy arrays."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from anyspace._rllib import side_by_side
from anyspace.spaces.kinds.atari import opencv
from anyspace.tree import Tree

Floats = npt.NDArray[np.floating[Any]]

SMALL_NUMBER = 1e-6
LARGE_INTEGER = 100_000_000
MIN_LOG_NN_OUTPUT, MAX_LOG_NN_OUTPUT = -5, 2


def one_hot(
    x: Any, depth: int = 0, on_value: float = 1.0, off_value: float = 0.0, dtype: npt.DTypeLike = np.float32
) -> npt.NDArray[Any]:
    """Return numbers [...] as one-hot [..., depth], without what comes after the decimal point.

    Args:
        x: numbers, 0 to below ``depth``; booleans are 0 and 1 of two options.
        depth: how many options there are; 0: one more than the largest of ``x``.
        on_value: what stands for the option.
        off_value: what stands for all others.
        dtype: of the result.

    Raises:
        ValueError: a number is out of range.
    """
    given = np.asarray(x)
    depth = 2 if given.dtype == np.bool_ else depth
    indices = given.astype(np.int64)
    depth = depth or int(indices.max()) + 1
    if indices.min(initial=0) < 0 or indices.max(initial=0) >= depth:
        raise ValueError(f"one_hot: expected numbers from 0 to below depth = {depth}, got {x}.")
    return np.where(indices[..., None] == np.arange(depth), on_value, off_value).astype(dtype)


def one_hot_multidiscrete(x: Any, depths: Sequence[int]) -> Floats:
    """Return choices [k] or [N, k] as one-hot vectors side by side, [sum(depths)] or [N, sum(depths)], float32."""
    choices = np.asarray(x)
    parts = [one_hot(choices[..., i], depth=int(depth)) for i, depth in enumerate(depths)]
    return np.concatenate(parts, axis=-1)


def flatten_inputs_to_1d_tensor(
    inputs: Tree, spaces_struct: Tree | None = None, time_axis: bool = False, batch_axis: bool = True
) -> Floats:
    """Return nested arrays [N, ...] side by side, float32 [N, F].

    Args:
        inputs: nested arrays, indices where the space is Discrete or MultiDiscrete.
        spaces_struct: the space, or its leaves nested like the inputs: Discrete and MultiDiscrete become one-hot. None
            takes all numbers as they are. Parts of dicts are taken in the order of their sorted keys.
        time_axis: arrays are [N, T, ...], and the result is [N, T, F].
        batch_axis: False: arrays are [...], and the result is [F].

    Raises:
        ValueError: there is an axis of time and none of rows.
    """
    if time_axis and not batch_axis:
        raise ValueError("flatten_inputs_to_1d_tensor: an axis of time comes after one of rows; leave batch_axis on.")
    arrays = [np.asarray(part) for part in side_by_side.parts(inputs, spaces_struct, _one_hot_of)]
    axes = int(batch_axis) + int(time_axis)
    return np.concatenate([array.reshape(*array.shape[:axes], -1).astype(np.float32) for array in arrays], axis=-1)


def _one_hot_of(x: Any, space: spaces.Discrete | spaces.MultiDiscrete) -> Floats:
    match space:
        case spaces.Discrete():
            return one_hot(x, depth=int(space.n))
    choices = np.asarray(x)
    flat = choices.reshape(*choices.shape[: choices.ndim - space.nvec.ndim], -1)
    return one_hot_multidiscrete(flat, space.nvec.ravel().tolist())


def softmax(x: Any, axis: int = -1, epsilon: float | None = None) -> Floats:
    """Return exp(x) / sum(exp(x)), nothing in it below ``epsilon`` (None: 1e-6)."""
    exponentials = np.exp(x - np.max(x, axis=axis, keepdims=True))
    shares: Floats = exponentials / exponentials.sum(axis=axis, keepdims=True)
    return shares.clip(min=SMALL_NUMBER if epsilon is None else epsilon)


def relu(x: Any, alpha: float = 0.0) -> Floats:
    """Return ``x`` where it is above 0, else ``alpha * x``."""
    values = _floats(x)
    return np.where(values > 0, values, alpha * values)


def sigmoid(x: Any, derivative: bool = False) -> Floats:
    """Return 1 / (1 + exp(-x)); with ``derivative``, x (1 - x) for ``x`` that are such results."""
    values = _floats(x)
    return values * (1 - values) if derivative else 1 / (1 + np.exp(-values))


def huber_loss(x: Any, delta: float = 1.0) -> Floats:
    """Return x² / 2 where |x| is below ``delta``, and delta (|x| - delta / 2) elsewhere, of the shape of ``x``."""
    distance: Floats = np.abs(x)
    return np.where(distance < delta, 0.5 * np.square(x), delta * (distance - 0.5 * delta))


def l2_loss(x: Any) -> Any:
    """Return half the sum of squares, a number."""
    return np.square(x).sum() / 2.0


def fc(x: Any, weights: Any, biases: Any = None, framework: str | None = None) -> Floats:
    """Return what a dense layer makes of ``x`` [N, in]: [N, out].

    Args:
        x: an array or a tensor, as the others.
        weights: [in, out]; with ``framework="torch"`` also [out, in], as ``nn.Linear`` has them, if only that fits.
        biases: [out]; None: none.
        framework: "torch" or None.
    """
    inputs, kernel = _detached(x), _detached(weights)
    if framework == "torch" and inputs.shape[1] != kernel.shape[0] and inputs.shape[1] == kernel.shape[1]:
        kernel = kernel.T
    outputs: Floats = inputs @ kernel
    return outputs if biases is None else outputs + _detached(biases)


def lstm(
    x: Any,
    weights: Any,
    biases: Any = None,
    initial_internal_states: Any = None,
    time_major: bool = False,
    forget_bias: float = 1.0,
) -> tuple[Floats, tuple[Floats, Floats]]:
    """Return the outputs of an LSTM of H units, [N, T, H], and its last states ``(c, h)`` [N, H].

    Args:
        x: [N, T, in], or [T, N, in] with ``time_major``, and so the outputs.
        weights: [in + H, 4 H]: input, new, forget and output gate, as TensorFlow orders them.
        biases: [4 H]; None: none.
        initial_internal_states: ``(c, h)`` [N, H] before the first step; None: zeros.
        time_major: the order of axes.
        forget_bias: added to the forget gate.
    """
    steps = np.asarray(x) if time_major else np.swapaxes(x, 0, 1)
    units, added = weights.shape[1] // 4, 0.0 if biases is None else biases
    zeros = np.zeros((steps.shape[1], units))
    cell, hidden = (zeros, zeros) if initial_internal_states is None else initial_internal_states
    outputs = []
    for step in steps:
        entry, new, forget, out = np.split(np.concatenate([step, hidden], axis=1) @ weights + added, 4, axis=1)
        cell = cell * sigmoid(forget + forget_bias) + sigmoid(entry) * np.tanh(new)
        hidden = sigmoid(out) * np.tanh(cell)
        outputs.append(hidden)
    return np.stack(outputs, axis=0 if time_major else 1), (cell, hidden)


def make_action_immutable(obj: Any) -> Any:
    """Make an array read-only and return it; a dict as one that cannot be changed; anything else as it is."""
    if isinstance(obj, np.ndarray):
        obj.setflags(write=False)
        return obj
    return MappingProxyType(dict(obj)) if isinstance(obj, Mapping) else obj


def _floats(x: Any) -> Floats:
    """Return an array of floats in its own dtype, anything else as float64."""
    values = np.asarray(x)
    return values if values.dtype.kind == "f" else values.astype(np.float64)


def _detached(array: Any) -> npt.NDArray[Any]:
    """Return an array, or a tensor as an array."""
    return np.asarray(array.detach().cpu() if hasattr(array, "detach") else array)


# ------------------------------------------------------------------------------------------------ images


def resize(img: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[Any]:
    """Return a picture [H, W] or [H, W, C] with other sides, averaged over areas.

    Raises:
        ImportError: OpenCV is not installed.
    """
    found: npt.NDArray[Any] = opencv().resize(img, (width, height), interpolation=opencv().INTER_AREA)
    return found


def rgb2gray(img: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a picture [H, W, 3] in gray [H, W]: 0.299 R + 0.587 G + 0.114 B.

    Raises:
        ImportError: OpenCV is not installed.
    """
    found: npt.NDArray[Any] = opencv().cvtColor(img, opencv().COLOR_RGB2GRAY)
    return found


def imread(img_file: str) -> npt.NDArray[Any]:
    """Return the picture in a file, [H, W, 3] float32 in the order blue, green, red.

    Raises:
        ImportError: OpenCV is not installed.
    """
    return np.asarray(opencv().imread(img_file), np.float32)


def is_package_installed(package_name: str) -> bool:
    """Return whether a package of that name can be found."""
    try:
        importlib.metadata.version(package_name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
