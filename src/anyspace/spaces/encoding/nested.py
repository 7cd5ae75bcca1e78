"""Encoding along a space: every kind of node has its encoder; dicts and tuples go part by part.

Letters: N leading batch dimensions, M values handed over at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from gymnasium.spaces import Text

from anyspace import tree
from anyspace.spaces.encoding.leaf import LeafEncoder, NodeEncoder, Slots
from anyspace.spaces.encoding.misfit import Misfit
from anyspace.spaces.encoding.ragged import GraphEncoder, ListEncoder, OneOfEncoder, TextEncoder
from anyspace.spaces.leaves import Choice, LeafSpec, Network, Node, NumpyArray, Repeat


def node_encoder(node: Node, path: tree.Path = (), *, clip: bool = False) -> NodeEncoder:
    """Return the encoder of a node that sits at ``path``; ``clip`` clips the numbers of Boxes to their bounds."""
    match node:
        case LeafSpec():
            return LeafEncoder(node, clip=clip)
        case dict():
            parts = {key: node_encoder(child, (*path, key), clip=clip) for key, child in node.items()}
            return _DictEncoder(parts, path)
        case tuple():
            return _TupleEncoder({i: node_encoder(child, (*path, i), clip=clip) for i, child in enumerate(node)}, path)
        case Repeat(space=Text() as text):
            return TextEncoder(node, text)
        case Repeat():
            return ListEncoder(node, node_encoder(node.element, (*path, ...), clip=clip))
        case Network():
            return _graph_encoder(node, path, clip)
        case Choice():
            options = [
                node_encoder(option, (*path, tree.Part(f"option_{i}")), clip=clip)
                for i, option in enumerate(node.options)
            ]
            return OneOfEncoder(node, options)


def _graph_encoder(node: Network, path: tree.Path, clip: bool) -> GraphEncoder:
    nodes = node_encoder(node.nodes.element, (*path, tree.Part("nodes"), ...), clip=clip)
    if node.edges is None:
        return GraphEncoder(node, nodes, None)
    assert isinstance(node.edges.element, tuple)
    features, ends = node.edges.element
    within = (*path, tree.Part("edges"), ...)
    edge = {0: node_encoder(features, within, clip=clip), 1: node_encoder(ends)}
    return GraphEncoder(node, nodes, _TupleEncoder(edge, within))


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
        index = next(index for index, value in enumerate(values) if not self._fits(value))
        raise self._misfit(values[index], index)

    def _fits(self, value: Any) -> bool:
        raise NotImplementedError

    def _built(self, parts: dict[Any, Any]) -> Any:
        raise NotImplementedError

    def _misfit(self, value: Any, index: int | None = None) -> Misfit:
        raise NotImplementedError


class _DictEncoder(_PartsEncoder):
    """Dict: values are looked up by key, in the space's own order."""

    _types = (dict,)

    def _fits(self, value: Any) -> bool:
        return isinstance(value, dict) and value.keys() == self._children.keys()

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
