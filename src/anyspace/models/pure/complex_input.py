"""The network for observations of several parts, or of parts of varying size, over arrays."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from anyspace.models.architecture import after_encoder
from anyspace.models.components import component_of
from anyspace.models.input_dict import of_network
from anyspace.models.pure.actor_critic import ActorCritic
from anyspace.models.pure.components import encoder
from anyspace.models.pure.drawing import Drawing
from anyspace.models.pure.encoders import FeatureEncoder, Row
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

    def _read_space(self, obs_space: gym.Space[Any]) -> None:
        self._components = component_of(structure_of(obs_space), self.model_config)

    def _new_encoder(self, draw: Drawing, name: str, resized: int | None) -> FeatureEncoder:
        components = encoder(draw, f"{name}.0", self._components)
        return Row(draw, name, components, after_encoder(components.width, self.model_config, resized))

    def _network_input(self, input_dict: dict[str, Any]) -> Tree:
        return restore_original_dimensions(of_network(input_dict, "obs"), self.obs_space)
