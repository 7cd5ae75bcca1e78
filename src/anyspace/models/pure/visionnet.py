"""The vision network over arrays: the default model of pictures."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from anyspace.maths.xp import Array
from anyspace.models.input_dict import of_network
from anyspace.models.pictures import Convolutions, filters_of, layout_of, vision
from anyspace.models.pure.actor_critic import ActorCritic
from anyspace.models.pure.drawing import Drawing
from anyspace.models.pure.encoders import ConvolutionStack, FeatureEncoder, Row


class VisionNetwork(ActorCritic):
    """Convolutions, a dense stack (`post_fcnet_hiddens`), then linear logits and a linear value; see `ActorCritic`.

    It takes whatever `picture_layout` calls a picture. A value of its own (`vf_share_layers` off) has convolutions of
    its own and no dense stack. With `no_final_linear` the last dense layer is the output, or the last convolution
    where there is no dense stack. With ``num_outputs=None`` the output is the last dense layer, or all pixels of the
    last convolution.

    Raises:
        UnsupportedSpaceError: the observations are no pictures.
        ModelError: convolutions without a dense stack after them do not end in one pixel.
    """

    def _read_space(self, obs_space: gym.Space[Any]) -> None:
        self._layout = layout_of(self, obs_space)

    def _new_encoder(self, draw: Drawing, name: str, resized: int | None) -> FeatureEncoder:
        placed, post = vision(self._layout, self.model_config, self.num_outputs, resized)
        return Row(draw, name, ConvolutionStack(draw, f"{name}.0", placed), post)

    def _new_value_encoder(self, draw: Drawing, name: str) -> FeatureEncoder:
        placed = Convolutions.of(self._layout, filters_of(self.model_config, self._layout))
        return ConvolutionStack(draw, name, placed)

    def _network_input(self, input_dict: dict[str, Any]) -> Array:
        return of_network(input_dict, "obs")
