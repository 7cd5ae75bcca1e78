"""Recurrent models over arrays: the base class of custom ones, and LSTM or GRU on top of any model without memory.

Letters: N rows, S sequences of T steps each (N = S T), F features, H width of the memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anyspace.errors import ModelError
from anyspace.maths.sequences import Resets, add_time_dimension
from anyspace.maths.xp import Array, xp
from anyspace.models.input_dict import RESETS
from anyspace.models.modelv2 import ModelV2, State
from anyspace.models.pure.dense import Parameters
from anyspace.models.pure.drawing import Drawing
from anyspace.models.pure.memory import MemoryWrapper
from anyspace.models.pure.recurrent import RecurrentCell, gru, lstm, unrolled


class RecurrentNetwork(ModelV2):
    """Base of custom models with memory: implement :meth:`forward_rnn` and ``get_initial_state``."""

    def forward_rnn(self, inputs: Array, state: State, seq_lens: Array | None) -> tuple[Array, State]:
        """Return ``(output [S, T, num_outputs], the states after the last step)``.

        Args:
            inputs: flat observations [S, T, F], zero beyond a sequence's length. If `_time_major` is on they come as
                [T, S, F], and the output and the values follow the same order.
            state: the states before each sequence, [S, ...] each.
            seq_lens: [S] lengths; T is 1 and they are 1 when acting.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement forward_rnn(inputs, state, seq_lens)")

    def forward(self, input_dict: dict[str, Any], state: State, seq_lens: Array | None) -> tuple[Array, State]:
        """Give ``obs_flat`` [N, F] an axis of time, call :meth:`forward_rnn`, return ``(output [N, ...], states)``.

        Raises:
            ModelError: there are no states.
        """
        if not state:
            raise ModelError(
                f"{type(self).__name__} is a RecurrentNetwork without states, so nothing would be remembered: let"
                " get_initial_state() return those before an episode, one array each without a batch dimension. A model"
                " without memory derives from the base class of its framework, such as TorchModelV2."
            )
        flat = input_dict["obs_flat"]
        ns, count = xp(flat), flat.shape[0]
        rows = ns.reshape(ns.astype(flat, "float32"), (count, -1))
        inputs = add_time_dimension(rows, seq_lens, time_major=self.is_time_major())
        output, state_out = self.forward_rnn(inputs, state, seq_lens)
        return xp(output).reshape(output, (count, -1)), state_out


class RecurrentWrapper(MemoryWrapper):
    """LSTM (`use_lstm`) or GRU (`use_gru`) on another model's features and, if asked for, the last action and reward.

    Its states are zeros [H] before an episode: two for an LSTM (output, cell), one for a GRU. Steps of padding leave
    them as they are.
    """

    previous_keys = ("lstm_use_prev_action", "lstm_use_prev_reward")

    def _add_memory(self) -> None:
        self.cell_size = int(self.model_config["lstm_cell_size"])
        draw = Drawing(self.framework, self.model_config)
        draw.recurrent("rnn", self.width_in, self.cell_size, gates=3 if self.model_config["use_gru"] else 4)
        self.add_heads(draw, self.cell_size)
        self.adopt(draw.weights)

    def packs_sequences(self) -> bool:
        """Say yes where nothing of a user's gets to see the lanes."""
        return self.model_config["custom_model"] is None and not self.has_custom_loss()

    def acting_step(self, p: Parameters) -> RecurrentCell:
        """Return the cell."""
        return (gru if self.model_config["use_gru"] else lstm)(p, "rnn")

    def get_initial_state(self) -> State:
        """Return zeros [H] of NumPy, two for an LSTM and one for a GRU."""
        return [np.zeros(self.cell_size, np.float32) for _ in range(1 if self.model_config["use_gru"] else 2)]

    def remember(
        self, features: Array, input_dict: dict[str, Any], state: State, seq_lens: Array | None
    ) -> tuple[Array, State]:
        """Return ``(output [N, H], the states after each sequence's last step)``."""
        assert seq_lens is not None, f"{type(self).__name__}.forward() needs seq_lens, the length of each sequence"
        cell = self.acting_step(self.weights)
        count, ns = features.shape[0], xp(features)
        if count == seq_lens.shape[0]:
            return cell(features, state)
        inputs = add_time_dimension(features, seq_lens, time_major=True)  # [T, S, F]
        resets = Resets(**input_dict[RESETS]) if RESETS in input_dict else None
        output, new = unrolled(cell, inputs, state, seq_lens, resets)
        return ns.reshape(output if self.is_time_major() else ns.swapaxes(output, 0, 1), (count, -1)), new
