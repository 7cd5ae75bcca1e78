"""The fully connected network: the default model of flat observations (spec 5.2)."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import nn

from anyspace.errors import ModelError, UnsupportedSpaceError
from anyspace.models.config import MODEL_DEFAULTS
from anyspace.models.modelv2 import State
from anyspace.models.runtime import CompiledForward, NumpyArray
from anyspace.models.torch.base import TorchModelV2
from anyspace.models.torch.layers import dense_stack, linear


class FullyConnectedNetwork(TorchModelV2):
    """Dense layers, then linear logits and a linear value.

    The hidden sizes are ``fcnet_hiddens + post_fcnet_hiddens``. The value is computed when it is asked for,
    so acting pays for the logits alone. With ``num_outputs=None`` there are no logits: the output is the
    last hidden layer, whose width becomes ``num_outputs``. Keys that ``model_config`` leaves out have their
    defaults.
    """

    def __init__(
        self,
        obs_space: gym.Space[Any],
        action_space: gym.Space[Any],
        num_outputs: int | None,
        model_config: dict[str, Any],
        name: str = "default_model",
    ):
        model_config = {**MODEL_DEFAULTS, **model_config}
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        if obs_space.shape is None:
            raise UnsupportedSpaceError(
                f"{type(self).__name__} takes observations that are one array, not {obs_space}."
            )
        width_in = math.prod(obs_space.shape)
        hiddens = [*model_config["fcnet_hiddens"], *model_config["post_fcnet_hiddens"]]
        first = "fcnet" if model_config["fcnet_hiddens"] else "post_fcnet"
        activation = model_config[f"{first}_activation"]
        outputs, self.log_std = self._split_log_std(num_outputs)

        resized = bool(model_config["no_final_linear"] and outputs)
        sizes = [*hiddens[:-1], outputs] if resized and outputs else hiddens
        self.encoder = dense_stack(width_in, sizes, activation)
        width = sizes[-1] if sizes else width_in
        self.logits = linear(width, outputs, 0.01) if outputs and not resized else None
        if not num_outputs:
            self.num_outputs = width

        self.value_encoder: nn.Sequential | None = None
        if not model_config["vf_share_layers"]:
            self.value_encoder = dense_stack(width_in, hiddens, activation)
            width = hiddens[-1] if hiddens else width_in
        self.value_head = linear(width, 1, 0.01)
        self._value_input: torch.Tensor | None = None

    def _split_log_std(self, num_outputs: int | None) -> tuple[int | None, nn.Parameter | None]:
        if not (self.model_config["free_log_std"] and num_outputs):
            return num_outputs, None
        if num_outputs % 2:
            raise ModelError(
                f"`free_log_std` needs an even number of outputs (means and log deviations), but the action"
                f" distribution takes {num_outputs}. Leave it off for this action space."
            )
        return num_outputs // 2, nn.Parameter(torch.zeros(num_outputs // 2))

    def forward(
        self, input_dict: dict[str, Any], state: State, seq_lens: torch.Tensor | None
    ) -> tuple[torch.Tensor, State]:
        """Return ``(logits [N, num_outputs], state as it came)``."""
        flat = input_dict["obs_flat"]
        if flat.dim() != 2 or flat.dtype is not torch.float32:
            flat = flat.float().reshape(flat.shape[0], -1)
        features = self.encoder(flat)
        # Past nn.Module.__setattr__, which would search its registries on every step of a rollout.
        self.__dict__["_value_input"] = features if self.value_encoder is None else flat
        output = features if self.logits is None else self.logits(features)
        if self.log_std is not None:
            output = torch.cat([output, self.log_std.expand(output.shape[0], -1)], dim=1)
        return output, state

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

    def value_function(self) -> torch.Tensor:
        """Return the value estimates [N] of the latest forward pass."""
        assert self._value_input is not None, "value_function() refers to the latest forward pass; there is none"
        features = self._value_input if self.value_encoder is None else self.value_encoder(self._value_input)
        value: torch.Tensor = self.value_head(features)
        return value.squeeze(1)


def _numpy_twin(layer: nn.Module) -> CompiledForward | None:
    if isinstance(layer, nn.Linear):
        weight, bias = layer.weight.detach().numpy().T, layer.bias.detach().numpy()
        return lambda x: x @ weight + bias
    if isinstance(layer, nn.Tanh):
        return np.tanh
    if isinstance(layer, nn.ReLU):
        return lambda x: np.maximum(x, 0)
    return None
