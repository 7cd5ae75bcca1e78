"""The gates of a GTrXL. Parisotto et al. 2019, "Stabilizing transformers for reinforcement learning".

Letters: N rows, D width.
"""

from __future__ import annotations

from collections.abc import Callable

from anyspace.maths.xp import Array, xp
from anyspace.models.pure.activations import sigmoid
from anyspace.models.pure.dense import Parameters

Gate = Callable[[Array, Array], Array]
"""The skipped input h [N, D] and the output x [N, D] of what was skipped -> [N, D]."""


def gate(p: Parameters, name: str) -> Gate:
    """Return the gate that stands for a residual sum.

    r = σ(x W_r + h U_r); z = σ(x W_z + h U_z - b); ĥ = tanh(x W_h + (r∘h) U_h); out = h + z∘(ĥ - h).

    Its weights are ``name.of_input.weight`` (W_r, W_z, W_h below each other, [3 D, D]), ``name.of_skip.weight`` (U_r,
    U_z, [2 D, D]), ``name.of_reset.weight`` (U_h, [D, D]) and ``name.bias``, b [D].
    """
    ns, bias = xp(p[f"{name}.bias"]), p[f"{name}.bias"]
    of_input, of_skip, of_reset = (
        ns.swapaxes(p[f"{name}.{part}.weight"], 0, 1) for part in ("of_input", "of_skip", "of_reset")
    )
    dim, biases = bias.shape[0], ns.concatenate([bias * 0.0, bias])

    def forward(h: Array, x: Array) -> Array:
        by_input = x @ of_input
        opened = sigmoid(ns, by_input[:, : 2 * dim] + (h @ of_skip - biases))  # r, z
        candidate = ns.tanh(by_input[:, 2 * dim :] + (opened[:, :dim] * h) @ of_reset)
        return h + opened[:, dim:] * (candidate - h)

    return forward
