"""The network for observations of several parts, or of parts of varying size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
from torch import nn

from anyspace.models.torch.actor_critic import ActorCritic
from anyspace.models.torch.components import (
    AlternativesEncoder,
    DenseEncoder,
    FeatureEncoder,
    LeafEncoder,
    PartsEncoder,
    PictureEncoder,
)
from anyspace.models.torch.layers import DenseStack, configured_stack
from anyspace.models.torch.set_encoder import GraphEncoder, SetEncoder
from anyspace.models.torch.visionnet import picture_layout
from anyspace.spaces.leaves import Choice, LeafSpec, Network, Node, Repeat
from anyspace.spaces.restore import restore_original_dimensions, structure_of
from anyspace.tree import Tree


class ComplexInputNetwork(ActorCritic):
    """An encoder for each component of the observation, their features side by side, a dense stack, and the heads.

    Components are whatever a Dict or Tuple holds, however deep, in the space's own order. A picture goes through
    convolutions; anything else through dense layers (`fcnet_hiddens`), a list, text or graph pooled and an alternative
    chosen before that. On all features side by side lie the dense stack `post_fcnet_hiddens`, then linear logits and
    a linear value; see `ActorCritic`. A value of its own (`vf_share_layers` off) has all of that for itself. With
    ``num_outputs=None`` the output is the last dense layer, or the features of all components.

    The default configuration is linear across components: what they mean together takes `post_fcnet_hiddens`.
    """

    def _read(self, obs_space: gym.Space[Any]) -> None:
        self._structure = structure_of(obs_space)

    def _policy_encoder(self, resized: int | None) -> tuple[nn.Module, int]:
        components = component_of(self._structure, self.model_config)
        sizes = [*self.model_config["post_fcnet_hiddens"]]
        if resized:
            sizes[-1:] = [resized]
        post = configured_stack(components.width, sizes, self.model_config, "post_fcnet")
        return DenseStack(components, *post), [components.width, *sizes][-1]

    def _value_encoder(self) -> tuple[nn.Module, int]:
        return self._policy_encoder(None)

    def _observed(self, input_dict: dict[str, Any]) -> Tree:
        return restore_original_dimensions(input_dict["obs"], self.obs_space)


def component_of(node: Node, model_config: Mapping[str, Any]) -> FeatureEncoder:
    """Return the encoder of a space, each of its components with convolutions or dense layers of its own."""
    match node:
        case dict():
            return PartsEncoder({key: component_of(child, model_config) for key, child in node.items()})
        case tuple():
            return PartsEncoder({key: component_of(child, model_config) for key, child in enumerate(node)})
        case _:
            encoder = encoder_of(node, model_config)
            is_done = isinstance(encoder, PictureEncoder) or not encoder.width
            return encoder if is_done else DenseEncoder(encoder, model_config)


def encoder_of(node: Node, model_config: Mapping[str, Any]) -> FeatureEncoder:
    """Return the encoder of what elements of lists and alternatives are made of: arrays pass it as they are."""
    match node:
        case LeafSpec():
            layout = picture_layout(node)
            return LeafEncoder(node) if layout is None else PictureEncoder(node, layout, model_config)
        case dict():
            return PartsEncoder({key: encoder_of(child, model_config) for key, child in node.items()})
        case tuple():
            return PartsEncoder({key: encoder_of(child, model_config) for key, child in enumerate(node)})
        case Repeat():
            return SetEncoder(encoder_of(node.element, model_config), node.max_len, model_config)
        case Choice():
            options = [encoder_of(option, model_config) for option in node.options]
            return AlternativesEncoder(node.which, options, model_config)
        case Network():
            return _graph(node, model_config)


def _graph(node: Network, model_config: Mapping[str, Any]) -> GraphEncoder:
    nodes = encoder_of(node.nodes.element, model_config)
    if node.edges is None:
        return GraphEncoder(nodes, None, None, model_config)
    assert isinstance(node.edges.element, tuple)
    features, links = node.edges.element
    assert isinstance(links, LeafSpec)
    return GraphEncoder(nodes, encoder_of(features, model_config), links, model_config)
