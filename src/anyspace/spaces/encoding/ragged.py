"""Lists of varying length, graphs and alternatives: encoded all rows at once.

What varies in length is gathered first: the elements of all the lists that one place holds become one list or array,
each leaf of them is encoded once, and one indexed assignment puts it where it belongs.

Letters: M values handed over at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from gymnasium.spaces import GraphInstance

from anyspace import tree
from anyspace.errors import UnsupportedSpaceError
from anyspace.maths.arrays import NumpyArray
from anyspace.spaces.encoding.leaf import LeafSpecEncoder, NodeEncoder, Slots
from anyspace.spaces.encoding.misfit import Misfit
from anyspace.spaces.kinds.bounded import BoundedSequence
from anyspace.spaces.kinds.repeated import Repeated
from anyspace.spaces.leaves import Choice, GraphNode, Node, Repeat, children


class RowsEncoder:
    """What is never stacked: there is one raw value for each row, whatever the form of the whole.

    Args:
        path: where in the space.
        types: what a raw value may be.
        expected: the same in words.
    """

    def __init__(self, path: tree.Path, types: tuple[type, ...], expected: str) -> None:
        self._path, self._types, self._expected = path, types, expected

    def join(self, rows: Sequence[Any]) -> tuple[Any, list[int]]:
        """Chain rows of raw values, see `leaf.NodeEncoder`."""
        _require_types(rows, (tuple, list), "a tuple or list of raw values", self._path)
        return list(chain.from_iterable(rows)), list(map(len, rows))

    def require(self, values: Any) -> None:
        """Raise a `Misfit` unless there is one raw value of the right type for each row."""
        if not isinstance(values, tuple | list | np.ndarray) or (isinstance(values, np.ndarray) and not values.ndim):
            raise Misfit(self._path, f"expected a tuple or list, one raw value a row, got {type(values).__name__}")
        _require_types(values, self._types, self._expected, self._path)


def _require_types(values: Sequence[Any] | NumpyArray, types: tuple[type, ...], expected: str, path: tree.Path) -> None:
    if not all(issubclass(kind, types) for kind in set(map(type, values))):
        index = next(index for index, value in enumerate(values) if not isinstance(value, types))
        raise Misfit(path, f"expected {expected}, got {type(values[index]).__name__}", index)


class Elements:
    """Writes M lists of elements: how long they are, and the elements in their places.

    Args:
        node: the list.
        element: the encoder of one element.
        noun: what an element is called.
    """

    def __init__(self, node: Repeat, element: NodeEncoder, noun: str) -> None:
        self.element, self._count, self._path, self._noun = element, node.count, node.count.path[:-1], noun
        self._least, self._most = node.min_len, node.max_len

    def __call__(
        self, elements: Any, stacked: bool, counts: Sequence[int] | NumpyArray, at: Slots | None, out: list[NumpyArray]
    ) -> None:
        """Append the lengths and the encoded elements to ``out``.

        Args:
            elements: the elements of all M lists, one list after the other: stacked or raw values.
            stacked: which of the two.
            counts: how many elements each of the M lists has.
            at: where the M lists belong.
            out: the leaves encoded so far.
        """
        lengths = np.asarray(counts, np.int64)
        wrong = (lengths < self._least) | (lengths > self._most)
        if wrong.any():
            raise self._wrong_length(lengths, int(wrong.argmax()))
        at = Slots.whole(len(lengths)) if at is None else at
        out.append(at.scatter(self._count, lengths))
        ends = lengths.cumsum()
        try:
            self.element(elements, stacked, at.within(self._most, lengths, ends), out)
        except Misfit as misfit:
            misfit.rise(ends)
            raise

    def _wrong_length(self, lengths: NumpyArray, index: int) -> Misfit:
        least = f"{self._least} to " if self._least else "at most "
        what = f"expected {least}{self._most} {self._noun}, got {lengths[index]}"
        if lengths[index] > self._most and self._noun in ("elements", "nodes", "edges"):
            what += "; `max_len` may be too small"
        return Misfit(self._path, what, index)


class ListEncoder(RowsEncoder):
    """Repeated: lists or arrays. BoundedSequence: tuples or lists, or stacked.

    Args:
        node: the list.
        element: the encoder of its elements.

    Raises:
        UnsupportedSpaceError: the elements come stacked, but a part of them is empty.
    """

    def __init__(self, node: Repeat, element: NodeEncoder) -> None:
        path, space = node.count.path[:-1], node.space
        self._stacked = isinstance(space, BoundedSequence) and space.stack
        if self._stacked:
            _require_no_gaps(node)
            super().__init__(path, (object,), f"stacked elements for {space}")
        elif isinstance(space, Repeated):
            super().__init__(path, (list, np.ndarray), f"a list or array for {space}")
        else:
            super().__init__(path, (tuple, list), f"a tuple for {space}")
        self._elements = Elements(node, element, "elements")

    def __call__(self, values: Any, stacked: bool, at: Slots | None, out: list[NumpyArray]) -> None:
        """Encode lists, see `leaf.NodeEncoder`."""
        self.require(values)
        element = self._elements.element
        if self._stacked or (isinstance(element, LeafSpecEncoder) and set(map(type, values)) == {np.ndarray}):
            joined, counts = element.join(values)
        else:
            joined, counts = self._chained(values)
        self._elements(joined, self._stacked, counts, at, out)

    def _chained(self, values: Sequence[Any]) -> tuple[list[Any], list[int]]:
        try:
            return list(chain.from_iterable(values)), list(map(len, values))
        except TypeError:
            index = next(i for i, value in enumerate(values) if isinstance(value, np.ndarray) and not value.ndim)
            raise Misfit(self._path, f"expected {self._expected}, got an array without dimensions", index) from None


class GraphNodeEncoder(RowsEncoder):
    """BoundedGraph: `GraphInstance`s, their nodes and edges stacked.

    Args:
        node: the graph.
        nodes: the encoder of a node.
        edges: the encoder of an edge, of pairs of its features and ends; None where the space has no edges.

    Raises:
        UnsupportedSpaceError: a part of a node or edge is empty.
    """

    def __init__(self, node: GraphNode, nodes: NodeEncoder, edges: NodeEncoder | None) -> None:
        path = node.nodes.count.path[:-2]
        super().__init__(path, (GraphInstance,), f"a GraphInstance for {node.space}")
        for part in (node.nodes, node.edges):
            if part is not None:
                _require_no_gaps(part)
        self._nodes = Elements(node.nodes, nodes, "nodes")
        self._edges = None if node.edges is None or edges is None else Elements(node.edges, edges, "edges")

    def __call__(self, values: Any, stacked: bool, at: Slots | None, out: list[NumpyArray]) -> None:
        """Encode graphs, see `leaf.NodeEncoder`."""
        self.require(values)
        nodes, counts = self._nodes.element.join([graph.nodes for graph in values])
        self._nodes(nodes, True, counts, at, out)
        linked = [i for i, graph in enumerate(values) if graph.edges is not None or graph.edge_links is not None]
        if self._edges is not None:
            self._connect(self._edges, values, linked, counts, at, out)
        elif linked:
            raise Misfit(self._path, f"expected {self._expected}, without edges, got edges", linked[0])

    def _connect(
        self,
        edges: Elements,
        graphs: Sequence[GraphInstance],
        linked: list[int],
        nodes: list[int],
        at: Slots | None,
        out: list[NumpyArray],
    ) -> None:
        """Encode the edges of M graphs that have ``nodes`` [M] nodes; those with edges are ``linked``."""
        try:
            joined, counts = edges.element.join([(graphs[i].edges, graphs[i].edge_links) for i in linked])
        except Misfit as misfit:
            misfit.among(linked)
            raise
        lengths = np.zeros(len(graphs), np.int64)
        lengths[linked] = counts
        self._require_ends(joined[1], np.repeat(nodes, lengths), lengths.cumsum())
        edges(joined, True, lengths, at, out)

    def _require_ends(self, links: NumpyArray, nodes: NumpyArray, ends: NumpyArray) -> None:
        """Require that edges [M] link nodes that their graph has, ``nodes`` [M] in number; shapes are checked later."""
        if links.ndim != 2 or links.dtype.kind not in "iuf":
            return
        wrong = ((links < 0) | (links >= nodes[:, None])).any(axis=1)
        if wrong.any():
            index = int(wrong.argmax())
            what = f"expected positions of two of the graph's {nodes[index]} nodes, got {links[index].tolist()}"
            misfit = Misfit((*self._path, tree.Part("edge_links"), ...), what, index)
            misfit.rise(ends)
            raise misfit


class OneOfEncoder(RowsEncoder):
    """OneOf: the index of an alternative and its value; the other alternatives are zero.

    Args:
        node: the choice.
        options: the encoders of the alternatives.
    """

    def __init__(self, node: Choice, options: Sequence[NodeEncoder]) -> None:
        indices = f"0..{len(options) - 1}"
        super().__init__(node.which.path[:-1], (tuple, list), f"a pair (index in {indices}, value) for {node.space}")
        self._which, self._options = node.which, options

    def __call__(self, values: Any, stacked: bool, at: Slots | None, out: list[NumpyArray]) -> None:
        """Encode alternatives, see `leaf.NodeEncoder`."""
        self.require(values)
        which = self._indices(values)
        at = Slots.whole(len(which)) if at is None else at
        out.append(at.scatter(self._which, which))
        for option, encoder in enumerate(self._options):
            chosen = np.flatnonzero(which == option)
            try:
                encoder([values[i][1] for i in chosen], False, Slots(at.index[chosen], at.rows), out)
            except Misfit as misfit:
                misfit.among(chosen)
                raise

    def _indices(self, values: Sequence[Any]) -> NumpyArray:
        for index, value in enumerate(values):
            if len(value) != 2 or not isinstance(value[0], int | np.integer) or not 0 <= value[0] < len(self._options):
                raise Misfit(self._path, f"expected {self._expected}, got {value!r:.80}", index)
        return np.array([value[0] for value in values], np.int64)


def _require_no_gaps(node: Repeat) -> None:
    """Require that the stacked elements of a list show by each of their parts how many they are."""

    def has_gap(part: Node) -> bool:
        return isinstance(part, dict | tuple) and (not part or any(map(has_gap, children(part))))

    if has_gap(node.element):
        raise UnsupportedSpaceError(
            f"{tree.place('obs', node.count.path[:-1])}: an empty Dict or Tuple in the stacked elements of {node.space}"
            " has no length. Leave it out of the space."
        )
