"""What the default models share: an encoder, linear logits and a linear value."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import gymnasium as gym

from anyspace.maths.xp import Array
from anyspace.models.architecture import outputs_of, with_log_std
from anyspace.models.config import completed
from anyspace.models.modelv2 import State
from anyspace.models.pure.base import ArrayModel
from anyspace.models.pure.dense import Dense, dense
from anyspace.models.pure.drawing import Drawing
from anyspace.models.pure.encoders import FeatureEncoder


class ActorCritic(ArrayModel):
    """Logits from the features of an encoder; the value from the same features, or from an encoder of its own.

    Of the configuration, `vf_share_layers`, `no_final_linear` and `free_log_std` are read here. The value is computed
    when it is asked for, so acting pays for the logits alone. With ``num_outputs=None`` there are neither logits nor a
    value: the output is the features, whose width becomes ``num_outputs``. Keys that ``model_config`` leaves out have
    their defaults.

    A subclass says what its encoders are and what they take of the observations.

    Attributes:
        encoder: what the policy sees -> features [N, F].
        logits: features -> logits; None where the features are the output.
        value_encoder: the value's own encoder; None where it reads the policy's features.
        value_head: features -> [N, 1]; None where the features are the output.
    """

    encoder: FeatureEncoder

    def __init__(
        self,
        obs_space: gym.Space[Any],
        action_space: gym.Space[Any],
        num_outputs: int | None,
        model_config: dict[str, Any],
        name: str = "default_model",
    ):
        config = completed(model_config)
        super().__init__(obs_space, action_space, num_outputs, config, name)
        self._encoded: Array | None = None
        self._seen: Any = None
        self._read_space(obs_space)
        draw = Drawing(self.framework, config)
        outputs, log_std = outputs_of(num_outputs, config)
        resized = outputs if config["no_final_linear"] else None
        self.encoder = self._new_encoder(draw, "encoder", resized)
        self.logits = draw.linear("logits", self.encoder.width, outputs, 0.01) if outputs and not resized else None
        self.value_encoder: FeatureEncoder | None = None
        self.value_head: Dense | None = None
        if outputs is None:
            self.num_outputs = self.encoder.width
        else:
            if not config["vf_share_layers"]:
                self.value_encoder = self._new_value_encoder(draw, "value_encoder")
            self.value_head = draw.linear("value_head", (self.value_encoder or self.encoder).width, 1, 0.01)
        if log_std:
            draw.value("log_std", [0.0] * log_std)
        self.adopt(draw.weights)

    @abstractmethod
    def _read_space(self, obs_space: gym.Space[Any]) -> None:
        """Keep what the encoders need to know of the observations; called before they are built."""

    @abstractmethod
    def _new_encoder(self, draw: Drawing, name: str, resized: int | None) -> FeatureEncoder:
        """Return the policy's encoder; ``resized``: its last layer is the output, of that width."""

    def _new_value_encoder(self, draw: Drawing, name: str) -> FeatureEncoder:
        """Return the value's own encoder; by default it is like the policy's."""
        return self._new_encoder(draw, name, None)

    @abstractmethod
    def _network_input(self, input_dict: dict[str, Any]) -> Any:
        """Return what the encoders take."""

    def forward(self, input_dict: dict[str, Any], state: State, seq_lens: Array | None) -> tuple[Array, State]:
        """Return ``(logits [N, num_outputs], state as it came)``."""
        observed = self._network_input(input_dict)
        features = self.encoder(self.weights, observed)
        self._keep("_encoded", features)
        self._keep("_seen", observed)
        output = features if self.logits is None else dense(self.weights, [self.logits])(features)
        return with_log_std(output, self.weights.get("log_std")), state

    def value_function(self) -> Array:
        """Return the value estimates [N] of the latest forward pass."""
        assert self.value_head is not None, (
            f"{type(self).__name__} was built for features (num_outputs=None) and has no value; what lies on top of the"
            " features is to estimate it"
        )
        assert self._encoded is not None, "value_function() refers to the latest forward pass; there is none"
        features = self._encoded if self.value_encoder is None else self.value_encoder(self.weights, self._seen)
        return dense(self.weights, [self.value_head])(features)[:, 0]
