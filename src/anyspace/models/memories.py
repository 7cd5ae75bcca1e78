"""What memories share, in any framework: heads on what is remembered, and what a memory on top of a model is given."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import gymnasium as gym

from anyspace.maths.xp import Array, xp
from anyspace.models.config import completed
from anyspace.models.modelv2 import ModelV2, State
from anyspace.models.previous import PreviousFeatures
from anyspace.models.wrapping import OnModel, features_of, joined_views, require_base


class Remembering(ModelV2):
    """Linear logits and a linear value on what is remembered.

    With ``num_outputs=None`` there are no logits: the output is what is remembered.
    """

    _remembered: Array | None = None

    def heads(self, remembered: Array) -> Array:
        """Return the output [N, num_outputs] for what is remembered [N, width], and keep the latter for the value."""
        self._keep("_remembered", remembered)
        return self._output_of(remembered)

    def value_function(self) -> Array:
        """Return the value estimates [N] of the latest forward pass."""
        assert self._remembered is not None, "value_function() refers to the latest forward pass; there is none"
        return self._value_of(self._remembered)

    @abstractmethod
    def _output_of(self, remembered: Array) -> Array:
        """Return the output [N, num_outputs] for what is remembered [N, width]."""

    @abstractmethod
    def _value_of(self, remembered: Array) -> Array:
        """Return the values [N] of what is remembered [N, width]."""


class OnFeatures(OnModel, Remembering):
    """A memory on the features of a model without one, with heads on what it remembers.

    Subclasses implement :meth:`remember`, and `_add_memory`, which sets up the memory and the heads.

    Attributes:
        previous_keys: of the configuration; they say how many of the last actions, and of the last rewards, the memory
            is given.
        base: the model beneath, built for features; of the same framework.
        previous: encodes the last actions and rewards.
        width_in: how many features the memory is given in each step.

    Args:
        obs_space: as for every model.
        action_space: as for every model.
        num_outputs: as for every model.
        model_config: as for every model.
        name: as for every model.
        base: the model beneath, which the catalogue has built for features; it has no memory itself.

    Raises:
        ConfigError: there is no model beneath, or a size is out of range.
        ModelError: the model beneath is of another framework, or has a view of the name of one that the memory needs.
    """

    previous_keys: ClassVar[tuple[str, str]]
    previous: Any

    def __init__(
        self,
        obs_space: gym.Space[Any],
        action_space: gym.Space[Any],
        num_outputs: int | None,
        model_config: dict[str, Any],
        name: str = "default_model",
        *,
        base: ModelV2 | None = None,
    ):
        config = completed(model_config)
        super().__init__(obs_space, action_space, num_outputs, config, name)
        self.base = require_base(base, type(self), "`use_lstm`, `use_gru` or `use_attention`")
        actions, rewards = (int(config[key]) for key in self.previous_keys)
        nested = config["_disable_action_flattening"]
        previous = PreviousFeatures(action_space, actions=actions, rewards=rewards, nested=nested)
        self.previous = self._encoder_of(previous)
        assert self.base.num_outputs is not None, "the catalogue checks that the base says how wide its features are"
        self.width_in = self.base.num_outputs + previous.width
        self.view_requirements = joined_views(self.base, previous.view_requirements())
        self._add_memory()

    def _encoder_of(self, previous: PreviousFeatures) -> Callable[[dict[str, Any]], Array]:
        """Return what encodes the last actions and rewards, as the framework holds it."""
        return previous

    @abstractmethod
    def _add_memory(self) -> None:
        """Set up the memory on ``width_in`` features, and the heads on it; of the configuration all keys are there."""

    @abstractmethod
    def remember(
        self, features: Array, input_dict: dict[str, Any], state: State, seq_lens: Array | None
    ) -> tuple[Array, State]:
        """Return what is remembered in each row [N, width of the heads], and the new states.

        Args:
            features: [N, width_in].
            input_dict: as for ``forward``.
            state: as for ``forward``.
            seq_lens: as for ``forward``.
        """

    def forward(self, input_dict: dict[str, Any], state: State, seq_lens: Array | None) -> tuple[Array, State]:
        """Return ``(logits [N, num_outputs], new states)``."""
        features = features_of(self.base, input_dict, seq_lens)
        if self.previous.width:
            features = xp(features).concatenate([features, self.previous(input_dict)], axis=1)
        remembered, state_out = self.remember(features, input_dict, state, seq_lens)
        return self.heads(remembered), state_out
