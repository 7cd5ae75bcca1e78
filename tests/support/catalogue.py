"""Hard cases of spaces, shared by the tests of every room; `tests.fuzz.generator` draws random ones."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, OneOf, Text, Tuple
from gymnasium.vector.utils import concatenate, create_empty_array
from packaging.version import Version

from anyspace.spaces import BoundedGraph, BoundedSequence, Image, Repeated, Simplex, StackedFrames, Words
from anyspace.spaces.kinds.ignored import ignoring
from anyspace.spaces.leaves import iter_specs, structure

INF = float("inf")
DISCRETE_DTYPES = "dtype" in inspect.signature(Discrete).parameters
"""Whether a Discrete may be of another dtype than int64; in Gymnasium 1.1 it may not."""
GRAPHS_OF_PARTS = Version(gym.__version__) >= Version("1.4")
"""Whether the nodes of a Graph may be any space; before Gymnasium 1.4 they are Boxes or Discretes."""
_SAMPLED = 1 if GRAPHS_OF_PARTS else 0
"""The first of a Graph's Discrete nodes or edges; before Gymnasium 1.4 it is taken for 0 where a Graph is sampled."""
NARROW = {"discrete uint16": (7, 60_000, np.uint16), "discrete whole int8": (100, -100, np.int8)}


def discrete(n: int, start: int, dtype: type[np.integer]) -> Discrete:
    """Return a Discrete of a dtype; of int64 where it knows no other."""
    return Discrete(n, start=start, dtype=dtype) if DISCRETE_DTYPES else Discrete(n, start=start)


def _bounds(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


_MIXED_BOUNDS = Box(_bounds(-INF, -1, -INF, 0.5), _bounds(INF, INF, 2, 3.5))
_DEEP = Tuple(
    (
        Dict(
            [
                ("z", Tuple((Discrete(3, start=-1), Box(-1, 1, (2,))))),
                ("a", MultiDiscrete([2, 3], start=[1, -4])),
            ]
        ),
        Tuple((Tuple((Box(0, 10, ()),)), Discrete(2))),
    )
)

# Kinds that serve as observations and as actions alike.
_BOTH: dict[str, gym.Space[Any]] = {
    "box": Box(-1, 1, (4,)),
    "box unbounded": Box(-INF, INF, (3,)),
    "box mixed bounds": _MIXED_BOUNDS,
    "box rank 0": Box(-2, 3, ()),
    "box uneven bounds": Box(_bounds(0, -10), _bounds(1, 10)),
    "box one point": Box(_bounds(0.1, -3), _bounds(0.1, 5)),
    "box float64": Box(-0.1, 0.3, (2,), np.float64),
    "box float16": Box(-0.3, 0.7, (3,), np.float16),
    "box uint8": Box(0, 255, (5,), np.uint8),
    "box int8": Box(np.array([-128, -3], np.int8), np.array([127, 4], np.int8), dtype=np.int8),
    "box int64": Box(-2, 3, (2,), np.int64),
    "box int rank 0": Box(5, 9, (), np.int32),
    "box bool": Box(0, 1, (3,), np.bool_),
    "discrete": Discrete(3),
    "discrete one value": Discrete(1),
    "discrete start": Discrete(3, start=5),
    "discrete negative start": Discrete(4, start=-2),
    **{name: discrete(*given) for name, given in NARROW.items() if DISCRETE_DTYPES},
    "multidiscrete": MultiDiscrete([3, 4]),
    "multidiscrete 2d start": MultiDiscrete([[2, 3], [1, 4]], start=[[0, -1], [7, 2]]),
    "multidiscrete uint8": MultiDiscrete([2, 2, 2], dtype=np.uint8, start=[1, 2, 250]),
    "dict": Dict({"a": Discrete(2), "b": Tuple((Discrete(3), Box(-1, 1, (4,))))}),
    "dict unsorted kwargs": Dict(z=Discrete(2), a=Discrete(2), m=Box(0, 1, (2,))),
    "dict unsorted pairs": Dict([("z", Box(-1, 1, (2,))), ("a", Discrete(3, start=1)), ("k", MultiDiscrete([2, 2]))]),
    "dict names like numbers": Dict([("10", Discrete(2)), ("9", Discrete(3)), ("0", Box(0, 1, ()))]),
    "dict integer keys": Dict([(10, Discrete(2)), (9, Discrete(3))]),
    "tuple": Tuple((Discrete(5), Box(0, 3, (3,)))),
    "tuple in dict in tuple": _DEEP,
    "empty parts": Dict([("none", Dict([])), ("nothing", Tuple(())), ("some", Discrete(2))]),
}

_PART = Dict([("x", Box(-1, 1, (2,))), ("kind", Discrete(3, start=2)), ("bits", MultiBinary(2))])
_NODE = _PART if GRAPHS_OF_PARTS else Box(-1, 1, (2,))
_WORD = Text(4, min_length=2, charset="zyxab")
_FIXED: dict[str, gym.Space[Any]] = {
    "box integer unbounded": Box(-INF, INF, (2,), np.int32),
    "box empty part": Tuple((Box(0, 1, (0,)), Discrete(2))),
    "box largest floats": Box(-np.finfo(np.float32).max, np.finfo(np.float32).max, (2,)),
    "box rank 2": Box(-1, 1, (2, 3)),
    "box rank 4": Box(-INF, INF, (2, 1, 3, 2)),
    "image": Box(0, 255, (12, 10, 3), np.uint8),
    "image channels first": Box(0, 255, (3, 12, 10), np.uint8),
    "image of one channel": Box(0, 255, (12, 10), np.uint8),
    "image that says so": Image((4, 12, 10), channels_first=True),
    "images": Box(0, 255, (2, 8, 9, 3), np.uint8),
    "stacked frames": StackedFrames(0, 255, (10, 10, 8), stack=4),
    "multibinary": MultiBinary(4),
    "multibinary 2d": MultiBinary([2, 3]),
    "simplex": Simplex((3,)),
    "simplex 2d float64": Simplex((2, 4), dtype=np.float64),
    "dict with binary": Dict(mask=MultiBinary(3), features=Box(-INF, INF, (2,)), image=MultiBinary((2, 2))),
    "dict of images": Dict(
        camera=Box(0, 255, (8, 8, 3), np.uint8), map=Image((2, 8, 9), channels_first=True), speed=Box(0, 9, ())
    ),
}
_VARYING: dict[str, gym.Space[Any]] = {
    "repeated": Repeated(Box(-1, 1, (2,)), 3),
    "repeated rank 0": Repeated(Box(1, 2, (), np.float64), 4),
    "repeated discrete start": Repeated(Discrete(3, start=5), 4),
    "repeated multidiscrete": Repeated(MultiDiscrete([[2, 3]], start=[[1, -1]]), 2),
    "repeated dict": Repeated(_PART, 4),
    "repeated twice": Repeated(Repeated(Box(1, 3, (2,)), 2), 3),
    "repeated dict of repeated": Repeated(Dict(hp=Box(1, 9, ()), items=Repeated(_PART, 2)), 3),
    "repeated images": Repeated(Box(0, 255, (8, 8, 3), np.uint8), 2),
    "repeated frames": Repeated(StackedFrames(0, 255, (8, 8, 2), stack=2), 2),
    "repeated words": Repeated(_WORD, 3),
    "repeated shares": Repeated(Simplex((3,)), 3),
    "sequence": BoundedSequence(Box(1, 2, (2,)), 3),
    "sequence of tuples": BoundedSequence(Tuple((Discrete(2, start=1), Box(-1, 1, ()))), 3),
    "sequence stacked": BoundedSequence(Box(-1, 1, (2,)), 3, stack=True),
    "sequence of stacked dicts": BoundedSequence(_PART, 3, stack=True),
    "sequence of stacked sequences": BoundedSequence(
        Dict(a=BoundedSequence(Discrete(3), 2, stack=True)), 3, stack=True
    ),
    "sequence of stacked mixtures": BoundedSequence(Tuple((Repeated(_PART, 2), _WORD, Discrete(2))), 3, stack=True),
    "text": _WORD,
    "text or nothing": Text(3, min_length=0, charset="a\N{SNOWMAN}\N{GRINNING FACE}"),
    "text of one character": Text(1),
    "words": Words(["go to the red ball"], 6),
    "repeated texts of words": Repeated(Dict(says=Words(["yes", "no"], 2), at=Discrete(2)), 2),
    "parts left out": ignoring(
        Dict(a=Discrete(2), b=Tuple((Discrete(3), Text(3), Box(-1, 1, (2,)))), c=Text(4)), ['obs["b"][1]', 'obs["c"]']
    ),
    "graph": BoundedGraph(Box(-1, 1, (2,)), Discrete(3, start=_SAMPLED), max_nodes=4, max_edges=5),
    "graph without edges": BoundedGraph(Box(1, 2, (2,)), None, max_nodes=3),
    "graph of discrete nodes": BoundedGraph(Discrete(3, start=_SAMPLED), Box(-1, 1, ()), max_nodes=3, max_edges=4),
    **(
        {"graph of parts": BoundedGraph(_PART, Dict(word=_WORD, far=Box(0, 9, ())), max_nodes=3, max_edges=4)}
        if GRAPHS_OF_PARTS
        else {}
    ),
    "one of": OneOf((Discrete(3, start=1), Box(1, 2, (2,)))),
    "one of one": OneOf((Box(1, 2, (2,)),)),
    "one of lists": OneOf((Repeated(Box(1, 2, (2,)), 3), _WORD, Tuple((_PART, Discrete(2))))),
    "repeated one of": Repeated(OneOf((Discrete(3, start=1), _PART, Repeated(Discrete(2), 2))), 3),
    "all mixed": Dict(
        [
            ("speed", Box(-INF, INF, (2,))),
            ("items", Repeated(Dict(kind=Discrete(3, start=-1), name=_WORD, at=OneOf((Discrete(2), _PART))), 3)),
            ("map", Tuple((BoundedGraph(_NODE, Discrete(2), max_nodes=3, max_edges=3), Simplex((2,))))),
            ("camera", Box(0, 255, (8, 8, 3), np.uint8)),
            ("log", BoundedSequence(BoundedSequence(_WORD, 2), 2)),
        ]
    ),
}

OBSERVATION_SPACES: dict[str, gym.Space[Any]] = _BOTH | _FIXED | _VARYING
"""Every kind of observation that is supported, by name."""

UNSTACKED = [
    name for name, space in OBSERVATION_SPACES.items() if all(leaf.stack == 1 for leaf in iter_specs(structure(space)))
]
"""Observations that may be drawn at random at every step, which frame stacks may not."""

ACTION_SPACES: dict[str, gym.Space[Any]] = _BOTH | {
    "box rank 2": Box(np.arange(6).reshape(2, 3).astype(np.float32), np.full((2, 3), 9, np.float32)),
    "box integer rank 2": Box(np.array([[0, -5], [250, 3]]), np.array([[2, -5], [255, 9]]), dtype=np.int64),
    "box half bounded": Box(_bounds(0, -INF), _bounds(INF, 0)),
    "multibinary": MultiBinary(4),
    "multibinary 2d": MultiBinary([2, 3]),
    "simplex": Simplex((3,)),
    "simplex 2d float16": Simplex((2, 4), dtype=np.float16),
    "dict of bits and shares": Dict([("split", Simplex((2,))), ("bits", Tuple((MultiBinary(2), Discrete(2))))]),
}
"""Every kind of action that is supported, by name."""


KINDS = {
    "box mixed bounds",
    "box one point",
    "box int64",
    "box bool",
    "discrete start",
    "multidiscrete 2d start",
    "multibinary",
    "simplex",
    "dict unsorted pairs",
    "image",
    "stacked frames",
    "repeated dict",
    "sequence of tuples",
    "text",
    "graph",
    "one of",
}
"""One space of each kind: what a framework that compiles takes half a second for is shown with these."""


def others_by_fuzz(names: Iterable[str], kept: Collection[str] = KINDS) -> list[Any]:
    """Return names as parameters of a test, of which those that are not ``kept`` are left to ``make fuzz``."""
    return [name if name in kept else pytest.param(name, marks=pytest.mark.fuzz) for name in names]


def stacked(space: gym.Space[Any], samples: list[Any]) -> Any:
    """Stack single samples [B] times, as Gymnasium's vector environments do."""
    return concatenate(space, samples, create_empty_array(space, n=len(samples)))


def rows_of(space: gym.Space[Any], actions: Any, rows: int) -> list[Any]:
    """Take stacked actions [rows, ...] apart into members of the space: arrays everywhere, but for a Discrete."""
    return [_row(space, actions, index) for index in range(rows)]


def _row(space: gym.Space[Any], actions: Any, index: int) -> Any:
    if isinstance(space, Dict):
        return {key: _row(child, actions[key], index) for key, child in space.spaces.items()}
    if isinstance(space, Tuple):
        return tuple(_row(child, part, index) for child, part in zip(space.spaces, actions, strict=True))
    return actions[index] if isinstance(space, Discrete) else np.asarray(actions[index])
