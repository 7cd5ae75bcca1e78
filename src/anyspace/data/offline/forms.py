"""Whether a list holds rows, the parts of each side by side, or parts, the rows of each one after the other."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from anyspace import nesting


class Forms:
    """Tells lists of rows [N, k] from lists of k parts [N] where N is k, by the other lists of a column.

    Where none of them tells, they are rows: these are what this library and RLlib write.

    Args:
        sizes: for each column of a nested space the space, and how many numbers a row holds.
    """

    def __init__(self, sizes: dict[str, tuple[gym.Space[Any], int]]):
        self._square = {
            name: size
            for name, (space, size) in sizes.items()
            if len(nesting.leaves(space)) == size and nesting.built(space, range(size)) == (*range(size),)
        }
        self._has_rows: dict[str, bool] = {}

    def is_known(self, name: str, value: object) -> bool:
        """Return whether the form of a column's value is known by its shape, or by values that were read before."""
        return name in self._has_rows or not self._fits_both(name, value)

    def note(self, name: str, value: object, *, has_rows: bool) -> bool:
        """Return whether a value holds rows, and remember that where only one form fits.

        Args:
            name: of the column.
            value: of it.
            has_rows: whether its shape is that of rows, with as many of them as there are steps.
        """
        if self._fits_both(name, value):
            return self._has_rows.setdefault(name, True)
        if isinstance(value, list):
            self._has_rows[name] = has_rows
        return has_rows and not isinstance(value, tuple)

    def _fits_both(self, name: str, value: object) -> bool:
        size = self._square.get(name)
        if size is None or not isinstance(value, list) or len(value) != size:
            return False
        return all(isinstance(row, list) and len(row) == size and not np.ndim(row[0]) for row in value)
