"""LSTM and GRU, in any framework.

Letters: N rows, F features, H width of the state; ∘ is the elementwise product, σ the sigmoid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from anyspace.maths.xp import Array, xp
from anyspace.models.pure.activations import Function, sigmoid
from anyspace.models.pure.dense import Parameters

Step = Callable[[Array, list[Array]], tuple[Array, list[Array]]]
"""Features [N, F] and states -> what is remembered [N, H] and the new states."""


@dataclass(frozen=True)
class Cell:
    """One step of a memory in two parts: what takes no state can be computed for all steps at once."""

    of_input: Function
    """Features [..., F] -> what the gates take of them [..., gates * H]."""
    step: Step
    """That of one step [N, gates * H], and states -> what is remembered [N, H] and the new states."""

    def __call__(self, x: Array, state: list[Array]) -> tuple[Array, list[Array]]:
        """Take one step with features [N, F]."""
        return self.step(self.of_input(x), state)


def lstm(p: Parameters, name: str) -> Cell:
    """Return an LSTM.

    (i, f, g, o) = W x + U h + b; c' = σ(f)∘c + σ(i)∘tanh(g); h' = σ(o)∘tanh(c').

    Its weights are those of ``torch.nn.LSTM``, gates in the same order: ``name.weight_ih_l0`` W [4 H, F],
    ``name.weight_hh_l0`` U [4 H, H], and two biases [4 H] whose sum is b. Its states are h and c, [N, H].

    Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997, with the forget gate of Gers et al., 2000.
    """
    of_input, of_hidden, input_bias, hidden_bias = _weights(p, name)
    ns, width, bias = xp(of_hidden), of_hidden.shape[0], input_bias + hidden_bias
    halved = ns.asarray(np.repeat(np.array([0.5, 0.5, 1, 0.5], np.float32), width), like=of_hidden)

    def step(gates: Array, state: list[Array]) -> tuple[Array, list[Array]]:
        hidden, cell = state
        # σ(x) = tanh(x / 2) / 2 + 1/2, so one tanh serves all four gates: [i/2, f/2, g, o/2].
        gates = ns.tanh((gates + hidden @ of_hidden) * halved)
        opened = gates[:, : 2 * width] * 0.5 + 0.5  # σ(i), σ(f)
        cell = opened[:, width:] * cell + opened[:, :width] * gates[:, 2 * width : 3 * width]
        hidden = (gates[:, 3 * width :] * 0.5 + 0.5) * ns.tanh(cell)
        return hidden, [hidden, cell]

    return Cell(lambda x: x @ of_input + bias, step)


def gru(p: Parameters, name: str) -> Cell:
    """Return a GRU.

    (r, z, n) = W x + b and (r', z', n') = U h + d;
    ĥ = tanh(n + σ(r + r')∘n'); h' = (1 - σ(z + z'))∘ĥ + σ(z + z')∘h.

    Its weights are those of ``torch.nn.GRU``, gates in the same order: ``name.weight_ih_l0`` W [3 H, F],
    ``name.weight_hh_l0`` U [3 H, H], ``name.bias_ih_l0`` b and ``name.bias_hh_l0`` d [3 H]. Its state is h [N, H].

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014.
    """
    of_input, of_hidden, input_bias, hidden_bias = _weights(p, name)
    ns, width = xp(of_hidden), of_hidden.shape[0]

    def step(by_input: Array, state: list[Array]) -> tuple[Array, list[Array]]:
        (hidden,) = state
        by_hidden = hidden @ of_hidden + hidden_bias
        opened = sigmoid(ns, by_input[:, : 2 * width] + by_hidden[:, : 2 * width])  # reset, update
        new = ns.tanh(by_input[:, 2 * width :] + opened[:, :width] * by_hidden[:, 2 * width :])
        hidden = new + opened[:, width:] * (hidden - new)
        return hidden, [hidden]

    return Cell(lambda x: x @ of_input + input_bias, step)


def _weights(p: Parameters, name: str) -> tuple[Array, Array, Array, Array]:
    """Return the kernels of inputs and states, [in, out], and the biases of both."""
    of_input, of_hidden = (p[f"{name}.weight_{part}_l0"] for part in ("ih", "hh"))
    ns = xp(of_input)
    return ns.swapaxes(of_input, 0, 1), ns.swapaxes(of_hidden, 0, 1), p[f"{name}.bias_ih_l0"], p[f"{name}.bias_hh_l0"]


def unrolled(cell: Cell, x: Array, state: list[Array], seq_lens: Array) -> tuple[Array, list[Array]]:
    """Run a memory over sequences, and return what is remembered [T, S, H] and the states after their last steps.

    Steps of padding leave the states as they are.

    Args:
        cell: one step.
        x: features [T, S, F], padded on the right.
        state: the states before each sequence, [S, H] each.
        seq_lens: [S] lengths.
    """
    gates = cell.of_input(x)
    ns = xp(gates)
    times, lens = (ns.astype(part, "int32") for part in (ns.arange(x.shape[0], like=gates), seq_lens))
    inside = times[:, None, None] < lens[:, None]  # [T, S, 1]

    def step(state: list[Array], inputs: list[Array]) -> tuple[list[Array], Array]:
        gates, inside = inputs
        _, new = cell.step(gates, state)
        kept = [ns.where(inside, after, before) for after, before in zip(new, state, strict=True)]
        return kept, kept[0]

    last, remembered = ns.scan(step, state, [gates, inside])
    return remembered, last
