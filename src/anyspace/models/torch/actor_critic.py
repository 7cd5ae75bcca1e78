"""What the default models share: an encoder, linear logits and a linear value."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import gymnasium as gym
import torch
from torch import nn

from anyspace.models.architecture import with_log_std
from anyspace.models.config import completed
from anyspace.models.modelv2 import State
from anyspace.models.torch.base import TorchModelV2
from anyspace.models.torch.layers import free_log_std, linear


class ActorCritic(TorchModelV2):
    """Logits from the features of an encoder; the value from the same features, or from an encoder of its own.

    Of the configuration, `vf_share_layers`, `no_final_linear` and `free_log_std` are read here. The value is
    computed when it is asked for, so acting pays for the logits alone. With ``num_outputs=None`` there are neither
    logits nor a value: the output is the features, whose width becomes ``num_outputs``. Keys that ``model_config``
    leaves out have their defaults.

    A subclass says what its encoders are and what they take of the observations.

    Attributes:
        encoder: what the policy sees -> features [N, F].
        logits: features -> logits; None where the features are the output.
        value_encoder: the value's own encoder; None where it reads the policy's features.
        value_head: features -> [N, 1]; None where the features are the output.
        log_std: the second half of the outputs where `free_log_std` is on, else None.
        vf_share_layers: whether the value reads the policy's features.
        free_log_std: whether the second half of the outputs is `log_std`.
    """

    encoder: nn.Module
    logits: nn.Module | None
    value_encoder: nn.Module | None
    value_head: nn.Module | None

    def __init__(
        self,
        obs_space: gym.Space[Any],
        action_space: gym.Space[Any],
        num_outputs: int | None,
        model_config: dict[str, Any],
        name: str = "default_model",
    ):
        super().__init__(obs_space, action_space, num_outputs, completed(model_config), name)
        self.log_std: nn.Parameter | None = None
        self._encoded: torch.Tensor | None = None
        self._seen: Any = None
        self._given: torch.Tensor | None = None
        """What a sub-class keeps of its own forward pass under an old name; None: the latest pass was the one here."""
        self._read_space(obs_space)
        self._build_network()
        self.vf_share_layers, self.free_log_std = self.value_encoder is None, self.log_std is not None
        self._parts_are_built = True

    @abstractmethod
    def _read_space(self, obs_space: gym.Space[Any]) -> None:
        """Keep what the encoders need to know of the observations; called before they are built."""

    @abstractmethod
    def _policy_encoder(self, resized: int | None) -> tuple[nn.Module, int]:
        """Return the policy's encoder and F; ``resized``: its last layer is the output, of that width."""

    def _value_encoder(self) -> tuple[nn.Module, int]:
        """Return the value's own encoder and F; by default it is like the policy's."""
        return self._policy_encoder(None)

    @abstractmethod
    def _network_input(self, input_dict: dict[str, Any]) -> Any:
        """Return what the encoders take."""

    def _build_network(self) -> None:
        config = self.model_config
        outputs, self.log_std = free_log_std(self.num_outputs, config)
        resized = outputs if config["no_final_linear"] and outputs else None
        self.encoder, width = self._policy_encoder(resized)
        self.logits = linear(width, outputs, 0.01) if outputs and not resized else None
        self.value_encoder = self.value_head = None
        if not outputs:
            self.num_outputs = width
            return
        if not config["vf_share_layers"]:
            self.value_encoder, width = self._value_encoder()
        self.value_head = linear(width, 1, 0.01)

    def forward(
        self, input_dict: dict[str, Any], state: State, seq_lens: torch.Tensor | None
    ) -> tuple[torch.Tensor, State]:
        """Return ``(logits [N, num_outputs], state as it came)``."""
        observed = self._network_input(input_dict)
        features = self.encoder(observed)
        self._keep("_encoded", features)
        self._keep("_seen", observed)
        self._keep("_given", None)
        log_std = self.log_std if self.free_log_std else None
        return with_log_std(features if self.logits is None else self.logits(features), log_std), state

    def value_function(self) -> torch.Tensor:
        """Return the value estimates [N] of the latest forward pass."""
        assert self.value_head is not None, (
            f"{type(self).__name__} was built for features (num_outputs=None) and has no value; what lies on top of the"
            " features is to estimate it"
        )
        assert self._value_input is not None, "value_function() refers to the latest forward pass; there is none"
        features = self._value_input if self.value_encoder is None else self.value_encoder(self._value_input)
        value: torch.Tensor = self.value_head(features)
        return value.squeeze(1)

    @property
    def _value_input(self) -> Any:
        """What the value reads of the latest forward pass: the policy's features, or what the encoders took."""
        return self._encoded if self.value_encoder is None else self._seen
