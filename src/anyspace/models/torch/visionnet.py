"""The vision network: the default model of pictures."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import torch
from torch import nn

from anyspace.models.input_dict import of_network
from anyspace.models.pictures import Convolutions, channels_last, filters_of, layout_of, vision
from anyspace.models.torch.actor_critic import ActorCritic
from anyspace.models.torch.convolution import ConvolutionStack
from anyspace.models.torch.layers import DenseStack, configured_stack
from anyspace.models.torch.old_names import OldName
from anyspace.models.torch.old_views import (
    OnChannelsFirst,
    OnPixel,
    PixelLayer,
    convolutions_of,
    flat,
    layer_of,
    pixel_layer,
)


def _convolutions(model: VisionNetwork, encoder: nn.Module) -> nn.Module:
    """Return the convolutions for pictures [N, C, H, W], and what follows them before the logits."""
    if isinstance(encoder, OnChannelsFirst):
        return encoder.module
    assert isinstance(encoder, nn.Sequential)
    convolutions, *post = encoder
    assert isinstance(convolutions, ConvolutionStack)
    return convolutions_of(convolutions, *([] if model._ends_in_a_pixel else flat(post)))


class _OwnValue(OldName):
    """The value's own encoder and head in one: pictures [N, C, H, W] -> [N, 1, 1, 1]."""

    def __get__(self, model: Any, owner: type | None = None) -> Any:
        if model is None:
            return self
        encoder = model.value_encoder
        if encoder is None or isinstance(encoder, OnChannelsFirst):
            return encoder and encoder.module
        return convolutions_of(encoder, *([PixelLayer(model.value_head)]))

    def __set__(self, model: Any, value: Any) -> None:
        model.value_encoder = None if value is None else OnChannelsFirst(value, model._layout)
        if value is not None:
            model.value_head = nn.Identity()


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

    _convs = OldName("encoder", _convolutions, lambda model, given: OnChannelsFirst(given, model._layout))
    _logits = OldName("logits", lambda model, layer: pixel_layer(layer, model._ends_in_a_pixel), OnPixel.of)
    _value_branch = OldName("value_head", lambda model, layer: None if model.value_encoder else layer_of(model, layer))
    _value_branch_separate = _OwnValue("value_encoder")

    @property
    def _features(self) -> torch.Tensor | None:
        """What the value reads: pictures [N, C, H, W] where it has an encoder of its own, else features."""
        if self._given is not None or self._encoded is None:
            return self._given
        if self.value_encoder is not None:
            seen: torch.Tensor = channels_last(self._seen, self._layout).permute(0, 3, 1, 2)
            return seen
        return self._encoded[:, :, None, None] if self._ends_in_a_pixel else self._encoded

    @_features.setter
    def _features(self, features: torch.Tensor | None) -> None:
        self._keep("_given", features)

    def _hidden_layers(self, obs: torch.Tensor) -> torch.Tensor:
        """Return the features [N, F] of pictures [N, H, W, C]."""
        features: torch.Tensor = self._convs(obs.permute(0, 3, 1, 2))
        return features.flatten(1)

    def value_function(self) -> torch.Tensor:
        """Return the value estimates [N] of the latest forward pass."""
        if self._given is None:
            return super().value_function()
        if self.value_encoder is not None:
            value: torch.Tensor = self._value_branch_separate(self._given)
        else:
            assert self.value_head is not None
            value = self.value_head(self._given.flatten(1))
        return value.flatten()

    @property
    def _ends_in_a_pixel(self) -> bool:
        """Whether the heads follow on convolutions: features then are [N, C, 1, 1] under their old name."""
        return not self.model_config["post_fcnet_hiddens"] and not self.last_layer_is_flattened

    def _read_space(self, obs_space: gym.Space[Any]) -> None:
        self._layout = layout_of(self, obs_space)
        self.last_layer_is_flattened = not self.num_outputs

    def _policy_encoder(self, resized: int | None) -> tuple[nn.Module, int]:
        placed, post = vision(self._layout, self.model_config, self.num_outputs, resized)
        convolutions = ConvolutionStack(placed, self.model_config)
        return DenseStack(convolutions, *configured_stack(post, self.model_config)), post.width

    def _value_encoder(self) -> tuple[nn.Module, int]:
        placed = Convolutions.of(self._layout, filters_of(self.model_config, self._layout))
        return ConvolutionStack(placed, self.model_config), placed.width

    def _network_input(self, input_dict: dict[str, Any]) -> torch.Tensor:
        obs: torch.Tensor = of_network(input_dict, "obs")
        return obs
