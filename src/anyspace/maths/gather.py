"""Rows that are put together from others only where they are used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from anyspace.maths.xp import Array, xp


@dataclass(frozen=True)
class Gathered:
    """N rows, each made of k of the M stored rows, side by side along the last axis.

    Frame stacks are kept like this: a picture is stored once, however many stacks it is in.

    An example: of the frames ``stored = [[a], [b], [c]]``, ``index = [[0, 1], [1, 2]]`` makes the rows
    ``[[a, b], [b, c]]``.
    """

    stored: Array
    """[M, ..., C] of any framework."""
    index: Array
    """[N, k] integers in 0..M-1, of the same framework."""

    @property
    def shape(self) -> tuple[int, ...]:
        """[N, ..., k * C]."""
        count, k = self.index.shape
        return (count, *self.stored.shape[1:-1], k * self.stored.shape[-1])

    def __getitem__(self, rows: Any) -> Gathered:
        """Return some of the rows; nothing is copied but their index."""
        return Gathered(self.stored, rows_of(self.index, rows))

    def __len__(self) -> int:
        return int(self.index.shape[0])

    def put_together(self) -> Array:
        """Return the rows as one array of ``shape``."""
        ns = xp(self.stored)
        parts = ns.take_rows(self.stored, self.index)
        return ns.reshape(ns.moveaxis(parts, 1, -2), self.shape)


@dataclass(frozen=True)
class Window:
    """Row i shows ``stored[index[i]]``: k of the M stored rows, on a new axis 1.

    Views over time are kept like this: nothing is copied, however many rows look at a step.

    An example: of the steps ``stored = [[a, b, c]]``, one leaf, ``index = [[0, 1], [1, 2]]`` shows the first row the
    steps ``[a, b]`` and the second one ``[b, c]``. `leaves` returns ``[a, b, b, c]``, and `spread` makes of it
    ``[[a, b], [b, c]]``, with zeros where ``missing`` holds.
    """

    stored: Sequence[Array | Gathered]
    """Leaves [M, ...] of one framework."""
    index: Array
    """[N, k] integers in 0..M-1."""
    missing: Array | None = None
    """[N, k] booleans: where a row has nothing to look at, such as a step before its episode; None: nowhere."""

    def __getitem__(self, rows: Any) -> Window:
        """Return some of the rows; nothing is copied but their index."""
        missing = None if self.missing is None else rows_of(self.missing, rows)
        return Window(self.stored, rows_of(self.index, rows), missing)

    def __len__(self) -> int:
        return int(self.index.shape[0])

    def leaves(self) -> list[Array]:
        """Return the rows that are shown, [N * k, ...] for each leaf; any row where they are missing."""
        rows = xp(self.index).reshape(self.index, (-1,))
        found = [rows_of(leaf, rows) for leaf in self.stored]
        return [leaf.put_together() if isinstance(leaf, Gathered) else leaf for leaf in found]

    def spread(self, array: Array, fill: Array | float = 0) -> Array:
        """Return [N * k, ...] as [N, k, ...], with ``fill`` where rows are missing; [N, ...] where k is 1."""
        ns, (count, k) = xp(array), self.index.shape
        spread = ns.reshape(array, (count, k, *array.shape[1:]))
        if self.missing is not None:
            missing = ns.reshape(self.missing, (count, k) + (1,) * (len(array.shape) - 1))
            spread = ns.where(missing, fill, spread)
        return spread[:, 0] if k == 1 else spread


def rows_of(x: Array | Gathered | Window, rows: Any) -> Any:
    """Return some rows of stored, gathered or shown ones, of their framework.

    Args:
        x: ``[M, ...]``.
        rows: A slice, or integers ``[N]``.
    """
    if isinstance(x, Gathered | Window) or isinstance(rows, slice):
        return x[rows]
    return xp(x).take_rows(x, rows)
