"""Numbers that change between two gradient steps and are read by losses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from anyspace.maths.arrays import NumpyArray
from anyspace.maths.xp import Array


class Cell:
    """A number or an array that a loss reads and that changes between gradient steps: a KL weight, filter statistics.

    A compiled step must not take such a number for a constant: it would be compiled anew with every new one. The loss
    reads ``value``, which the learner binds to an argument of the compiled step. Losses do not branch on the value;
    they branch on the configuration.

    Args:
        value: the first value. A number is kept as float64, an array as it is.
        place: makes of the host's array what losses of the framework compute with, on its device.

    Attributes:
        host: the value as a NumPy array; the truth, and what is saved.
    """

    __slots__ = ("_bound", "_place", "_placed", "host")

    def __init__(self, value: float | NumpyArray, place: Callable[[NumpyArray], Array] = np.asarray):
        self._place = place
        self._bound: Array | None = None
        self._placed: Array | None = None
        self.assign(value)

    @property
    def value(self) -> Array:
        """What a loss computes with: of the framework, and within a compiled step that step's argument."""
        if self._bound is not None:
            return self._bound
        if self._placed is None:
            self._placed = self._place(self.host)
        return self._placed

    def assign(self, value: float | NumpyArray) -> None:
        """Set a new value; it reaches the device with the next gradient step that reads it."""
        array = np.array(value)
        self.host: NumpyArray = array if array.ndim else array.astype(np.float64)
        self._placed = None

    def bind(self, argument: Array | None) -> None:
        """Let ``value`` be an argument of a step that is being compiled; None: the host's again."""
        self._bound = argument

    def __repr__(self) -> str:
        return f"Cell({self.host})"

    def __float__(self) -> float:
        return float(self.host)

    def state(self) -> dict[str, NumpyArray]:
        """Return the value by name, for a checkpoint."""
        return {"value": np.asarray(self.host)}

    def load_state(self, state: dict[str, NumpyArray]) -> None:
        """Restore what :meth:`state` returned."""
        self.assign(state["value"][()])
