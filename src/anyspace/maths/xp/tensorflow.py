"""The array namespace of TensorFlow; imported when the first of its tensors turns up."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from anyspace.maths.xp.base import Array, Axis, Namespace, Padding, Rng


class _TensorFlow(Namespace):
    """TensorFlow, eager or traced. ``rng`` is a seed of two integers ``[2]``, or a generator of NumPy, which draws one.

    None draws from its global source.

    TensorFlow converts no dtypes by itself: where two sides meet, they take one that holds both.
    """

    array_type = (tf.Tensor, tf.Variable)

    def __init__(self) -> None:
        super().__init__(tf)

    def _float_dtype(self, like: Array) -> Any:
        return like.dtype if like.dtype.is_floating and like.dtype.size >= 4 else tf.float32

    def log(self, x: Array) -> Array:
        return tf.math.log(x)

    def log1p(self, x: Array) -> Array:
        return tf.math.log1p(x)

    def arctanh(self, x: Array) -> Array:
        return tf.math.atanh(x)

    def holds(self, x: Array) -> Array:
        return tf.cast(x, tf.bool)

    def _together(self, x: Array | float, y: Array | float) -> tuple[Array, Array]:
        """Return two sides as tensors of one dtype; what is no tensor takes the other's, unless its kind is wider."""
        dtypes = [_dtype(side) for side in (x, y)]
        tensors = [side.dtype for side in (x, y) if isinstance(side, self.array_type)]
        dtype = max(tensors or dtypes, key=lambda dtype: (*_kind(dtype), dtype.size))
        widest = max(dtypes, key=_kind)
        dtype = widest if _kind(widest) > _kind(dtype) else dtype
        return tf.cast(x, dtype), tf.cast(y, dtype)

    def where(self, condition: Array, x: Array | float, y: Array | float) -> Array:
        return tf.where(condition, *self._together(x, y))

    def clip(self, x: Array, low: Array | float | None, high: Array | float | None) -> Array:
        above = x if low is None else tf.maximum(*self._together(x, low))
        return above if high is None else tf.minimum(*self._together(above, high))

    def sum(self, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        narrow = not x.dtype.is_floating and x.dtype.size < 4
        return tf.reduce_sum(tf.cast(x, tf.int64) if narrow else x, axis, keepdims)

    def mean(self, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        return tf.reduce_mean(x if x.dtype.is_floating else tf.cast(x, tf.float32), axis, keepdims)

    def max(self, x: Array, axis: int, keepdims: bool = False) -> Array:
        return tf.reduce_max(x, axis, keepdims)

    def min(self, x: Array, axis: int, keepdims: bool = False) -> Array:
        return tf.reduce_min(x, axis, keepdims)

    def any(self, x: Array, axis: int, keepdims: bool = False) -> Array:
        return tf.reduce_any(x, axis, keepdims)

    def concatenate(self, arrays: Any, axis: int = 0) -> Array:
        return tf.concat(arrays, axis)

    def reshape(self, x: Array, shape: tuple[int | None, ...]) -> Array:
        # In a graph the number of rows may be unknown, None, as that of recorded steps: it is what is left.
        lengths = [-1 if length is None else length for length in shape]
        if lengths.count(-1) > 1:
            raise ValueError(f"{tuple(shape)} has two lengths that are unknown")
        return tf.reshape(x, lengths)

    def take_rows(self, x: Array, rows: Array) -> Array:
        return tf.gather(x, rows)

    def searchsorted(self, ordered: Array, values: Array) -> Array:
        flat = tf.searchsorted(ordered, tf.reshape(values, (-1,)), out_type=values.dtype)
        return tf.reshape(flat, tf.shape(values))

    def take_columns(self, x: Array, columns: Array) -> Array:
        return tf.gather(x, columns, axis=-1)

    def swapaxes(self, x: Array, one: int, other: int) -> Array:
        axes = list(range(len(x.shape)))
        axes[one], axes[other] = axes[other], axes[one]
        return tf.transpose(x, axes)

    def moveaxis(self, x: Array, source: int, destination: int) -> Array:
        axes = list(range(len(x.shape)))
        axes.insert(destination % len(axes), axes.pop(source))
        return x if axes == sorted(axes) else tf.transpose(x, axes)

    def shares(self, x: Array) -> Array:
        wide = tf.maximum(tf.cast(x, tf.float64), sys.float_info.min)
        return wide / tf.reduce_sum(wide, -1, keepdims=True)

    def one_hot(self, indices: Array, n: int, dtype: str = "float32") -> Array:
        return tf.one_hot(tf.cast(indices, tf.int64), n, dtype=dtype)

    def _seed(self, rng: Rng) -> Rng:
        return rng.integers(2**31, size=2, dtype=np.int32) if isinstance(rng, np.random.Generator) else rng

    def split(self, rng: Rng, parts: int) -> list[Rng]:
        if rng is None or isinstance(rng, np.random.Generator):
            return [rng] * parts
        return tf.unstack(tf.random.split(rng, parts))  # type: ignore[no-any-return]

    def asarray(self, x: Any, *, like: Array) -> Array:
        known = isinstance(x, (*self.array_type, list, tuple, int, float))
        return tf.convert_to_tensor(x if known else np.asarray(x))

    def astype(self, x: Array, dtype: str) -> Array:
        return tf.cast(x, dtype)

    def widened(self, x: Array) -> Array:
        return tf.cast(x, self._float_dtype(x)) if x.dtype.is_floating else x

    def cast(self, x: Any, *, like: Array) -> Array:
        if isinstance(x, self.array_type):
            return tf.cast(x, like.dtype)
        return tf.constant(np.asarray(x).astype(like.dtype.as_numpy_dtype))

    def full(self, shape: tuple[int, ...], value: float, *, like: Array) -> Array:
        return tf.fill(_known(shape, like), tf.constant(value, self._float_dtype(like)))

    def arange(self, n: int, *, like: Array) -> Array:
        return tf.range(n, dtype=like.dtype if like.dtype in (tf.int32, tf.int64) else tf.int64)

    def places(self, x: Array) -> Array:
        return tf.range(tf.shape(x, x.dtype)[0], dtype=x.dtype)

    def scan(
        self,
        step: Callable[[list[Array], list[Array]], tuple[list[Array], list[Array]]],
        state: list[Array],
        inputs: list[Array],
        *,
        reverse: bool = False,
    ) -> tuple[list[Array], list[Array]]:
        if tf.executing_eagerly():
            return super().scan(step, state, inputs, reverse=reverse)
        length = int(inputs[0].shape[0])
        _, examples = step([*state], [part[0] for part in inputs])
        kept = tuple(tf.TensorArray(one.dtype, length, element_shape=one.shape) for one in examples)

        def body(t: Array, state: tuple[Array, ...], kept: Any) -> tuple[Array, tuple[Array, ...], Any]:
            now = length - 1 - t if reverse else t
            new, outputs = step([*state], [part[now] for part in inputs])
            return t + 1, tuple(new), tuple(array.write(now, one) for array, one in zip(kept, outputs, strict=True))

        # Unrolled, XLA takes minutes over long sequences.
        start = (tf.constant(0), tuple(state), kept)
        _, last, kept = tf.while_loop(lambda t, *_: t < length, body, start, maximum_iterations=length)
        return [*last], [array.stack() for array in kept]

    def with_gradient(
        self,
        plain: Callable[..., list[Array]],
        forward: Callable[..., tuple[list[Array], list[Array]]],
        backward: Callable[[list[Array], list[Array]], list[Array]],
    ) -> Callable[..., list[Array]]:
        def run(*arrays: Array) -> tuple[list[Array], Callable[..., list[Array]]]:
            found, kept = forward(*arrays)
            return found, lambda *back: backward(kept, [*back])

        given: Callable[..., list[Array]] = tf.custom_gradient(run)
        return given

    def scatter_rows(self, x: Array, rows: Array, n: int) -> Array:
        return tf.scatter_nd(rows[:, None], x, tf.constant((n, *x.shape[1:]), rows.dtype))

    def copy(self, x: Array) -> Array:
        return tf.identity(x)

    def to_numpy(self, x: Array) -> Any:
        return x.numpy()

    def stop_gradient(self, x: Array) -> Array:
        return tf.stop_gradient(x)

    def softplus(self, x: Array) -> Array:
        return tf.math.softplus(x)

    def softmax(self, x: Array) -> Array:
        return tf.nn.softmax(x)

    def relu(self, x: Array) -> Array:
        return tf.nn.relu(x)

    def convolve(self, x: Array, kernels: Array, stride: int, padding: Padding) -> Array:
        padded = tf.pad(x, [(0, 0), *padding, (0, 0)])
        return tf.nn.conv2d(padded, tf.transpose(kernels, [1, 2, 3, 0]), stride, "VALID")

    def erf(self, x: Array) -> Array:
        return tf.math.erf(x)

    def lgamma(self, x: Array) -> Array:
        return tf.math.lgamma(x)

    def digamma(self, x: Array) -> Array:
        return tf.math.digamma(x)

    def log_softmax(self, x: Array) -> Array:
        return tf.nn.log_softmax(x)

    def take_along_axis(self, x: Array, indices: Array, axis: int) -> Array:
        last = self.moveaxis(x, axis, -1)
        found = tf.gather(last, self.moveaxis(indices, axis, -1), axis=-1, batch_dims=len(x.shape) - 1)
        return self.moveaxis(found, -1, axis)

    def normal(self, rng: Rng, shape: tuple[int, ...], *, like: Array) -> Array:
        dtype, known = self._float_dtype(like), _known(shape, like)
        if rng is None:
            return tf.random.normal(known, dtype=dtype)
        return tf.random.stateless_normal(known, self._seed(rng), dtype=dtype)

    def gumbel(self, rng: Rng, shape: tuple[int, ...], *, like: Array) -> Array:
        dtype = self._float_dtype(like)
        # A number that is 0 would give an infinite noise, which no masked logit could lose against.
        least = np.finfo(dtype.as_numpy_dtype).tiny
        known = _known(shape, like)
        if rng is None:
            even = tf.random.uniform(known, least, 1.0, dtype)
        else:
            even = tf.random.stateless_uniform(known, self._seed(rng), least, 1.0, dtype)
        return -tf.math.log(-tf.math.log(even))

    def gamma(self, rng: Rng, concentration: Array) -> Array:
        if rng is None:
            return tf.random.gamma((), concentration, dtype=concentration.dtype)
        seed = self._seed(rng)
        return tf.random.stateless_gamma(tf.shape(concentration), seed, concentration, dtype=concentration.dtype)


NAMESPACE = _TensorFlow()


def _dtype(side: Array | float) -> tf.DType:
    """Return the dtype of an array, or the one that a plain number has by itself."""
    if isinstance(side, int):
        return tf.bool if isinstance(side, bool) else tf.int64
    return tf.as_dtype(getattr(side, "dtype", tf.float32))


def _kind(dtype: tf.DType) -> tuple[bool, bool]:
    """Return what orders booleans, integers and floats."""
    return dtype.is_floating, dtype != tf.bool


def _known(shape: Iterable[int | None], rows: Array) -> list[Any]:
    """Return a shape whose unknown length is the number of rows of an array."""
    return [tf.shape(rows)[0] if length is None else length for length in shape]
