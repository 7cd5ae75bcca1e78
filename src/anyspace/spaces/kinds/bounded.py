"""Gymnasium's spaces of varying size, with the longest length that arrays of fixed shape need."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Graph, GraphInstance, Sequence
from gymnasium.vector.utils import create_empty_array, iterate

from anyspace.spaces.kinds.repeated import required_length


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
