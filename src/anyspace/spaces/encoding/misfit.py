"""The error of encoders: it learns on its way up where in the observation it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from anyspace import tree
from anyspace.errors import ObservationError
from anyspace.maths.arrays import NumpyArray

FIX_THE_SPACE = "Make the environment return what its observation space says, or change the space."


class Misfit(Exception):
    """A raw value does not fit its space. On its way up it learns which element and which row it is in.

    An example: the third value of all lists is wrong, where the first list has two elements and the second one three.
    The encoder of the elements raises it with ``index`` 2. `rise` with ``ends`` ``[2, 5]`` turns that into ``numbers``
    ``[0]``, the first element of its list, and ``index`` 1, the second list.

    Attributes:
        path: where in the space.
        what: what was expected and what came.
        index: the position of the value among the M that the raising encoder was given; None: all of them together.
        numbers: the positions of the elements that the Ellipses of ``path`` stand for, outermost first, as far as
            they are known.
    """

    def __init__(self, path: tree.Path, what: str, index: int | None = None) -> None:
        super().__init__(what)
        self.path, self.what, self.index = path, what, index
        self.numbers: list[int] = []

    def among(self, positions: Sequence[int] | NumpyArray) -> None:
        """Turn an index over selected values into one over all values; ``positions`` are those of the selected ones."""
        assert self.index is not None
        self.index = int(positions[self.index])

    def rise(self, ends: NumpyArray) -> None:
        """Turn an index over all elements into (list, position).

        Args:
            ends: the cumulative lengths of the lists, such as ``[2, 2, 5]`` for lists of 2, 0 and 3 elements.
        """
        assert self.index is not None
        row = int(np.searchsorted(ends, self.index, side="right"))
        self.numbers.insert(0, self.index - (int(ends[row - 1]) if row else 0))
        self.index = row

    def error(self, where: Callable[[int], str] | None = None) -> ObservationError:
        """Return the error for users; ``where`` spells a row, None leaves it out because there is one observation."""
        row = "" if where is None or self.index is None else f"{where(self.index)}: "
        return ObservationError(f"{row}{tree.place('obs', self.path, self.numbers)}: {self.what}. {FIX_THE_SPACE}")
