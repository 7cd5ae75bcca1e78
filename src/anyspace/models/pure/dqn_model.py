"""The model interface of Q-learning over arrays.

Letters: N rows, F features.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from anyspace.maths.xp import Array, Namespace, Rng, xp
from anyspace.models.pure.acting import acting_values, q_values
from anyspace.models.pure.activations import Activation, activation
from anyspace.models.pure.base import ArrayModel, in_numpy
from anyspace.models.pure.dense import Dense, Parameters, dense
from anyspace.models.pure.drawing import Drawing
from anyspace.models.pure.initializers import ones, uniform, zeros
from anyspace.models.q_networks import HeadLayers, Noise, QNetworks
from anyspace.models.runtime import NumpyForward

_EPSILON = 1e-5
"""Added to the variance in layer norms."""


class DQNModel(QNetworks, ArrayModel):
    """Values of discrete actions, from the features that the model beneath puts out; see :class:`QNetworks`."""

    support: npt.NDArray[np.float32] | None
    advantage_head: QHead | None
    state_head: QHead | None

    def _add_q_heads(
        self, support: npt.NDArray[np.float32] | None, advantages: HeadLayers | None, state: HeadLayers | None
    ) -> None:
        self.support = support
        draw, count = Drawing(self.framework, self.model_config), self.branches.total * self.num_atoms
        self.advantage_head = None if advantages is None else QHead(draw, "advantage_head", advantages, count)
        self.state_head = None if state is None else QHead(draw, "state_head", state, self.num_atoms)
        self.adopt(draw.weights)

    def _run_q_head(self, head: Any, features: Array, noise: Noise) -> Array:
        output: Array = head.on(self.weights)(features, self.random_source() if noise is True else noise)
        return output

    def acting_pass(self) -> NumpyForward | None:
        """Return the pass beneath and the heads on it, made once; None where the heads are noisy."""
        if any(head is not None and head.is_noisy for head in (self.advantage_head, self.state_head)):
            return None
        p = in_numpy(self.weights)
        heads = [
            None if head is None else partial(head.on(p), noise=False)
            for head in (self.advantage_head, self.state_head)
        ]
        return acting_values(self.forward_pass(), q_values(self.branches, (heads[0], heads[1]), self.support))


class _Layer(NamedTuple):
    """A linear layer of a head, and what follows it."""

    dense: Dense
    is_noisy: bool
    norm: str | None = None
    """Name of the layer norm behind its activation; None: there is none."""


class QHead:
    """Dense layers, each with its activation and, if asked for, a layer norm; then a linear one. [N, F] to [N, out].

    Args:
        draw: draws the weights.
        name: of the head.
        before: the layers before the last one.
        width_out: out.
    """

    def __init__(self, draw: Drawing, name: str, before: HeadLayers, width_out: int):
        follows, width_in, place = activation(before.activation, draw.framework), before.width_in, 0
        self._layers: list[_Layer] = []
        for size in before.sizes:
            layer = self._linear(draw, f"{name}.layers.{place}", width_in, size, before.sigma0, follows)
            place += 1 if follows is None else 2
            if before.layer_norm:
                layer = layer._replace(norm=f"{name}.layers.{place}")
                draw.filled(f"{layer.norm}.weight", (size,), ones)
                draw.filled(f"{layer.norm}.bias", (size,), zeros)
                place += 1
            self._layers.append(layer)
            width_in = size
        self._layers.append(self._linear(draw, f"{name}.layers.{place}", width_in, width_out, before.sigma0, None))

    @staticmethod
    def _linear(
        draw: Drawing, name: str, width_in: int, width_out: int, sigma0: float | None, follows: Activation | None
    ) -> _Layer:
        """Add a layer: Xavier uniform, biases 0; the sizes of noise as `NoisyLinear` in PyTorch starts them."""
        draw.xavier(name, width_in, width_out, bias=True)
        if sigma0 is not None:
            bound = 1.0 / math.sqrt(width_in)
            sizes = draw.filled(f"{name}.sigma_weight", (width_out, width_in), uniform)
            sizes[...] = bound * (2.0 * sizes - 1.0)
            draw.filled(f"{name}.sigma_bias", (width_out,), zeros)[...] = sigma0 * bound
        return _Layer(Dense(name, follows), sigma0 is not None)

    @property
    def is_noisy(self) -> bool:
        """Whether there are noisy layers."""
        return any(layer.is_noisy for layer in self._layers)

    def on(self, p: Parameters) -> Callable[..., Array]:
        """Return features [N, F] and ``noise`` -> [N, out], made of weights once.

        Every noisy layer draws its own noise from ``noise``, or none where that is False.
        """
        linear = [dense(p, [layer.dense._replace(activation=None)]) for layer in self._layers]

        def forward(x: Array, noise: Rng) -> Array:
            ns = xp(x)
            sources = [False] * len(linear) if noise is False else ns.split(noise, len(linear))
            for (layer, is_noisy, norm), function, source in zip(self._layers, linear, sources, strict=True):
                y = function(x)
                if is_noisy and source is not False:
                    y = y + _noise(p, layer.name, x, source)
                x = y if layer.activation is None else layer.activation(ns)(y)
                if norm is not None:
                    x = _normed(ns, x) * p[f"{norm}.weight"] + p[f"{norm}.bias"]
            return x

        return forward


def _noise(p: Parameters, name: str, x: Array, source: Rng) -> Array:
    """Return what noise adds to a layer [N, out]: (s_w * e_w) x + s_b * e_b.

    e_w = f(e_out) f(e_in)^T and e_b = f(e_out), with f(e) = sign(e) sqrt(|e|) of standard normal vectors, shared by the
    rows.

    Source: Fortunato et al., "Noisy networks for exploration", 2018, section 3.
    """
    sizes, biases = p[f"{name}.sigma_weight"], p[f"{name}.sigma_bias"]
    ns = xp(x)
    of_input, of_output = (
        _factor(ns, ns.normal(one, (width,), like=x))
        for one, width in zip(ns.split(source, 2), sizes.shape[::-1], strict=True)
    )
    # The products of both factors, without a matrix of them.
    return of_output * ((x * of_input) @ ns.swapaxes(sizes, 0, 1) + biases)


def _factor(ns: Namespace, e: Array) -> Array:
    roots = ns.sqrt(ns.abs(e))
    return ns.where(e < 0, -roots, roots)


def _normed(ns: Namespace, x: Array) -> Array:
    """Return ``x`` [N, F] less its mean and over its deviation."""
    centred = x - ns.mean(x, axis=-1, keepdims=True)
    return centred / ns.sqrt(ns.mean(centred * centred, axis=-1, keepdims=True) + _EPSILON)
