"""Gymnasium's spaces of varying size, with the longest length that arrays of fixed shape need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Dict, Graph, GraphInstance, OneOf, Sequence, Tuple
from gymnasium.vector.utils import create_empty_array, iterate

from anyspace import tree
from anyspace.errors import ConfigError, nearest
from anyspace.spaces.kinds.repeated import Repeated, required_length


class BoundedSequence(Sequence):
    """A Sequence of at most ``max_len`` elements.

    Args:
        space: the space of an element.
        max_len: longest length, at least 1.
        stack: whether observations come stacked (see `gymnasium.spaces.Sequence`).
        seed: the seed of `sample`.

    Raises:
        ValueError: ``max_len`` is below 1.
    """

    def __init__(
        self,
        space: gym.Space[Any],
        max_len: int,
        stack: bool = False,
        seed: int | np.random.Generator | None = None,
    ):
        self.max_len = required_length("max_len", max_len)
        super().__init__(space, seed, stack)

    def sample(self, mask: Any = None, probability: Any = None) -> Any:
        """Draw a sequence of 0 to ``max_len`` elements, each length as likely.

        Args:
            mask: ``(length, mask of each element)``, as `gymnasium.spaces.Sequence.sample` takes it.
            probability: in place of ``mask``: ``(length, probabilities of each element)``.
        """
        if mask is not None or probability is not None:
            return super().sample(mask, probability)
        length = self.generate_sample_length(None, None)
        return super().sample((length, None)) if length else self._empty()

    def generate_sample_length(self, length_mask: Any, mask_type: str | None) -> int:
        """Return the length that ``length_mask`` says, or draw one where it is None."""
        if length_mask is None:
            return int(self.np_random.integers(self.max_len + 1))
        return int(super().generate_sample_length(length_mask, mask_type))

    def _empty(self) -> Any:
        return create_empty_array(self.feature_space, 0) if self.stack else ()

    def contains(self, x: Any) -> bool:
        """Return whether ``x`` is a sequence of at most ``max_len`` elements, each in the feature space."""
        if not super().contains(x):
            return False
        elements = iterate(self.stacked_feature_space, x) if self.stack else x
        return sum(1 for _ in elements) <= self.max_len

    def __repr__(self) -> str:
        return f"BoundedSequence({self.feature_space}, {self.max_len}, stack={self.stack})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BoundedSequence) and self.max_len == other.max_len and super().__eq__(other)


class BoundedGraph(Graph):
    """A Graph of at most ``max_nodes`` nodes and ``max_edges`` edges.

    Args:
        node_space: the space of a node.
        edge_space: the space of an edge's features, or None for a graph without edges.
        max_nodes: most nodes, at least 1.
        max_edges: most edges, at least 1; 0, and left out, where there is no ``edge_space``.
        seed: the seed of `sample`.

    Raises:
        ValueError: ``max_nodes`` or ``max_edges`` is below 1.
    """

    def __init__(
        self,
        node_space: gym.Space[Any],
        edge_space: gym.Space[Any] | None,
        *,
        max_nodes: int,
        max_edges: int = 0,
        seed: int | np.random.Generator | None = None,
    ):
        self.max_nodes = required_length("max_nodes", max_nodes)
        self.max_edges = 0 if edge_space is None else required_length("max_edges", max_edges)
        super().__init__(node_space, edge_space, seed)

    def sample(
        self, mask: Any = None, probability: Any = None, num_nodes: int | None = None, num_edges: int | None = None
    ) -> GraphInstance:
        """Draw a graph.

        Args:
            mask: ``(of the nodes, of the edges)``, as `gymnasium.spaces.Graph.sample` takes it.
            probability: in place of ``mask``.
            num_nodes: how many nodes; None draws 0 to ``max_nodes``, each number as likely.
            num_edges: how many edges; None draws 0 to ``max_edges``, each number as likely.
        """
        if num_nodes is None:
            num_nodes = int(self.np_random.integers(self.max_nodes + 1))
        if num_nodes == 0:
            nodes: Any = create_empty_array(self.node_space, 0)
            return GraphInstance(nodes, None, None)
        if num_edges is None and self.edge_space is not None:
            num_edges = int(self.np_random.integers(self.max_edges + 1))
        return super().sample(mask, probability, num_nodes, num_edges)

    def contains(self, x: Any) -> bool:
        """Return whether ``x`` is a graph of this space's nodes and edges, and not of too many."""
        if not super().contains(x):
            return False
        edges = 0 if x.edge_links is None else len(x.edge_links)
        return edges <= self.max_edges and sum(1 for _ in iterate(self.batch_node_space, x.nodes)) <= self.max_nodes

    def __repr__(self) -> str:
        limits = f"max_nodes={self.max_nodes}" + (f", max_edges={self.max_edges}" if self.max_edges else "")
        return f"BoundedGraph({self.node_space}, {self.edge_space}, {limits})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, BoundedGraph)
            and (self.max_nodes, self.max_edges) == (other.max_nodes, other.max_edges)
            and super().__eq__(other)
        )


def bounded(space: gym.Space[Any], max_len: int | Mapping[str, int] | None) -> gym.Space[Any]:
    """Return ``space`` with a longest length for its Sequences and Graphs; itself where there is nothing to do.

    Args:
        space: an observation space.
        max_len: the longest length of every Sequence and Graph that has none yet, or one for each place, such as
            ``{'obs["items"]': 20, 'obs["map"].nodes': 9, 'obs["map"].edges': 30}``; what is inside the elements of
            a list is at ``obs["players"][...]["items"]``. Places that are left out stay as they are, and so does
            everything where it is None. A place that has this very length already may be named: what this
            function returned comes back as it is.

    Raises:
        ConfigError: a place is not that of a Sequence or Graph without a longest length, or of a Graph's nodes and
            edges only one has been given.
        ValueError: a length is below 1.
    """
    if max_len is None:
        return space
    lengths = _Lengths(max_len)
    result = _bounded(space, lengths, ())
    if unknown := [place for place in lengths.named if place not in lengths.places and place not in lengths.kept]:
        known = ", ".join(lengths.places) or "none"
        raise ConfigError(
            f"max_len: {unknown[0]!r} is no place of a Sequence or Graph without a longest length."
            f"{nearest(unknown[0], lengths.places)} Such places here: {known}."
        )
    return result


class _Lengths:
    """The lengths that were asked for, the places that were looked up, and those that had what was asked for."""

    def __init__(self, max_len: int | Mapping[str, int]) -> None:
        self.everywhere = max_len if isinstance(max_len, int) else None
        self.named: Mapping[str, int] = {} if isinstance(max_len, int) else max_len
        self.places: list[str] = []
        self.kept: set[str] = set()

    def keep(self, path: tree.Path, max_len: int) -> None:
        place = tree.place("obs", path)
        if self.named.get(place) == max_len:
            self.kept.add(place)

    def at(self, path: tree.Path) -> int | None:
        place = tree.place("obs", path)
        self.places.append(place)
        return self.named.get(place, self.everywhere)


def _bounded(space: gym.Space[Any], lengths: _Lengths, path: tree.Path) -> gym.Space[Any]:
    # Where nothing changes, the very space is returned: users' own subclasses and seeds survive.
    match space:
        case Dict():
            parts = {key: _bounded(child, lengths, (*path, key)) for key, child in space.spaces.items()}
            return space if _same(parts.values(), space.spaces.values()) else Dict(list(parts.items()))
        case Tuple():
            positions = [_bounded(child, lengths, (*path, i)) for i, child in enumerate(space.spaces)]
            return space if _same(positions, space.spaces) else Tuple(positions)
        case OneOf():
            places = [(*path, tree.Part(f"option_{i}")) for i in range(len(space.spaces))]
            options = [_bounded(child, lengths, at) for child, at in zip(space.spaces, places, strict=True)]
            return space if _same(options, space.spaces) else OneOf(options)
        case Repeated():
            element = _bounded(space.child_space, lengths, (*path, ...))
            return space if element is space.child_space else Repeated(element, space.max_len)
        case BoundedSequence():
            element = _bounded(space.feature_space, lengths, (*path, ...))
            lengths.keep(path, space.max_len)
            return space if element is space.feature_space else BoundedSequence(element, space.max_len, space.stack)
        case Sequence():
            element, max_len = _bounded(space.feature_space, lengths, (*path, ...)), lengths.at(path)
            return space if max_len is None else BoundedSequence(element, max_len, space.stack)
        case Graph():
            return _bounded_graph(space, lengths, path)
        case _:
            return space


def _same(spaces: Iterable[gym.Space[Any]], others: Iterable[gym.Space[Any]]) -> bool:
    return all(space is other for space, other in zip(spaces, others, strict=True))


def _bounded_graph(space: Graph, lengths: _Lengths, path: tree.Path) -> gym.Space[Any]:
    nodes, edges = (*path, tree.Part("nodes")), (*path, tree.Part("edges"))
    node = _bounded(space.node_space, lengths, (*nodes, ...))
    edge = None if space.edge_space is None else _bounded(space.edge_space, lengths, (*edges, ...))
    if isinstance(space, BoundedGraph):
        lengths.keep(nodes, space.max_nodes)
        lengths.keep(edges, space.max_edges)
        if _same((node,), (space.node_space,)) and edge is space.edge_space:
            return space
        return BoundedGraph(node, edge, max_nodes=space.max_nodes, max_edges=space.max_edges)
    max_nodes, max_edges = lengths.at(nodes), 0 if edge is None else lengths.at(edges)
    if max_nodes is None and not max_edges:
        return space
    if max_nodes is None or max_edges is None:
        given, missing = (nodes, edges) if max_edges is None else (edges, nodes)
        raise ConfigError(
            f"max_len: {tree.place('obs', given)} has a longest length, but {tree.place('obs', missing)} has none;"
            " a graph needs both."
        )
    return BoundedGraph(node, edge, max_nodes=max_nodes, max_edges=max_edges)
