"""Lists, texts and graphs of any length as vectors of one width: the layers. What they compute is `models/sets.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from anyspace.models.architecture import element_width
from anyspace.models.sets import elements, ends_of, messages_and_updates, pooled, present
from anyspace.models.torch.components import FeatureEncoder
from anyspace.models.torch.initializers import initializer_of, normc_
from anyspace.models.torch.layers import activation_factory, linear
from anyspace.spaces.leaves import LeafSpec
from anyspace.spaces.repeated_values import RepeatedValues


class _Layer(nn.Module):
    """A dense layer [N, L, width] -> [N, L, E], with `fcnet_activation`.

    Args:
        width: of the input.
        model_config: every key of the model configuration.
        positions: L, where each position has a shift of its own; 0 where order means nothing.
    """

    def __init__(self, width: int, model_config: Mapping[str, Any], positions: int = 0):
        super().__init__()
        weights, biases = (initializer_of(model_config, f"fcnet_{part}_initializer") for part in ("weights", "bias"))
        size = element_width(model_config)
        self.dense = linear(width, size, 1.0, weights, biases)
        self.positions: nn.Parameter | None = None
        if positions:
            self.positions = nn.Parameter(torch.empty(positions, size))
            normc_(self.positions)
        activation = activation_factory(model_config["fcnet_activation"])
        self.activation = nn.Identity() if activation is None else activation()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.dense(x)
        result: torch.Tensor = self.activation(x if self.positions is None else x + self.positions)
        return result


class SetEncoder(FeatureEncoder):
    """Lists [N] of elements -> features [N, F], F = 2 E + 1.

    Args:
        element: encodes the elements, each by itself.
        max_len: L.
        model_config: every key of the model configuration.
    """

    def __init__(self, element: FeatureEncoder, max_len: int, model_config: Mapping[str, Any]):
        super().__init__()
        self.element = element
        self.layer = _Layer(max(element.width, 1), model_config, positions=max_len)
        self.width = 2 * element_width(model_config) + 1

    def forward(self, lists: RepeatedValues) -> torch.Tensor:
        """Return the features of lists whose ``lengths`` are [N]."""
        features: torch.Tensor = pooled(self.layer(elements(self.element, self.element.width, lists)), present(lists))
        return features


class GraphEncoder(FeatureEncoder):
    """Graphs [N] -> features [N, F]: edges see the two nodes at their ends, nodes the mean of the edges into them.

    The order of nodes and of edges changes nothing.

    Args:
        node: encodes the nodes, each by itself.
        edge: encodes the features of edges; None where there are no edges.
        links: the leaf of the ends of edges.
        model_config: every key of the model configuration.
    """

    def __init__(
        self,
        node: FeatureEncoder,
        edge: FeatureEncoder | None,
        links: LeafSpec | None,
        model_config: Mapping[str, Any],
    ):
        super().__init__()
        size = element_width(model_config)
        self.node, self.edge, self._links = node, edge, links
        self.node_layer = _Layer(max(node.width, 1), model_config)
        self.width = 2 * size + 1
        if edge is not None:
            self.edge_layer = _Layer(max(edge.width, 1) + 2 * size, model_config)
            self.update_layer = _Layer(2 * size, model_config)
            self.width *= 2

    def forward(self, graph: Mapping[str, RepeatedValues]) -> torch.Tensor:
        """Return the features of ``{"nodes": ...}`` with, where there are edges, ``{"edges": ...}``."""
        nodes = graph["nodes"]
        there = present(nodes)
        embedded = self.node_layer(elements(self.node, self.node.width, nodes))  # [N, V, E]
        if self.edge is None:
            alone: torch.Tensor = pooled(embedded, there)
            return alone
        assert self._links is not None
        edges = graph["edges"]
        drawn, ends = present(edges), ends_of(self._links, edges.values["links"])
        features = RepeatedValues(edges.values["features"], edges.lengths, edges.max_len)
        messages, updated = messages_and_updates(
            embedded, elements(self.edge, self.edge.width, features), ends, drawn, self.edge_layer, self.update_layer
        )
        return torch.cat([pooled(updated, there), pooled(messages, drawn)], dim=1)
