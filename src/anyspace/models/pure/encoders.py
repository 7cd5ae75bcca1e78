"""Encoders: from what a model sees, or part of it, to features.

Letters: N rows, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from anyspace.maths.xp import Array, xp
from anyspace.models.architecture import Stack
from anyspace.models.pictures import Convolutions, channels_last
from anyspace.models.pure.activations import activation
from anyspace.models.pure.dense import Parameters, dense
from anyspace.models.pure.drawing import Drawing
from anyspace.tree import Tree


class FeatureEncoder(Protocol):
    """Maps part of an observation, restored to its structure, to features [N, F]; it knows its weights by name."""

    width: int
    """F."""

    def __call__(self, p: Parameters, x: Tree) -> Array:
        """Return the features of ``x`` under weights ``p``."""


class DenseStack:
    """Dense layers on a vector [N, width_in].

    Args:
        draw: draws the weights.
        name: of the row of layers.
        stacks: the layers, at least one stack, which may be empty.
        first: the place of the first layer in the row.
    """

    def __init__(self, draw: Drawing, name: str, stacks: Sequence[Stack], first: int = 0):
        self.layers = draw.stacks(name, stacks, first)
        self.width = stacks[-1].width

    def __call__(self, p: Parameters, x: Array) -> Array:
        """Return [N, F]."""
        return dense(p, self.layers)(x)


class Row:
    """An encoder and dense layers behind it: the first and the others of a row.

    Args:
        draw: draws the weights of the layers.
        name: of the row; the encoder's is ``name.0``.
        encoder: comes first.
        stack: the layers.
    """

    def __init__(self, draw: Drawing, name: str, encoder: FeatureEncoder, stack: Stack):
        self.encoder, self.dense, self.width = encoder, DenseStack(draw, name, [stack], first=1), stack.width

    def __call__(self, p: Parameters, x: Tree) -> Array:
        """Return [N, F]."""
        return self.dense(p, self.encoder(p, x))


class ConvolutionStack:
    """Convolutions, each followed by `conv_activation`: pictures of any layout -> features [N, F].

    Args:
        draw: draws the weights.
        name: of the row of layers.
        placed: the convolutions.
    """

    def __init__(self, draw: Drawing, name: str, placed: Convolutions):
        self.placed, self.width = placed, placed.width
        self._activation = activation(draw.config["conv_activation"], draw.framework)
        apart = 1 if self._activation is None else 2
        self._layers = [(f"{name}.{apart * place}", layer) for place, layer in enumerate(placed.layers)]
        for of, layer in self._layers:
            draw.convolution(of, layer)

    def __call__(self, p: Parameters, x: Array) -> Array:
        """Return the features [N, F] of pictures in the environment's own order of axes, of any dtype."""
        x = channels_last(x, self.placed.layout)
        ns, count = xp(x), x.shape[0]
        activate = None if self._activation is None else self._activation(ns)
        for name, layer in self._layers:
            kernels, bias = p[f"{name}.weight"], p[f"{name}.bias"]
            if layer.covers_all:
                flat = ns.reshape(x, (count, -1)) @ ns.swapaxes(ns.reshape(kernels, (kernels.shape[0], -1)), 0, 1)
                x = flat[:, None, None]
            else:
                x = ns.convolve(x, kernels, layer.filter.stride, layer.padding)
            x = x + bias if activate is None else activate(x + bias)
        return ns.reshape(x, (count, self.width))
