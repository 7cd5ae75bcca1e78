"""All raw values of one leaf as one array: every encoding of an observation ends here.

Values come in two forms. *Stacked* is what vector environments give: a dict of arrays for a Dict, a tuple of arrays
for a Tuple. Otherwise they are a list of M raw values. The two are the same for everything but Dict and Tuple.

Letters: N leading batch dimensions, M values handed over at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from anyspace.maths.arrays import NumpyArray
from anyspace.spaces.encoding.misfit import Misfit
from anyspace.spaces.leaves import LeafSpec

_UNREADABLE = (TypeError, NotImplementedError, RuntimeError)
"""What NumPy raises for tensors that need gradients or are on a GPU, and for what is traced."""


@dataclass(frozen=True, slots=True)
class Slots:
    """Where M values belong in an array [rows, *repeats]; everything else in it is absent, and zero.

    An example: two rows hold lists of 2 and 1 elements, of at most 3. The elements of both lists, one list after the
    other, belong at ``index`` ``[0, 1, 3]`` of an array [2, 3], that is at [0, 0], [0, 1] and [1, 0].
    """

    index: NumpyArray
    """[M], in C order of that array."""
    rows: int

    @classmethod
    def whole(cls, rows: int) -> Slots:
        """One value for each row."""
        return cls(np.arange(rows), rows)

    def within(self, max_len: int, lengths: NumpyArray, ends: NumpyArray) -> Slots:
        """Return the slots of the elements of M lists, which have ``lengths`` [M] that sum up to ``ends`` [M]."""
        first = self.index * max_len - (ends - lengths)
        return Slots(np.repeat(first, lengths) + np.arange(ends[-1] if len(ends) else 0), self.rows)

    def scatter(self, spec: LeafSpec, values: NumpyArray) -> NumpyArray:
        """Return encoded values [M, *element shape] in their places of a leaf [rows, *shape]."""
        leaf = np.zeros((self.rows * math.prod(spec.repeats), *spec.element_shape), spec.dtype)
        leaf[self.index] = values
        return leaf.reshape(self.rows, *spec.shape)


class NodeEncoder(Protocol):
    """Encodes what one place of a space holds."""

    def __call__(self, values: Any, stacked: bool, at: Slots | None, out: list[NumpyArray]) -> None:
        """Append the encoded leaves to ``out``, in the order of `leaves.iter_specs`.

        Args:
            values: stacked [N, ...] or M raw values.
            stacked: which of the two.
            at: where the M values belong; None: they are the stacked observations from first to last.
            out: the leaves encoded so far.

        Raises:
            Misfit: structure, shape or type of a value is not the space's.
        """

    def join(self, rows: Sequence[Any]) -> tuple[Any, list[int]]:
        """Join the elements of stacked lists: one stacked form of all elements, and the lists' lengths.

        Raises:
            Misfit: a row is not stacked as the space says.
        """


class LeafSpecEncoder:
    """Encodes one leaf.

    Args:
        spec: the leaf.
        clip: clip the finite numbers of a Box to its bounds.
    """

    def __init__(self, spec: LeafSpec, *, clip: bool = False) -> None:
        self.spec = spec
        self._bounds = _bounds(spec) if clip else None
        self._warp: Callable[[NumpyArray], NumpyArray] | None = spec.warp
        self._raw_shape = spec.raw_shape
        self._first = np.asarray(spec.start, spec.dtype).reshape(self._raw_shape) if any(spec.start) else None

    def __call__(self, values: Any, stacked: bool, at: Slots | None, out: list[NumpyArray]) -> None:
        """Append the encoded leaf to ``out``.

        Args:
            values: an array [N, *raw shape]; with ``at`` an array [M, *raw shape] or a list of M values.
            stacked: of no meaning for a leaf.
            at: where in the leaf the values belong; None: they are the whole of it, N any number of dimensions.
            out: the leaves encoded so far.

        Raises:
            Misfit: shape or type of a value is not the space's, or the stored dtype cannot hold it.
        """
        if at is None:
            out.append(self._stored(self._whole(values), None))
        else:
            out.append(at.scatter(self.spec, self._stored(self._each(values), at)))

    def join(self, rows: Sequence[Any]) -> tuple[NumpyArray, list[int]]:
        """Return stacked lists, each an array [length, *raw shape], as one array [M, *raw shape], and their lengths.

        Raises:
            Misfit: one is no array, or of another shape.
        """
        try:
            arrays = list(map(np.asarray, rows))
            lengths = list(map(len, arrays))
            filled = [array for array in arrays if len(array)]
            joined = np.concatenate(filled) if filled else self._none()
        except (ValueError, *_UNREADABLE):
            raise self._no_stack(rows) from None
        if joined.shape[1:] != self._raw_shape:
            raise self._no_stack(rows)
        return joined, lengths

    def _no_stack(self, rows: Sequence[Any]) -> Misfit:
        """Return what is wrong with the first of the rows that is no array of elements."""
        expected = f"expected an array [{', '.join(('length', *map(str, self._raw_shape)))}] for {self.spec.space}"
        for index, row in enumerate(rows):
            try:
                shape = np.asarray(row).shape
            except ValueError:
                return Misfit(self.spec.path, f"{expected}, got {row!r:.80}", index)
            except _UNREADABLE:
                return self._unreadable(row, index)
            if not shape or (shape[0] and shape[1:] != self._raw_shape):
                came = f"shape {shape}" if shape else type(row).__name__
                return Misfit(self.spec.path, f"{expected}, got {came}", index)
        raise AssertionError("every row is an array of elements")

    def _none(self) -> NumpyArray:
        return np.zeros((0, *self._raw_shape), self.spec.dtype)

    def _whole(self, values: Any) -> NumpyArray:
        if isinstance(values, tuple) and len(values) == 2 and isinstance(values[1], dict):
            what = f"expected an array for {self.spec.space}, got a pair whose second part is a dict"
            raise Misfit(self.spec.path, f"{what}; of what reset() returns, (observation, info), hand over the first")
        try:
            array = np.asarray(values)
        except ValueError as error:
            raise Misfit(self.spec.path, f"expected an array for {self.spec.space}: {error}") from error
        except _UNREADABLE as error:
            raise self._unreadable(values) from error
        if array.dtype.kind not in "biuf":
            raise Misfit(self.spec.path, f"expected numbers for {self.spec.space}, got {values!r:.80}")
        if array.shape[array.ndim - len(self._raw_shape) :] != self._raw_shape:
            expected = ", ".join(("...", *map(str, self._raw_shape)))
            raise Misfit(self.spec.path, f"expected shape [{expected}] for {self.spec.space}, got {array.shape}")
        return array

    def _each(self, values: Sequence[Any] | NumpyArray) -> NumpyArray:
        if not len(values):
            return self._none()
        try:
            array = np.asarray(values)
        except (ValueError, *_UNREADABLE):
            raise self._misfit(values) from None
        if array.shape != (len(values), *self._raw_shape) or array.dtype.kind not in "biuf":
            raise self._misfit(values)
        return array

    def _misfit(self, values: Sequence[Any] | NumpyArray) -> Misfit:
        """Return what is wrong with the first of the values that do not fit."""
        for index, value in enumerate(values):
            try:
                array = np.asarray(value)
            except ValueError:
                return Misfit(self.spec.path, f"expected an array for {self.spec.space}, got {value!r:.80}", index)
            except _UNREADABLE:
                return self._unreadable(value, index)
            if array.dtype.kind not in "biuf":
                return Misfit(self.spec.path, f"expected numbers for {self.spec.space}, got {value!r:.80}", index)
            if array.shape != self._raw_shape:
                expected = f"expected shape {self._raw_shape} for {self.spec.space}"
                return Misfit(self.spec.path, f"{expected}, got {array.shape}", index)
        raise AssertionError("every value fits")

    def _unreadable(self, value: Any, index: int | None = None) -> Misfit:
        came = f"expected numbers for {self.spec.space}, got {value!r:.80}, which NumPy cannot read"
        hint = (
            "of a tensor hand over `tensor.detach().cpu().numpy()`; what is traced by jax.jit or tf.function has no"
            " numbers yet: encode and act outside of it"
        )
        return Misfit(self.spec.path, f"{came}; {hint}", index)

    def _stored(self, array: NumpyArray, at: Slots | None) -> NumpyArray:
        if self._first is not None:
            array = np.asarray(array - self._first)
        if self._bounds is not None and (self.spec.limits is not None or array.dtype != self.spec.dtype):
            array = np.where(np.isfinite(array), np.clip(array, *self._bounds), array)
        if array.dtype != self.spec.dtype:
            array = self._cast(array, at)
        return array if self._warp is None else self._warp(array)

    def _cast(self, array: NumpyArray, at: Slots | None) -> NumpyArray:
        """Cast to the stored dtype: floats may round, but not to infinity; whole numbers must survive."""
        dtype = self.spec.dtype
        try:
            with np.errstate(over="raise", invalid="ignore"):
                converted = array.astype(dtype)
        except FloatingPointError:
            raise self._too_large(array, at) from None
        if dtype.kind != "f" and not (converted == array).all():
            lost = tuple(np.argwhere(converted != array)[0])
            raise Misfit(
                self.spec.path,
                f"expected values that {dtype} can hold exactly for {self.spec.space}, "
                f"got {array[lost]} of dtype {array.dtype}",
                None if at is None else int(lost[0]),
            )
        return converted

    def _too_large(self, array: NumpyArray, at: Slots | None) -> Misfit:
        """Return what is wrong with the first number that is beyond those of the stored dtype."""
        dtype = self.spec.dtype
        with np.errstate(over="ignore"):
            lost = tuple(np.argwhere(np.isinf(array.astype(dtype)) & np.isfinite(array))[0])
        component = tuple(map(int, lost[array.ndim - len(self._raw_shape) :]))
        is_row = at is not None or array.ndim == len(self._raw_shape) + 1
        largest: Any = np.finfo(dtype).max
        return Misfit(
            self.spec.path,
            f"expected numbers that {dtype}, in which they are stored, can hold (up to {largest:.3g}) for"
            f" {self.spec.space}, got {array[lost]}{f' at component {component}' if component else ''}",
            int(lost[0]) if is_row else None,
        )


def _bounds(spec: LeafSpec) -> tuple[NumpyArray, NumpyArray] | None:
    """Return the bounds of a leaf that is the numbers of a Box, of one element; None where there are none."""
    is_unbounded = spec.limits is None and spec.dtype.kind == "f"
    if spec.kind != "real" or spec.tolerance is not None or is_unbounded:
        return None
    box: Any = spec.space
    return box.low, box.high
