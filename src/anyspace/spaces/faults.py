"""Values that an observation space does not allow: found in whole batches, described for users (spec 2.4)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from anyspace.errors import ObservationError
from anyspace.spaces.encoding import LeafSpec, NumpyArray


@dataclass(frozen=True)
class Fault:
    """The first value that is outside its space; its text names the leaf, what was expected and what came."""

    index: tuple[int, ...]
    """Which row: its position in the batch dimensions N."""
    leaf: LeafSpec
    """Which leaf."""
    what: str
    """What was expected and what came, in the environment's own values."""

    def __str__(self) -> str:
        return f"{self.leaf.place()}: {self.what}"


def find_fault(specs: Sequence[LeafSpec], leaves: Sequence[NumpyArray]) -> Fault | None:
    """Return the first fault of stacked encoded leaves in row order, or None.

    A fault is NaN or an infinity, an index outside 0..n-1, a binary value other than 0 and 1, or a Box value
    outside its bounds (floats may exceed a bound by 1e-4 * max(1, |bound|)).

    Args:
        specs: the leaves of the space.
        leaves: one array [N, *shape] per leaf, as `Encoder` returns them, all of the same N.
    """
    faults = []
    for spec, leaf in zip(specs, leaves, strict=True):
        fine = _fine(spec, leaf)
        if fine is not None and not fine.all():
            faults.append(_locate(spec, leaf, ~fine))
    return min(faults, key=lambda fault: fault.index) if faults else None


def require_valid(
    specs: Sequence[LeafSpec], leaves: Sequence[NumpyArray], where: Callable[[tuple[int, ...]], str]
) -> None:
    """Raise on the first fault of stacked encoded leaves.

    Args:
        specs: the leaves of the space.
        leaves: one array [N, *shape] per leaf.
        where: spells a row's position, such as ``lambda index: f"step {index[0]}, environment {index[1]}"``.

    Raises:
        ObservationError: naming the leaf, the row, what was expected and what came.
    """
    fault = find_fault(specs, leaves)
    if fault is not None:
        raise ObservationError(
            f"{where(fault.index)}: {fault}. Make the environment stay inside its observation space, or "
            "widen the space."
        )


def _fine(spec: LeafSpec, leaf: NumpyArray) -> NumpyArray | None:
    """Return which values are allowed, or None where the dtype allows nothing else."""
    if spec.limits is None:
        return np.isfinite(leaf) if spec.dtype.kind == "f" else None
    low, high = spec.limits
    # NaN compares False with everything, and limits are finite: one rule finds every kind of fault.
    return (low <= leaf) & (leaf <= high)


def _locate(spec: LeafSpec, leaf: NumpyArray, wrong: NumpyArray) -> Fault:
    position = np.unravel_index(int(wrong.argmax()), wrong.shape)
    rank = leaf.ndim - len(spec.shape)
    index, component = tuple(map(int, position[:rank])), tuple(map(int, position[rank:]))
    value = leaf[position].item()
    if spec.kind == "index":
        number = int(np.ravel_multi_index(component, spec.shape)) if component else 0
        first = spec.start[number]
        value, expected = value + first, f"a value in {first}..{first + spec.nvec[number] - 1}"
    elif spec.kind == "binary":
        expected = "0 or 1"
    elif math.isfinite(value):
        box: Any = spec.space
        expected = f"a value in [{box.low[component]}, {box.high[component]}]"
    else:
        expected = "a finite number"
    suffix = f" at component {component}" if component else ""
    return Fault(index, spec, f"expected {expected}, got {value}{suffix}")
