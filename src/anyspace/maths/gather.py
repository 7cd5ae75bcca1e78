"""Rows that are put together from others only where they are used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from anyspace.maths.xp import Array, xp


@dataclass(frozen=True)
class Gathered:
    """N rows, each made of k of the M stored ones, side by side along the last axis.

    Frame stacks are kept like this: a picture is stored once, however many stacks it is in.
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
        return Gathered(self.stored, self.index[rows])

    def __len__(self) -> int:
        return len(self.index)

    def put_together(self) -> Array:
        """Return the rows as one array of ``shape``."""
        parts = self.stored[self.index]
        return xp(parts).moveaxis(parts, 1, -2).reshape(self.shape)
