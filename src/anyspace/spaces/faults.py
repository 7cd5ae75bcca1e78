"""Values that an observation space does not allow: found in whole batches, described for users."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from anyspace import tree
from anyspace.errors import ObservationError
from anyspace.maths.arrays import NumpyArray
from anyspace.spaces.encoding import Encoder
from anyspace.spaces.leaves import LeafSpec

STAY_INSIDE = "Make the environment stay inside its observation space, or widen the space."
BE_FINITE = "Mend the environment: the numbers of an observation are finite."
"""What to do about a value that nothing can be made of."""


@dataclass(frozen=True)
class Fault:
    """The first value that is outside its space; its text names the leaf, what was expected and what came."""

    index: tuple[int, ...]
    """Which row: its position in the batch dimensions N."""
    leaf: LeafSpec
    """Which leaf."""
    element: tuple[int, ...]
    """Which element, one number for each list that the leaf is in."""
    what: str
    """What was expected and what came, in the environment's own values."""

    def __str__(self) -> str:
        return f"{self.leaf.place(numbers=self.element)}: {self.what}"


def find_fault(encoder: Encoder, leaves: Sequence[NumpyArray]) -> Fault | None:
    """Return the first fault of stacked encoded leaves in row order, or None.

    A fault is NaN or an infinity, an index outside 0..n-1, a binary value other than 0 and 1, a Box value outside
    its bounds (floats may exceed a bound by 1e-4 * max(1, |bound|)), shares of a Simplex that are negative or do not
    sum to 1, or a length beyond its limits. Elements of lists and alternatives that are not there are not looked at.

    Args:
        encoder: the encoder of the space.
        leaves: one array [N, *shape] per leaf, as the encoder returns them, all of the same N.
    """
    faults = [_locate(spec, leaf, wrong) for spec, leaf, wrong in _wrong_values(encoder, leaves)]
    return min(faults, key=lambda fault: fault.index, default=None)


def require_valid(encoder: Encoder, leaves: Sequence[NumpyArray], where: Callable[[tuple[int, ...]], str]) -> None:
    """Raise on the first fault of stacked encoded leaves.

    Args:
        encoder: the encoder of the space.
        leaves: one array [N, *shape] per leaf.
        where: spells a row's position, such as ``lambda index: f"step {index[0]}, environment {index[1]}"``.

    Raises:
        ObservationError: naming the leaf, the row, what was expected and what came.
    """
    _refuse(find_fault(encoder, leaves), where)


class ValueCheck:
    """Requires values to be those of their space, but lets a finite number outside the bounds of a Box pass.

    That is said once for each leaf. An environment's bounds are often a guess of its author, and the number is a number
    to the model; an index, a length or a share outside its range would mean something else, and NaN nothing at all.

    Args:
        encoder: the encoder of the space.
        strict: positions of leaves that are no mere numbers, such as masks: their bounds count.
    """

    def __init__(self, encoder: Encoder, strict: Collection[int] = ()) -> None:
        self._encoder = encoder
        self._strict = {encoder.specs[position].path for position in strict}
        self._told: set[tree.Path] = set()

    def __call__(self, leaves: Sequence[NumpyArray], where: Callable[[tuple[int, ...]], str]) -> None:
        """Check stacked encoded leaves; arguments and errors are those of :func:`require_valid`."""
        faults, outside = weighed_faults(self._encoder, leaves, self._strict)
        _refuse(min(faults, key=lambda fault: fault.index, default=None), where)
        for fault in outside:
            if fault.leaf.path in self._told:
                continue
            self._told.add(fault.leaf.path)
            logging.getLogger("anyspace").warning(
                f"{where(fault.index)}: {fault}. The number is used as it is, and further ones of this part are not"
                " reported. Widen the space, or set `out_of_bounds` to 'clip' or 'error'."
            )


def weighed_faults(
    encoder: Encoder, leaves: Sequence[NumpyArray], strict: Collection[tree.Path] = ()
) -> tuple[list[Fault], list[Fault]]:
    """Return the first fault of each leaf that nothing can be made of, and those that are finite numbers out of bounds.

    Args:
        encoder: the encoder of the space.
        leaves: one array [N, *shape] per leaf.
        strict: paths of leaves whose bounds count, so that a number outside is of the first kind.
    """
    faults, outside = [], []
    for spec, leaf, wrong in _wrong_values(encoder, leaves):
        is_number = _is_number(spec) and spec.path not in strict
        beyond = wrong & np.isfinite(leaf) if is_number else np.zeros_like(wrong)
        if beyond.any():
            outside.append(_locate(spec, leaf, beyond))
        if (wrong & ~beyond).any():
            faults.append(_locate(spec, leaf, wrong & ~beyond))
    return faults, outside


def _refuse(fault: Fault | None, where: Callable[[tuple[int, ...]], str]) -> None:
    if fault is not None:
        advice = BE_FINITE if fault.what.startswith("expected a finite number") else STAY_INSIDE
        raise ObservationError(f"{where(fault.index)}: {fault}. {advice}")


def _wrong_values(encoder: Encoder, leaves: Sequence[NumpyArray]) -> Iterator[tuple[LeafSpec, NumpyArray, NumpyArray]]:
    """Yield each leaf that has values which its space does not allow, and which of them those are."""
    suspects = []
    for position, (spec, leaf) in enumerate(zip(encoder.specs, leaves, strict=True)):
        fine = _fine(spec, leaf)
        if fine is not None and not fine.all():
            suspects.append((position, ~fine))
    presence = encoder.presence(leaves) if suspects else []
    for position, wrong in suspects:
        spec, there = encoder.specs[position], presence[position]
        if there is not None:
            wrong &= there.reshape(there.shape + (1,) * len(spec.element_shape))
        if wrong.any():
            yield spec, leaves[position], wrong


def _is_number(spec: LeafSpec) -> bool:
    """Whether the values of a leaf are numbers of a Box: no indices, bits, lengths or shares."""
    return spec.kind == "real" and spec.tolerance is None


def _fine(spec: LeafSpec, leaf: NumpyArray) -> NumpyArray | None:
    """Return which values are allowed, or None where the dtype allows nothing else."""
    if spec.limits is None:
        return np.isfinite(leaf) if spec.dtype.kind == "f" else None
    # Of stacked frames, whose bounds are all the same, the newest one alone may be there.
    low, high = (bound[..., : leaf.shape[-1]] for bound in spec.limits) if spec.stack > 1 else spec.limits
    # NaN compares False with everything, and limits are finite: one rule finds every kind of fault.
    fine = (low <= leaf) & (leaf <= high)
    if spec.tolerance is not None:
        fine &= _sums_to_one(leaf, spec.tolerance)
    return fine


def _sums_to_one(leaf: NumpyArray, tolerance: float) -> NumpyArray:
    """Return whether shares [..., k] make a whole: [..., 1]."""
    with np.errstate(invalid="ignore"):
        totals = leaf.sum(axis=-1, dtype=np.float64, keepdims=True)
    fine: NumpyArray = np.abs(totals - 1.0) <= tolerance
    return fine


def _locate(spec: LeafSpec, leaf: NumpyArray, wrong: NumpyArray) -> Fault:
    position = tuple(map(int, np.unravel_index(int(wrong.argmax()), wrong.shape)))
    if spec.tolerance is not None:
        position = position[:-1]  # shares are right or wrong together
    rank, depth = leaf.ndim - len(spec.shape), leaf.ndim - len(spec.element_shape)
    index, element, component = position[:rank], position[rank:depth], position[depth:]
    expected, came = _described(spec, leaf[position].tolist(), component)
    suffix = f" at component {component}" if component else ""
    return Fault(index, spec, element, f"expected {expected}, got {came!r:.80}{suffix}")


def _described(spec: LeafSpec, value: Any, component: tuple[int, ...]) -> tuple[str, Any]:
    """Return what was expected of one component of an element, and what came, in the environment's own values."""
    if spec.kind == "index":
        number = int(np.ravel_multi_index(component, spec.element_shape)) if component else 0
        first = spec.start[number]
        return f"a value in {first}..{first + spec.nvec[number] - 1}", value + first
    if spec.kind == "binary":
        return "0 or 1", value
    if spec.tolerance is not None:
        return "shares that are not negative and sum to 1", value
    if math.isinf(value):  # stacking makes one of a number beyond the dtype
        return f"a finite number that {spec.dtype} can hold", value
    if math.isnan(value):
        return "a finite number", value
    assert isinstance(spec.space, Box)
    what = "length" if spec.kind == "count" else "value"
    return f"a {what} in [{spec.space.low[component]}, {spec.space.high[component]}]", value
