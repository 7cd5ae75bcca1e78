"""Lists, texts and graphs of any length as vectors of one width.

Every element goes through the same dense layer, and the results are pooled: the mean and the largest of each feature
over the elements that are there, and their number. The padding beyond the length of a list changes nothing, whatever
finite numbers it holds. A list has an order, so each position shifts its elements in a way of its own, learnt with the
rest; a graph has none.

Letters: N rows, L longest length, V most nodes, M most edges, E width of an element, F features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from anyspace.models.architecture import element_width
from anyspace.models.torch.components import FeatureEncoder
from anyspace.models.torch.initializers import initializer_of, normc_
from anyspace.models.torch.layers import activation_class, linear
from anyspace.spaces.leaves import LeafSpec
from anyspace.spaces.preprocessors import one_hot
from anyspace.spaces.repeated_values import RepeatedValues, map_arrays


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
        activation = activation_class(model_config["fcnet_activation"])
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
        there = present(lists)
        return pooled(self.layer(elements(self.element, lists)), there)


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
        embedded = self.node_layer(elements(self.node, nodes))  # [N, V, E]
        if self.edge is None:
            return pooled(embedded, there)
        edges = graph["edges"]
        drawn, ends = present(edges), self._ends(edges.values["links"])
        seen = (ends @ embedded[:, None]).flatten(2)  # [N, M, 2 E]
        features = RepeatedValues(edges.values["features"], edges.lengths, edges.max_len)
        messages = self.edge_layer(torch.cat([elements(self.edge, features), seen], dim=2))  # [N, M, E]
        into = _only(ends[:, :, 1], drawn).transpose(1, 2)  # [N, V, M]
        incoming = into @ messages / into.sum(dim=2, keepdim=True).clamp(min=1)
        updated = self.update_layer(torch.cat([embedded, incoming], dim=2))
        return torch.cat([pooled(updated, there), pooled(messages, drawn)], dim=1)

    def _ends(self, links: torch.Tensor) -> torch.Tensor:
        """Return the ends of edges, one-hot [N, M, 2, V]: where they come from, where they lead."""
        assert self._links is not None
        hots: torch.Tensor = links if links.is_floating_point() else one_hot(self._links, links).float()
        return hots.reshape(*links.shape[:2], 2, -1)


def elements(encoder: FeatureEncoder, lists: RepeatedValues) -> torch.Tensor:
    """Return the features [N, L, width] of every element of lists, padding included; elements without any have a 1."""
    shape = (len(lists.lengths), lists.max_len)
    if not encoder.width:
        return torch.ones(*shape, 1, device=lists.lengths.device)
    rows = map_arrays(lambda array: array.flatten(0, 1), lists.values)
    features: torch.Tensor = encoder(rows)
    return features.reshape(*shape, encoder.width)


def present(lists: RepeatedValues) -> torch.Tensor:
    """Return which elements of lists are there: booleans [N, L]."""
    lengths: torch.Tensor = lists.lengths
    return torch.arange(lists.max_len, device=lengths.device) < lengths[:, None]


def pooled(x: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    """Pool the elements that are there; where there are none, everything is 0.

    Two elements [1, 4] and [3, 2] of a list that may hold four give [2, 3, 3, 4, 0.5].

    Args:
        x: [N, L, E].
        there: booleans [N, L].

    Returns:
        [N, 2 E + 1]: means, largest values, and the share of L that is there.
    """
    count = there.sum(dim=1, keepdim=True)
    mean = _only(x, there).sum(dim=1) / count.clamp(min=1)
    largest = torch.where(there[..., None], x, -torch.inf).amax(dim=1)
    return torch.cat([mean, torch.where(count > 0, largest, 0.0), count / there.shape[1]], dim=1)


def _only(x: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    """Return elements [N, L, ...] with zeros where ``there`` [N, L] is False."""
    return torch.where(there.reshape(*there.shape, *(1,) * (x.dim() - 2)), x, 0.0)
