"""The array namespace of an array: one spelling, NumPy's, for NumPy, PyTorch and JAX.

Formulas of this library are written once over ``xp(x)``; NumPy is then the oracle of the tests and the other
frameworks run the very same lines. A framework is imported only when an array of it turns up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any
"""An array of any framework. They share behaviour but no base class, so no narrower type is honest."""

Rng: TypeAlias = Any
"""A framework's own random source: ``numpy.random.Generator``, ``torch.Generator`` or a JAX key; or None."""

Axis: TypeAlias = int | tuple[int, ...] | None
"""The axis or axes to reduce over; None reduces over all of them."""


class Namespace:
    """Functions over arrays of one framework.

    This class holds what the frameworks spell alike; its subclasses hold the names and habits they do not
    share. ``like`` is an existing array that lends its device, and its dtype where the result is floating: at
    least float32, so that integers and half precision lend one that noise and discounts can be held in.
    """

    array_type: type | tuple[type, ...]

    def __init__(self, module: Any) -> None:
        self._module = module

    def exp(self, x: Array) -> Array:
        """e to the power of ``x``, elementwise."""
        return self._module.exp(x)

    def log(self, x: Array) -> Array:
        """Natural logarithm, elementwise."""
        return self._module.log(x)

    def log1p(self, x: Array) -> Array:
        """log(1 + ``x``), exact for small ``x``."""
        return self._module.log1p(x)

    def tanh(self, x: Array) -> Array:
        """Hyperbolic tangent, elementwise."""
        return self._module.tanh(x)

    def arctanh(self, x: Array) -> Array:
        """Inverse of `tanh`, for ``x`` between -1 and 1."""
        return self._module.arctanh(x)

    def where(self, condition: Array, x: Array | float, y: Array | float) -> Array:
        """Take ``x`` where the boolean ``condition`` holds and ``y`` elsewhere."""
        return self._module.where(condition, x, y)

    def clip(self, x: Array, low: Array | float | None, high: Array | float | None) -> Array:
        """Limit ``x`` to [low, high], two numbers or two arrays; None leaves that side open."""
        return self._module.clip(x, low, high)

    def sum(self, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        """Sum over ``axis``."""
        return self._module.sum(x, axis=axis, keepdims=keepdims)

    def mean(self, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        """Arithmetic mean over ``axis``."""
        return self._module.mean(x, axis=axis, keepdims=keepdims)

    def max(self, x: Array, axis: int, keepdims: bool = False) -> Array:
        """Largest value along ``axis``."""
        return self._module.amax(x, axis=axis, keepdims=keepdims)

    def any(self, x: Array, axis: int, keepdims: bool = False) -> Array:
        """Whether any value along ``axis`` is true."""
        return self._module.any(x, axis=axis, keepdims=keepdims)

    def argmax(self, x: Array, axis: int) -> Array:
        """Index of the (first) largest value along ``axis``."""
        return self._module.argmax(x, axis=axis)

    def concatenate(self, arrays: Sequence[Array], axis: int = 0) -> Array:
        """Join arrays along an axis they have."""
        return self._module.concatenate(arrays, axis=axis)

    def stack(self, arrays: Sequence[Array], axis: int = 0) -> Array:
        """Join arrays of one shape along a new axis."""
        return self._module.stack(arrays, axis=axis)

    def moveaxis(self, x: Array, source: int, destination: int) -> Array:
        """Move an axis to another place; the others keep their order."""
        return self._module.moveaxis(x, source, destination)

    def one_hot(self, indices: Array, n: int, dtype: str = "float32") -> Array:
        """Encode integers ``[...]`` as ``[..., n]``; an index outside 0..n-1 gives a row of zeros."""
        return self.astype(indices[..., None] == self.arange(n, like=indices), dtype)

    def split(self, rng: Rng, parts: int) -> list[Rng]:
        """Give each of ``parts`` consumers its own source; a source that carries a state serves them all."""
        return [rng] * parts

    def asarray(self, x: Any, *, like: Array) -> Array:
        """Convert an array or list to this framework, on the device of ``like``; its dtype is kept."""
        raise NotImplementedError

    def astype(self, x: Array, dtype: str) -> Array:
        """Cast to a dtype given by name, such as ``"float32"`` or ``"int64"``."""
        raise NotImplementedError

    def cast(self, x: Any, *, like: Array) -> Array:
        """Convert an array, list or number to this framework, on the device of ``like`` and in its very dtype."""
        raise NotImplementedError

    def full(self, shape: tuple[int, ...], value: float, *, like: Array) -> Array:
        """Return a floating array of one repeated value."""
        raise NotImplementedError

    def arange(self, n: int, *, like: Array) -> Array:
        """Return the integers 0..n-1."""
        raise NotImplementedError

    def scatter_rows(self, x: Array, rows: Array, n: int) -> Array:
        """Return zeros ``[n, ...]`` in which the entries of ``x`` ``[N, ...]`` lie at ``rows`` ``[N]``, distinct."""
        raise NotImplementedError

    def copy(self, x: Array) -> Array:
        """Return an array that shares no memory with ``x`` that could be written to."""
        raise NotImplementedError

    def stop_gradient(self, x: Array) -> Array:
        """Return the values of ``x`` with no gradient flowing back through them."""
        raise NotImplementedError

    def softplus(self, x: Array) -> Array:
        """log(1 + exp(``x``)), exact for large and for very negative ``x``."""
        raise NotImplementedError

    def lgamma(self, x: Array) -> Array:
        """Logarithm of the gamma function, for ``x`` above 0."""
        raise NotImplementedError

    def digamma(self, x: Array) -> Array:
        """Derivative of `lgamma`, for ``x`` above 0."""
        raise NotImplementedError

    def log_softmax(self, x: Array) -> Array:
        """Logarithm of the softmax over the last axis."""
        raise NotImplementedError

    def take_along_axis(self, x: Array, indices: Array, axis: int) -> Array:
        """Pick values along ``axis`` by integer ``indices``, shaped like ``x`` on every other axis."""
        raise NotImplementedError

    def normal(self, rng: Rng, shape: tuple[int, ...], *, like: Array) -> Array:
        """Draw standard normal noise."""
        raise NotImplementedError

    def gumbel(self, rng: Rng, shape: tuple[int, ...], *, like: Array) -> Array:
        """Draw standard Gumbel noise, all finite: the argmax of logits plus it is a categorical sample."""
        raise NotImplementedError

    def gamma(self, rng: Rng, concentration: Array) -> Array:
        """Draw one number of scale 1 per entry of ``concentration``, which is at least 1.

        Draws carry the gradient of the concentration (Figurnov et al., 2018), where the framework has gradients.
        """
        raise NotImplementedError


class _NumPy(Namespace):
    """NumPy. ``rng`` None draws from a fresh, unseeded generator."""

    array_type = (np.ndarray, np.generic)

    def __init__(self) -> None:
        super().__init__(np)

    def asarray(self, x: Any, *, like: Array) -> Array:
        return np.asarray(x)

    def astype(self, x: Array, dtype: str) -> Array:
        return x.astype(dtype, copy=False)

    def cast(self, x: Any, *, like: Array) -> Array:
        return np.asarray(x, like.dtype)

    def full(self, shape: tuple[int, ...], value: float, *, like: Array) -> Array:
        return np.full(shape, value, np.result_type(like, np.float32))

    def arange(self, n: int, *, like: Array) -> Array:
        return np.arange(n)

    def scatter_rows(self, x: Array, rows: Array, n: int) -> Array:
        scattered: Array = np.zeros((n, *x.shape[1:]), x.dtype)
        scattered[rows] = x
        return scattered

    def copy(self, x: Array) -> Array:
        return x.copy()

    def stop_gradient(self, x: Array) -> Array:
        return x

    def softplus(self, x: Array) -> Array:
        return np.logaddexp(x, x.dtype.type(0))

    def lgamma(self, x: Array) -> Array:
        return np.vectorize(math.lgamma, otypes=[np.float64])(x).astype(x.dtype)

    def digamma(self, x: Array) -> Array:
        # Raised by psi(x) = psi(x + 1) - 1 / x to where the asymptotic series is exact to 1e-13.
        raised: Array = x.astype(np.float64)
        below = np.zeros_like(raised)
        for _ in range(8):
            below, raised = below + 1.0 / raised, raised + 1.0
        inverse: Array = raised**-2.0
        series = inverse * (1 / 12 - inverse * (1 / 120 - inverse * (1 / 252 - inverse * (1 / 240 - inverse / 132))))
        return np.asarray(np.log(raised) - 0.5 / raised - series - below, x.dtype)

    def log_softmax(self, x: Array) -> Array:
        shifted = x - np.max(x, axis=-1, keepdims=True)
        return shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))

    def take_along_axis(self, x: Array, indices: Array, axis: int) -> Array:
        return np.take_along_axis(x, indices, axis=axis)

    def normal(self, rng: Rng, shape: tuple[int, ...], *, like: Array) -> Array:
        generator = np.random.default_rng() if rng is None else rng
        return generator.standard_normal(shape).astype(np.result_type(like, np.float32))

    def gumbel(self, rng: Rng, shape: tuple[int, ...], *, like: Array) -> Array:
        generator = np.random.default_rng() if rng is None else rng
        return generator.gumbel(size=shape).astype(np.result_type(like, np.float32))

    def gamma(self, rng: Rng, concentration: Array) -> Array:
        generator = np.random.default_rng() if rng is None else rng
        return np.asarray(generator.standard_gamma(concentration), concentration.dtype)


class _Torch(Namespace):
    """PyTorch. ``rng`` None draws from its global generator."""

    def __init__(self) -> None:
        import torch

        super().__init__(torch)
        self.array_type = torch.Tensor

    def _float_dtype(self, like: Array) -> Any:
        return self._module.promote_types(like.dtype, self._module.float32)

    def asarray(self, x: Any, *, like: Array) -> Array:
        if isinstance(x, self._module.Tensor):
            return x.to(like.device)
        # A copy: sharing memory with a read-only array (JAX's, for one) would draw a warning.
        return self._module.tensor(np.asarray(x), device=like.device)

    def astype(self, x: Array, dtype: str) -> Array:
        return x.to(getattr(self._module, dtype))

    def cast(self, x: Any, *, like: Array) -> Array:
        return self.asarray(x, like=like).to(like.dtype)

    def full(self, shape: tuple[int, ...], value: float, *, like: Array) -> Array:
        return self._module.full(shape, value, dtype=self._float_dtype(like), device=like.device)

    def arange(self, n: int, *, like: Array) -> Array:
        return self._module.arange(n, device=like.device)

    def scatter_rows(self, x: Array, rows: Array, n: int) -> Array:
        return x.new_zeros((n, *x.shape[1:])).index_copy(0, rows, x)

    def copy(self, x: Array) -> Array:
        return x.clone()

    def stop_gradient(self, x: Array) -> Array:
        return x.detach()

    def softplus(self, x: Array) -> Array:
        # Not torch's own: it cuts the tail off, and with it the gradient.
        return self._module.logaddexp(x, self._module.zeros_like(x))

    def lgamma(self, x: Array) -> Array:
        return x.lgamma()

    def digamma(self, x: Array) -> Array:
        return x.digamma()

    def log_softmax(self, x: Array) -> Array:
        return x.log_softmax(-1)

    def take_along_axis(self, x: Array, indices: Array, axis: int) -> Array:
        return x.gather(axis, indices)

    def normal(self, rng: Rng, shape: tuple[int, ...], *, like: Array) -> Array:
        dtype = self._float_dtype(like)
        return self._module.randn(shape, generator=rng, dtype=dtype, device=like.device)

    def gumbel(self, rng: Rng, shape: tuple[int, ...], *, like: Array) -> Array:
        dtype = self._float_dtype(like)
        waits = self._module.empty(shape, dtype=dtype, device=like.device).exponential_(generator=rng)
        # A wait that rounds to 0 would give an infinite noise, which no masked logit could lose against.
        return waits.clamp_(min=self._module.finfo(dtype).tiny).log_().neg_()

    def gamma(self, rng: Rng, concentration: Array) -> Array:
        # What torch.distributions.Gamma calls, which takes no generator.
        return self._module._standard_gamma(concentration, generator=rng)


class _Jax(Namespace):
    """JAX. ``rng`` is a key; there is no global source, so None is a TypeError."""

    def __init__(self) -> None:
        import jax

        super().__init__(jax.numpy)
        self._jax: Any = jax
        self.array_type = jax.Array

    def _float_dtype(self, like: Array) -> Any:
        return self._module.promote_types(like.dtype, self._module.float32)

    def _key(self, rng: Rng) -> Rng:
        if rng is None:
            raise TypeError("JAX has no global random source: pass a key, for example rng=jax.random.key(0).")
        return rng

    def split(self, rng: Rng, parts: int) -> list[Rng]:
        return list(self._jax.random.split(self._key(rng), parts))

    def asarray(self, x: Any, *, like: Array) -> Array:
        return self._module.asarray(x)

    def astype(self, x: Array, dtype: str) -> Array:
        # Without x64 mode JAX has no 64-bit dtypes and warns when asked for one by name.
        return x.astype(self._jax.dtypes.canonicalize_dtype(dtype))

    def cast(self, x: Any, *, like: Array) -> Array:
        return self._module.asarray(x, like.dtype)

    def full(self, shape: tuple[int, ...], value: float, *, like: Array) -> Array:
        return self._module.full(shape, value, self._float_dtype(like))

    def arange(self, n: int, *, like: Array) -> Array:
        return self._module.arange(n)

    def scatter_rows(self, x: Array, rows: Array, n: int) -> Array:
        return self._module.zeros((n, *x.shape[1:]), x.dtype).at[rows].set(x)

    def copy(self, x: Array) -> Array:
        return x

    def stop_gradient(self, x: Array) -> Array:
        return self._jax.lax.stop_gradient(x)

    def softplus(self, x: Array) -> Array:
        return self._jax.nn.softplus(x)

    def lgamma(self, x: Array) -> Array:
        return self._jax.lax.lgamma(x)

    def digamma(self, x: Array) -> Array:
        return self._jax.lax.digamma(x)

    def log_softmax(self, x: Array) -> Array:
        return self._jax.nn.log_softmax(x)

    def take_along_axis(self, x: Array, indices: Array, axis: int) -> Array:
        return self._module.take_along_axis(x, indices, axis=axis)

    def normal(self, rng: Rng, shape: tuple[int, ...], *, like: Array) -> Array:
        return self._jax.random.normal(self._key(rng), shape, self._float_dtype(like))

    def gumbel(self, rng: Rng, shape: tuple[int, ...], *, like: Array) -> Array:
        return self._jax.random.gumbel(self._key(rng), shape, self._float_dtype(like))

    def gamma(self, rng: Rng, concentration: Array) -> Array:
        return self._jax.random.gamma(self._key(rng), concentration, dtype=concentration.dtype)


_FRAMEWORKS = {"numpy": _NumPy, "torch": _Torch, "jax": _Jax, "jaxlib": _Jax}
_BY_TYPE: dict[type, Namespace] = {}


def xp(x: Array) -> Namespace:
    """Return the namespace of the framework that ``x`` is an array of.

    Raises:
        TypeError: ``x`` is no array of a supported framework.
    """
    namespace = _BY_TYPE.get(type(x))
    return _resolve(x) if namespace is None else namespace


def _resolve(x: Array) -> Namespace:
    for base in type(x).__mro__:
        framework = _FRAMEWORKS.get(base.__module__.partition(".")[0])
        if framework is not None:
            namespace = framework()
            if isinstance(x, namespace.array_type):
                _BY_TYPE[type(x)] = namespace
                return namespace
    kind = f"{type(x).__module__}.{type(x).__qualname__}"
    raise TypeError(f"Expected an array of NumPy, PyTorch or JAX, got {kind}: {x!r:.80}")
