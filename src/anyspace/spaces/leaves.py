"""What an observation space is made of: the leaves that are stored, and how they nest.

This is the only place that asks which kind of space an observation has. To support another kind, register one
function with `structure`.

Everything that varies in length has a fixed shape here: a list of at most L elements is a count and, for each
leaf of its element, an array with an axis of L; what lies beyond the count is zero. One of several
alternatives is a choice and the leaves of all of them, zero where not chosen.

Letters: N stands for any number of leading batch dimensions, such as [T, B].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, singledispatch
from typing import Any, Literal, TypeAlias

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiBinary, MultiDiscrete, OneOf, Sequence, Text, Tuple

from anyspace import tree
from anyspace.errors import UnsupportedSpaceError
from anyspace.maths.arrays import NumpyArray
from anyspace.spaces.kinds.atari import AtariPixels, AtariRam
from anyspace.spaces.kinds.bounded import BoundedGraph, BoundedSequence
from anyspace.spaces.kinds.frames import StackedFrames
from anyspace.spaces.kinds.images import ImageLayout, image_layout
from anyspace.spaces.kinds.registered import RegisteredSpace
from anyspace.spaces.kinds.repeated import Repeated
from anyspace.spaces.kinds.simplex import Simplex
from anyspace.spaces.kinds.words import Words
from anyspace.spaces.refusal import require_choices, unsupported_observation

# Environments compute in float64 and clip there; the cast to float32 may then round over a bound, and so may
# their own float32 arithmetic. Anything further out is a fault of the environment.
BOUND_TOLERANCE = 1e-4


@dataclass(frozen=True)
class LeafSpec:
    """One leaf of an observation space and how it is stored."""

    path: tree.Path
    """Where the leaf sits in the space."""
    space: gym.Space[Any]
    """The leaf's own space: that of one element, where it is repeated."""
    shape: tuple[int, ...]
    """Trailing shape of the encoded array, after the batch dimensions; ``repeats`` come first."""
    dtype: np.dtype[Any]
    """Element type of the encoded array."""
    kind: Literal["real", "index", "binary", "count"]
    """Numbers taken as they are, indices to be one-hot encoded, zeros and ones, or how many elements there are."""
    nvec: tuple[int, ...] = ()
    """Index leaves: how many values each component of an element has, in C order."""
    start: tuple[int, ...] = ()
    """Index leaves: the environment's value for index 0 of each component, in C order."""
    repeats: tuple[int, ...] = ()
    """Longest length of each list that the leaf is in, outermost first."""
    shift: float = 0.0
    """Real leaves: the stored value that becomes the feature 0."""
    scale: float = 1.0
    """Real leaves: a feature is (stored value - ``shift``) * ``scale``."""
    image: ImageLayout | None = None
    """Pictures: which axis is which."""
    stack: int = 1
    """How many frames lie side by side along the last axis; all but the last one were there a step before."""
    tolerance: float | None = None
    """Shares of a whole: how far their sum may be from 1; None for everything else."""
    warp: Callable[[NumpyArray], NumpyArray] | None = field(default=None, compare=False, repr=False)
    """Makes the stored pictures [N, *shape] of raw ones [N, *the space's shape]; None: they are stored as they are."""

    @property
    def element_shape(self) -> tuple[int, ...]:
        """Trailing shape of one element: ``shape`` without ``repeats``."""
        return self.shape[len(self.repeats) :]

    @property
    def raw_shape(self) -> tuple[int, ...]:
        """Shape of one element as the environment gives it."""
        return self.element_shape if self.warp is None else self.space.shape or ()

    @property
    def width(self) -> int:
        """Slots that the leaf takes in the flat vector, all elements together."""
        return math.prod(self.feature_shape)

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Trailing shape after expansion: ``(*repeats, sum(nvec))`` for index leaves, else ``shape``."""
        return (*self.repeats, sum(self.nvec)) if self.kind == "index" else self.shape

    def place(self, root: str = "obs", numbers: Iterable[int] = ()) -> str:
        """Spell the leaf as users index it: ``obs["cart"][0]``; ``numbers``: of which elements, outermost first."""
        return tree.place(root, self.path, numbers)

    @property
    def first(self) -> NumpyArray:
        """Index leaves: ``start`` as an array of ``element_shape``, int64."""
        return np.asarray(self.start, np.int64).reshape(self.element_shape)

    @cached_property
    def limits(self) -> tuple[NumpyArray, NumpyArray] | None:
        """Lowest and highest encoded value of an element, of ``element_shape``; None: any finite value is allowed."""
        if self.kind == "index":
            highest = np.asarray(self.nvec, self.dtype).reshape(self.element_shape) - 1
            return np.zeros_like(highest), highest
        if self.kind == "binary":
            return np.zeros(self.element_shape, self.dtype), np.ones(self.element_shape, self.dtype)
        if self.tolerance is not None:
            most = np.full(self.element_shape, 1 + self.tolerance, self.dtype)
            return 1 - most, most
        # The bytes of a screen become the bytes of a picture.
        return None if self.warp is not None else _box_limits(self.space, self.dtype)


@dataclass(frozen=True)
class Repeat:
    """A list of elements: spaces of varying length."""

    count: LeafSpec
    """How many elements there are; its space is ``Box(least, max_len, (), int32)``."""
    element: Node
    """The leaves of one element, repeated."""
    max_len: int
    """Longest length."""
    min_len: int
    """Shortest length."""
    space: _Lists
    """What was repeated."""


@dataclass(frozen=True)
class GraphNode:
    """A graph: its nodes and, where the space has edges, its edges: each a pair of edge features and ends."""

    nodes: Repeat
    edges: Repeat | None
    """Elements are tuples of the edge's own node and an index leaf [2]: the positions of its two ends."""
    space: BoundedGraph


@dataclass(frozen=True)
class Choice:
    """One of several alternatives."""

    which: LeafSpec
    """The index of the alternative that is there."""
    options: tuple[Node, ...]
    """The leaves of every alternative."""
    space: OneOf[Any]


_Lists: TypeAlias = Repeated | BoundedSequence | BoundedGraph | Text | Words

Node: TypeAlias = "LeafSpec | dict[Any, Node] | tuple[Node, ...] | Repeat | GraphNode | Choice"
"""A space as its leaves nest: Dict as dict, Tuple as tuple."""


def iter_specs(node: Node) -> Iterator[LeafSpec]:
    """Yield the leaves depth-first: a count before its elements, a choice before its alternatives."""
    if isinstance(node, LeafSpec):
        yield node
    else:
        for child in children(node):
            yield from iter_specs(child)


def children(node: Node) -> list[Node]:
    """Return the parts of a node, in the order of their leaves."""
    match node:
        case dict():
            return list(node.values())
        case tuple():
            return list(node)
        case Repeat():
            return [node.count, node.element]
        case GraphNode():
            return [node.nodes] if node.edges is None else [node.nodes, node.edges]
        case Choice():
            return [node.which, *node.options]
        case LeafSpec():
            return []


def describe_images(specs: Iterable[LeafSpec]) -> list[str]:
    """Return a sentence for each leaf whose channels were taken to come first because of its shape alone."""
    return [
        f"{spec.place()}: {spec.space} is read as a picture of {spec.image.height} x {spec.image.width} pixels with its"
        f" {spec.image.channels} channels first. If they come last, declare"
        f" anyspace.spaces.Image({spec.space.shape}, channels_first=False) in the environment."
        for spec in specs
        if spec.image is not None and spec.image.channels_first and not spec.image.declared
    ]


@singledispatch
def structure(space: gym.Space[Any], path: tree.Path = (), repeats: tuple[int, ...] = ()) -> Node:
    """Return the leaves of an observation space, nested as the space is.

    Args:
        space: the space.
        path: where it sits in the whole space.
        repeats: the longest lengths of the lists that it is in.

    Raises:
        UnsupportedSpaceError: naming the place of the leaf, its space and what is supported.
    """
    raise unsupported_observation(space, path)


@structure.register(Box)
def _(space: Box, path: tree.Path = (), repeats: tuple[int, ...] = ()) -> LeafSpec:
    dtype = np.dtype(np.float32) if space.dtype.kind == "f" and space.dtype.itemsize > 4 else space.dtype
    layout = image_layout(space)
    scale = 1.0 if layout is None else 1 / 255
    return LeafSpec(path, space, (*repeats, *space.shape), dtype, "real", repeats=repeats, scale=scale, image=layout)


@structure.register(StackedFrames)
def _(space: StackedFrames, path: tree.Path = (), repeats: tuple[int, ...] = ()) -> LeafSpec:
    leaf = structure.dispatch(Box)(space, path, repeats)
    assert isinstance(leaf, LeafSpec)
    # The promise that only the newest frame is new is about steps of an episode, not about elements of a list.
    return leaf if repeats else replace(leaf, stack=space.stack)


@structure.register(AtariRam)
def _(space: AtariRam, path: tree.Path = (), repeats: tuple[int, ...] = ()) -> LeafSpec:
    shape, (shift, scale) = (*repeats, *space.stored_shape), (space.shift, space.scale)
    return LeafSpec(path, space, shape, space.dtype, "real", repeats=repeats, shift=shift, scale=scale)


@structure.register(AtariPixels)
def _(space: AtariPixels, path: tree.Path = (), repeats: tuple[int, ...] = ()) -> LeafSpec:
    leaf = structure.dispatch(AtariRam)(space, path, repeats)
    assert isinstance(leaf, LeafSpec)
    return replace(leaf, image=ImageLayout(*space.stored_shape), warp=space.warp)


@structure.register(Simplex)
def _(space: Simplex, path: tree.Path = (), repeats: tuple[int, ...] = ()) -> LeafSpec:
    shape, dtype = (*repeats, *space.shape), np.dtype(np.float32)
    return LeafSpec(path, space, shape, dtype, "real", repeats=repeats, tolerance=space.tolerance)


@structure.register(Discrete)
def _(space: Discrete[Any], path: tree.Path = (), repeats: tuple[int, ...] = ()) -> LeafSpec:
    require_choices(space, path, int(space.n))
    return LeafSpec(path, space, repeats, space.dtype, "index", (int(space.n),), (int(space.start),), repeats)


@structure.register(MultiDiscrete)
def _(space: MultiDiscrete[Any], path: tree.Path = (), repeats: tuple[int, ...] = ()) -> LeafSpec:
    nvec, start = tuple(space.nvec.ravel().tolist()), tuple(space.start.ravel().tolist())
    require_choices(space, path, sum(nvec) if nvec else 1)
    return LeafSpec(path, space, (*repeats, *space.shape), space.dtype, "index", nvec, start, repeats)


@structure.register(MultiBinary)
def _(space: MultiBinary, path: tree.Path = (), repeats: tuple[int, ...] = ()) -> LeafSpec:
    return LeafSpec(path, space, (*repeats, *space.shape), np.dtype(np.int8), "binary", repeats=repeats)


@structure.register(Dict)
def _(space: Dict, path: tree.Path = (), repeats: tuple[int, ...] = ()) -> dict[Any, Node]:
    return {key: structure(child, (*path, key), repeats) for key, child in space.spaces.items()}


@structure.register(Tuple)
def _(space: Tuple[Any], path: tree.Path = (), repeats: tuple[int, ...] = ()) -> tuple[Node, ...]:
    return tuple(structure(child, (*path, position), repeats) for position, child in enumerate(space.spaces))


@structure.register(OneOf)
def _(space: OneOf[Any], path: tree.Path = (), repeats: tuple[int, ...] = ()) -> Choice:
    which = _index((*path, tree.Part("choice")), (len(space.spaces),), repeats)
    options = [
        _stored_whole(structure(child, (*path, tree.Part(f"option_{position}")), repeats))
        for position, child in enumerate(space.spaces)
    ]
    return Choice(which, tuple(options), space)


@structure.register(Repeated)
def _(space: Repeated, path: tree.Path = (), repeats: tuple[int, ...] = ()) -> Repeat:
    element = structure(space.child_space, (*path, ...), (*repeats, space.max_len))
    return _list(path, element, space, space.max_len, repeats)


@structure.register(BoundedSequence)
def _(space: BoundedSequence, path: tree.Path = (), repeats: tuple[int, ...] = ()) -> Repeat:
    element = structure(space.feature_space, (*path, ...), (*repeats, space.max_len))
    return _list(path, element, space, space.max_len, repeats)


@structure.register(Text)
def _(space: Text, path: tree.Path = (), repeats: tuple[int, ...] = ()) -> Repeat:
    require_choices(space, path, len(space.character_list))
    characters = _index((*path, ...), (len(space.character_list),), (*repeats, space.max_length))
    return _list(path, characters, space, space.max_length, repeats, space.min_length)


@structure.register(Words)
def _(space: Words, path: tree.Path = (), repeats: tuple[int, ...] = ()) -> Repeat:
    words = _index((*path, ...), (1 + len(space.vocabulary),), (*repeats, space.max_words))
    return _list(path, words, space, space.max_words, repeats)


@structure.register(RegisteredSpace)
def _(space: RegisteredSpace, path: tree.Path = (), repeats: tuple[int, ...] = ()) -> Node:
    return structure(space.equivalent, path, repeats)


@structure.register(BoundedGraph)
def _(space: BoundedGraph, path: tree.Path = (), repeats: tuple[int, ...] = ()) -> GraphNode:
    place = (*path, tree.Part("nodes"))
    element = structure(space.node_space, (*place, ...), (*repeats, space.max_nodes))
    nodes = _list(place, element, space, space.max_nodes, repeats)
    if space.edge_space is None:
        return GraphNode(nodes, None, space)
    place, within = (*path, tree.Part("edges")), (*repeats, space.max_edges)
    ends = _index((*path, tree.Part("edge_links"), ...), (space.max_nodes, space.max_nodes), within)
    edge = (structure(space.edge_space, (*place, ...), within), ends)
    return GraphNode(nodes, _list(place, edge, space, space.max_edges, repeats), space)


@structure.register(Sequence)
def _(space: Sequence, path: tree.Path = (), repeats: tuple[int, ...] = ()) -> Node:
    raise _endless(space, path, [path])


@structure.register(Graph)
def _(space: Graph, path: tree.Path = (), repeats: tuple[int, ...] = ()) -> Node:
    parts = ["nodes"] if space.edge_space is None else ["nodes", "edges"]
    raise _endless(space, path, [(*path, tree.Part(part)) for part in parts])


def _endless(space: Sequence | Graph, path: tree.Path, lists: list[tree.Path]) -> UnsupportedSpaceError:
    example = {tree.place("obs", place): 20 for place in lists}
    return UnsupportedSpaceError(
        f"{tree.place('obs', path)}: {space} says no longest length, but what is stored and given to a model has a"
        " fixed shape. Set config key `max_len`, for all (max_len=20; on the command line --max-len 20) or for this one"
        f" (max_len={example}), or declare an anyspace.spaces.BoundedSequence, BoundedGraph or Repeated in the"
        " environment."
    )


def _stored_whole(node: Node) -> Node:
    """Return an alternative whose stacked frames are stored whole: it need not have been there the step before."""
    match node:
        case LeafSpec():
            return replace(node, stack=1)
        case dict():
            return {key: _stored_whole(child) for key, child in node.items()}
        case tuple():
            return tuple(map(_stored_whole, node))
        case _:
            return node


def _list(
    path: tree.Path, element: Node, space: _Lists, max_len: int, repeats: tuple[int, ...], min_len: int = 0
) -> Repeat:
    lengths, place = Box(min_len, max_len, (), np.int32), (*path, tree.Part("length"))
    count = LeafSpec(place, lengths, repeats, np.dtype(np.int32), "count", repeats=repeats)
    return Repeat(count, element, max_len, min_len, space)


def _index(path: tree.Path, nvec: tuple[int, ...], repeats: tuple[int, ...]) -> LeafSpec:
    dtype = np.dtype(np.uint8 if max(nvec, default=0) <= 256 else np.int32)
    start, shape = (0,) * len(nvec), () if len(nvec) == 1 else (len(nvec),)
    space = Discrete(nvec[0]) if len(nvec) == 1 else MultiDiscrete(list(nvec))
    return LeafSpec(path, space, (*repeats, *shape), dtype, "index", nvec, start, repeats)


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
