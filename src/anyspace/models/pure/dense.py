"""Dense layers and what they are made of.

Letters: N rows, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from anyspace.maths.xp import Array, Namespace

Parameters = Mapping[str, Array]
"""The parameters of a network by name, such as ``{"encoder/0/kernel": [4, 64], "encoder/0/bias": [64]}``."""

Function = Callable[[Array], Array]
"""An array to an array: a network, or an elementwise function of the framework's own, such as ``numpy.tanh``."""


class Dense(NamedTuple):
    """One dense layer: which parameters it has, and what follows."""

    kernel: str
    """Name of the weights [in, out]."""
    bias: str | None = None
    """Name of the biases [out]; None: there are none."""
    activation: Function | None = None
    """Elementwise; None: the layer is linear."""


def dense(p: Parameters, layers: Sequence[Dense]) -> Function:
    """Return dense layers in a row, [N, F] to [N, out], in any framework.

    ``dense(p, [Dense("hidden/kernel", "hidden/bias", numpy.tanh), Dense("out/kernel")])`` is
    ``x -> tanh(x @ p["hidden/kernel"] + p["hidden/bias"]) @ p["out/kernel"]``.
    """
    made = [(p[kernel], None if bias is None else p[bias], activation) for kernel, bias, activation in layers]

    def forward(x: Array) -> Array:
        for kernel, bias, activation in made:
            x = x @ kernel if bias is None else x @ kernel + bias
            if activation is not None:
                x = activation(x)
        return x

    return forward


def sigmoid(ns: Namespace, x: Array) -> Array:
    """Return 1 / (1 + exp(-x)) as half of a tanh: σ(x) = tanh(x / 2) / 2 + 1/2, which never overflows."""
    return ns.tanh(x * 0.5) * 0.5 + 0.5
