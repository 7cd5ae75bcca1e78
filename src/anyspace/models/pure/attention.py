"""Models over arrays that remember by attention: GTrXL by itself, and on top of any model without memory.

Letters: N rows, S sequences of T steps each (N = S T), D width of the GTrXL.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from anyspace.maths.xp import Array
from anyspace.models.architecture import width_of_array
from anyspace.models.config import completed
from anyspace.models.gtrxl import GTrXLSizes
from anyspace.models.modelv2 import State
from anyspace.models.pure.dense import Parameters
from anyspace.models.pure.drawing import Drawing
from anyspace.models.pure.fcnet import flat_input
from anyspace.models.pure.gtrxl import GTrXL
from anyspace.models.pure.memory import MemoryWrapper, Remembering
from anyspace.models.pure.recurrent import Step
from anyspace.models.runtime import NumpyForward


class Attending(Remembering):
    """A GTrXL with linear logits and a linear value on its features.

    Attributes:
        gtrxl: the network.
    """

    def add_gtrxl(self, width_in: int, sizes: GTrXLSizes) -> None:
        """Put the network on ``width_in`` features, and the heads on it."""
        draw = Drawing(self.framework, self.model_config)
        self.gtrxl = GTrXL(draw, "gtrxl", width_in, sizes)
        self.add_heads(draw, sizes.attention_dim)
        self.adopt(draw.weights)
        self.view_requirements |= sizes.view_requirements()

    def acting_step(self, p: Parameters) -> Step:
        """Return one step of the GTrXL."""
        return self.gtrxl.step(p)

    def get_initial_state(self) -> State:
        """Return zeros of NumPy: [D] for each block and [1] for the number of steps."""
        return [np.zeros(width, np.float32) for width in self.gtrxl.sizes.state_widths]

    def attend(self, features: Array, input_dict: dict[str, Any], state: State) -> tuple[Array, State]:
        """Return ``(features [N, D], states of every row)``; see :meth:`GTrXL.__call__`."""
        training = bool(input_dict.get("is_training", False))
        return self.gtrxl(self.weights, features, state, training=training, time_major=self.is_time_major())


class GTrXLNet(Attending):
    """GTrXL on flat observations, as a ``custom_model`` (its keyword arguments go into ``custom_model_config``).

    With ``num_outputs=None`` there are no logits: the output is the features, ``attention_dim`` wide.

    Args:
        obs_space: as for every model; one array.
        action_space: as for every model.
        num_outputs: as for every model.
        model_config: as for every model; its `attention_` keys have no effect here.
        name: as for every model.
        sizes: the fields of :class:`GTrXLSizes`, such as ``attention_dim=32``.

    Raises:
        ConfigError: a size is out of range.
        UnsupportedSpaceError: observations are not one array (leave preprocessing on).
    """

    def __init__(
        self,
        obs_space: gym.Space[Any],
        action_space: gym.Space[Any],
        num_outputs: int | None,
        model_config: dict[str, Any],
        name: str = "default_model",
        **sizes: Any,
    ):
        super().__init__(obs_space, action_space, num_outputs, completed(model_config), name)
        self.add_gtrxl(width_of_array(self, obs_space), GTrXLSizes(**sizes))

    def forward_pass(self) -> NumpyForward:
        """Return the GTrXL and its logits alone, made once."""
        return self.acting_on(flat_input)

    def forward(self, input_dict: dict[str, Any], state: State, seq_lens: Array | None) -> tuple[Array, State]:
        """Return ``(logits [N, num_outputs], states of every row)``; see :meth:`GTrXL.__call__`."""
        features, state_out = self.attend(flat_input(input_dict), input_dict, state)
        return self.heads(features), state_out


class AttentionWrapper(MemoryWrapper, Attending):
    """GTrXL on the features of another model and, if asked for, on the last actions and rewards (`use_attention`).

    Raises:
        ConfigError: a size is out of range.
        ModelError: the model beneath has a state of its own, or does not say how wide its features are.
    """

    previous_keys = ("attention_use_n_prev_actions", "attention_use_n_prev_rewards")

    def _add_memory(self) -> None:
        self.add_gtrxl(self.width_in, GTrXLSizes.of(self.model_config))

    def remember(
        self, features: Array, input_dict: dict[str, Any], state: State, seq_lens: Array | None
    ) -> tuple[Array, State]:
        """Return ``(features [N, D], states of every row)``."""
        return self.attend(features, input_dict, state)
