"""Recurrent models: the base class of custom ones, and LSTM or GRU on top of any model without memory.

Letters: N rows, S sequences of T steps each (N = S T), F features, H width of the memory.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from anyspace.maths.sequences import add_time_dimension
from anyspace.models.modelv2 import State
from anyspace.models.pure import recurrent_models
from anyspace.models.torch.base import TorchModelV2
from anyspace.models.torch.initializers import initializer_of
from anyspace.models.torch.layers import has_hooks
from anyspace.models.torch.memory import MemoryWrapper
from anyspace.models.torch.old_names import OldName

_CLOSED = 1e4
"""Added to a gate's input it opens the gate, subtracted it closes it, exactly: a float32 sigmoid is then 1 or 0."""


def is_plain(rnn: nn.Module) -> bool:
    """Return whether a memory is one layer of nn.LSTM or nn.GRU, whose weights may be used without calling it."""
    if type(rnn) not in (nn.LSTM, nn.GRU) or has_hooks(rnn):
        return False
    assert isinstance(rnn, nn.RNNBase)
    return rnn.num_layers == 1 and rnn.bias and not rnn.bidirectional and not rnn.proj_size


class RecurrentNetwork(recurrent_models.RecurrentNetwork, TorchModelV2):
    """Base of custom models with memory: implement :meth:`forward_rnn` and ``get_initial_state``."""


class RecurrentWrapper(MemoryWrapper):
    """LSTM (`use_lstm`) or GRU (`use_gru`) on another model's features and, if asked for, the last action and reward.

    Its states are zeros [H] before an episode: two for an LSTM (output, cell), one for a GRU. Steps of padding leave
    them as they are.

    The memory `rnn`, one layer of nn.LSTM or nn.GRU, may be replaced by a module that is called like one, as
    ``rnn(x, (output, cell))``; its attribute ``batch_first`` says whether x is [S, T, F] or, by default, [T, S, F].
    Such a module, and one with hooks, runs over padding too: the states that come back of a shorter sequence are those
    after its padding, which training does not use.
    """

    lstm = OldName("rnn")

    previous_keys = ("lstm_use_prev_action", "lstm_use_prev_reward")

    def _add_memory(self) -> None:
        config = self.model_config
        build = nn.GRU if config["use_gru"] else nn.LSTM
        self.cell_size = int(config["lstm_cell_size"])
        self.use_prev_action, self.use_prev_reward = config["lstm_use_prev_action"], config["lstm_use_prev_reward"]
        self.rnn: nn.Module = build(self.width_in, self.cell_size)
        for key, parameters in (
            ("lstm_weights_initializer", self._weights()[:2]),
            ("lstm_bias_initializer", self._weights()[2:]),
        ):
            if (initializer := initializer_of(config, key)) is not None:
                for parameter in parameters:
                    initializer(parameter)
        self.add_heads(config["lstm_cell_size"])

    def _weights(self) -> list[torch.Tensor]:
        """Return the weights of inputs and states, and the biases of both."""
        return list(self.rnn.parameters())

    def get_initial_state(self) -> State:
        """Return zeros [H], two for an LSTM and one for a GRU."""
        zeros = self._weights()[0].new_zeros(self.cell_size)
        return [zeros] if self.model_config["use_gru"] else [zeros, zeros.clone()]

    def remember(
        self, features: torch.Tensor, input_dict: dict[str, Any], state: State, seq_lens: torch.Tensor | None
    ) -> tuple[torch.Tensor, State]:
        """Return ``(output [N, H], the states after each sequence's last step)``; see the class for other modules."""
        assert seq_lens is not None, f"{type(self).__name__}.forward() needs seq_lens, the length of each sequence"
        plain = is_plain(self.rnn)
        if plain:  # a model beneath may compute in float64
            features = features.to(self._weights()[0].dtype)
        if plain and len(features) == len(seq_lens):
            return self._step(features, state)
        inputs = add_time_dimension(features, seq_lens, time_major=True)  # [T, S, F]
        output, new = self._unroll(inputs, state, seq_lens) if plain else self._called(inputs, state)
        return (output if self.is_time_major() else output.transpose(0, 1)).reshape(len(features), -1), new

    def _called(self, x: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """Run a module that took the place of the memory, or that has hooks, over [T, S, F], padding included."""
        swaps = bool(getattr(self.rnn, "batch_first", False))
        before = [part[None].contiguous() for part in state]
        output, after = self.rnn(x.transpose(0, 1) if swaps else x, before[0] if len(before) == 1 else tuple(before))
        parts = [after] if isinstance(after, torch.Tensor) else list(after)
        return output.transpose(0, 1) if swaps else output, [part[0] if part.dim() == 3 else part for part in parts]

    def _step(self, x: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        # One step of nn.LSTM costs several times as much.
        weights = self._weights()
        if isinstance(self.rnn, nn.GRU):
            hidden = torch.gru_cell(x, state[0], *weights)
            return hidden, [hidden]
        hidden, cell = torch.lstm_cell(x, (state[0], state[1]), *weights)
        return hidden, [hidden, cell]

    def _unroll(self, x: torch.Tensor, state: State, seq_lens: torch.Tensor) -> tuple[torch.Tensor, State]:
        """Run over [T, S, F] at once, and keep the states of sequences that ended."""
        before = [part[None].contiguous() for part in state]
        padding = torch.arange(len(x), device=x.device)[:, None] >= seq_lens  # [T, S]
        weights = self._weights()
        if padded := bool(padding.any()):
            # One more input is 1 where there is padding, with weights that close and open gates so that the state
            # stays as it is; packing would cost several times as much.
            x = torch.cat([x, padding[..., None].to(x.dtype)], dim=2)
            weights[0] = torch.cat([weights[0], self._shutters()[:, None]], dim=1)
        modes = (True, 1, 0.0, self.training, False, False)
        if isinstance(self.rnn, nn.GRU):
            output, hidden = torch.gru(x, before[0], weights, *modes)
            return output, [hidden[0]]
        output, hidden, cell = torch.lstm(x, before, weights, *modes)
        if padded:
            last = (seq_lens.long() - 1).expand(1, -1)[..., None].expand(-1, -1, output.shape[2])
            hidden = output.gather(0, last)
        return output, [hidden[0], cell[0]]

    def _shutters(self) -> torch.Tensor:
        """Return the weights [gates * H] of the input that marks padding: they leave the state as it is.

        An LSTM has c' = f∘c + i∘g: input gates close (i = 0), forget gates open (f = 1). A GRU has h' = (1-z)∘n + z∘h:
        update gates open (z = 1).
        """
        off = self._weights()[0].new_zeros(self.cell_size)
        if isinstance(self.rnn, nn.GRU):  # reset, update, new
            return torch.cat([off, off + _CLOSED, off])
        return torch.cat([off - _CLOSED, off + _CLOSED, off, off])  # input, forget, cell, output
