"""The masked network by which the parts of an action depend on the parts before them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.nn.functional import linear as affine

from anyspace.maths.xp import Array
from anyspace.models.config import ModelConfig
from anyspace.models.masked_network import OUTPUT_SCALE, MaskedNetwork, sizes_for
from anyspace.models.modelv2 import ModelV2
from anyspace.models.torch.initializers import normc_
from anyspace.models.torch.layers import Tanh, linear


class MaskedActionNetwork(nn.Module):
    """Parameters of all parts of an action, each made from the context and the encodings of the parts before it.

    Tensors give a tensor. NumPy arrays give an array, computed from the same weights, which have to be on the CPU then.

    Args:
        context: Width C of the context.
        encodings: How many numbers encode each part, E together.
        parameters: How many numbers the distribution of each part takes, P together.
    """

    def __init__(self, context: int, encodings: Sequence[int], parameters: Sequence[int]):
        super().__init__()
        masked = MaskedNetwork.of(context, encodings, parameters)
        self.context = linear(masked.context, masked.hidden, 1.0)
        self.actions = _MaskedWeight(torch.from_numpy(masked.of_actions), 1.0)
        self.activation = Tanh()
        self.output = _MaskedWeight(torch.from_numpy(masked.of_output), OUTPUT_SCALE)
        self.bias = nn.Parameter(torch.zeros(len(masked.of_output)))

    def forward(self, context: Array, encoded: Array) -> Array:
        """Return the parameters ``[..., B, P]`` for contexts ``[B, C]`` and encoded actions ``[..., B, E]``."""
        if isinstance(context, np.ndarray):
            return self._in_numpy(context, encoded)
        # A model beneath may compute in float64.
        context, encoded = context.to(self.bias.dtype), encoded.to(self.bias.dtype)
        hidden = self.activation(self.context(context) + affine(encoded, self.actions()))
        return affine(hidden, self.output(), self.bias)

    def _in_numpy(self, context: Array, encoded: Array) -> Array:
        weights = (self.context.weight, self.context.bias, self.actions(), self.output(), self.bias)
        first, shift, actions, last, bias = (weight.detach().numpy() for weight in weights)
        hidden = self.activation(torch.from_numpy(context @ first.T + shift + encoded @ actions.T))
        return hidden.detach().numpy() @ last.T + bias


class _MaskedWeight(nn.Module):
    """A weight ``[out, in]`` that is 0 wherever ``mask`` is False; what each output sees starts at norm ``scale``."""

    mask: torch.Tensor

    def __init__(self, mask: torch.Tensor, scale: float):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(mask.shape))
        normc_(self.weight, 1.0)
        # Not saved in checkpoints: it follows from the sizes.
        self.register_buffer("mask", mask.to(self.weight.dtype), persistent=False)
        with torch.no_grad():
            norms = (self.weight * self.mask).norm(dim=1, keepdim=True)
            self.weight.mul_(scale / norms.clamp(min=torch.finfo(norms.dtype).tiny))

    def forward(self) -> torch.Tensor:
        return self.weight * self.mask


def attach_action_network(model: ModelV2, action_space: gym.Space[Any], config: ModelConfig) -> None:
    """Give a model the `MaskedActionNetwork` of an action space as ``action_network``, if it has none.

    Args:
        model: a PyTorch model that is built already; its ``num_outputs`` is the width of the context.
        action_space: the environment's, of two parts or more.
        config: the model configuration.

    Raises:
        ModelError: the model does not say how wide its output is.
        ConfigError: the actions have one part alone.
    """
    # A model that is no module is refused when it is placed on a device.
    if not isinstance(model, nn.Module) or getattr(model, "action_network", None) is not None:
        return
    model.add_module("action_network", MaskedActionNetwork(*sizes_for(model, action_space, config)))
