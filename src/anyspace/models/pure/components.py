"""Encoders of observations of several parts, or of parts of varying size, over arrays: `models/components.py`, run.

Letters: N rows, L longest length, V most nodes, M most edges, E width of an element, F features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from anyspace.maths.xp import Array, xp
from anyspace.models.components import (
    Alternatives,
    Behind,
    EncoderPlan,
    Flat,
    Graphs,
    Lists,
    Parts,
    Picture,
    require_parts,
)
from anyspace.models.pure.activations import activation
from anyspace.models.pure.dense import Dense, Parameters, dense
from anyspace.models.pure.drawing import Drawing
from anyspace.models.pure.encoders import ConvolutionStack, DenseStack, FeatureEncoder
from anyspace.models.pure.initializers import initializer_of, normc
from anyspace.models.sets import elements, ends_of, is_float, messages_and_updates, pooled, present
from anyspace.spaces.leaves import LeafSpec
from anyspace.spaces.preprocessors import one_hot
from anyspace.spaces.repeated_values import RepeatedValues
from anyspace.tree import Tree


def encoder(draw: Drawing, name: str, plan: EncoderPlan) -> FeatureEncoder:
    """Return the encoder of a plan, its weights drawn under a name."""
    match plan:
        case Flat():
            return LeafEncoder(plan)
        case Picture():
            return PictureEncoder(draw, name, plan)
        case Behind():
            return DenseEncoder(draw, name, plan)
        case Parts():
            return PartsEncoder(draw, name, plan)
        case Alternatives():
            return AlternativesEncoder(draw, name, plan)
        case Lists():
            return SetEncoder(draw, name, plan)
        case Graphs():
            return GraphEncoder(draw, name, plan)


class LeafEncoder:
    """An array as it is, flat; indices that no preprocessor has touched become one-hot."""

    def __init__(self, plan: Flat):
        self._leaf, self.width = plan.leaf, plan.width

    def __call__(self, p: Parameters, x: Array) -> Array:
        """Return the features of an array [N, ...] of any dtype."""
        if self._leaf.kind == "index" and not is_float(x):
            x = one_hot(self._leaf, x)
        ns = xp(x)
        return ns.reshape(ns.astype(x, "float32"), (x.shape[0], self.width))


class PictureEncoder:
    """A picture through convolutions of its own."""

    def __init__(self, draw: Drawing, name: str, plan: Picture):
        self.convolutions = ConvolutionStack(draw, f"{name}.convolutions", plan.placed)
        self.width = plan.width

    def __call__(self, p: Parameters, x: Array) -> Array:
        """Return the features of pictures, in their own order of axes."""
        return self.convolutions(p, x)


class DenseEncoder:
    """Another encoder and dense layers (`fcnet_hiddens`) on its features."""

    def __init__(self, draw: Drawing, name: str, plan: Behind):
        self.encoder = encoder(draw, f"{name}.encoder", plan.inner)
        self.dense = DenseStack(draw, f"{name}.dense", [plan.stack])
        self.width = plan.width

    def __call__(self, p: Parameters, x: Tree) -> Array:
        """Return the features of what the encoder takes."""
        return self.dense(p, self.encoder(p, x))


class PartsEncoder:
    """The parts of a Dict or Tuple side by side, in the space's own order."""

    def __init__(self, draw: Drawing, name: str, plan: Parts):
        self._parts = {
            key: encoder(draw, f"{name}.parts.{i}", part) for i, (key, part) in enumerate(plan.parts.items())
        }
        self.width = plan.width

    def __call__(self, p: Parameters, x: Tree) -> Array:
        """Return the features of a dict, or of a list or tuple."""
        require_parts(x)
        features = [part(p, x[key]) for key, part in self._parts.items()]
        return features[0] if len(features) == 1 else xp(features[0]).concatenate(features, axis=1)


class AlternativesEncoder:
    """One of several alternatives: which one, one-hot, and its features, through a dense layer of its own.

    The values of the alternatives that are not chosen change nothing.
    """

    def __init__(self, draw: Drawing, name: str, plan: Alternatives):
        self._which = LeafEncoder(plan.which)
        self._options = {
            position: (
                encoder(draw, f"{name}.options.{i}", option.inner),
                DenseStack(draw, f"{name}.dense.{i}", [option.stack]),
            )
            for i, (position, option) in enumerate(plan.options.items())
        }
        self.width = plan.width

    def __call__(self, p: Parameters, x: Sequence[Tree]) -> Array:
        """Return the features of a list: the choice, one-hot [N, A] or indices [N], then every alternative."""
        which = self._which(p, x[0])
        ns, chosen = xp(which), None
        for position, (option, layer) in self._options.items():
            features = layer(p, option(p, x[1 + position]))
            own = ns.where(which[:, position : position + 1] > 0, features, 0.0)
            chosen = own if chosen is None else chosen + own
        return which if chosen is None else ns.concatenate([which, chosen], axis=1)


class _Layer:
    """A dense layer [N, L, width] -> [N, L, E], with `fcnet_activation`.

    Args:
        draw: draws the weights.
        name: of the layer.
        width: of the input.
        size: E.
        positions: L, where each position has a shift of its own; 0 where order means nothing.
    """

    def __init__(self, draw: Drawing, name: str, width: int, size: int, positions: int = 0):
        weights, biases = (initializer_of(draw.config, f"fcnet_{part}_initializer") for part in ("weights", "bias"))
        self._dense: Dense = draw.linear(f"{name}.dense", width, size, 1.0, weights, biases)
        self._activation = activation(draw.config["fcnet_activation"], draw.framework)
        self._positions = f"{name}.positions" if positions else None
        if self._positions is not None:
            draw.filled(self._positions, (positions, size), normc)

    def __call__(self, p: Parameters, x: Array) -> Array:
        x = dense(p, [self._dense])(x)
        if self._positions is not None:
            x = x + p[self._positions]
        return x if self._activation is None else self._activation(xp(x))(x)


class SetEncoder:
    """Lists [N] of elements -> features [N, F], F = 2 E + 1: `pooled` dense features.

    The padding beyond the length of a list changes nothing, whatever finite numbers it holds. A list has an order, so
    each position shifts its elements in a way of its own.
    """

    def __init__(self, draw: Drawing, name: str, plan: Lists):
        self._element = encoder(draw, f"{name}.element", plan.element)
        self._layer = _Layer(draw, f"{name}.layer", max(plan.element.width, 1), plan.size, plan.max_len)
        self.width = plan.width

    def __call__(self, p: Parameters, x: RepeatedValues) -> Array:
        """Return the features of lists whose ``lengths`` are [N]."""
        return pooled(self._layer(p, _encoded(self._element, p, x)), present(x))


class GraphEncoder:
    """Graphs [N] -> features [N, F]: edges see the two nodes at their ends, nodes the mean of the edges into them.

    The order of nodes and of edges changes nothing.
    """

    def __init__(self, draw: Drawing, name: str, plan: Graphs):
        size, self.width = plan.size, plan.width
        self._node = encoder(draw, f"{name}.node", plan.node)
        self._node_layer = _Layer(draw, f"{name}.node_layer", max(plan.node.width, 1), size)
        self._edge: FeatureEncoder | None = None
        self._links: LeafSpec | None = plan.links
        if plan.edge is not None:
            self._edge = encoder(draw, f"{name}.edge", plan.edge)
            self._edge_layer = _Layer(draw, f"{name}.edge_layer", max(plan.edge.width, 1) + 2 * size, size)
            self._update_layer = _Layer(draw, f"{name}.update_layer", 2 * size, size)

    def __call__(self, p: Parameters, x: Mapping[str, RepeatedValues]) -> Array:
        """Return the features of ``{"nodes": ...}`` with, where there are edges, ``{"edges": ...}``."""
        nodes = x["nodes"]
        there = present(nodes)
        embedded = self._node_layer(p, _encoded(self._node, p, nodes))  # [N, V, E]
        if self._edge is None:
            return pooled(embedded, there)
        assert self._links is not None
        edges = x["edges"]
        drawn, ends = present(edges), ends_of(self._links, edges.values["links"])
        features = RepeatedValues(edges.values["features"], edges.lengths, edges.max_len)
        messages, updated = messages_and_updates(
            embedded,
            _encoded(self._edge, p, features),
            ends,
            drawn,
            partial(self._edge_layer, p),
            partial(self._update_layer, p),
        )
        return xp(updated).concatenate([pooled(updated, there), pooled(messages, drawn)], axis=1)


def _encoded(encoder: FeatureEncoder, p: Parameters, lists: RepeatedValues) -> Array:
    return elements(partial(encoder, p), encoder.width, lists)
