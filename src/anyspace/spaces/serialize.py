"""Spaces as JSON: bounds, dtypes, starts and key order survive exactly (for checkpoints)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import singledispatch
from numbers import Integral
from typing import Any, TypeAlias

import gymnasium as gym
import numpy as np
from gymnasium.spaces import (
    Box,
    Dict,
    Discrete,
    Graph,
    MultiBinary,
    MultiDiscrete,
    OneOf,
    Sequence,
    Text,
    Tuple,
)

from anyspace.errors import UnsupportedSpaceError
from anyspace.maths.arrays import NumpyArray
from anyspace.spaces.kinds.atari import AtariPixels, AtariRam
from anyspace.spaces.kinds.bounded import BoundedGraph, BoundedSequence
from anyspace.spaces.kinds.frames import Image, StackedFrames
from anyspace.spaces.kinds.ignored import IgnoredPart, PartialDict
from anyspace.spaces.kinds.registered import RegisteredSpace, registration_named
from anyspace.spaces.kinds.repeated import Repeated
from anyspace.spaces.kinds.simplex import Simplex
from anyspace.spaces.kinds.words import Words

Spaces: TypeAlias = tuple[gym.Space[Any], gym.Space[Any]]
"""Of observations and of actions."""

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


@to_json.register(StackedFrames)
def _(space: StackedFrames) -> Json:
    box: Json = to_json.dispatch(Box)(space)
    return {**box, "type": "StackedFrames", "stack": space.stack}


@to_json.register(Image)
def _(space: Image) -> Json:
    return {"type": "Image", "shape": list(space.shape), "channels_first": space.channels_first}


@to_json.register(AtariRam)
def _(space: AtariRam) -> Json:
    return {"type": "AtariRam"}


@to_json.register(AtariPixels)
def _(space: AtariPixels) -> Json:
    return {
        "type": "AtariPixels",
        "shape": list(space.shape),
        "dim": space.dim,
        "grayscale": space.grayscale,
        "zero_mean": space.zero_mean,
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


@to_json.register(Simplex)
def _(space: Simplex) -> Json:
    return {
        "type": "Simplex",
        "shape": list(space.shape),
        "concentration": space.concentration.tolist(),
        "dtype": space.dtype.name,
    }


@to_json.register(Dict)
def _(space: Dict) -> Json:
    return {"type": "Dict", "spaces": [[_pack_key(key), to_json(child)] for key, child in space.spaces.items()]}


@to_json.register(PartialDict)
def _(space: PartialDict) -> Json:
    parts: Json = to_json.dispatch(Dict)(space)
    return {**parts, "type": "PartialDict", "ignored": [_pack_key(key) for key in sorted(space.ignored, key=str)]}


@to_json.register(IgnoredPart)
def _(space: IgnoredPart) -> Json:
    return {"type": "IgnoredPart"}


@to_json.register(RegisteredSpace)
def _(space: RegisteredSpace) -> Json:
    stands_for = to_json(space.equivalent)
    return {"type": "RegisteredSpace", "name": space.name, "arguments": space.arguments, "equivalent": stands_for}


@to_json.register(Words)
def _(space: Words) -> Json:
    return {"type": "Words", "vocabulary": list(space.vocabulary), "max_words": space.max_words}


@to_json.register(Tuple)
def _(space: Tuple[Any]) -> Json:
    return {"type": "Tuple", "spaces": [to_json(child) for child in space.spaces]}


@to_json.register(OneOf)
def _(space: OneOf[Any]) -> Json:
    return {"type": "OneOf", "spaces": [to_json(child) for child in space.spaces]}


@to_json.register(Repeated)
def _(space: Repeated) -> Json:
    return {"type": "Repeated", "child_space": to_json(space.child_space), "max_len": space.max_len}


@to_json.register(Sequence)
def _(space: Sequence) -> Json:
    return {"type": "Sequence", "feature_space": to_json(space.feature_space), "stack": space.stack}


@to_json.register(BoundedSequence)
def _(space: BoundedSequence) -> Json:
    sequence: Json = to_json.dispatch(Sequence)(space)
    return {**sequence, "type": "BoundedSequence", "max_len": space.max_len}


@to_json.register(Graph)
def _(space: Graph) -> Json:
    edge_space = None if space.edge_space is None else to_json(space.edge_space)
    return {"type": "Graph", "node_space": to_json(space.node_space), "edge_space": edge_space}


@to_json.register(BoundedGraph)
def _(space: BoundedGraph) -> Json:
    graph: Json = to_json.dispatch(Graph)(space)
    return {**graph, "type": "BoundedGraph", "max_nodes": space.max_nodes, "max_edges": space.max_edges}


@to_json.register(Text)
def _(space: Text) -> Json:
    # A list, so that the order of the characters, which their positions follow, is the same wherever it is read.
    lengths = {"min_length": space.min_length, "max_length": space.max_length}
    return {"type": "Text", **lengths, "characters": list(space.character_list)}


def same_space(space: gym.Space[Any], other: gym.Space[Any]) -> bool:
    """Return whether two spaces are read, stored and acted in alike; one of a subclass equals its built-in class's.

    Both have passed through `prepared` or `known_actions`; one without a JSON form equals itself alone.
    """
    try:
        return to_json(space) == to_json(other)
    except UnsupportedSpaceError:
        return space is other or bool(space == other)


def from_json(data: Json) -> gym.Space[Any]:
    """Return the space that `to_json` wrote.

    Raises:
        UnsupportedSpaceError: the kind of space is unknown, it is not written like this, or its arrays, or those of its
            members, would have more than `MOST_NUMBERS` numbers.
    """
    numbers = _numbers(data)
    if numbers > MOST_NUMBERS:
        raise UnsupportedSpaceError(
            f"a space whose members have {numbers:,} numbers is larger than what is read: {MOST_NUMBERS:,} at most."
        )
    return _read(data)


MOST_NUMBERS = 2**26
"""How many numbers a member of a space that is read may have: an observation of 256 MiB."""


def _read(data: Json) -> gym.Space[Any]:
    kind = data.get("type") if isinstance(data, dict) else data
    if not isinstance(kind, str) or kind not in _READERS:
        raise UnsupportedSpaceError(f"expected a space of type {', '.join(_READERS)}, got {kind!r}.")
    try:
        return _READERS[kind](data)
    except UnsupportedSpaceError:
        raise
    except Exception as error:
        raise UnsupportedSpaceError(f"no {kind} is written like this: {type(error).__name__}: {error}.") from error


def _numbers(data: Any) -> int:
    """Return how many numbers a member of the space has at most, or the arrays that describe it."""
    if isinstance(data, list):
        return sum(map(_numbers, data))
    if not isinstance(data, dict):
        return 0
    own = math.prod(map(_size, data["shape"])) if isinstance(data.get("shape"), list) else 0
    if data.get("type") == "MultiBinary":
        own = math.prod(map(_size, n)) if isinstance(n := data.get("n"), list) else _size(n)
    own += _size(data.get("max_length")) + _size(data.get("max_words")) + _size(data.get("dim")) ** 2
    # Of lists and graphs, whose elements are padded to the longest length.
    repeats = max(1, *(_size(data.get(key)) for key in ("max_len", "max_nodes", "max_edges")))
    # The arguments of a registered space are the user's, and may be anything.
    inner = [data.get("equivalent")] if data.get("type") == "RegisteredSpace" else data.values()
    return own + repeats * (sum(map(_numbers, inner)) + (repeats > 1))


def _size(number: Any) -> int:
    """Return a size, 0 where there is none; constructors would take texts and floats for whole numbers."""
    if number is None:
        return 0
    if not isinstance(number, Integral) or isinstance(number, bool):
        raise UnsupportedSpaceError(f"a size of a space is a whole number, not {number!r}.")
    return max(0, int(number))


def _read_box(data: Json) -> Box:
    shape, dtype = tuple(data["shape"]), _dtype(data["dtype"])
    low, bounded_below = _unpack(data["low"], shape, dtype)
    high, bounded_above = _unpack(data["high"], shape, dtype)
    if data["type"] == "StackedFrames":
        box: Box = StackedFrames(low, high, shape, dtype.type, stack=data["stack"])
    else:
        box = Box(low, high, shape, dtype.type)
    # An integer Box stores an infinite bound as the dtype's extreme; only these flags tell the two apart.
    box.bounded_below, box.bounded_above = bounded_below, bounded_above
    return box


def _read_parts(data: Json) -> list[tuple[Any, gym.Space[Any]]]:
    return [(_read_key(key), _read(child)) for key, child in data["spaces"]]


def _read_registered(data: Json) -> RegisteredSpace:
    registration_named(data["name"])
    return RegisteredSpace(data["name"], _read(data["equivalent"]), data["arguments"])


def _read_graph(data: Json) -> Graph:
    node_space = _read(data["node_space"])
    edge_space = None if data["edge_space"] is None else _read(data["edge_space"])
    if data["type"] == "Graph":
        return Graph(node_space, edge_space)
    return BoundedGraph(node_space, edge_space, max_nodes=data["max_nodes"], max_edges=data["max_edges"])


_READERS: dict[str, Callable[[Json], gym.Space[Any]]] = {
    "Box": _read_box,
    "StackedFrames": _read_box,
    "Image": lambda data: Image(tuple(data["shape"]), channels_first=data["channels_first"]),
    "AtariRam": lambda data: AtariRam(),
    "AtariPixels": lambda data: AtariPixels(
        tuple(data["shape"]), dim=data["dim"], grayscale=data["grayscale"], zero_mean=data["zero_mean"]
    ),
    "Discrete": lambda data: _discrete(data["n"], data["start"], _dtype(data["dtype"])),
    "MultiDiscrete": lambda data: MultiDiscrete(
        np.array(data["nvec"]), dtype=_dtype(data["dtype"]).type, start=np.array(data["start"])
    ),
    "MultiBinary": lambda data: MultiBinary(data["n"]),
    "Simplex": lambda data: Simplex(data["shape"], data["concentration"], _dtype(data["dtype"])),
    "Dict": lambda data: Dict(_read_parts(data)),
    "Tuple": lambda data: Tuple([_read(child) for child in data["spaces"]]),
    "OneOf": lambda data: OneOf([_read(child) for child in data["spaces"]]),
    "Repeated": lambda data: Repeated(_read(data["child_space"]), data["max_len"]),
    "Sequence": lambda data: Sequence(_read(data["feature_space"]), stack=data["stack"]),
    "BoundedSequence": lambda data: BoundedSequence(_read(data["feature_space"]), data["max_len"], data["stack"]),
    "Graph": _read_graph,
    "BoundedGraph": _read_graph,
    "Text": lambda data: Text(data["max_length"], min_length=data["min_length"], charset="".join(data["characters"])),
    "PartialDict": lambda data: PartialDict(_read_parts(data), map(_read_key, data["ignored"])),
    "IgnoredPart": lambda data: IgnoredPart(),
    "RegisteredSpace": _read_registered,
    "Words": lambda data: Words(data["vocabulary"], data["max_words"]),
}


def _pack_key(key: Any) -> Any:
    """Return a key of a Dict as JSON holds it: a tuple as ``{"tuple": [...]}``.

    Raises:
        UnsupportedSpaceError: it is no text, number, None or tuple of those.
    """
    if isinstance(key, tuple):
        return {"tuple": [_pack_key(part) for part in key]}
    # Subclasses and NumPy's numbers give way to equal keys, which find the same part.
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(key, np.number | np.bool_):
        key = key.item()
    if isinstance(key, int) and not isinstance(key, bool):
        return int(key)
    if key is None or isinstance(key, float | bool):
        return key
    raise UnsupportedSpaceError(
        f"a Dict has the key {key!r}, which no checkpoint can hold: let its keys be texts, numbers, None, or tuples of"
        " those."
    )


def _read_key(packed: Any) -> Any:
    return tuple(map(_read_key, packed["tuple"])) if isinstance(packed, dict) else packed


def _pack(bound: NumpyArray, bounded: NumpyArray, infinity: str) -> Any:
    """Return a bound as nested lists, or as one entry where all entries are the same."""
    # JSON has no wider floats.
    entries = (bound.astype(np.float64) if bound.dtype.kind == "f" else bound).astype(object)
    entries = np.where(bounded, entries, infinity)
    first = entries.flat[0] if entries.size else 0
    return first if bool((entries == first).all()) else entries.tolist()


def _discrete(n: int, start: int, dtype: np.dtype[Any]) -> Discrete:
    if dtype == np.int64:  # all that Gymnasium 1.1 has, and it takes no argument for it
        return Discrete(n, start=start)
    return Discrete(n, start=start, dtype=dtype.type)


def _unpack(packed: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[NumpyArray, NumpyArray]:
    """Return a bound in its dtype, and which entries are bounded."""
    unbounded = ("-inf", "inf")
    outermost = (np.iinfo(dtype).min, np.iinfo(dtype).max) if dtype.kind in "iu" else (-np.inf, np.inf)
    if not isinstance(packed, list):
        value = outermost[unbounded.index(packed)] if packed in unbounded else packed
        return np.full(shape, value, dtype), np.full(shape, packed not in unbounded)
    entries = np.full(shape, 0, object)
    entries[...] = packed
    bounded = np.asarray((entries != "inf") & (entries != "-inf"))
    for name, value in zip(unbounded, outermost, strict=True):
        entries[entries == name] = value
    return entries.astype(dtype), bounded


def _dtype(name: str) -> np.dtype[Any]:
    """Return the dtype of that name, which is one of numbers."""
    dtype = np.dtype(str(name))
    if dtype.kind not in "biuf":
        raise ValueError(f"dtype {name!r} is none of numbers")
    return dtype
