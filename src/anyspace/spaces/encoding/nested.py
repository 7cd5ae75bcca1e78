"""Encoding along a space: every kind of node has its encoder; dicts and tuples go part by part.

Letters: N leading batch dimensions, M values handed over at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeAlias

import gymnasium as gym
from gymnasium.spaces import Text

from anyspace import tree
from anyspace.maths.arrays import NumpyArray
from anyspace.spaces.encoding.leaf import LeafSpecEncoder, NodeEncoder, Slots
from anyspace.spaces.encoding.misfit import Misfit
from anyspace.spaces.encoding.ragged import GraphNodeEncoder, ListEncoder, OneOfEncoder
from anyspace.spaces.encoding.texts import TextEncoder, TranslatingEncoder, WordsEncoder
from anyspace.spaces.kinds.ignored import IgnoredPart, PartialDict
from anyspace.spaces.kinds.parts import iter_parts
from anyspace.spaces.kinds.registered import RegisteredSpace
from anyspace.spaces.kinds.words import Words
from anyspace.spaces.leaves import Choice, GraphNode, LeafSpec, Node, Repeat

Special: TypeAlias = Mapping[tree.Path, gym.Space[Any]]
"""Spaces of which the leaves do not say all that reading a value takes, by their paths."""


class Reading(NamedTuple):
    """How values are read."""

    special: Special
    """The parts that are read in a way of their own."""
    clip: bool
    """Clip the numbers of Boxes to their bounds."""


def special_parts(space: gym.Space[Any]) -> Special:
    """Return the parts of a space that are read in a way of their own: translated ones, and those left out."""
    kinds = (RegisteredSpace, PartialDict, IgnoredPart)
    return {path: part for path, part in iter_parts(space) if isinstance(part, kinds)}


def node_encoder(node: Node, reading: Reading, path: tree.Path = ()) -> NodeEncoder:
    """Return the encoder of a node that sits at ``path``."""
    match reading.special.get(path):
        case RegisteredSpace() as space:
            return TranslatingEncoder(space, _built_in_encoder(node, reading, path), path)
        case IgnoredPart():
            return _IgnoringEncoder()
        case _:
            return _built_in_encoder(node, reading, path)


def _built_in_encoder(node: Node, reading: Reading, path: tree.Path) -> NodeEncoder:
    match node:
        case LeafSpec():
            return LeafSpecEncoder(node, clip=reading.clip)
        case dict():
            parts = {key: node_encoder(child, reading, (*path, key)) for key, child in node.items()}
            space = reading.special.get(path)
            return _DictEncoder(parts, path, space.ignored if isinstance(space, PartialDict) else ())
        case tuple():
            positions = {i: node_encoder(child, reading, (*path, i)) for i, child in enumerate(node)}
            ignores = any(isinstance(child, _IgnoringEncoder) for child in positions.values())
            return (_PartialTupleEncoder if ignores else _TupleEncoder)(positions, path)
        case Repeat(space=Text() as text):
            return TextEncoder(node, text)
        case Repeat(space=Words() as words):
            return WordsEncoder(node, words)
        case Repeat():
            return ListEncoder(node, node_encoder(node.element, reading, (*path, ...)))
        case GraphNode():
            return _graph_encoder(node, reading, path)
        case Choice():
            places = [(*path, tree.Part(f"option_{i}")) for i in range(len(node.options))]
            options = [node_encoder(child, reading, at) for child, at in zip(node.options, places, strict=True)]
            return OneOfEncoder(node, options)


def _graph_encoder(node: GraphNode, reading: Reading, path: tree.Path) -> GraphNodeEncoder:
    nodes = node_encoder(node.nodes.element, reading, (*path, tree.Part("nodes"), ...))
    if node.edges is None:
        return GraphNodeEncoder(node, nodes, None)
    assert isinstance(node.edges.element, tuple)
    features, ends = node.edges.element
    assert isinstance(ends, LeafSpec)
    within = (*path, tree.Part("edges"), ...)
    edges = _TupleEncoder({0: node_encoder(features, reading, within), 1: LeafSpecEncoder(ends)}, within)
    return GraphNodeEncoder(node, nodes, edges)


class _IgnoringEncoder:
    """A part of a Tuple that is left out: no leaves, whatever the value."""

    def __call__(self, values: Any, stacked: bool, at: Slots | None, out: list[NumpyArray]) -> None:
        """Append nothing."""

    def join(self, rows: Sequence[Any]) -> tuple[Any, list[int]]:
        raise AssertionError("parts are left out of Dicts and Tuples alone, never of the elements of a list")


class _PartsEncoder:
    """Dict or Tuple: the parts by their keys or positions."""

    _types: tuple[type, ...]

    def __init__(self, children: dict[Any, NodeEncoder], path: tree.Path) -> None:
        self._path, self._children = path, children

    def __call__(self, values: Any, stacked: bool, at: Slots | None, out: list[NumpyArray]) -> None:
        if not stacked:
            values = self._columns(values)
        elif not self._fits(values):
            raise self._misfit(values)
        for key, child in self._children.items():
            child(values[key], stacked, at, out)

    def join(self, rows: Sequence[Any]) -> tuple[Any, list[int]]:
        columns, parts, lengths = self._columns(rows), {}, []
        for key, child in self._children.items():
            parts[key], length = child.join(columns[key])
            lengths.append(length)
        for index, found in enumerate(zip(*lengths, strict=True)):
            if len(set(found)) > 1:
                raise Misfit(self._path, f"expected stacked parts of one length, got lengths {found}", index)
        return self._built(parts), lengths[0]

    def _columns(self, values: Sequence[Any]) -> dict[Any, list[Any]]:
        """Return the parts of M raw values: a list [M] each."""
        fitting = all(issubclass(kind, self._types) for kind in set(map(type, values)))
        if fitting and set(map(len, values)) <= {len(self._children)}:
            with suppress(KeyError):
                return {key: [value[key] for value in values] for key in self._children}
        for index, value in enumerate(values):
            if not self._fits(value):
                raise self._misfit(value, index)
        return {key: [value[key] for value in values] for key in self._children}

    def _fits(self, value: Any) -> bool:
        raise NotImplementedError

    def _built(self, parts: dict[Any, Any]) -> Any:
        raise NotImplementedError

    def _misfit(self, value: Any, index: int | None = None) -> Misfit:
        raise NotImplementedError


class _DictEncoder(_PartsEncoder):
    """Dict: values are looked up by key, in the space's own order; ignored keys may be there."""

    _types = (dict,)

    def __init__(self, children: dict[Any, NodeEncoder], path: tree.Path, ignored: Collection[Any] = ()) -> None:
        super().__init__(children, path)
        self._ignored = ignored

    def _fits(self, value: Any) -> bool:
        if not isinstance(value, dict):
            return False
        keys = value.keys()
        return keys == self._children.keys() or (bool(self._ignored) and keys - self._ignored == self._children.keys())

    def _built(self, parts: dict[Any, Any]) -> Any:
        return parts

    def _misfit(self, value: Any, index: int | None = None) -> Misfit:
        came = f"keys {list(value)}" if isinstance(value, dict) else type(value).__name__
        return Misfit(self._path, f"expected a dict with keys {list(self._children)}, got {came}", index)


class _TupleEncoder(_PartsEncoder):
    """Tuple: lists pass for tuples."""

    _types = (tuple, list)

    def _fits(self, value: Any) -> bool:
        return isinstance(value, self._types) and len(value) == len(self._children)

    def _built(self, parts: dict[Any, Any]) -> Any:
        return tuple(parts.values())

    def _misfit(self, value: Any, index: int | None = None) -> Misfit:
        came = len(value) if isinstance(value, self._types) else type(value).__name__
        return Misfit(self._path, f"expected a tuple of length {len(self._children)}, got {came}", index)


class _PartialTupleEncoder(_TupleEncoder):
    """Tuple of which parts are left out: values may be without them."""

    def __init__(self, children: dict[Any, NodeEncoder], path: tree.Path) -> None:
        super().__init__(children, path)
        self._kept = [key for key, child in children.items() if not isinstance(child, _IgnoringEncoder)]

    def __call__(self, values: Any, stacked: bool, at: Slots | None, out: list[NumpyArray]) -> None:
        whole = self._whole(values) if stacked else list(map(self._whole, values))
        super().__call__(whole, stacked, at, out)

    def _whole(self, value: Any) -> Any:
        """Return a value with something in the positions that are left out."""
        if not isinstance(value, self._types) or len(value) != len(self._kept):
            return value
        parts = dict(zip(self._kept, value, strict=True))
        return tuple(parts.get(key) for key in self._children)
