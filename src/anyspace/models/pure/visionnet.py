"""The vision network over arrays: the default model of pictures."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from anyspace.errors import UnsupportedSpaceError
from anyspace.maths.xp import Array
from anyspace.models.input_dict import of_network
from anyspace.models.pictures import Convolutions, filters_of, picture_layout, vision
from anyspace.models.pure.actor_critic import ActorCritic
from anyspace.models.pure.drawing import Drawing
from anyspace.models.pure.encoders import ConvolutionStack, Encoder, Row
from anyspace.spaces.leaves import LeafSpec
from anyspace.spaces.restore import structure_of


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
        leaf = structure_of(obs_space)
        layout = picture_layout(leaf) if isinstance(leaf, LeafSpec) else None
        if layout is None:
            raise UnsupportedSpaceError(
                f"{type(self).__name__} takes pictures: Boxes of rank 3, or of bytes 0 to 255 with two, three or four"
                f" axes, not {obs_space}. Leave the choice of the model to the catalogue."
            )
        self._layout = layout

    def _new_encoder(self, draw: Drawing, name: str, resized: int | None) -> Encoder:
        placed, post = vision(self._layout, self.model_config, self.num_outputs, resized)
        return Row(draw, name, ConvolutionStack(draw, f"{name}.0", placed), post)

    def _new_value_encoder(self, draw: Drawing, name: str) -> Encoder:
        placed = Convolutions.of(self._layout, filters_of(self.model_config, self._layout))
        return ConvolutionStack(draw, name, placed)

    def _network_input(self, input_dict: dict[str, Any]) -> Array:
        return of_network(input_dict, "obs")
