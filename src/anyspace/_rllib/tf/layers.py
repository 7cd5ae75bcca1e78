"""Layers of RLlib's old networks as layers of Keras, with their old signatures, and its functions that make variables.

`anyspace.rllib` offers them as `models.tf.layers` and `models.tf.misc`. Those with memory are the formulas of
`models/pure/gtrxl.py`, without its savings.

Letters: B sequences, T steps, D width, H heads, d width of a head, M steps of memory, K = M + T.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from anyspace._rllib.tf.tf1 import TF1
from anyspace.importing import import_path, is_path
from anyspace.maths.xp import Array
from anyspace.maths.xp.tensorflow import NAMESPACE
from anyspace.models.pure.activations import activation
from anyspace.models.tf.base import SEEDS

Activation = str | Callable[[Array], Array] | None

_HIDDEN = -1e30
"""The score of a step that is not attended to."""


_OF_TENSORFLOW = ["crelu", "elu", "gelu", "leaky_relu", "log_softmax", "relu", "relu6", "selu", "sigmoid", "silu"]
_OF_TENSORFLOW += ["softmax", "softplus", "softsign", "swish", "tanh"]


def get_activation_fn(name: Activation = None) -> Callable[[Array], Array] | None:
    """Return the function of an activation; None for ``None`` and ``"linear"``.

    Args:
        name: its name in ``tf.nn``, in any case; one that `pure.activations` knows, such as "mish", or PyTorch's
            "LeakyReLU"; the path of a function, or the function itself.

    Raises:
        ConfigError: there is none of that name.
    """
    if isinstance(name, str) and is_path(name):
        name = import_path(name)
    if not isinstance(name, str):
        return name
    if name.lower() in _OF_TENSORFLOW:
        function: Callable[[Array], Array] = getattr(tf.nn, name.lower())
        return function
    found = activation(name, "tf")
    return None if found is None else found(NAMESPACE)


class GRUGate(tf.keras.layers.Layer):  # type: ignore[misc]
    """A GRU that joins a layer's input h and output x: (1 - z) h + z tanh(x W_h + (r h) U_h).

    r = sigmoid(x W_r + h U_r) and z = sigmoid(x W_z + h U_z - b). Called as ``gate((h, x))``, both [..., D].

    Source: Parisotto et al., "Stabilizing transformers for reinforcement learning", 2019.

    Args:
        init_bias: b at first; above 0 the gate passes its first input on.
        name: of the layer.
    """

    def __init__(self, init_bias: float = 0.0, name: str | None = None):
        super().__init__(name=name)
        self._init_bias = float(init_bias)

    def build(self, input_shape: Any) -> None:
        """Make the weights."""
        dim = int(input_shape[0][-1])
        for part in ("w_r", "w_z", "w_h", "u_r", "u_z", "u_h"):
            setattr(self, f"_{part}", self.add_weight(name=part, shape=(dim, dim), initializer="glorot_uniform"))
        start = tf.keras.initializers.Constant(self._init_bias)
        self._bias_z = self.add_weight(name="bias_z", shape=(dim,), initializer=start)

    def call(self, inputs: Sequence[Array]) -> Array:
        """Return [..., D]."""
        h, x = inputs
        reset = tf.sigmoid(tf.matmul(x, self._w_r) + tf.matmul(h, self._u_r))
        update = tf.sigmoid(tf.matmul(x, self._w_z) + tf.matmul(h, self._u_z) - self._bias_z)
        return (1 - update) * h + update * tf.tanh(tf.matmul(x, self._w_h) + tf.matmul(reset * h, self._u_h))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of h."""
        return tuple(input_shape[0])


class SkipConnection(tf.keras.layers.Layer):  # type: ignore[misc]
    """Adds a layer's input to its output, or joins them by another layer.

    Args:
        layer: the layer.
        fan_in_layer: called as ``fan_in_layer((input, output))``, a `GRUGate` for example; None adds them.
        name: of the layer.
    """

    def __init__(self, layer: Any, fan_in_layer: Any = None, name: str | None = None):
        super().__init__(name=name)
        self._layer, self._fan_in_layer = layer, fan_in_layer

    def call(self, inputs: Array, memory: Array | None = None) -> Array:
        """Return the joined output; the layer gets a memory where one is given."""
        outputs = self._layer(inputs) if memory is None else self._layer(inputs, memory=memory)
        return outputs + inputs if self._fan_in_layer is None else self._fan_in_layer((inputs, outputs))


class MultiHeadAttention(tf.keras.layers.Layer):  # type: ignore[misc]
    """Attention of each step to itself and the steps before it, [B, T, D] -> [B, T, out_dim], without positions.

    Source: Vaswani et al., "Attention is all you need", 2017.

    Args:
        out_dim: width of the output.
        num_heads: H.
        head_dim: d.
        name: of the layer.
    """

    def __init__(self, out_dim: int, num_heads: int, head_dim: int, name: str | None = None):
        super().__init__(name=name)
        self._heads, self._width = num_heads, head_dim
        self._qkv_layer = tf.keras.layers.Dense(3 * num_heads * head_dim, use_bias=False)
        self._linear_layer = tf.keras.layers.Dense(out_dim, use_bias=False)

    def call(self, inputs: Array) -> Array:
        """Return the output layer's image of the weighted sums."""
        query, key, value = _heads_of(self._qkv_layer(inputs), self._heads, self._width)
        return self._linear_layer(_mixed(tf.matmul(query, key, transpose_b=True), value, self._width))


class PositionalEmbedding(tf.Module):  # type: ignore[misc]
    """Encodings of the distances K - 1 to 0, [K, out_dim]: sines first, then cosines. It is called with K.

    Args:
        out_dim: their width.
    """

    def __init__(self, out_dim: int):
        super().__init__()
        self._out_dim = out_dim

    def __call__(self, seq_length: Array | int) -> Array:
        """Return the encodings of ``seq_length`` distances, K."""
        frequencies = 10_000.0 ** (-tf.range(0.0, self._out_dim, 2.0) / self._out_dim)
        angles = tf.cast(tf.range(seq_length - 1, -1, -1), tf.float32)[:, None] * frequencies
        return tf.concat([tf.sin(angles), tf.cos(angles)], axis=-1)[:, : self._out_dim]


class RelativeMultiHeadAttention(tf.keras.layers.Layer):  # type: ignore[misc]
    """Attention of each step to itself, the steps before it and a memory, by content and by distance.

    Called as ``attention(steps [B, T, D], memory=[B, M, D])`` -> [B, T, out_dim]. No gradient reaches the memory.

    Source: Dai et al., "Transformer-XL", 2019.

    Args:
        out_dim: width of the output, and of the encodings of distances.
        num_heads: H.
        head_dim: d.
        input_layernorm: normalise steps and memory first.
        output_activation: follows the output layer; as `get_activation_fn` takes it.
        name: of the layer.
    """

    def __init__(
        self,
        out_dim: int,
        num_heads: int,
        head_dim: int,
        input_layernorm: bool = False,
        output_activation: Activation = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self._heads, self._width, width = num_heads, head_dim, num_heads * head_dim
        self._qkv_layer = tf.keras.layers.Dense(3 * width, use_bias=False)
        activation = get_activation_fn(output_activation)
        self._linear_layer = tf.keras.layers.Dense(out_dim, use_bias=False, activation=activation)
        self._pos_embedding = PositionalEmbedding(out_dim)
        self._pos_proj = tf.keras.layers.Dense(width, use_bias=False)
        self._input_layernorm = tf.keras.layers.LayerNormalization(axis=-1) if input_layernorm else None
        for part in ("uvar", "vvar"):
            weight = self.add_weight(name=part, shape=(num_heads, head_dim), initializer="glorot_uniform")
            setattr(self, f"_{part}", weight)

    def call(self, inputs: Array, memory: Array | None = None) -> Array:
        """Return the output layer's image of the weighted sums."""
        steps, length = inputs, tf.shape(inputs)[1]
        if memory is not None:
            steps = tf.concat([tf.stop_gradient(memory), inputs], axis=1)
        if self._input_layernorm is not None:
            steps = self._input_layernorm(steps)
        query, key, value = _heads_of(self._qkv_layer(steps), self._heads, self._width)
        keys = tf.shape(steps)[1]
        query = query[:, :, keys - length :]
        distances = tf.reshape(self._pos_proj(self._pos_embedding(keys)), [-1, self._heads, self._width])
        by_content = tf.matmul(query + self._uvar[:, None], key, transpose_b=True)
        by_distance = tf.matmul(query + self._vvar[:, None], tf.transpose(distances, [1, 2, 0]))
        return self._linear_layer(_mixed(by_content + _shifted(by_distance, length, keys), value, self._width))


def _heads_of(parts: Array, heads: int, width: int) -> list[Array]:
    """Return queries, keys and values [B, H, T, d] of [B, T, 3 H d]."""
    parts = tf.reshape(parts, [-1, tf.shape(parts)[1], 3, heads, width])
    found: list[Array] = tf.unstack(tf.transpose(parts, [2, 0, 3, 1, 4]), num=3)
    return found


def _shifted(scores: Array, length: Array, keys: Array) -> Array:
    """Move scores [B, H, T, K] by distance to the keys that are that far back; see `pure.gtrxl.relative_shift`."""
    heads, padded = scores.shape[1], tf.pad(scores, [[0, 0], [0, 0], [0, 0], [0, length]])
    width = keys + length - 1
    rows = tf.reshape(padded, [-1, heads, length * (keys + length)])[..., : length * width]
    return tf.reshape(rows, [-1, heads, length, width])[..., length - 1 :]


def _mixed(scores: Array, values: Array, width: int) -> Array:
    """Return the sums [B, T, H d] of values [B, H, K, d], by scores [B, H, T, K]; no step sees those after it."""
    length, keys = tf.shape(scores)[2], tf.shape(scores)[3]
    after = tf.range(keys)[None] > tf.range(length)[:, None] + (keys - length)
    weights = tf.nn.softmax(tf.where(after, _HIDDEN, scores / math.sqrt(width)))
    mixed = tf.transpose(tf.matmul(weights, values), [0, 2, 1, 3])
    return tf.reshape(mixed, [-1, length, mixed.shape[2] * width])


class NoisyLayer(tf.keras.layers.Layer):  # type: ignore[misc]
    """A dense layer whose weights and biases carry noise of learnt size, [N, F] -> [N, out_size].

    Noise is drawn in every pass, when acting as well.

    Source: Fortunato et al., "Noisy networks for exploration", 2018.

    Args:
        prefix: what the names of weights begin with.
        out_size: width of the output.
        sigma0: how large the noise on biases is at first, in units of 1 / sqrt(F).
        activation: as `get_activation_fn` takes it; None or "linear": none.
    """

    def __init__(self, prefix: str, out_size: int, sigma0: float, activation: Activation = "relu"):
        super().__init__()
        self.prefix, self.out_size, self.sigma0 = prefix, out_size, sigma0
        self.activation = get_activation_fn(activation)

    def build(self, input_shape: Any) -> None:
        """Make the weights."""
        width = int(input_shape[-1])
        bound, shape = 1 / math.sqrt(width), (width, self.out_size)
        even = tf.keras.initializers.RandomUniform(-bound, bound)
        start = tf.keras.initializers.Constant(self.sigma0 * bound)
        self.sigma_w = self.add_weight(name=f"{self.prefix}_sigma_w", shape=shape, initializer=even)
        self.sigma_b = self.add_weight(name=f"{self.prefix}_sigma_b", shape=shape[1:], initializer=start)
        self.w = self.add_weight(name=f"{self.prefix}_fc_w", shape=shape, initializer="glorot_uniform")
        self.b = self.add_weight(name=f"{self.prefix}_fc_b", shape=shape[1:], initializer="zeros")

    def call(self, inputs: Array) -> Array:
        """Return the layer's output, with new noise."""
        width, seeds = int(inputs.shape[-1]), SEEDS.get()
        count = [width + self.out_size]
        draws = tf.random.normal(count) if seeds is None else tf.random.stateless_normal(count, seeds.fresh())
        noise = tf.sign(draws) * tf.sqrt(tf.abs(draws))
        e_in, e_out = noise[:width], noise[width:]
        y = tf.matmul(inputs, self.w) + self.b + e_out * (tf.matmul(inputs * e_in, self.sigma_w) + self.sigma_b)
        return y if self.activation is None else self.activation(y)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return [N, out_size]."""
        return (*tuple(input_shape)[:-1], self.out_size)


# ---------------------------------------------------------------- layers whose variables are found by name, as in `tf1`


def linear(x: Array, size: int, name: str, initializer: Any = None, bias_init: float = 0.0) -> Array:
    """Return a linear layer of ``x`` [N, F]: [N, size]; its variables are ``name/w`` and ``name/b``."""
    kernel = TF1.get_variable(f"{name}/w", [int(x.shape[1]), size], initializer=initializer)
    start = tf.keras.initializers.Constant(bias_init)
    return tf.matmul(x, kernel) + TF1.get_variable(f"{name}/b", [size], initializer=start)


def conv2d(
    x: Array,
    num_filters: int,
    name: str,
    filter_size: tuple[int, int] = (3, 3),
    stride: tuple[int, int] = (1, 1),
    pad: str = "SAME",
) -> Array:
    """Return a convolution of pictures [N, H, W, C]; its variables are ``name/W`` and ``name/b``."""
    kernel = TF1.get_variable(f"{name}/W", [*filter_size, int(x.shape[3]), num_filters])
    bias = TF1.get_variable(f"{name}/b", [num_filters], initializer=tf.keras.initializers.Zeros())
    return tf.nn.conv2d(x, kernel, [1, *stride, 1], pad) + bias


def flatten(x: Array) -> Array:
    """Return [N, ...] as [N, F]."""
    return tf.reshape(x, [-1, math.prod(x.shape[1:])])
