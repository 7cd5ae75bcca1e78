"""The functions that every array namespace has."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from anyspace.errors import nearest

Array: TypeAlias = Any
"""An array of any framework. They share behaviour but no base class, so no narrower type is honest."""

Rng: TypeAlias = Any
"""A framework's own random source: ``numpy.random.Generator``, ``torch.Generator`` or a JAX key; or None."""

Axis: TypeAlias = int | tuple[int, ...] | None
"""The axis or axes to reduce over; None reduces over all of them."""

Padding: TypeAlias = tuple[tuple[int, int], tuple[int, int]]
"""Zeros before and after the rows of a picture, and before and after its columns."""


class Namespace:
    """Functions over arrays of one framework.

    This class holds what the frameworks spell alike; its subclasses hold the names and habits they do not share.
    Results are on the device of the array ``like``. Floating results have its dtype, but at least float32.

    Formulas call these functions rather than methods of an array: TensorFlow's tensors have neither ``reshape`` nor
    ``sum``, and cannot be indexed by arrays.

    Attributes:
        array_type: The type, or the types, of the framework's arrays.
    """

    array_type: type | tuple[type, ...]

    def __init__(self, module: Any) -> None:
        self._module = module

    if not TYPE_CHECKING:  # type checkers refuse what is unknown

        def __getattr__(self, name):
            known = [each for each in dir(type(self)) if not each.startswith("_")]
            raise AttributeError(
                f"xp() has no {name!r}.{nearest(name, known)} docs/own-algorithm.md lists what there is in every"
                " framework; a loss that calls one framework alone may use all that this one has."
            )

    def exp(self, x: Array) -> Array:
        """e to the power of ``x``, elementwise."""
        return self._module.exp(x)

    def log(self, x: Array) -> Array:
        """Natural logarithm, elementwise."""
        return self._module.log(x)

    def log1p(self, x: Array) -> Array:
        """log(1 + ``x``), exact for small ``x``."""
        return self._module.log1p(x)

    def sqrt(self, x: Array) -> Array:
        """Square root, elementwise."""
        return self._module.sqrt(x)

    def square(self, x: Array) -> Array:
        """``x`` times itself, elementwise."""
        return x * x

    def tanh(self, x: Array) -> Array:
        """Hyperbolic tangent, elementwise."""
        return self._module.tanh(x)

    def arctanh(self, x: Array) -> Array:
        """Inverse of `tanh`, for ``x`` between -1 and 1."""
        return self._module.arctanh(x)

    def abs(self, x: Array) -> Array:
        """Absolute value, elementwise."""
        return self._module.abs(x)

    def holds(self, x: Array) -> Array:
        """Return as booleans where ``x``, booleans or 0/1, holds."""
        return x != 0

    def where(self, condition: Array, x: Array | float, y: Array | float) -> Array:
        """Take ``x`` where the boolean ``condition`` holds and ``y`` elsewhere."""
        return self._module.where(condition, x, y)

    def clip(self, x: Array, low: Array | float | None, high: Array | float | None) -> Array:
        """Limit ``x`` to [low, high], two numbers or two arrays; None leaves that side open."""
        return self._module.clip(x, low, high)

    def minimum(self, x: Array, y: Array | float) -> Array:
        """Return the smaller one of ``x`` and ``y``, an array or a number, elementwise."""
        return self.where(x < y, x, y)

    def maximum(self, x: Array, y: Array | float) -> Array:
        """Return the larger one of ``x`` and ``y``, an array or a number, elementwise."""
        return self.where(x > y, x, y)

    def sum(self, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        """Sum over ``axis``."""
        return self._module.sum(x, axis=axis, keepdims=keepdims)

    def mean(self, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        """Arithmetic mean over ``axis``."""
        return self._module.mean(x, axis=axis, keepdims=keepdims)

    def var(self, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        """Variance over ``axis``: the mean of squared deviations from the mean."""
        return self.mean(self.square(x - self.mean(x, axis, keepdims=True)), axis, keepdims)

    def std(self, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
        """Square root of `var`."""
        return self.sqrt(self.var(x, axis, keepdims))

    def max(self, x: Array, axis: int, keepdims: bool = False) -> Array:
        """Largest value along ``axis``."""
        return self._module.amax(x, axis=axis, keepdims=keepdims)

    def min(self, x: Array, axis: int, keepdims: bool = False) -> Array:
        """Smallest value along ``axis``."""
        return self._module.amin(x, axis=axis, keepdims=keepdims)

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

    def reshape(self, x: Array, shape: tuple[int, ...]) -> Array:
        """Give ``x`` another shape of as many entries, in C order; one length may be -1, which is what is left."""
        return self._module.reshape(x, shape)

    def broadcast_to(self, x: Array, shape: tuple[int, ...]) -> Array:
        """Repeat ``x`` along leading axes that it does not have and along axes of length 1; nothing is copied."""
        return self._module.broadcast_to(x, shape)

    def take_rows(self, x: Array, rows: Array) -> Array:
        """Pick entries of the first axis: ``x`` ``[M, ...]`` and integers ``rows`` ``[*N]`` give ``[*N, ...]``.

        They are counted from 0: what negative ones give, and those beyond the end, is not the same everywhere, and not
        everywhere an error. Outside of compiled code booleans ``[M]`` pick the rows where they hold.
        """
        return x[rows]

    def searchsorted(self, ordered: Array, values: Array) -> Array:
        """First places ``[*N]`` that ``values`` ``[*N]`` could take in sorted ``ordered`` ``[M]``, integers 0 to M."""
        return self._module.searchsorted(ordered, values)

    def take_columns(self, x: Array, columns: Array) -> Array:
        """Pick entries of the last axis, counted from 0: of ``x`` ``[..., M]`` integers ``[*N]`` give ``[..., *N]``."""
        return x[..., columns]

    def swapaxes(self, x: Array, one: int, other: int) -> Array:
        """Exchange two axes."""
        return self._module.swapaxes(x, one, other)

    def moveaxis(self, x: Array, source: int, destination: int) -> Array:
        """Move an axis to another place; the others keep their order."""
        return self._module.moveaxis(x, source, destination)

    @property
    def widest_float(self) -> str:
        """The widest floating dtype that `affine` and `shares` compute in."""
        return "float64"

    def affine(self, x: Array, scale: Array, offset: Array) -> Array:
        """Return ``offset`` + ``x`` * ``scale``, exact to `widest_float` however much of the two cancels.

        Args:
            x: Numbers ``[..., *shape]``.
            scale: NumPy's, float64 ``[*shape]``.
            offset: NumPy's, float64 ``[*shape]``.
        """
        wide = self.astype(x, "float64")
        return self.asarray(offset, like=wide) + wide * self.asarray(scale, like=wide)

    def shares(self, x: Array) -> Array:
        """Return what part of the sum over the last axis each number of ``x`` ``[..., k]`` is.

        What is not positive counts as next to nothing, so that a row without a positive number gives even shares.
        """
        wide = self.clip(self.astype(x, "float64"), sys.float_info.min, None)
        return wide / self.sum(wide, axis=-1, keepdims=True)

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

    def widened(self, x: Array) -> Array:
        """Return floats as float32 at least; those that are wide enough, and what is no float, as they are."""
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

    def places(self, x: Array) -> Array:
        """Return the integers 0..n-1, one for each entry of the first axis of integers ``x`` ``[n, ...]``."""
        return self.arange(x.shape[0], like=x)

    def scatter_rows(self, x: Array, rows: Array, n: int) -> Array:
        """Return zeros ``[n, ...]`` in which the entries of ``x`` ``[N, ...]`` lie at ``rows`` ``[N]``, distinct."""
        raise NotImplementedError

    def put_columns(self, x: Array, where: Array, values: Array) -> Array:
        """Return ``x`` ``[L, B, ...]`` with ``values`` ``[B, ...]`` in the columns in which ``where`` ``[B]`` holds.

        NumPy writes into ``x`` itself, so ``x`` must be nobody else's.
        """
        shape = (1, x.shape[1], *(1 for _ in x.shape[2:]))
        return self.where(self.reshape(self.asarray(where, like=x), shape), values[None], x)

    def copy(self, x: Array) -> Array:
        """Return an array that shares no memory with ``x`` that could be written to."""
        raise NotImplementedError

    def to_numpy(self, x: Array) -> Any:
        """Return an array of NumPy with the numbers of ``x``, which may share its memory."""
        raise NotImplementedError

    def stop_gradient(self, x: Array) -> Array:
        """Return the values of ``x`` with no gradient flowing back through them."""
        raise NotImplementedError

    def softplus(self, x: Array) -> Array:
        """log(1 + exp(``x``)), exact for large and for very negative ``x``."""
        raise NotImplementedError

    def relu(self, x: Array) -> Array:
        """Return ``x`` where it is above 0, else 0, with no gradient there."""
        raise NotImplementedError

    def convolve(self, x: Array, kernels: Array, stride: int, padding: Padding) -> Array:
        """Convolve pictures, channels last.

        out[n, i, j, o] is the sum over a, b, c of k[o, a, b, c] x[n, s i + a, s j + b, c].

        Args:
            x: ``[N, H, W, C]``.
            kernels: k ``[O, height, width, C]``.
            stride: s.
            padding: How many zeros go above and below x, left and right of it.

        Returns:
            ``[N, ., ., O]``.
        """
        raise NotImplementedError

    def scan(
        self,
        step: Callable[[list[Array], list[Array]], tuple[list[Array], list[Array]]],
        state: list[Array],
        inputs: list[Array],
        *,
        reverse: bool = False,
    ) -> tuple[list[Array], list[Array]]:
        """Carry a state from step to step, and return the last state and the outputs of all steps, ``[T, ...]`` each.

        An example: where ``step`` makes ``([s + x], [s + x])`` of a state ``[s]`` and inputs ``[x]``, the state
        ``[0]`` and the inputs ``[[1, 2, 3]]`` give ``[6]`` and ``[[1, 3, 6]]``.

        Args:
            step: From a state and the inputs of one step to the state after it, of the same shapes and dtypes, and its
                outputs.
            state: Arrays.
            inputs: Arrays ``[T, ...]``, T at least 1.
            reverse: Begin with the last step; outputs lie where their inputs do.
        """
        outputs: list[list[Array]] = [[]] * inputs[0].shape[0]
        for t in reversed(range(len(outputs))) if reverse else range(len(outputs)):
            state, outputs[t] = step(state, [array[t] for array in inputs])
        return state, [self.stack(parts) for parts in zip(*outputs, strict=True)]

    def with_gradient(
        self,
        plain: Callable[..., list[Array]],
        forward: Callable[..., tuple[list[Array], list[Array]]],
        backward: Callable[[list[Array], list[Array]], list[Array]],
    ) -> Callable[..., list[Array]]:
        """Return a function of arrays whose gradient is given, where a framework is quicker with it than with its own.

        An example: of ``plain = lambda x: [x * x]`` the gradient is that of ``forward = lambda x: ([x * x], [x])`` and
        ``backward = lambda kept, back: [2 * kept[0] * back[0]]``.

        Args:
            plain: From arrays to arrays.
            forward: The same, and what the gradient is computed from.
            backward: From that and the gradients of what came out to those of what went in.
        """
        return plain

    def huber(self, x: Array, delta: float) -> Array:
        """Return x^2 / 2 where |x| is at most ``delta``, and delta (|x| - delta / 2) beyond."""
        sizes = self.abs(x)
        near = self.clip(sizes, None, delta)
        return near * (sizes - 0.5 * near)

    def erf(self, x: Array) -> Array:
        """Return the error function: 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to ``x``."""
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

    def softmax(self, x: Array) -> Array:
        """Return e to the power of ``x``, over the sum of these along the last axis."""
        return self.exp(self.log_softmax(x))

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
