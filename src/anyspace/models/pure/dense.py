"""Dense layers and what they are made of.

Letters: N rows, F features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from anyspace.maths.xp import Array, xp
from anyspace.models.pure.activations import Activation, Function

Parameters = Mapping[str, Array]
"""The weights of a network by name, such as ``{"encoder.0.weight": [64, 4], "encoder.0.bias": [64]}``."""


class Dense(NamedTuple):
    """One dense layer: which weights it has, and what follows."""

    name: str
    """Its weights are ``name.weight`` [out, in] and ``name.bias`` [out]."""
    activation: Activation | None = None
    """Elementwise; None: the layer is linear."""
    bias: bool = True
    """Whether there are biases."""


def dense(p: Parameters, layers: Sequence[Dense]) -> Function:
    """Return dense layers in a row, [..., F] to [..., out].

    ``dense(p, [Dense("hidden", tanh), Dense("out", bias=False)])`` is
    ``x -> tanh(x @ p["hidden.weight"].T + p["hidden.bias"]) @ p["out.weight"].T``.
    """
    made = [_made(p, layer) for layer in layers]

    def forward(x: Array) -> Array:
        for kernel, bias, activation in made:
            x = x @ kernel if bias is None else x @ kernel + bias
            if activation is not None:
                x = activation(x)
        return x

    return forward


def _made(p: Parameters, layer: Dense) -> tuple[Array, Array | None, Function | None]:
    """Return a layer's kernel [in, out], its biases and its activation, each None where there is none."""
    weight = p[f"{layer.name}.weight"]
    ns = xp(weight)
    bias = p[f"{layer.name}.bias"] if layer.bias else None
    return ns.swapaxes(weight, 0, 1), bias, None if layer.activation is None else layer.activation(ns)
