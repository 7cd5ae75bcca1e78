"""Hard cases of spaces, shared by the tests of every room: named ones, and random ones for hypothesis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from gymnasium.vector.utils import concatenate, create_empty_array
from hypothesis import strategies as st

INF = float("inf")


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
    "discrete uint16": Discrete(7, start=60_000, dtype=np.uint16),
    "discrete whole int8": Discrete(100, start=-100, dtype=np.int8),
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

OBSERVATION_SPACES: dict[str, gym.Space[Any]] = _BOTH | {
    "box integer unbounded": Box(-INF, INF, (2,), np.int32),
    "box empty part": Tuple((Box(0, 1, (0,)), Discrete(2))),
    "box largest floats": Box(-np.finfo(np.float32).max, np.finfo(np.float32).max, (2,)),
    "multibinary": MultiBinary(4),
    "multibinary 2d": MultiBinary([2, 3]),
    "dict with binary": Dict(mask=MultiBinary(3), features=Box(-INF, INF, (2,)), image=MultiBinary((2, 2))),
}
"""Every kind of observation that is supported, by name."""

ACTION_SPACES: dict[str, gym.Space[Any]] = _BOTH | {
    "box rank 2": Box(np.arange(6).reshape(2, 3).astype(np.float32), np.full((2, 3), 9, np.float32)),
    "box integer rank 2": Box(np.array([[0, -5], [250, 3]]), np.array([[2, -5], [255, 9]]), dtype=np.int64),
    "box half bounded": Box(_bounds(0, -INF), _bounds(INF, 0)),
}
"""Every kind of action that is supported, by name."""


def stacked(space: gym.Space[Any], samples: list[Any]) -> Any:
    """Stack single samples [B] times, as Gymnasium's vector environments do."""
    return concatenate(space, samples, create_empty_array(space, n=len(samples)))


def _arrays(dtype: type, size: int, low: int, high: int) -> st.SearchStrategy[np.ndarray]:
    return st.lists(st.integers(low, high), min_size=size, max_size=size).map(lambda row: np.array(row, dtype))


@st.composite
def _float_boxes(draw: Callable[..., Any]) -> Box:
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    shape = draw(st.sampled_from([(), (1,), (3,)]))
    size = int(np.prod(shape))
    low = draw(_arrays(dtype, size, -100, 100)) / dtype(7)
    high = low + draw(_arrays(dtype, size, 0, 100)) / dtype(3)
    low = np.where(draw(_arrays(bool, size, 0, 3)), low, -INF).astype(dtype)
    high = np.where(draw(_arrays(bool, size, 0, 3)), high, INF).astype(dtype)
    return Box(low.reshape(shape), high.reshape(shape), dtype=dtype)


@st.composite
def _integer_boxes(draw: Callable[..., Any]) -> Box:
    dtype = draw(st.sampled_from([np.int8, np.uint8, np.int32, np.int64]))
    shape = draw(st.sampled_from([(), (2,)]))
    info, size = np.iinfo(dtype), int(np.prod(shape))
    low = draw(_arrays(dtype, size, max(info.min, -1000), min(info.max, 1000)))
    span = draw(_arrays(np.int64, size, 0, 20))
    high = np.minimum(low.astype(np.int64) + span, info.max).astype(dtype)
    return Box(low.reshape(shape), high.reshape(shape), dtype=dtype)


_DISCRETE = st.builds(lambda n, start: Discrete(n, start=start), st.integers(1, 6), st.integers(-9, 9))


@st.composite
def _multi_discretes(draw: Callable[..., Any]) -> MultiDiscrete[Any]:
    shape = draw(st.sampled_from([(1,), (3,), (2, 2)]))
    size = int(np.prod(shape))
    nvec, start = draw(_arrays(np.int64, size, 1, 5)), draw(_arrays(np.int64, size, -9, 9))
    return MultiDiscrete(nvec.reshape(shape), start=start.reshape(shape))


_MULTI_BINARY = st.sampled_from([(1,), (3,), (2, 2)]).map(MultiBinary)
_ACTION_LEAVES = _float_boxes() | _integer_boxes() | _DISCRETE | _multi_discretes()
_KEYS = st.sampled_from(["b", "a", "10", "9", "key", "Z"])


def _nested(leaves: st.SearchStrategy[Any], depth: int) -> st.SearchStrategy[gym.Space[Any]]:
    if depth == 0:
        return leaves
    child = _nested(leaves, depth - 1)
    pairs = st.lists(st.tuples(_KEYS, child), min_size=1, max_size=3, unique_by=lambda pair: pair[0])
    return leaves | pairs.map(Dict) | st.lists(child, min_size=1, max_size=3).map(Tuple)


def action_spaces(max_depth: int = 3) -> st.SearchStrategy[gym.Space[Any]]:
    """Random supported action spaces; Dicts in any key order."""
    return _nested(_ACTION_LEAVES, max_depth)


def observation_spaces(max_depth: int = 3) -> st.SearchStrategy[gym.Space[Any]]:
    """Random supported observation spaces; Dicts in any key order."""
    return _nested(_ACTION_LEAVES | _MULTI_BINARY, max_depth)
