"""The vision network: the default model of pictures."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import torch
from torch import nn

from anyspace.errors import UnsupportedSpaceError
from anyspace.models.torch.actor_critic import ActorCritic
from anyspace.models.torch.convolution import ConvolutionStack, filters_of
from anyspace.models.torch.layers import DenseStack, configured_stack
from anyspace.spaces.kinds.images import ImageLayout
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

    def _read(self, obs_space: gym.Space[Any]) -> None:
        leaf = structure_of(obs_space)
        layout = picture_layout(leaf) if isinstance(leaf, LeafSpec) else None
        if layout is None:
            raise UnsupportedSpaceError(
                f"{type(self).__name__} takes pictures: Boxes of rank 3, or of bytes 0 to 255 with two, three or four"
                f" axes, not {obs_space}. Leave the choice of the model to the catalogue."
            )
        self._layout = layout

    def _policy_encoder(self, resized: int | None) -> tuple[nn.Module, int]:
        config, filters = self.model_config, filters_of(self.model_config, self._layout)
        sizes = [*config["post_fcnet_hiddens"]]
        if resized and sizes:
            sizes[-1] = resized
        elif resized:
            filters[-1] = filters[-1]._replace(channels=resized)
        convolutions = ConvolutionStack(self._layout, filters, config)
        if self.num_outputs and not sizes:
            convolutions.require_one_pixel()
        post = configured_stack(convolutions.width, sizes, config, "post_fcnet")
        return DenseStack(convolutions, *post), [convolutions.width, *sizes][-1]

    def _value_encoder(self) -> tuple[nn.Module, int]:
        filters = filters_of(self.model_config, self._layout)
        convolutions = ConvolutionStack(self._layout, filters, self.model_config)
        return convolutions, convolutions.width

    def _observed(self, input_dict: dict[str, Any]) -> torch.Tensor:
        obs: torch.Tensor = input_dict["obs"]
        return obs


def picture_layout(leaf: LeafSpec) -> ImageLayout | None:
    """Return which axis of a leaf is which, or None where it is no picture.

    Pictures are the Boxes of bytes that `spaces.images` takes for ones, and every other Box of rank 3, whose channels
    come last.
    """
    is_box = isinstance(leaf.space, gym.spaces.Box)
    if leaf.image is not None or not is_box or len(leaf.element_shape) != 3 or not leaf.width:
        return leaf.image
    height, width, channels = leaf.element_shape
    return ImageLayout(height, width, channels)
