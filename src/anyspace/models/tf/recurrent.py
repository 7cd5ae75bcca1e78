"""The base class of custom models with memory on TensorFlow.

Letters: N rows, S sequences of T steps each (N = S T), F features.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from anyspace.maths.xp import Array
from anyspace.models.modelv2 import State
from anyspace.models.tf.base import TFModelV2


class RecurrentNetwork(TFModelV2):
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
        """Give ``obs_flat`` [N, F] an axis of time, call :meth:`forward_rnn`, return ``(output [N, ...], states)``."""
        flat = tf.cast(input_dict["obs_flat"], tf.float32)
        inputs = add_time_dimension(flat, seq_lens, time_major=self.is_time_major())
        output, state_out = self.forward_rnn(inputs, state, seq_lens)
        return tf.reshape(output, [-1, output.shape[-1]]), state_out


def add_time_dimension(rows: Array, seq_lens: Array | None, *, time_major: bool = False) -> Array:
    """Return padded rows [N, ...] as [S, T, ...], or [T, S, ...] if ``time_major``.

    Args:
        rows: sequence after sequence.
        seq_lens: [S] lengths; None: every row is a sequence.
        time_major: the order of the two axes.
    """
    sequences = rows.shape[0] if seq_lens is None else seq_lens.shape[0]
    by_sequence = tf.reshape(rows, [sequences, -1, *rows.shape[1:]])
    if not time_major:
        return by_sequence
    return tf.transpose(by_sequence, [1, 0, *range(2, len(by_sequence.shape))])
