"""What the pairs of a run were made of."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, get_args

import gymnasium as gym
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiDiscrete, OneOf, Sequence, Tuple

from anyspace.spaces import BoundedGraph, Image, Repeated, StackedFrames, bounded, spec
from anyspace.spaces.kinds.images import image_layout
from tests.fuzz.environment import Masks, Pair, Source
from tests.fuzz.generator import MAX_DEPTH, MAX_ELEMENTS, MAX_LEAVES
from tests.fuzz.sampling import leaf_spaces


def parts(space: gym.Space[Any]) -> list[gym.Space[Any]]:
    """Return the spaces that a space holds."""
    match space:
        case Dict():
            return list(space.spaces.values())
        case Tuple() | OneOf():
            return list(space.spaces)
        case Repeated():
            return [space.child_space]
        case Sequence():
            return [space.feature_space]
        case Graph():
            return [space.node_space] if space.edge_space is None else [space.node_space, space.edge_space]
    return []


def depth(space: gym.Space[Any]) -> int:
    """Return how many levels of spaces that hold others a space has."""
    within = parts(space)
    return 1 + max(map(depth, within)) if within else 0


def kinds(space: gym.Space[Any]) -> Iterator[str]:
    """Yield the kinds of a space and of all within, such as ``Box``, ``Box float16`` and ``Box unbounded``."""
    name = type(space).__name__
    match space:
        case Box():
            yield from _box_kinds(space)
        case BoundedGraph() | Graph():
            yield f"{name} {'with' if space.edge_space is not None else 'without'} edges"
            if isinstance(space.node_space, Discrete):
                yield "graph of Discrete nodes"
        case Sequence() if space.stack:
            yield f"{name} stacked"
        case MultiDiscrete():
            yield f"{name} rank {len(space.shape)}"
        case _:
            yield name
    for part in parts(space):
        yield from kinds(part)


def _box_kinds(space: Box) -> Iterator[str]:
    if isinstance(space, Image | StackedFrames):
        yield type(space).__name__
        return
    if image_layout(space) is not None:
        yield "picture"
    yield f"Box {space.dtype}"
    yield f"Box rank {len(space.shape)}"
    if space.dtype.kind == "f":
        both, either = space.bounded_below & space.bounded_above, space.bounded_below | space.bounded_above
        yield from ["Box bounded"] * bool(both.any())
        yield from ["Box half bounded"] * bool((either & ~both).any())
        yield from ["Box unbounded"] * bool((~either).any())
    if space.low.size:
        yield from ["Box of one point"] * bool((space.low == space.high).any())


@dataclass
class Tally:
    """What many pairs were made of."""

    started: int = 0
    """Pairs that were begun to be drawn."""
    pairs: int = 0
    """Pairs that were drawn."""
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Pairs by (of what, which kind)."""
    leaves: int = 0
    """The most leaves of a space."""
    elements: int = 0
    """The most elements of a space."""

    def add(self, pair: Pair) -> None:
        """Count a pair."""
        self.pairs += 1
        for leaves in (spec(bounded(pair.observation_space, pair.max_len)), leaf_spaces(pair.action_space)):
            self.leaves = max(self.leaves, len(leaves))
            self.elements = max(self.elements, sum(math.prod(leaf.shape) for leaf in leaves))
        for what, space in (("observation", pair.observation_space), ("action", pair.action_space)):
            for kind in {*kinds(space), f"depth {depth(space)}"}:
                self.counts[what, kind] += 1
        self.counts["masks", pair.masks] += 1
        self.counts["source", pair.source] += 1
        for name, value in {**pair.config, "resumes": pair.resumes}.items():
            self.counts["setting", f"{name}={value}"] += 1

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.started + other.started,
            self.pairs + other.pairs,
            self.counts + other.counts,
            max(self.leaves, other.leaves),
            max(self.elements, other.elements),
        )

    def __str__(self) -> str:
        rows = [
            f"{what:12} {kind:40} {count:6} {count / self.pairs:6.1%}"
            for (what, kind), count in sorted(self.counts.items())
        ]
        sizes = f"at most {self.leaves} leaves and {self.elements} elements a space"
        return "\n".join([*rows, f"{self.pairs} pairs, {self.started - self.pairs} draws rejected, {sizes}"])

    def require_small(self) -> None:
        """Assert that spaces were small and hardly a draw was rejected."""
        assert self.started - self.pairs < 0.01 * self.started
        assert self.leaves <= MAX_LEAVES
        assert self.elements <= MAX_ELEMENTS

    def require_every_kind(self, share: float) -> None:
        """Assert that every kind was in that share of the pairs at least."""
        rare = [(*key, self.counts[key]) for key in KINDS if self.counts[key] < share * self.pairs]
        assert not rare, rare


_BOXES = [
    *(
        f"Box {dtype}"
        for dtype in ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")
    ),
    *(f"Box rank {rank}" for rank in range(5)),
    *(f"Box {bounds}" for bounds in ("bounded", "half bounded", "unbounded", "of one point")),
]
_BOTH = [
    *_BOXES,
    "Discrete",
    *(f"MultiDiscrete rank {rank}" for rank in range(1, 5)),
    "MultiBinary",
    "Simplex",
    "Dict",
    "Tuple",
    *(f"depth {depth}" for depth in range(MAX_DEPTH + 1)),
]
_OBSERVATIONS = [
    *_BOTH,
    *("picture", "Image", "StackedFrames", "Text", "Words", "Repeated", "OneOf"),
    *("BoundedSequence", "BoundedSequence stacked", "Sequence", "Sequence stacked"),
    *("BoundedGraph with edges", "BoundedGraph without edges", "Graph with edges", "graph of Discrete nodes"),
]
KINDS = [
    *(("observation", kind) for kind in _OBSERVATIONS),
    *(("action", kind) for kind in _BOTH),
    *(("masks", masks) for masks in get_args(Masks)),
    *(("source", source) for source in get_args(Source)),
]
"""All that has to come up."""
