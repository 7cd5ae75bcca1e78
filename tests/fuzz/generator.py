"""Random pairs of spaces, small enough by construction: nothing is drawn and thrown away.

A space of depth d has d levels of spaces that hold others. What may still be added is kept in a `Room`; along its
first parts, a space gets as deep as it was to be, and everything beside them takes what is left.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
from gymnasium.spaces import Box, Dict, Graph, MultiBinary, OneOf, Sequence, Text, Tuple
from hypothesis import strategies as st

from anyspace.spaces import BoundedGraph, BoundedSequence, Repeated, Simplex, Words, bounded
from tests.fuzz.environment import MASK_KEY, Masks, Pair
from tests.fuzz.leaf_spaces import ACTION_LEAVES, OBSERVATION_LEAVES, Draw, LeafTable, discrete
from tests.fuzz.sampling import leaf_spaces, mask_space, option_counts
from tests.support.catalogue import GRAPHS_OF_PARTS

MAX_DEPTH, MAX_LEAVES, MAX_ELEMENTS = 4, 64, 4096

_NAMES = ["b", "a", "10", "9", "key", "Z", "", "a/b", 'q"', "len.gth"]
_KEYS = [st.sampled_from(_NAMES), st.integers(-2, 12), st.sampled_from(_NAMES) | st.integers(0, 10)]


@dataclass
class Room:
    """What may still be added to a space."""

    draw: Draw
    leaves: int
    elements: int
    max_len: int
    """Longest length of Sequences and Graphs that say none."""
    times: int = 1
    """How often each element counts: the product of the lengths of the lists around."""
    gaps: bool = True
    """Whether Dicts and Tuples may be empty here."""

    def take(self, elements: int, leaves: int = 0) -> None:
        self.elements -= self.times * elements
        self.leaves -= leaves

    @property
    def share(self) -> int:
        """Elements that one more leaf may have."""
        return self.elements // self.times // 2

    def deepest(self, depth: int) -> int:
        """The depth, at most ``depth``, that surely fits; -1: nothing does."""
        while depth >= 0 and (self.share < 4 * 25**depth or self.leaves < 4 + 4 * depth):
            depth -= 1
        return depth


Parts = Callable[[Room, int], gym.Space[Any]]


def _leaf(room: Room, table: LeafTable) -> gym.Space[Any]:
    space = table.draw(room.draw, max(room.share, 2))
    room.take(table.size(space), 2 if isinstance(space, Text | Words) else 1)
    return space


def _parts(room: Room, depth: int, child: Parts) -> list[gym.Space[Any]]:
    """Draw one to five parts, one of them of ``depth``, in any order; sometimes one that is empty."""
    parts = [child(room, depth)]
    for _ in range(room.draw(_MORE_PARTS)):
        at_most = room.deepest(depth)
        if at_most >= 0:
            parts.append(child(room, room.draw(st.integers(0, at_most))))
    if room.gaps and room.draw(st.integers(0, 15)) == 15:
        parts.append(room.draw(st.sampled_from([Dict([]), Tuple(())])))
    first = room.draw(st.integers(0, len(parts) - 1))
    return [*parts[first:], *parts[:first]]


def _dict(room: Room, depth: int, child: Parts) -> Dict:
    parts = _parts(room, depth, child)
    keys = room.draw(st.sampled_from(_KEYS))
    named = room.draw(st.lists(keys, min_size=len(parts), max_size=len(parts), unique=True))
    given = dict(zip(named, parts, strict=True))
    form = room.draw(st.sampled_from(["pairs", "mapping", "keywords"]))
    if form == "keywords" and all(str(key).isidentifier() for key in named):
        return Dict(**given)
    return Dict(given) if form == "mapping" else Dict(list(given.items()))


def _tuple(room: Room, depth: int, child: Parts) -> Tuple:
    return Tuple(_parts(room, depth, child))


def _one_of(room: Room, depth: int, child: Parts) -> OneOf:
    room.take(3, 1)
    inner = dataclasses.replace(room, gaps=True)
    options = _parts(inner, depth, child)
    room.leaves, room.elements = inner.leaves, inner.elements
    return OneOf(options)


def _within(room: Room, most: int, gaps: bool, draw: Callable[[Room], Any]) -> Any:
    """Draw what is in a list of at most ``most`` elements."""
    inner = dataclasses.replace(room, times=room.times * most, gaps=gaps)
    drawn = draw(inner)
    room.leaves, room.elements = inner.leaves, inner.elements
    return drawn


def _list(room: Room, depth: int, child: Parts, kind: str, stack: bool = False) -> gym.Space[Any]:
    most = room.max_len if kind == "Sequence" else room.draw(st.integers(1, 3))
    room.take(1, 1)
    element = _within(room, most, room.gaps and not stack, lambda inner: child(inner, depth))
    if kind == "Repeated":
        return Repeated(element, most)
    return Sequence(element, stack=stack) if kind == "Sequence" else BoundedSequence(element, most, stack=stack)


def _number(room: Room) -> gym.Space[Any]:
    space = discrete(room.draw, max(room.share, 2))
    room.take(int(space.n), 1)
    return space


def _graph(room: Room, depth: int, child: Parts, edges: bool, bounded: bool = True) -> gym.Space[Any]:
    most = [room.draw(st.integers(1, 3)) if bounded else room.max_len for _ in range(2)]
    room.take(2 + most[1] * 2 * most[0] if edges else 1, 3 if edges else 1)
    of_numbers = depth == 0 and room.draw(st.booleans())
    node = _within(room, most[0], False, lambda inner: _number(inner) if of_numbers else child(inner, depth))
    edge = None
    if edges:
        edge = _within(room, most[1], False, lambda inner: child(inner, max(0, inner.deepest(depth))))
    if not bounded:
        return Graph(node, edge)
    return BoundedGraph(node, edge, max_nodes=most[0], max_edges=most[1])


_ACTION_NESTS: dict[str, Any] = {"Dict": _dict, "Tuple": _tuple}
_OBSERVATION_NESTS: dict[str, Any] = {
    **_ACTION_NESTS,
    "OneOf": _one_of,
    "Repeated": lambda *room: _list(*room, "Repeated"),
    "BoundedSequence": lambda *room: _list(*room, "BoundedSequence"),
    "BoundedSequence, stacked": lambda *room: _list(*room, "BoundedSequence", stack=True),
    "Sequence": lambda *room: _list(*room, "Sequence"),
    "Sequence, stacked": lambda *room: _list(*room, "Sequence", stack=True),
}
if GRAPHS_OF_PARTS:
    _OBSERVATION_NESTS |= {
        "BoundedGraph": lambda *room: _graph(*room, edges=True),
        "BoundedGraph without edges": lambda *room: _graph(*room, edges=False),
        "Graph": lambda *room: _graph(*room, edges=room[0].draw(st.booleans()), bounded=False),
    }


def _nested(room: Room, depth: int, nests: dict[str, Any], leaves: LeafTable) -> gym.Space[Any]:
    if depth == 0:
        return _leaf(room, leaves)
    nest = nests[room.draw(st.sampled_from(list(nests)))]
    space: gym.Space[Any] = nest(room, depth - 1, lambda inner, level: _nested(inner, level, nests, leaves))
    return space


def observation_space(
    draw: Draw, depth: int, max_len: int, leaves: int = MAX_LEAVES, elements: int = MAX_ELEMENTS
) -> gym.Space[Any]:
    """Draw an observation space of ``depth``."""
    return _nested(Room(draw, leaves, elements, max_len), depth, _OBSERVATION_NESTS, OBSERVATION_LEAVES)


def action_space(draw: Draw, depth: int) -> gym.Space[Any]:
    """Draw an action space of ``depth``; an observation space has room for its mask, and for as much besides."""
    return _nested(Room(draw, MAX_LEAVES // 2, MAX_ELEMENTS // 2, 1), depth, _ACTION_NESTS, ACTION_LEAVES)


@st.composite
def observation_spaces(draw: Draw) -> gym.Space[Any]:
    """Draw an observation space in which everything has a longest length."""
    max_len = draw(st.integers(1, 3))
    return bounded(observation_space(draw, draw(_DEPTHS), max_len), max_len)


@st.composite
def action_spaces(draw: Draw) -> gym.Space[Any]:
    """Draw an action space."""
    return action_space(draw, draw(_DEPTHS))


@st.composite
def pairs(draw: Draw) -> Pair:
    """Draw a pair of spaces, and how it is trained."""
    max_len = draw(st.integers(1, 3))
    depth, action_depth = draw(_DEPTHS), draw(_DEPTHS)
    action = action_space(draw, action_depth)
    width = sum(count for leaf in leaf_spaces(action) for count in option_counts(leaf))
    masks = draw(st.sampled_from(_MASKS if action_depth < MAX_DEPTH else _FLAT_MASKS)) if width else "none"
    if "observation" in masks:
        inside = observation_space(draw, max(0, depth - 1), max_len, MAX_LEAVES // 2, MAX_ELEMENTS // 2)
        space = _with_mask(draw, inside, mask_space(action) if "nested" in masks else Box(0, 1, (width,), "int8"))
    else:
        space = observation_space(draw, depth, max_len)
    source = "same step" if masks == "method" or has_gaps(action) else draw(st.sampled_from(_SOURCES))
    config = {
        "max_len": max_len,
        "observation_filter": draw(st.sampled_from(["NoFilter", "MeanStdFilter"])),
        "scale_images": draw(st.sampled_from(["auto", True, False])),
        "normalize_actions": draw(st.integers(0, 3)) > 0,
        "clip_actions": draw(st.integers(0, 3)) == 3,
        "_disable_preprocessor_api": draw(st.booleans()) and isinstance(space, Box | MultiBinary | Simplex),
    }
    return Pair(space, action, masks, source, config, resumes=draw(st.booleans()), seed=draw(st.integers(0, 2**16)))


_MORE_PARTS = st.sampled_from([0, 1, 2, 3, 4])
_DEPTHS = st.sampled_from([4, 3, 2, 1, 0])
_FLAT_MASKS: list[Masks] = ["method", "info", "nested info", "observation", *["none"] * 14]
_MASKS: list[Masks] = [*_FLAT_MASKS, "nested observation", "nested observation"]
_SOURCES = ["same step"] * 4 + ["next step", "disabled"]


def _with_mask(draw: Draw, space: gym.Space[Any], mask: gym.Space[Any]) -> Dict:
    parts = list(space.spaces.items()) if isinstance(space, Dict) else [("rest", space)]
    parts.insert(draw(st.integers(0, len(parts))), (MASK_KEY, mask))
    return Dict(parts)


def has_gaps(space: gym.Space[Any]) -> bool:
    """Whether a Dict or Tuple within is empty."""
    if isinstance(space, Dict | Tuple):
        children = list(space.spaces.values()) if isinstance(space, Dict) else list(space.spaces)
        return not children or any(map(has_gaps, children))
    return False
