"""``FullyConnectedNetwork`` and ``VisionNetwork`` as models of Keras, for files that reach for their ``base_model``.

They are what ``anyspace.rllib.models.tf`` has. What the algorithms use by default are the networks of `networks.py`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import tensorflow as tf

from anyspace._rllib.tf.layers import get_activation_fn
from anyspace.maths.xp import Array
from anyspace.models.architecture import Stack, fully_connected, outputs_of, width_of_array
from anyspace.models.config import completed
from anyspace.models.input_dict import of_network
from anyspace.models.modelv2 import State
from anyspace.models.pictures import channels_last, filters_of, layout_of, vision
from anyspace.models.pure.initializers import initializer_of
from anyspace.models.tf.base import TFModelV2
from anyspace.models.tf.held import is_keras_tensor

Initializer = Callable[..., Array]


def normc_initializer(std: float = 1.0) -> Initializer:
    """Return a function that draws weights [..., out], those of each output of L2 norm ``std``."""

    def initializer(shape: Sequence[int], dtype: Any = None, partition_info: Any = None) -> Array:
        drawn = np.random.default_rng(random.getrandbits(64)).standard_normal([*shape]).astype(np.float32)
        drawn *= std / np.sqrt(np.square(drawn).sum(axis=0, keepdims=True))
        return tf.constant(drawn)

    return initializer


class _KerasNetwork(TFModelV2):
    """What both share: a model of Keras that gives outputs and values.

    Attributes:
        base_model: observations -> outputs [N, num_outputs] and values [N, 1].
    """

    base_model: Any
    _value_out: Array

    def _build(
        self,
        inputs: Array,
        features: Callable[[str, int | None], Array],
        value_features: Callable[[str], Array],
        name: str,
    ) -> None:
        """Make the model of Keras.

        Args:
            inputs: what it takes.
            features: makes hidden layers, by what their names begin with, and the width that the last one is to have.
            value_features: makes the hidden layers of a value of its own, by what their names begin with.
            name: what the names begin with.
        """
        config = self.model_config
        computed, log_std = outputs_of(self.num_outputs, config)
        resized = computed if config["no_final_linear"] else None
        hidden = features(name, resized)
        outputs = hidden if resized or computed is None else _linear(hidden, computed, "fc_out")
        if computed is None:
            self.num_outputs = int(hidden.shape[-1])
        if log_std:
            outputs = _WithLogStd(log_std)(outputs)
        seen = hidden if config["vf_share_layers"] else value_features(f"{name}_value")
        self.base_model = tf.keras.Model(inputs, [outputs, _linear(seen, 1, "value_out")])

    def _observed(self, input_dict: dict[str, Any]) -> Array:
        raise NotImplementedError

    def __call__(
        self, input_dict: Any, state: State | None = None, seq_lens: Array | None = None
    ) -> tuple[Array, State]:
        """Run :meth:`forward`; an observation may be one of Keras' symbolic tensors, of which a model is made."""
        if isinstance(input_dict, dict) and is_keras_tensor(input_dict.get("obs")):
            return self.forward(input_dict, state or [], seq_lens)
        return super().__call__(input_dict, state, seq_lens)

    def forward(self, input_dict: dict[str, Any], state: State, seq_lens: Array | None) -> tuple[Array, State]:
        """Return ``(outputs [N, num_outputs], state as it came)``."""
        outputs, self._value_out = self.base_model(self._observed(input_dict))
        return outputs, state

    def value_function(self) -> Array:
        """Return the value estimates [N] of the latest forward pass."""
        return tf.reshape(self._value_out, [-1])


class FullyConnectedNetwork(_KerasNetwork):
    """Dense layers of Keras (`fcnet_hiddens`, `post_fcnet_hiddens`), then linear outputs and a linear value.

    The keys of their activations and initialisers, `vf_share_layers`, `no_final_linear` and `free_log_std` are
    respected. With ``num_outputs=None``
    the outputs are the last hidden layer.

    Raises:
        UnsupportedSpaceError: the observations are several arrays.
    """

    def __init__(
        self,
        obs_space: gym.Space[Any],
        action_space: gym.Space[Any],
        num_outputs: int | None,
        model_config: dict[str, Any],
        name: str = "fcnet",
    ):
        config = completed(model_config)
        super().__init__(obs_space, action_space, num_outputs, config, name)
        inputs = tf.keras.layers.Input((width_of_array(self, obs_space),), name="observations")

        def features(name: str, resized: int | None = None) -> Array:
            return _hidden(inputs, config, name, resized)

        self._build(inputs, features, features, "fc")

    def _observed(self, input_dict: dict[str, Any]) -> Array:
        obs = input_dict.get("obs")
        return obs if is_keras_tensor(obs) else tf.cast(of_network(input_dict, "obs_flat"), tf.float32)


class VisionNetwork(_KerasNetwork):
    """Convolutions of Keras (`conv_filters`), then linear outputs and a linear value, on pictures.

    It takes whatever `picture_layout` calls a picture, ``base_model`` takes [N, H, W, C]. Sizes without `conv_filters`
    take the default ones; `post_fcnet_hiddens`, the keys of activations and initialisers, `vf_share_layers`,
    `no_final_linear` and `free_log_std` are respected. A value of its own (`vf_share_layers` off) has no dense layers.

    Raises:
        UnsupportedSpaceError: the observations are no pictures.
        ModelError: convolutions without a dense layer after them do not end in one pixel.
    """

    def __init__(
        self,
        obs_space: gym.Space[Any],
        action_space: gym.Space[Any],
        num_outputs: int | None,
        model_config: dict[str, Any],
        name: str = "visionnet",
    ):
        config = completed(model_config)
        super().__init__(obs_space, action_space, num_outputs, config, name)
        self._layout = layout = layout_of(self, obs_space)
        inputs = tf.keras.layers.Input((layout.height, layout.width, layout.channels), name="observations")

        def features(name: str, resized: int | None) -> Array:
            convolutions, post = vision(layout, config, num_outputs, resized)
            return _stacked(_convolved(inputs, convolutions.filters, config, name), post, config, f"{name}_post")

        def value_features(name: str) -> Array:
            return _convolved(inputs, filters_of(config, layout), config, name)

        self._build(inputs, features, value_features, "conv")

    def _observed(self, input_dict: dict[str, Any]) -> Array:
        obs = input_dict.get("obs")
        return obs if is_keras_tensor(obs) else channels_last(of_network(input_dict, "obs"), self._layout)


class _WithLogStd(tf.keras.layers.Layer):  # type: ignore[misc]
    """Puts log deviations, which are weights of their own, beside outputs.

    Args:
        count: of the deviations.
    """

    def __init__(self, count: int):
        super().__init__()
        self.log_std = self.add_weight(name="log_std", shape=(count,), initializer="zeros")

    def call(self, outputs: Array) -> Array:
        """Return outputs [N, F] with the deviations [A] behind, [N, F + A]."""
        rows = tf.ones_like(outputs[:, :1])
        return tf.concat([outputs, rows * tf.convert_to_tensor(self.log_std)[None]], axis=1)


def _linear(x: Array, width: int, name: str) -> Array:
    layer = tf.keras.layers.Dense(int(width), name=name, kernel_initializer=normc_initializer(0.01))
    return layer(x)


def _hidden(x: Array, config: dict[str, Any], name: str, resized: int | None) -> Array:
    first, second = fully_connected(int(x.shape[-1]), config, resized)
    return _stacked(_stacked(x, first, config, name), second, config, name, len(first.sizes))


def _initializer(config: dict[str, Any], key: str, default: Any) -> Any:
    """Return what draws weights [..., in, out] or biases [out] as a key of the configuration says, or the default."""
    fill = initializer_of(config, key)
    if fill is None:
        return default

    def initializer(shape: Sequence[int], dtype: Any = None) -> Array:
        # Initialisers fill weights [out, in, ...].
        axes = [*range(len(shape))]
        axes = [*axes[::-1][:2], *axes[:-2]]
        array = np.zeros([shape[axis] for axis in axes], np.float32)
        fill(array, np.random.default_rng(random.getrandbits(64)))
        return tf.constant(np.moveaxis(array, range(array.ndim), axes))

    return initializer


def _stacked(x: Array, stack: Stack, config: dict[str, Any], name: str, before: int = 0) -> Array:
    """Put dense layers on ``x``; their names count on from ``before``."""
    for number, width in enumerate(stack.sizes, before + 1):
        layer = tf.keras.layers.Dense(
            int(width),
            name=f"{name}_{number}",
            activation=get_activation_fn(stack.activation),
            kernel_initializer=_initializer(config, f"{stack.prefix}_weights_initializer", normc_initializer(1.0)),
            bias_initializer=_initializer(config, f"{stack.prefix}_bias_initializer", "zeros"),
        )
        x = layer(x)
    return x


def _convolved(x: Array, filters: Sequence[Any], config: dict[str, Any], name: str) -> Array:
    for number, (width, kernel, stride) in enumerate(filters):
        last = number == len(filters) - 1
        layer = tf.keras.layers.Conv2D(
            int(width),
            kernel,
            strides=stride,
            padding="valid" if last else "same",
            activation=get_activation_fn(config["conv_activation"]),
            kernel_initializer=_initializer(config, "conv_kernel_initializer", "glorot_uniform"),
            bias_initializer=_initializer(config, "conv_bias_initializer", "zeros"),
            name=f"{name}{number}",
        )
        x = layer(x)
    return tf.keras.layers.Flatten(name=f"{name}_flat")(x)
