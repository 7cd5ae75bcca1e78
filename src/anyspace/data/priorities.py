"""``Priorities``: numbers by which replay draws, in a sum tree."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anyspace.data.trajectory import Floats, Ints

Doubles = npt.NDArray[np.float64]

FAN = 16
"""Children of a node: few enough to add up at once, and five levels reach a million rows."""


class SumTree:
    """Non-negative numbers of ``size`` rows, of which rows are drawn in proportion.

    A node holds the sum of its 16 children, so that drawing and changing rows costs as many steps as there are levels.
    Sums are added up anew from below, and rounding does not gather in them.

    An example: of the numbers 1, 0 and 3, ``find([0.5, 1.0, 3.9])`` returns the rows 0, 2 and 2.

    Args:
        size: number of rows, at least 1.
    """

    def __init__(self, size: int):
        self._levels: list[Doubles] = []
        while not self._levels or len(self._levels[-1]) > FAN:
            size = -(-size // FAN) * FAN
            self._levels.append(np.zeros(size))
            size //= FAN
        self._children = np.arange(FAN)

    @property
    def total(self) -> float:
        """Sum of all numbers."""
        return float(self._levels[-1].sum())

    def __getitem__(self, rows: Ints) -> Doubles:
        """Return the numbers of some rows [n]."""
        found: Doubles = self._levels[0][rows]
        return found

    def put(self, rows: Ints, values: Doubles | float) -> None:
        """Set the numbers of some rows [n]; where a row comes twice, the last number counts."""
        if not len(rows):
            return
        self._levels[0][rows] = values
        for below, above in zip(self._levels[:-1], self._levels[1:], strict=True):
            # A parent that comes twice is added up twice, which costs less than finding that out.
            rows = rows // FAN
            above[rows] = below[rows[:, None] * FAN + self._children].sum(axis=1)

    def find(self, at: Doubles) -> Ints:
        """Return the rows [n] in which the running sum of all numbers passes ``at`` [n], each in [0, total).

        Some number must be above 0.
        """
        top = self._levels[-1]
        running = top.cumsum()
        # Sums of the same numbers in another order differ in their last digits, here and below.
        nodes = running.searchsorted(at, side="right").clip(max=top.nonzero()[0][-1])
        rest = (at - (running[nodes] - top[nodes])).clip(min=0)
        for level in self._levels[-2::-1]:
            numbers = level[nodes[:, None] * FAN + self._children]
            running = numbers.cumsum(axis=1)
            child = (running <= rest[:, None]).sum(axis=1)
            # Where rounding leads past the last child, the last one that has a number is meant.
            lost = child == FAN
            if lost.any():
                child[lost] = FAN - 1 - (numbers[lost, ::-1] > 0).argmax(axis=1)
            each = np.arange(len(nodes))
            rest = (rest - (running[each, child] - numbers[each, child])).clip(min=0)
            nodes = nodes * FAN + child
        return nodes


class Priorities:
    """How often rows are drawn: in proportion to (error + eps)^alpha.

    A row that was not learnt from yet has the largest priority so far. ``beta`` stays what it is; the paper lets it
    rise to 1 over the training.

    Source: Schaul et al., "Prioritized experience replay", 2016, https://arxiv.org/abs/1511.05952.

    Args:
        size: number of rows.
        alpha: how much priorities matter, at least 0; 0 draws evenly.
        beta: how far importance weights make up for uneven draws, in [0, 1].
        eps: added to each error, above 0, so that every row is drawn at times.
    """

    BYTES_OF_A_ROW = 9
    """A priority, and its share of the sums above it."""

    def __init__(self, size: int, *, alpha: float, beta: float, eps: float):
        self._alpha, self._beta, self._eps = alpha, beta, eps
        self._size = size
        self.clear()

    def clear(self) -> None:
        """Close all rows, as at the beginning."""
        self._tree, self._largest = SumTree(self._size), 1.0

    @property
    def total(self) -> float:
        """Sum of all priorities; 0: no row is open."""
        return self._tree.total

    def open(self, rows: Ints) -> None:
        """Let rows be drawn, that are new."""
        self._tree.put(rows, self._largest)

    def close(self, rows: Ints) -> None:
        """Let rows be drawn no more."""
        self._tree.put(rows, 0.0)

    def set(self, rows: Ints, errors: npt.NDArray[np.floating]) -> None:
        """Take in the sizes of the errors [n] that rows were learnt from with; closed rows stay closed."""
        priorities = (np.abs(errors).astype(np.float64) + self._eps) ** self._alpha
        self._largest = max(self._largest, float(priorities.max(initial=0.0)))
        self._tree.put(rows, np.where(self._tree[rows] > 0, priorities, 0.0))

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Ints, Floats]:
        """Return rows [count], one from each of ``count`` even shares of the sum, and their importance weights.

        Weights are (open rows times probability)^-beta, divided by the largest of the draw; the number of rows cancels.
        Some row must be open.
        """
        rows = self._tree.find((np.arange(count) + rng.random(count)) * (self._tree.total / count))
        weights = self._tree[rows] ** -self._beta
        return rows, (weights / weights.max()).astype(np.float32)

    def state(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return the priorities of all rows, and the largest so far."""
        return {"priorities": self._tree[np.arange(self._size)], "largest": np.asarray(self._largest)}

    def load_state(self, state: dict[str, npt.NDArray[np.float64]], rows: Ints, theirs: Ints) -> None:
        """Restore what :meth:`state` returned; a row that was closed there is new.

        Args:
            state: also of another number of rows.
            rows: which are open [n].
            theirs: where each of them lay [n].
        """
        self.close(np.arange(self._size))
        self._largest = float(state["largest"])
        priorities = state["priorities"][theirs]
        self._tree.put(rows, np.where(priorities > 0, priorities, self._largest))
