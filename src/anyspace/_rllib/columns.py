"""Rows of columns: arrays [N, ...], nested dicts and tuples of them, or lists of objects.

Letters: N rows; S sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from anyspace import tree
from anyspace.maths.xp import xp
from anyspace.tree import Tree


def padded(column: Any, lens: npt.NDArray[np.integer[Any]], longest: int, *, last: bool = False) -> Any:
    """Return rows [N, ...] as [S * longest, ...]: zeros, or each sequence's ``last`` row, follow its own rows.

    Objects and texts come as a list, with None in the padding.
    """
    values = np.asarray(column)
    steps = np.arange(longest)
    starts = np.cumsum(lens) - lens
    rows = starts[:, None] + np.minimum(steps, lens[:, None] - 1)
    real = steps < lens[:, None]
    if values.dtype.kind in "OUS":
        pairs = zip(rows.flat, real.flat, strict=True)
        return [values[row] if inside or last else None for row, inside in pairs]
    found = values[rows]
    if not last:
        found[~real] = 0
    return found.reshape(-1, *values.shape[1:])


def cut(column: Tree, rows: int | slice) -> Tree:
    """Return one row, or neighbouring rows, of a nested column; a list is a column of objects."""
    if isinstance(column, list):
        return column[rows]
    return tree.map_leaves(lambda leaf: leaf[rows], column)


def picked(column: Tree, order: npt.NDArray[np.integer[Any]]) -> Tree:
    """Return rows of a nested column in an order [n]."""
    if isinstance(column, list):
        return [column[i] for i in order]
    return tree.map_leaves(lambda leaf: leaf[order], column)


def after_zeros(count: int, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return rows [N, ...] after ``count`` rows of zeros."""
    return np.concatenate([np.zeros((count, *values.shape[1:]), values.dtype), values])


def joined(columns: Sequence[Tree]) -> Tree:
    """Return the rows of nested columns one after the other."""
    if isinstance(columns[0], list):
        return [row for column in columns for row in column]
    return tree.map_leaves(lambda *arrays: xp(arrays[0]).concatenate(arrays), *columns)
