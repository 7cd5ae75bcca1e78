"""What memories share, over arrays: the model beneath, the heads, and previous actions and rewards."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from anyspace.maths.xp import Array, xp
from anyspace.models.architecture import outputs_of
from anyspace.models.input_dict import InputDict
from anyspace.models.modelv2 import ModelV2, State
from anyspace.models.previous import PreviousFeatures
from anyspace.models.pure.acting import acting_memory
from anyspace.models.pure.actor_critic import with_outputs
from anyspace.models.pure.base import ArrayModel, in_numpy
from anyspace.models.pure.dense import Dense, dense
from anyspace.models.pure.drawing import Drawing
from anyspace.models.pure.recurrent import Step
from anyspace.models.runtime import CompiledForward, Floats
from anyspace.models.wrapping import OnModel, features_of, joined_views, require_base


class Remembering(ArrayModel):
    """Linear logits and a linear value on what is remembered.

    Subclasses call :meth:`add_heads` when they are built and :meth:`heads` when they are run. With
    ``num_outputs=None`` there are no logits: the output is what is remembered.
    """

    logits: Dense | None
    value_head: Dense

    def add_heads(self, draw: Drawing, width: int) -> None:
        """Put logits and a value on ``width`` features, weights Xavier uniform, biases zero."""
        outputs, self._log_std = outputs_of(self.num_outputs, self.model_config)
        self.logits = draw.xavier("logits", width, outputs, bias=True) if outputs else None
        self.num_outputs = self.num_outputs or width
        self.value_head = draw.xavier("value_head", width, 1, bias=True)
        if self._log_std:
            draw.value("log_std", [0.0] * self._log_std)
        self._remembered: Array | None = None

    def heads(self, remembered: Array) -> Array:
        """Return the output [N, num_outputs] for what is remembered [N, width], and keep the latter for the value."""
        self._keep("_remembered", remembered)
        return with_outputs(self.weights, remembered, self.logits, log_std=bool(self._log_std))

    def value_function(self) -> Array:
        """Return the value estimates [N] of the latest forward pass."""
        assert self._remembered is not None, "value_function() refers to the latest forward pass; there is none"
        return dense(self.weights, [self.value_head])(self._remembered)[:, 0]


class MemoryWrapper(OnModel, Remembering):
    """A memory on the features of a model without one, with linear logits and a linear value on what it remembers.

    Subclasses set the memory up, call :meth:`add_heads` and implement :meth:`remember`.

    Attributes:
        base: the model beneath, built for features; of the same framework, not necessarily over arrays.
        previous: encodes the last actions and rewards.
        width_in: how many features the memory is given in each step.

    Args:
        obs_space: as for every model.
        action_space: as for every model.
        num_outputs: as for every model.
        model_config: every key of the model configuration.
        name: as for every model.
        base: the model beneath, which the catalogue has built for features; it has no memory itself.
        prev_actions: how many of the last actions are fed to the memory.
        prev_rewards: how many of the last rewards are fed to the memory.

    Raises:
        ConfigError: there is no model beneath.
        ModelError: a view of the base has the name of one that the memory needs.
    """

    def __init__(
        self,
        obs_space: gym.Space[Any],
        action_space: gym.Space[Any],
        num_outputs: int | None,
        model_config: dict[str, Any],
        name: str,
        *,
        base: ModelV2 | None,
        prev_actions: int,
        prev_rewards: int,
    ):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.base = require_base(base, type(self), "`use_lstm`, `use_gru` or `use_attention`")
        nested = model_config["_disable_action_flattening"]
        self.previous = PreviousFeatures(action_space, actions=prev_actions, rewards=prev_rewards, nested=nested)
        assert self.base.num_outputs is not None, "the catalogue checks that the base says how wide its features are"
        self.width_in = self.base.num_outputs + self.previous.width
        self.view_requirements = joined_views(self.base, self.previous.view_requirements())

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
        raise NotImplementedError(f"{type(self).__name__} must implement remember()")

    def acting_step(self) -> Step | None:
        """Return one step of the memory in NumPy, made of weights once; None: there is none but :meth:`remember`."""
        return None

    def acting_pass(self) -> CompiledForward:
        """Return base, memory and heads alone, made once, where no derived class puts more around them."""
        kind, step = type(self), self.acting_step()
        own = kind.forward is not MemoryWrapper.forward or kind.action_inputs is not ModelV2.action_inputs
        if own or step is None or not isinstance(self.base, ArrayModel):
            return super().acting_pass()
        beneath, previous, p = self.base.acting_pass(), self.previous, in_numpy(self.weights)

        def features(inputs: InputDict) -> Floats:
            seen, _ = beneath(inputs, [])
            return np.concatenate([seen, previous(inputs)], axis=1) if previous.width else seen

        return acting_memory(features, step, dense(p, [self.logits] if self.logits else []), p.get("log_std"))

    def forward(self, input_dict: dict[str, Any], state: State, seq_lens: Array | None) -> tuple[Array, State]:
        """Return ``(logits [N, num_outputs], new states)``."""
        features = features_of(self.base, input_dict, seq_lens)
        if self.previous.width:
            features = xp(features).concatenate([features, self.previous(input_dict)], axis=1)
        remembered, state_out = self.remember(features, input_dict, state, seq_lens)
        return self.heads(remembered), state_out
