"""Observations as flat tuples of arrays, one per leaf of the space (design section 3, spec chapter 2).

This is the only place that asks which kind of space an observation leaf has. To support another kind,
register one function with `_leaf_tree`.

Letters: N stands for any number of leading batch dimensions, such as [T, B].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, singledispatch
from typing import Any, Literal, TypeAlias

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

from anyspace import tree
from anyspace.errors import ObservationError, UnsupportedSpaceError

NumpyArray: TypeAlias = np.ndarray[Any, np.dtype[Any]]

SUPPORTED = "Box of rank 0 or 1, Discrete, MultiDiscrete, MultiBinary, and Dict and Tuple of these"

# Environments compute in float64 and clip there; the cast to float32 may then round over a bound, and so may
# their own float32 arithmetic. Anything further out is a fault of the environment.
BOUND_TOLERANCE = 1e-4


@dataclass(frozen=True)
class LeafSpec:
    """One leaf of an observation space and how it is stored."""

    path: tree.Path
    """Where the leaf sits in the space."""
    space: gym.Space[Any]
    """The leaf's own space."""
    shape: tuple[int, ...]
    """Trailing shape of the encoded array, after the batch dimensions."""
    dtype: np.dtype[Any]
    """Element type of the encoded array."""
    kind: Literal["real", "index", "binary"]
    """Numbers taken as they are, indices to be one-hot encoded, or zeros and ones."""
    nvec: tuple[int, ...] = ()
    """Index leaves: how many values each component has, in C order."""
    start: tuple[int, ...] = ()
    """Index leaves: the environment's value for index 0 of each component, in C order."""

    @property
    def width(self) -> int:
        """Slots that the leaf takes in the flat vector."""
        return sum(self.nvec) if self.kind == "index" else math.prod(self.shape)

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Trailing shape after expansion: ``(sum(nvec),)`` for index leaves, else ``shape``."""
        return (self.width,) if self.kind == "index" else self.shape

    def place(self, root: str = "obs") -> str:
        """Spell the leaf as users index it: ``obs["cart"][0]``."""
        return tree.place(root, self.path)

    @cached_property
    def limits(self) -> tuple[NumpyArray, NumpyArray] | None:
        """Lowest and highest encoded value, each of ``shape``; None where every finite value is allowed."""
        if self.kind == "index":
            highest = np.asarray(self.nvec, self.dtype).reshape(self.shape) - 1
            return np.zeros_like(highest), highest
        if self.kind == "binary":
            return np.zeros(self.shape, self.dtype), np.ones(self.shape, self.dtype)
        return _box_limits(self.space, self.dtype)


def _box_limits(space: Any, dtype: np.dtype[Any]) -> tuple[NumpyArray, NumpyArray] | None:
    low, high = space.low, space.high
    smallest, largest = _extremes(dtype)
    if dtype.kind == "f":
        low, high = low.astype(np.float64), high.astype(np.float64)
        with np.errstate(over="ignore"):
            low = low - BOUND_TOLERANCE * np.maximum(1.0, np.abs(low))
            high = high + BOUND_TOLERANCE * np.maximum(1.0, np.abs(high))
        low, high = (np.clip(bound, smallest, largest).astype(dtype) for bound in (low, high))
    everything = bool((low == smallest).all() and (high == largest).all())
    return None if everything else (low, high)


def _extremes(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """Return the smallest and the largest finite value of a dtype."""
    if dtype.kind == "b":
        return False, True
    info = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return info.min, info.max


@singledispatch
def _leaf_tree(space: gym.Space[Any], path: tree.Path) -> Any:
    """Return the space's leaves as `LeafSpec`s, nested as its observations are (dicts and tuples)."""
    raise _unsupported(space, path)


def _unsupported(space: gym.Space[Any], path: tree.Path) -> UnsupportedSpaceError:
    return UnsupportedSpaceError(
        f"{tree.place('obs', path)}: no encoding for observations of {space}. Supported: {SUPPORTED}. "
        "Wrap the environment to change this part of the observation."
    )


@_leaf_tree.register(Box)
def _(space: Box, path: tree.Path) -> LeafSpec:
    if len(space.shape) > 1:
        raise _unsupported(space, path)
    dtype = np.dtype(np.float32) if space.dtype.kind == "f" and space.dtype.itemsize > 4 else space.dtype
    return LeafSpec(path, space, space.shape, dtype, "real")


@_leaf_tree.register(Discrete)
def _(space: Discrete[Any], path: tree.Path) -> LeafSpec:
    return LeafSpec(path, space, (), space.dtype, "index", (int(space.n),), (int(space.start),))


@_leaf_tree.register(MultiDiscrete)
def _(space: MultiDiscrete[Any], path: tree.Path) -> LeafSpec:
    nvec, start = tuple(space.nvec.ravel().tolist()), tuple(space.start.ravel().tolist())
    return LeafSpec(path, space, space.shape, space.dtype, "index", nvec, start)


@_leaf_tree.register(MultiBinary)
def _(space: MultiBinary, path: tree.Path) -> LeafSpec:
    return LeafSpec(path, space, space.shape, np.dtype(np.int8), "binary")


@_leaf_tree.register(Dict)
def _(space: Dict, path: tree.Path) -> dict[Any, Any]:
    return {key: _leaf_tree(child, (*path, key)) for key, child in space.spaces.items()}


@_leaf_tree.register(Tuple)
def _(space: Tuple[Any], path: tree.Path) -> tuple[Any, ...]:
    return tuple(_leaf_tree(child, (*path, position)) for position, child in enumerate(space.spaces))


class Encoder:
    """Encodes the observations of one space; build it once where observations come often.

    Args:
        space: the observation space. Its structure is read here, once.

    Raises:
        UnsupportedSpaceError: a leaf has no encoding, or the space has nothing to observe.
    """

    def __init__(self, space: gym.Space[Any]) -> None:
        self._tree = _leaf_tree(space, ())
        self.specs: tuple[LeafSpec, ...] = tuple(tree.leaves(self._tree))
        self._offsets = [_offset(leaf) for leaf in self.specs]
        if not any(leaf.width for leaf in self.specs):
            raise UnsupportedSpaceError(f"obs: {space} holds no value to observe. Supported: {SUPPORTED}.")

    def __call__(self, obs: tree.Tree) -> tuple[NumpyArray, ...]:
        """Return one array [N, *shape] per leaf, in the space's own key order.

        An array that needs no conversion is returned itself, not copied.

        Args:
            obs: stacked observations as vector environments give them (a dict or tuple of arrays [N, ...], or
                one array), or a single observation. Dicts are read by key; lists pass for tuples and arrays.

        Raises:
            ObservationError: the structure, a shape or an element type does not fit the space. Values are not
                looked at; `faults.find_fault` does that.
        """
        values: list[Any] = []
        _collect(self._tree, obs, (), values)
        encoded = tuple(map(_encode_leaf, self.specs, self._offsets, values))
        if len(encoded) > 1:
            self._require_one_batch_shape(encoded)
        return encoded

    def _require_one_batch_shape(self, leaves: tuple[NumpyArray, ...]) -> None:
        batch_shapes = [batch_shape(spec, leaf) for spec, leaf in zip(self.specs, leaves, strict=True)]
        if batch_shapes.count(batch_shapes[0]) != len(batch_shapes):
            listing = ", ".join(f"{spec.place()} {shape}" for spec, shape in zip(self.specs, batch_shapes, strict=True))
            raise ObservationError(f"obs: expected the same batch shape in every leaf, got {listing}.")


def spec(space: gym.Space[Any]) -> tuple[LeafSpec, ...]:
    """Return the leaves of an observation space, depth-first in the space's own key order.

    Raises:
        UnsupportedSpaceError: naming the place of the leaf, its space and what is supported.
    """
    return Encoder(space).specs


def encode(space: gym.Space[Any], obs: tree.Tree) -> tuple[NumpyArray, ...]:
    """Encode stacked observations of ``space``: `Encoder` for one use."""
    return Encoder(space)(obs)


def batch_shape(spec: LeafSpec, leaf: Any) -> tuple[int, ...]:
    """Return the leading dimensions N of an encoded leaf [N, *shape] of any framework."""
    return tuple(leaf.shape[: len(leaf.shape) - len(spec.shape)])


def _offset(leaf: LeafSpec) -> NumpyArray | None:
    return np.asarray(leaf.start, leaf.dtype).reshape(leaf.shape) if any(leaf.start) else None


def _collect(node: Any, obs: Any, path: tree.Path, values: list[Any]) -> None:
    """Append the values of ``obs`` in the order of the leaves under ``node``."""
    if isinstance(node, LeafSpec):
        values.append(obs)
    elif isinstance(node, dict):
        if not isinstance(obs, dict) or obs.keys() != node.keys():
            came = f"keys {list(obs)}" if isinstance(obs, dict) else type(obs).__name__
            raise ObservationError(f"{tree.place('obs', path)}: expected a dict with keys {list(node)}, got {came}.")
        for key, child in node.items():
            _collect(child, obs[key], (*path, key), values)
    else:
        if not isinstance(obs, tuple | list) or len(obs) != len(node):
            came = f"{len(obs)}" if isinstance(obs, tuple | list) else type(obs).__name__
            raise ObservationError(f"{tree.place('obs', path)}: expected a tuple of length {len(node)}, got {came}.")
        for position, child in enumerate(node):
            _collect(child, obs[position], (*path, position), values)


def _encode_leaf(spec: LeafSpec, offset: NumpyArray | None, value: Any) -> NumpyArray:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ObservationError(f"{spec.place()}: expected an array for {spec.space}: {error}") from error
    if array.shape[array.ndim - len(spec.shape) :] != spec.shape:
        raise ObservationError(
            f"{spec.place()}: expected shape [..., {', '.join(map(str, spec.shape))}] for {spec.space}, "
            f"got {array.shape}."
        )
    if array.dtype.kind not in "biuf":
        raise ObservationError(f"{spec.place()}: expected numbers for {spec.space}, got dtype {array.dtype}.")
    if offset is not None:
        array = np.asarray(array - offset)
    return array if array.dtype == spec.dtype else _cast(spec, array)


def _cast(spec: LeafSpec, array: NumpyArray) -> NumpyArray:
    """Cast to the stored dtype: floats may round, whole numbers must survive."""
    with np.errstate(over="ignore", invalid="ignore"):
        converted = array.astype(spec.dtype)
    if spec.dtype.kind != "f" and not (converted == array).all():
        lost = array[converted != array][0]
        raise ObservationError(
            f"{spec.place()}: expected values that {spec.dtype} can hold exactly for {spec.space}, "
            f"got {lost} of dtype {array.dtype}."
        )
    return converted
