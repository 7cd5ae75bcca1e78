"""LSTM and GRU, in any framework.

Letters: N rows, F features, H width of the state; ∘ is the elementwise product, σ the sigmoid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from anyspace.maths.sequences import Resets, add_time_dimension
from anyspace.maths.xp import Array, xp
from anyspace.models.pure.activations import Function, sigmoid
from anyspace.models.pure.dense import Parameters

Step = Callable[[Array, list[Array]], tuple[Array, list[Array]]]
"""Features [N, F] and states -> what is remembered [N, H] and the new states."""

Mix = Callable[[Array, Array, list[Array]], tuple[list[Array], list[Array]]]
"""What the gates take of the features and of the state before, [N, gates * H] each, and states -> the new states, and
what their gradient is computed from."""

Unmix = Callable[[list[Array], list[Array]], tuple[Array, Array, list[Array | float]]]
"""What was kept, and gradients of the new states -> those of the other arguments of :data:`Mix`."""


@dataclass(frozen=True)
class RecurrentCell:
    """One step of a memory in parts: what takes no state can be computed for all steps at once."""

    of_input: Function
    """Features [..., F] -> what the gates take of them [..., gates * H]."""
    of_hidden: tuple[Array, Array | None]
    """Kernel [H, gates * H] and biases of what the gates take of the first state, what was remembered before."""
    mix: Mix
    unmix: Unmix

    def __call__(self, x: Array, state: list[Array]) -> tuple[Array, list[Array]]:
        """Take one step with features [N, F]."""
        new, _ = self.mix(self.of_input(x), _affine(state[0], *self.of_hidden), state)
        return new[0], new


def _affine(x: Array, kernel: Array, bias: Array | None) -> Array:
    return x @ kernel if bias is None else x @ kernel + bias


def lstm(p: Parameters, name: str) -> RecurrentCell:
    """Return an LSTM.

    (i, f, g, o) = W x + U h + b; c' = σ(f)∘c + σ(i)∘tanh(g); h' = σ(o)∘tanh(c').

    Its weights are those of ``torch.nn.LSTM``, gates in the same order: ``name.weight_ih_l0`` W [4 H, F],
    ``name.weight_hh_l0`` U [4 H, H], and two biases [4 H] whose sum is b. Its states are h and c, [N, H].

    Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997, with the forget gate of Gers et al., 2000.
    """
    of_input, of_hidden, input_bias, hidden_bias = _weights(p, name)
    ns, width, bias = xp(of_hidden), of_hidden.shape[0], input_bias + hidden_bias
    halved = ns.asarray(np.repeat(np.array([0.5, 0.5, 1, 0.5], np.float32), width), like=of_hidden)

    def mix(by_input: Array, by_hidden: Array, state: list[Array]) -> tuple[list[Array], list[Array]]:
        cell = state[1]
        # σ(x) = tanh(x / 2) / 2 + 1/2, so one tanh serves all four gates: [i/2, f/2, g, o/2].
        gates = ns.tanh((by_input + by_hidden) * halved)
        opened = gates[:, : 2 * width] * 0.5 + 0.5  # σ(i), σ(f)
        new = opened[:, width:] * cell + opened[:, :width] * gates[:, 2 * width : 3 * width]
        squashed = ns.tanh(new)
        return [(gates[:, 3 * width :] * 0.5 + 0.5) * squashed, new], [gates, cell, squashed]

    def unmix(kept: list[Array], back: list[Array]) -> tuple[Array, Array, list[Array | float]]:
        gates, cell, squashed = kept
        i, f, g, o = (gates[:, k * width : (k + 1) * width] for k in range(4))
        # With t = tanh(x / 2), σ'(x) = (1 - t²) / 4.
        of_cell = back[1] + back[0] * (o * 0.5 + 0.5) * (1.0 - squashed * squashed)
        of_gates = ns.concatenate(
            [
                of_cell * g * (1.0 - i * i) * 0.25,
                of_cell * cell * (1.0 - f * f) * 0.25,
                of_cell * (i * 0.5 + 0.5) * (1.0 - g * g),
                back[0] * squashed * (1.0 - o * o) * 0.25,
            ],
            axis=1,
        )
        return of_gates, of_gates, [0.0, of_cell * (f * 0.5 + 0.5)]

    return RecurrentCell(lambda x: x @ of_input + bias, (of_hidden, None), mix, unmix)


def gru(p: Parameters, name: str) -> RecurrentCell:
    """Return a GRU.

    (r, z, n) = W x + b and (r', z', n') = U h + d;
    ĥ = tanh(n + σ(r + r')∘n'); h' = (1 - σ(z + z'))∘ĥ + σ(z + z')∘h.

    Its weights are those of ``torch.nn.GRU``, gates in the same order: ``name.weight_ih_l0`` W [3 H, F],
    ``name.weight_hh_l0`` U [3 H, H], ``name.bias_ih_l0`` b and ``name.bias_hh_l0`` d [3 H]. Its state is h [N, H].

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014.
    """
    of_input, of_hidden, input_bias, hidden_bias = _weights(p, name)
    ns, width = xp(of_hidden), of_hidden.shape[0]

    def mix(by_input: Array, by_hidden: Array, state: list[Array]) -> tuple[list[Array], list[Array]]:
        (hidden,) = state
        opened = sigmoid(ns, by_input[:, : 2 * width] + by_hidden[:, : 2 * width])  # reset, update
        offered = by_hidden[:, 2 * width :]
        new = ns.tanh(by_input[:, 2 * width :] + opened[:, :width] * offered)
        return [new + opened[:, width:] * (hidden - new)], [opened, offered, new, hidden]

    def unmix(kept: list[Array], back: list[Array]) -> tuple[Array, Array, list[Array | float]]:
        opened, offered, new, hidden = kept
        reset, update = opened[:, :width], opened[:, width:]
        of_new = back[0] * (1.0 - update) * (1.0 - new * new)
        of_reset = of_new * offered * reset * (1.0 - reset)
        of_update = back[0] * (hidden - new) * update * (1.0 - update)
        of_input, of_hidden = (ns.concatenate([of_reset, of_update, last], axis=1) for last in (of_new, of_new * reset))
        return of_input, of_hidden, [back[0] * update]

    return RecurrentCell(lambda x: x @ of_input + input_bias, (of_hidden, hidden_bias), mix, unmix)


def _weights(p: Parameters, name: str) -> tuple[Array, Array, Array, Array]:
    """Return the kernels of inputs and states, [in, out], and the biases of both."""
    of_input, of_hidden = (p[f"{name}.weight_{part}_l0"] for part in ("ih", "hh"))
    ns = xp(of_input)
    return ns.swapaxes(of_input, 0, 1), ns.swapaxes(of_hidden, 0, 1), p[f"{name}.bias_ih_l0"], p[f"{name}.bias_hh_l0"]


def unrolled(
    cell: RecurrentCell, x: Array, state: list[Array], seq_lens: Array, resets: Resets | None = None
) -> tuple[Array, list[Array]]:
    """Run a memory over sequences, and return what is remembered [T, S, H] and the states after their last steps.

    Steps of padding leave the states as they are.

    Args:
        cell: one step.
        x: features [T, S, F], padded on the right.
        state: the states before each sequence, [S, H] each.
        seq_lens: [S] lengths.
        resets: where further sequences begin; None: nowhere.
    """
    gates = cell.of_input(x)
    ns = xp(gates)
    times, lens = (ns.astype(part, "int32") for part in (ns.arange(x.shape[0], like=gates), seq_lens))
    inside = times[:, None, None] < lens[:, None]  # [T, S, 1]
    begins = None if resets is None else add_time_dimension(resets.begins, seq_lens, time_major=True)
    kernel, bias = cell.of_hidden
    steps = _Steps(cell, inside, begins, [] if resets is None else resets.states)
    run = ns.with_gradient(steps.plain, steps.forward, steps.backward)
    remembered, *last = run(gates, kernel, *([] if bias is None else [bias]), *state)
    return remembered, last


@dataclass(frozen=True)
class _Steps:
    """All steps of a memory, one after the other, and their gradient.

    What is derived from a loop adds the gradient of the kernel up step by step, [H, gates * H] each time. Here the loop
    backward gives what comes back to the gates of each step, and one product of matrices makes the kernel's of all.
    """

    cell: RecurrentCell
    inside: Array
    """[T, S, 1] booleans: whether there is a step."""
    begins: Array | None
    """[T, S] which of `fresh` stands before a step; -1: the state after the step before."""
    fresh: list[Array]

    def plain(self, gates: Array, *others: Array) -> list[Array]:
        """Return what is remembered [T, S, H], and the last states, of gates, kernel, biases if any, and states."""
        return self._run(gates, others, keeps=False)[0]

    def forward(self, gates: Array, *others: Array) -> tuple[list[Array], list[Array]]:
        """Return the same, and what the gradient takes: the kernel, and of all steps what was kept of each."""
        found, kept = self._run(gates, others, keeps=True)
        return found, [others[0], *kept]

    def backward(self, kept: list[Array], back: list[Array]) -> list[Array]:
        """Return the gradients of gates, kernel, biases if any, and states."""
        kernel, before, *of_steps = kept
        ns = xp(kernel)
        transposed = ns.swapaxes(kernel, 0, 1)
        begins = [] if self.begins is None else [self.begins]

        def step(later: list[Array], inputs: list[Array]) -> tuple[list[Array], list[Array]]:
            of_output, inside, *rest = inputs
            later = [later[0] + of_output, *later[1:]]
            of_new = [ns.where(inside, one, 0.0) for one in later]
            of_gates, of_hidden, of_state = self.cell.unmix(rest[len(begins) :], of_new)
            own = [of_state[0] + of_hidden @ transposed, *of_state[1:]]
            own = [one + ns.where(inside, 0.0, past) for one, past in zip(own, later, strict=True)]
            if begins:
                own = [ns.where(rest[0][:, None] >= 0, 0.0, one) for one in own]
            return own, [of_gates] if of_hidden is of_gates else [of_gates, of_hidden]

        inputs = [back[0], self.inside, *begins, *of_steps]
        first, found = ns.scan(step, [*back[1:]], inputs, reverse=True)
        of_gates, of_hidden = found[0], found[-1]
        rows, width = of_hidden.shape[0] * of_hidden.shape[1], of_hidden.shape[2]
        of_hidden = ns.reshape(of_hidden, (rows, width))
        of_kernel = ns.swapaxes(ns.reshape(before, (rows, -1)), 0, 1) @ of_hidden
        of_bias = [] if self.cell.of_hidden[1] is None else [ns.sum(of_hidden, axis=0)]
        return [of_gates, of_kernel, *of_bias, *first]

    def _run(self, gates: Array, others: tuple[Array, ...], *, keeps: bool) -> tuple[list[Array], list[Array]]:
        ns, biased = xp(gates), self.cell.of_hidden[1] is not None
        kernel, bias, state = others[0], others[1] if biased else None, [*others[1 + biased :]]

        def step(state: list[Array], inputs: list[Array]) -> tuple[list[Array], list[Array]]:
            by_input, inside, *begin = inputs
            if begin:
                rows, here = ns.clip(begin[0], 0, None), begin[0][:, None] >= 0
                fresh = [ns.take_rows(one, rows) for one in self.fresh]
                state = [ns.where(here, one, other) for one, other in zip(fresh, state, strict=True)]
            new, kept = self.cell.mix(by_input, _affine(state[0], kernel, bias), state)
            after = [ns.where(inside, one, other) for one, other in zip(new, state, strict=True)]
            return after, [after[0], state[0], *kept] if keeps else [after[0]]

        begins = [] if self.begins is None else [self.begins]
        last, (remembered, *kept) = ns.scan(step, state, [gates, self.inside, *begins])
        return [remembered, *last], kept
