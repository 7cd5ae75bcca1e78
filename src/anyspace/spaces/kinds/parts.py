"""The parts of a space, whatever it is made of: changed one by one, or found by their places."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gymnasium.spaces import Dict, Graph, OneOf, Sequence, Tuple

from anyspace import tree
from anyspace.nesting import Space
from anyspace.spaces.kinds.bounded import BoundedGraph, BoundedSequence
from anyspace.spaces.kinds.ignored import PartialDict
from anyspace.spaces.kinds.repeated import Repeated

Change = Callable[[Space, tree.Path], Space]


def with_parts(space: Space, change: Change, path: tree.Path = ()) -> Space:
    """Return ``space`` with every direct part replaced by what ``change`` makes of it and of its path.

    The parts are those of Dict and Tuple, the alternatives of a OneOf, and the elements of lists and graphs. Where
    nothing changes, the very space is returned: users' own subclasses and seeds survive.
    """
    match space:
        case PartialDict():
            parts = _changed_dict(space, change, path)
            return space if parts is None else PartialDict(parts, space.ignored)
        case Dict():
            parts = _changed_dict(space, change, path)
            return space if parts is None else Dict(parts)
        case Tuple():
            positions = [change(child, (*path, i)) for i, child in enumerate(space.spaces)]
            return space if _same(positions, space.spaces) else Tuple(positions)
        case OneOf():
            places = [(*path, tree.Part(f"option_{i}")) for i in range(len(space.spaces))]
            options = [change(child, at) for child, at in zip(space.spaces, places, strict=True)]
            return space if _same(options, space.spaces) else OneOf(options)
        case Repeated():
            element = change(space.child_space, (*path, ...))
            return space if element is space.child_space else Repeated(element, space.max_len)
        case Sequence():
            element = change(space.feature_space, (*path, ...))
            return space if element is space.feature_space else _sequence_of(element, space)
        case Graph():
            return _with_graph_parts(space, change, path)
        case _:
            return space


def iter_parts(space: Space, path: tree.Path = ()) -> Iterator[tuple[tree.Path, Space]]:
    """Yield the path and the space of ``space`` and of every part in it, a space before its parts."""
    found: list[tuple[tree.Path, Space]] = []

    def note(part: Space, at: tree.Path) -> Space:
        found.append((at, part))
        return with_parts(part, note, at)

    note(space, path)
    yield from found


def _changed_dict(space: Dict, change: Change, path: tree.Path) -> list[tuple[Any, Space]] | None:
    """Return the parts of a Dict in its own order, or None where nothing changed."""
    parts = {key: change(child, (*path, key)) for key, child in space.spaces.items()}
    return None if _same(parts.values(), space.spaces.values()) else list(parts.items())


def _sequence_of(element: Space, space: Sequence) -> Sequence:
    if isinstance(space, BoundedSequence):
        return BoundedSequence(element, space.max_len, space.stack)
    return Sequence(element, stack=space.stack)


def _with_graph_parts(space: Graph, change: Change, path: tree.Path) -> Graph:
    node = change(space.node_space, (*path, tree.Part("nodes"), ...))
    edge = None if space.edge_space is None else change(space.edge_space, (*path, tree.Part("edges"), ...))
    if node is space.node_space and edge is space.edge_space:
        return space
    if isinstance(space, BoundedGraph):
        return BoundedGraph(node, edge, max_nodes=space.max_nodes, max_edges=space.max_edges)
    return Graph(node, edge)


def _same(spaces: Iterable[Space], others: Iterable[Space]) -> bool:
    return all(space is other for space, other in zip(spaces, others, strict=True))
