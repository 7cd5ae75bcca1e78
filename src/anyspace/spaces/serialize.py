"""Spaces as JSON: bounds, dtypes, starts and key order survive exactly (for checkpoints)."""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch
from typing import Any, TypeAlias

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

from anyspace.errors import UnsupportedSpaceError

NumpyArray: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Json: TypeAlias = dict[str, Any]


@singledispatch
def to_json(space: gym.Space[Any]) -> Json:
    """Return the space as a dict that the json module can write.

    Infinite bounds are the strings "-inf" and "inf"; a bound that is the same everywhere is one number; a
    Dict is a list of [key, space] pairs, which keeps its order.

    Raises:
        UnsupportedSpaceError: for a kind of space that this library does not use.
    """
    raise UnsupportedSpaceError(f"no JSON form for {space}. Supported: {', '.join(_READERS)}.")


@to_json.register(Box)
def _(space: Box) -> Json:
    return {
        "type": "Box",
        "low": _pack(space.low, space.bounded_below, "-inf"),
        "high": _pack(space.high, space.bounded_above, "inf"),
        "shape": list(space.shape),
        "dtype": space.dtype.name,
    }


@to_json.register(Discrete)
def _(space: Discrete[Any]) -> Json:
    return {"type": "Discrete", "n": int(space.n), "start": int(space.start), "dtype": space.dtype.name}


@to_json.register(MultiDiscrete)
def _(space: MultiDiscrete[Any]) -> Json:
    return {
        "type": "MultiDiscrete",
        "nvec": space.nvec.tolist(),
        "start": space.start.tolist(),
        "dtype": space.dtype.name,
    }


@to_json.register(MultiBinary)
def _(space: MultiBinary) -> Json:
    return {"type": "MultiBinary", "n": space.n if isinstance(space.n, int) else list(space.n)}


@to_json.register(Dict)
def _(space: Dict) -> Json:
    return {"type": "Dict", "spaces": [[key, to_json(child)] for key, child in space.spaces.items()]}


@to_json.register(Tuple)
def _(space: Tuple[Any]) -> Json:
    return {"type": "Tuple", "spaces": [to_json(child) for child in space.spaces]}


def from_json(data: Json) -> gym.Space[Any]:
    """Return the space that `to_json` wrote.

    Raises:
        UnsupportedSpaceError: the kind of space is unknown.
    """
    kind = data["type"]
    if kind not in _READERS:
        raise UnsupportedSpaceError(f"expected a space of type {', '.join(_READERS)}, got {kind!r}.")
    return _READERS[kind](data)


def _read_box(data: Json) -> Box:
    shape, dtype = tuple(data["shape"]), np.dtype(data["dtype"])
    low, bounded_below = _unpack(data["low"], shape, dtype)
    high, bounded_above = _unpack(data["high"], shape, dtype)
    box = Box(low, high, shape, dtype.type)
    # An integer Box stores an infinite bound as the dtype's extreme; only these flags tell the two apart.
    box.bounded_below, box.bounded_above = bounded_below, bounded_above
    return box


_READERS: dict[str, Callable[[Json], gym.Space[Any]]] = {
    "Box": _read_box,
    "Discrete": lambda data: Discrete(data["n"], start=data["start"], dtype=np.dtype(data["dtype"]).type),
    "MultiDiscrete": lambda data: MultiDiscrete(
        np.array(data["nvec"]), dtype=np.dtype(data["dtype"]).type, start=np.array(data["start"])
    ),
    "MultiBinary": lambda data: MultiBinary(data["n"]),
    "Dict": lambda data: Dict([(key, from_json(child)) for key, child in data["spaces"]]),
    "Tuple": lambda data: Tuple([from_json(child) for child in data["spaces"]]),
}


def _pack(bound: NumpyArray, bounded: NumpyArray, infinity: str) -> Any:
    """Return a bound as nested lists, or as one entry where all entries are the same."""
    entries = bound.astype(object)
    entries = np.where(bounded, entries, infinity)
    first = entries.flat[0] if entries.size else 0
    return first if bool((entries == first).all()) else entries.tolist()


def _unpack(packed: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[NumpyArray, NumpyArray]:
    """Return a bound in its dtype, and which entries are bounded."""
    entries = np.full(shape, 0, object)
    entries[...] = packed
    bounded = np.asarray((entries != "inf") & (entries != "-inf"))
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        entries[entries == "-inf"], entries[entries == "inf"] = info.min, info.max
    return entries.astype(dtype), bounded
