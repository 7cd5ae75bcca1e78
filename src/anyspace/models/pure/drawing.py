"""The weights of a network as they are drawn, layer by layer, in NumPy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from anyspace.maths.arrays import Floats
from anyspace.models.architecture import Stack
from anyspace.models.pictures import PlacedFilter
from anyspace.models.pure.activations import activation
from anyspace.models.pure.base import initial_randomness
from anyspace.models.pure.dense import Dense
from anyspace.models.pure.initializers import Initializer, initializer_of, normc, xavier_uniform, zeros
from anyspace.models.runtime import NumpyArray


class Drawing:
    """Draws weights and collects them by name, for :meth:`ArrayModel.adopt`.

    Attributes:
        weights: what was drawn so far.
        framework: of the model, for messages.
        config: every key of the model configuration.
    """

    def __init__(self, framework: str, config: Mapping[str, Any]):
        self.framework, self.config = framework, config
        self.weights: dict[str, NumpyArray] = {}
        self._rng = initial_randomness()

    def initializer(self, key: str, default: Initializer) -> Initializer:
        """Return the initialiser that a configuration key names, or the default one."""
        return initializer_of(self.config, key) or default

    def filled(self, name: str, shape: Sequence[int], *initializers: Initializer) -> Floats:
        """Add an array that initialisers fill; several share the first axis evenly. Return it."""
        array = np.zeros(shape, np.float32)
        for part, initializer in zip(np.split(array, len(initializers)), initializers, strict=True):
            initializer(part, self._rng)
        self.weights[name] = array
        return array

    def value(self, name: str, value: Any) -> None:
        """Add an array that is known."""
        self.weights[name] = np.array(value, np.float32)

    def linear(
        self,
        name: str,
        width_in: int,
        width_out: int,
        scale: float,
        weights: Initializer | None = None,
        biases: Initializer | None = None,
    ) -> Dense:
        """Add a linear layer: weights of norm ``scale`` to each output, zero biases, unless initialisers are given."""

        def rows(array: Floats, rng: np.random.Generator) -> None:
            normc(array, rng, scale)

        self.filled(f"{name}.weight", (width_out, width_in), weights or rows)
        self.filled(f"{name}.bias", (width_out,), biases or zeros)
        return Dense(name)

    def xavier(self, name: str, width_in: int, width_out: int, *, parts: int = 1, bias: bool = False) -> Dense:
        """Add a linear layer that computes ``parts`` side by side, each with Xavier uniform weights; biases are 0."""
        self.filled(f"{name}.weight", (parts * width_out, width_in), *[xavier_uniform] * parts)
        if bias:
            self.filled(f"{name}.bias", (parts * width_out,), zeros)
        return Dense(name, bias=bias)

    def recurrent(self, name: str, width_in: int, width: int, gates: int) -> None:
        """Add one layer of an LSTM (4 gates) or GRU (3), even draws from ±1 / sqrt(width)."""
        bound = 1.0 / math.sqrt(width)

        def even(array: Floats, rng: np.random.Generator) -> None:
            array[...] = rng.uniform(-bound, bound, array.shape)

        weights, biases = (self.initializer(f"lstm_{part}_initializer", even) for part in ("weights", "bias"))
        self.filled(f"{name}.weight_ih_l0", (gates * width, width_in), weights)
        self.filled(f"{name}.weight_hh_l0", (gates * width, width), weights)
        self.filled(f"{name}.bias_ih_l0", (gates * width,), biases)
        self.filled(f"{name}.bias_hh_l0", (gates * width,), biases)

    def convolution(self, name: str, placed: PlacedFilter) -> None:
        """Add a convolution: kernels [out, height, width, in], Xavier uniform by default, and zero biases."""
        kernels = np.zeros((placed.filter.channels, placed.channels, *placed.filter.kernel), np.float32)
        # Initialisers count what goes in and out, in the order of axes that torch.nn has.
        self.initializer("conv_kernel_initializer", xavier_uniform)(kernels, self._rng)
        self.weights[f"{name}.weight"] = np.ascontiguousarray(kernels.transpose(0, 2, 3, 1))
        self.filled(f"{name}.bias", (placed.filter.channels,), self.initializer("conv_bias_initializer", zeros))

    def stacks(self, name: str, stacks: Sequence[Stack], first: int = 0) -> list[Dense]:
        """Add dense layers, named by their places in a row of layers and activations.

        Two layers with activations are ``name.0`` and ``name.2``, two without are ``name.0`` and ``name.1``.

        Args:
            name: of the row.
            stacks: the layers.
            first: the place of the first one.
        """
        layers: list[Dense] = []
        for stack in stacks:
            follows = activation(stack.activation, self.framework)
            weights, biases = (
                initializer_of(self.config, f"{stack.prefix}_{part}_initializer") for part in ("weights", "bias")
            )
            width_in = stack.width_in
            for width_out in stack.sizes:
                layer = self.linear(f"{name}.{first}", width_in, width_out, 1.0, weights, biases)
                layers.append(layer._replace(activation=follows))
                first, width_in = first + (1 if follows is None else 2), width_out
        return layers
