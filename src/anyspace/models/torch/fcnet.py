"""The fully connected network: the default model of flat observations (spec 5.2)."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import nn

from anyspace.errors import UnsupportedSpaceError
from anyspace.models.runtime import CompiledForward, NumpyArray
from anyspace.models.torch.actor_critic import ActorCritic
from anyspace.models.torch.layers import DenseStack, configured_stack


class FullyConnectedNetwork(ActorCritic):
    """Dense layers, then linear logits and a linear value; see :class:`ActorCritic`.

    The hidden sizes are ``fcnet_hiddens + post_fcnet_hiddens``, all with the activation of the first of them. With
    ``num_outputs=None`` the output is the last hidden layer.
    """

    encoder: DenseStack

    def __init__(
        self,
        obs_space: gym.Space[Any],
        action_space: gym.Space[Any],
        num_outputs: int | None,
        model_config: dict[str, Any],
        name: str = "default_model",
    ):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        if obs_space.shape is None:
            raise UnsupportedSpaceError(
                f"{type(self).__name__} takes observations that are one array, not {obs_space}."
            )
        self._width_in = math.prod(obs_space.shape)
        self._build()

    def _policy_encoder(self, resized: int | None) -> tuple[DenseStack, int]:
        config = dict(self.model_config)
        hiddens, post = [*config["fcnet_hiddens"]], [*config["post_fcnet_hiddens"]]
        if hiddens:
            config["post_fcnet_activation"] = config["fcnet_activation"]
        if resized:
            last = post if post or not hiddens else hiddens
            last[-1:] = [resized]
        layers = configured_stack(self._width_in, hiddens, config, "fcnet")
        widths = [self._width_in, *hiddens]
        post_layers = configured_stack(widths[-1], post, config, "post_fcnet")
        return DenseStack(*layers, *post_layers), [*widths, *post][-1]

    def _value_encoder(self) -> tuple[DenseStack, int]:
        return self._policy_encoder(None)

    def _observed(self, input_dict: dict[str, Any]) -> torch.Tensor:
        flat: torch.Tensor = input_dict["obs_flat"]
        if flat.dim() != 2 or flat.dtype is not torch.float32:
            flat = flat.float().reshape(flat.shape[0], -1)
        return flat

    def numpy_forward(self) -> CompiledForward | None:
        """Return :meth:`forward` as a NumPy function over the same weights; None for activations without a twin."""
        layers: list[nn.Module] = [*self.encoder, *([] if self.logits is None else [self.logits])]
        steps = [_numpy_twin(layer) for layer in layers]
        known = [step for step in steps if step is not None]
        if len(known) < len(steps):
            return None
        log_std = None if self.log_std is None else self.log_std.detach().numpy()

        def forward(x: NumpyArray) -> NumpyArray:
            # Observations near the largest float overflow as quietly as they do in PyTorch.
            with np.errstate(over="ignore", invalid="ignore"):
                for step in known:
                    x = step(x)
            if log_std is None:
                return x
            return np.concatenate([x, np.broadcast_to(log_std, (len(x), len(log_std)))], axis=1)

        return forward


def _numpy_twin(layer: nn.Module) -> CompiledForward | None:
    if isinstance(layer, nn.Linear):
        weight, bias = layer.weight.detach().numpy().T, layer.bias.detach().numpy()
        return lambda x: x @ weight + bias
    if isinstance(layer, nn.Tanh):
        return np.tanh
    if isinstance(layer, nn.ReLU):
        return lambda x: np.maximum(x, 0)
    return None
