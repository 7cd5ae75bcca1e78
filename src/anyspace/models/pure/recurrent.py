"""One step of an LSTM or a GRU, in any framework.

Letters: N rows, F features, H width of the state; ∘ is the elementwise product, σ the sigmoid.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from anyspace.maths.xp import Array, Namespace
from anyspace.models.pure.dense import Parameters, sigmoid

Step = Callable[[Array, list[Array]], tuple[Array, list[Array]]]
"""Features [N, F] and states -> what is remembered [N, H] and the new states."""


def lstm(ns: Namespace, p: Parameters, name: str) -> Step:
    """Return one step of an LSTM.

    (i, f, g, o) = x W + h U + b; c' = σ(f)∘c + σ(i)∘tanh(g); h' = σ(o)∘tanh(c').

    Its parameters are ``name/input`` W [F, 4 H], ``name/hidden`` U [H, 4 H] and ``name/bias`` b [4 H], its states
    h [N, H] and c [N, H]. The order of gates is that of ``torch.nn.LSTM``.

    Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997, with the forget gate of Gers et al., 2000.
    """
    of_input, of_hidden, bias = (p[f"{name}/{part}"] for part in ("input", "hidden", "bias"))
    width = of_hidden.shape[0]
    halved = ns.asarray(np.repeat(np.array([0.5, 0.5, 1, 0.5], np.float32), width), like=of_hidden)

    def step(x: Array, state: list[Array]) -> tuple[Array, list[Array]]:
        hidden, cell = state
        # σ(x) = tanh(x / 2) / 2 + 1/2, so one tanh serves all four gates: [i/2, f/2, g, o/2].
        gates = ns.tanh((x @ of_input + hidden @ of_hidden + bias) * halved)
        opened = gates[:, : 2 * width] * 0.5 + 0.5  # σ(i), σ(f)
        cell = opened[:, width:] * cell + opened[:, :width] * gates[:, 2 * width : 3 * width]
        hidden = (gates[:, 3 * width :] * 0.5 + 0.5) * ns.tanh(cell)
        return hidden, [hidden, cell]

    return step


def gru(ns: Namespace, p: Parameters, name: str) -> Step:
    """Return one step of a GRU.

    (r, z, n) = x W + b and (r', z', n') = h U + d;
    ĥ = tanh(n + σ(r + r')∘n'); h' = (1 - σ(z + z'))∘ĥ + σ(z + z')∘h.

    Its parameters are ``name/input`` W [F, 3 H], ``name/hidden`` U [H, 3 H], ``name/input_bias`` b [3 H] and
    ``name/hidden_bias`` d [3 H], its state h [N, H]. The order of gates is that of ``torch.nn.GRU``.

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014.
    """
    parts = ("input", "hidden", "input_bias", "hidden_bias")
    of_input, of_hidden, input_bias, hidden_bias = (p[f"{name}/{part}"] for part in parts)
    width = of_hidden.shape[0]

    def step(x: Array, state: list[Array]) -> tuple[Array, list[Array]]:
        (hidden,) = state
        by_input, by_hidden = x @ of_input + input_bias, hidden @ of_hidden + hidden_bias
        opened = sigmoid(ns, by_input[:, : 2 * width] + by_hidden[:, : 2 * width])  # reset, update
        new = ns.tanh(by_input[:, 2 * width :] + opened[:, :width] * by_hidden[:, 2 * width :])
        hidden = new + opened[:, width:] * (hidden - new)
        return hidden, [hidden]

    return step
