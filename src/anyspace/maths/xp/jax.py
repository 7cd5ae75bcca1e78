"""The array namespace of JAX; imported when the first of its arrays turns up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from anyspace.maths.arrays import NumpyArray
from anyspace.maths.xp.base import Array, Namespace, Padding, Rng


class _Jax(Namespace):
    """JAX. ``rng`` is a key; there is no global source, so None is a TypeError.

    Without its x64 mode there is no float64. `affine` and `shares` then compute with pairs of float32, a number and
    what rounding took off it, so that their results are within one step of float32 of those in float64.
    """

    array_type = jax.Array

    def __init__(self) -> None:
        super().__init__(jnp)

    def _float_dtype(self, like: Array) -> Any:
        return jnp.promote_types(like.dtype, jnp.float32)

    def _key(self, rng: Rng) -> Rng:
        if rng is None:
            raise TypeError("JAX has no global random source: pass a key, for example rng=jax.random.key(0).")
        return rng

    def split(self, rng: Rng, parts: int) -> list[Rng]:
        return list(jax.random.split(self._key(rng), parts))

    def asarray(self, x: Any, *, like: Array) -> Array:
        return jnp.asarray(x)

    def astype(self, x: Array, dtype: str) -> Array:
        # Without x64 mode JAX has no 64-bit dtypes and warns when asked for one by name.
        return x.astype(jax.dtypes.canonicalize_dtype(dtype))

    def widened(self, x: Array) -> Array:
        return x.astype(self._float_dtype(x)) if jnp.issubdtype(x.dtype, jnp.floating) else x

    def cast(self, x: Any, *, like: Array) -> Array:
        return jnp.asarray(x, like.dtype)

    def full(self, shape: tuple[int, ...], value: float, *, like: Array) -> Array:
        return jnp.full(shape, value, self._float_dtype(like))

    def arange(self, n: int, *, like: Array) -> Array:
        return jnp.arange(n)

    @property
    def widest_float(self) -> str:
        return str(jax.dtypes.canonicalize_dtype("float64"))

    def affine(self, x: Array, scale: Array, offset: Array) -> Array:
        if self.widest_float == "float64":
            return super().affine(x, scale, offset)
        # Products of numbers of 12 bits are exact, and so are the errors that `_two_sum` finds: only the last sum of
        # all rounds. The first part of each number is the largest.
        factors = _split(x.astype(np.float32))
        terms = [jnp.asarray(part) for part in _float32_parts(offset, 24)]
        terms += [factor * part for part in _float32_parts(scale, 12) for factor in factors]
        total, lost, rest = terms[0], jnp.zeros_like(terms[0]), jnp.zeros_like(terms[0])
        for term in terms[1:]:
            total, error = _two_sum(total, term)
            lost, error = _two_sum(lost, error)
            rest = rest + error
        total, error = _two_sum(total, lost)
        return total + (error + rest)

    def shares(self, x: Array) -> Array:
        if self.widest_float == "float64":
            return super().shares(x)
        tiny = np.finfo(np.float32).tiny
        values = jnp.maximum(x.astype(np.float32), tiny)
        # By a power of two to at most 1, which is exact: sums of numbers near the largest float would overflow.
        _, exponent = jnp.frexp(jnp.max(values, axis=-1, keepdims=True))
        values = jnp.maximum(jnp.ldexp(values, -exponent), tiny)
        total, lost = _sum_of_last(values)
        share = values / total
        # Division rounds, on some devices not to the nearest: one step of Newton's method takes in what is missing.
        (high, low), (total_high, total_low) = _split(share), _split(total)
        missing = ((values - high * total_high) - high * total_low) - low * total_high
        return share + (missing - (low * total_low + share * lost)) / total

    def scatter_rows(self, x: Array, rows: Array, n: int) -> Array:
        return jnp.zeros((n, *x.shape[1:]), x.dtype).at[rows].set(x)

    def copy(self, x: Array) -> Array:
        return x

    def to_numpy(self, x: Array) -> Any:
        return np.asarray(x)

    def stop_gradient(self, x: Array) -> Array:
        return jax.lax.stop_gradient(x)

    def softplus(self, x: Array) -> Array:
        return jax.nn.softplus(x)

    def relu(self, x: Array) -> Array:
        return jax.nn.relu(x)

    def convolve(self, x: Array, kernels: Array, stride: int, padding: Padding) -> Array:
        axes = ("NHWC", "OHWI", "NHWC")
        return jax.lax.conv_general_dilated(x, kernels, (stride, stride), padding, dimension_numbers=axes)

    def scan(
        self,
        step: Callable[[list[Array], list[Array]], tuple[list[Array], list[Array]]],
        state: list[Array],
        inputs: list[Array],
        *,
        reverse: bool = False,
    ) -> tuple[list[Array], list[Array]]:
        last, outputs = jax.lax.scan(step, state, inputs, reverse=reverse)
        return last, outputs

    def with_gradient(
        self,
        plain: Callable[..., list[Array]],
        forward: Callable[..., tuple[list[Array], list[Array]]],
        backward: Callable[[list[Array], list[Array]], list[Array]],
    ) -> Callable[..., list[Array]]:
        run = jax.custom_vjp(plain)
        run.defvjp(forward, lambda kept, back: tuple(backward(kept, back)))
        return run

    def erf(self, x: Array) -> Array:
        return jax.lax.erf(x)

    def lgamma(self, x: Array) -> Array:
        return jax.lax.lgamma(x)

    def digamma(self, x: Array) -> Array:
        return jax.lax.digamma(x)

    def log_softmax(self, x: Array) -> Array:
        return jax.nn.log_softmax(x)

    def softmax(self, x: Array) -> Array:
        return jax.nn.softmax(x)

    def take_along_axis(self, x: Array, indices: Array, axis: int) -> Array:
        return jnp.take_along_axis(x, indices, axis=axis)

    def normal(self, rng: Rng, shape: tuple[int, ...], *, like: Array) -> Array:
        return jax.random.normal(self._key(rng), shape, self._float_dtype(like))

    def gumbel(self, rng: Rng, shape: tuple[int, ...], *, like: Array) -> Array:
        return jax.random.gumbel(self._key(rng), shape, self._float_dtype(like))

    def gamma(self, rng: Rng, concentration: Array) -> Array:
        return jax.random.gamma(self._key(rng), concentration, dtype=concentration.dtype)


def _two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """Return the rounded sum of two numbers and what rounding took off it, exactly.

    Source: Knuth, "The art of computer programming", volume 2, section 4.2.2, theorem B.
    """
    total = a + b
    rest = total - a
    return total, (a - (total - rest)) + (b - rest)


def _sum_of_last(x: Array) -> tuple[Array, Array]:
    """Return sums over the last axis ``[..., 1]`` as pairs: halves are added to each other until one entry is left."""
    lost = jnp.zeros_like(x)
    while (width := x.shape[-1]) > 1:
        odd = [(0, 0)] * (x.ndim - 1) + [(0, width % 2)]
        x, lost = jnp.pad(x, odd), jnp.pad(lost, odd)
        half = x.shape[-1] // 2
        x, error = _two_sum(x[..., :half], x[..., half:])
        lost = lost[..., :half] + lost[..., half:] + error
    return x, lost


def _split(x: Array) -> list[Array]:
    """Return float32 numbers as the sum of two of 12 bits each."""
    high = jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=11)
    return [high, x - high]


def _float32_parts(x: NumpyArray, bits: int) -> list[NumpyArray]:
    """Return float64 numbers as the sum of float32 ones of so many bits each, the largest first: all 53 bits."""
    parts, rest = [], np.asarray(x, np.float64)
    for _ in range(-(-53 // bits)):
        mantissa, exponent = np.frexp(rest)
        part = np.ldexp(np.trunc(np.ldexp(mantissa, bits)), exponent - bits)
        parts.append(part.astype(np.float32))
        rest = rest - part
    return parts


NAMESPACE = _Jax()
