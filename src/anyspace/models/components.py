"""Which encoders an observation of several parts, or of parts of varying size, goes through, in any framework.

Letters: F features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anyspace.errors import ModelError
from anyspace.models.architecture import Stack, element_width, stack
from anyspace.models.pictures import Convolutions, filters_of, picture_layout
from anyspace.spaces.leaves import Choice, GraphNode, LeafSpec, Node, Repeat


@dataclass(frozen=True)
class Flat:
    """An array as it is, flat; indices that no preprocessor has touched become one-hot."""

    leaf: LeafSpec

    @property
    def width(self) -> int:
        """F."""
        return math.prod(self.leaf.feature_shape[len(self.leaf.repeats) :])


@dataclass(frozen=True)
class Picture:
    """A picture through convolutions of its own."""

    placed: Convolutions

    @property
    def width(self) -> int:
        """F."""
        return self.placed.width


@dataclass(frozen=True)
class Behind:
    """Another encoder and dense layers on its features."""

    inner: EncoderPlan
    stack: Stack

    @property
    def width(self) -> int:
        """F."""
        return self.stack.width


@dataclass(frozen=True)
class Parts:
    """The parts of a Dict or Tuple side by side, in the space's own order; those without features are left out."""

    parts: Mapping[str | int, EncoderPlan]
    """By key or position."""

    @property
    def width(self) -> int:
        """F."""
        return sum(part.width for part in self.parts.values())


def require_parts(observed: object) -> None:
    """Raise :class:`ModelError` where an array came in place of a dict, a list or a tuple of its parts."""
    if hasattr(observed, "shape"):
        raise ModelError(
            f"the network reads the parts of a Dict or a Tuple, but one array {[*observed.shape]} came: a model that is"
            " built for a space as it is takes dicts and lists of arrays [N, ...]. One that is built for"
            " get_preprocessor(space).observation_space takes flat vectors as well."
        )


@dataclass(frozen=True)
class Alternatives:
    """One of several alternatives: which one, one-hot, and its features, through a dense layer of its own."""

    which: Flat
    options: Mapping[int, Behind]
    """By position; those without features are left out."""

    @property
    def width(self) -> int:
        """F."""
        return self.which.width + max((option.width for option in self.options.values()), default=0)


@dataclass(frozen=True)
class Lists:
    """Lists of elements, each through the same dense layer, pooled."""

    element: EncoderPlan
    max_len: int
    size: int
    """E, of the layer."""

    @property
    def width(self) -> int:
        """F."""
        return 2 * self.size + 1


@dataclass(frozen=True)
class Graphs:
    """Graphs: edges see the two nodes at their ends, nodes the mean of the edges into them; pooled."""

    node: EncoderPlan
    edge: EncoderPlan | None
    """None where there are no edges."""
    links: LeafSpec | None
    """The leaf of the ends of edges."""
    size: int
    """E, of the layers."""

    @property
    def width(self) -> int:
        """F."""
        return (2 * self.size + 1) * (1 if self.edge is None else 2)


EncoderPlan = Flat | Picture | Behind | Parts | Alternatives | Lists | Graphs
"""An encoder: what a part of an observation, restored to its structure, goes through to become features [N, F]."""


def component_of(node: Node, model_config: Mapping[str, Any]) -> EncoderPlan:
    """Return the encoder of a space, each of its components with convolutions or dense layers of its own.

    Raises:
        ModelError: the filters do not fit a picture.
    """
    match node:
        case dict():
            return _parts({key: component_of(child, model_config) for key, child in node.items()})
        case tuple():
            return _parts({key: component_of(child, model_config) for key, child in enumerate(node)})
        case _:
            found = encoder_of(node, model_config)
            if isinstance(found, Picture) or not found.width:
                return found
            return Behind(found, stack(found.width, model_config["fcnet_hiddens"], model_config, "fcnet"))


def encoder_of(node: Node, model_config: Mapping[str, Any]) -> EncoderPlan:
    """Return the encoder of what elements of lists and alternatives are made of: arrays pass it as they are.

    Raises:
        ModelError: the filters do not fit a picture.
    """
    match node:
        case LeafSpec():
            return _leaf(node, model_config)
        case dict():
            return _parts({key: encoder_of(child, model_config) for key, child in node.items()})
        case tuple():
            return _parts({key: encoder_of(child, model_config) for key, child in enumerate(node)})
        case Repeat():
            return Lists(encoder_of(node.element, model_config), node.max_len, element_width(model_config))
        case Choice():
            return _alternatives(node, model_config)
        case GraphNode():
            return _graph(node, model_config)


def _leaf(leaf: LeafSpec, model_config: Mapping[str, Any]) -> EncoderPlan:
    layout = picture_layout(leaf)
    if layout is None:
        return Flat(leaf)
    try:
        return Picture(Convolutions.of(layout, filters_of(model_config, layout)))
    except ModelError as error:
        raise ModelError(f"{leaf.place()}: {error}") from error


def _parts(parts: Mapping[str | int, EncoderPlan]) -> Parts:
    return Parts({key: part for key, part in parts.items() if part.width})


def _alternatives(node: Choice, model_config: Mapping[str, Any]) -> Alternatives:
    size, options = element_width(model_config), [encoder_of(option, model_config) for option in node.options]
    behind = {
        position: Behind(option, stack(option.width, [size], model_config, "fcnet"))
        for position, option in enumerate(options)
        if option.width
    }
    return Alternatives(Flat(node.which), behind)


def _graph(node: GraphNode, model_config: Mapping[str, Any]) -> Graphs:
    nodes, size = encoder_of(node.nodes.element, model_config), element_width(model_config)
    if node.edges is None:
        return Graphs(nodes, None, None, size)
    assert isinstance(node.edges.element, tuple)
    features, links = node.edges.element
    assert isinstance(links, LeafSpec)
    return Graphs(nodes, encoder_of(features, model_config), links, size)
