"""The fully connected network: the default model of flat observations."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import torch

from anyspace.models.architecture import fully_connected, width_of_array
from anyspace.models.input_dict import of_network
from anyspace.models.torch.actor_critic import ActorCritic
from anyspace.models.torch.layers import DenseStack, configured_stack
from anyspace.models.torch.old_names import OldName
from anyspace.models.torch.old_views import appended_log_std, layer_of, layers_of


class FullyConnectedNetwork(ActorCritic):
    """Dense layers, then linear logits and a linear value; see :class:`ActorCritic`.

    The hidden sizes are ``fcnet_hiddens + post_fcnet_hiddens``, all with the activation of the first of them. With
    ``num_outputs=None`` the output is the last hidden layer.
    """

    _hidden_layers = OldName("encoder", layers_of)
    _logits = OldName("logits", layer_of)
    _value_branch_separate = OldName("value_encoder", layers_of)
    _value_branch = OldName("value_head", layer_of)
    _append_free_log_std = OldName("log_std", appended_log_std)
    _features = OldName("_encoded")
    _last_flat_in = OldName("_seen")

    def _read_space(self, obs_space: gym.Space[Any]) -> None:
        self._width_in = width_of_array(self, obs_space)

    def _policy_encoder(self, resized: int | None) -> tuple[DenseStack, int]:
        stacks = fully_connected(self._width_in, self.model_config, resized)
        layers = [layer for stack in stacks for layer in configured_stack(stack, self.model_config)]
        return DenseStack(*layers), stacks[-1].width

    def _network_input(self, input_dict: dict[str, Any]) -> torch.Tensor:
        flat: torch.Tensor = of_network(input_dict, "obs_flat")
        if flat.dim() != 2 or flat.dtype is not torch.float32:
            flat = flat.float().reshape(flat.shape[0], -1)
        return flat
