"""Rows of columns: arrays [N, ...], nested dicts and tuples of them, or lists of objects.

Letters: N rows; S sequences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from anyspace import tree
from anyspace.maths.xp import Array, xp
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


def after_zeros(count: int, values: Array) -> Array:
    """Return rows [N, ...], an array or a tensor, after ``count`` rows of zeros."""
    ns, shape = xp(values), (count, *values.shape[1:])
    is_array = isinstance(values, np.ndarray)  # which may hold texts or objects
    zeros = np.zeros(shape, values.dtype) if is_array else ns.cast(np.zeros(shape), like=values)
    return ns.concatenate([zeros, values])


def joined(columns: Sequence[Tree]) -> Tree:
    """Return the rows of nested columns one after the other."""
    if isinstance(columns[0], list):
        return [row for column in columns for row in column]
    return tree.map_leaves(lambda *arrays: xp(arrays[0]).concatenate(arrays), *columns)


def is_per_sequence(name: str) -> bool:
    """Return whether a column has one row for each sequence: lengths and the states before them."""
    return name == "seq_lens" or name.startswith("state_in_")


def attempt_count_timesteps(tensor_dict: Mapping[str, Any]) -> int:
    """Return how many rows columns have: the sum of ``seq_lens``, else the length of the first column; 0 if unknown."""
    lens = tensor_dict.get("seq_lens")
    if lens is not None and len(lens) > 0:
        return int(sum(lens))
    for name, column in tensor_dict.items():
        leaves = tree.leaves(column) if isinstance(column, dict | tuple) else [column]
        if name not in ("seq_lens", "infos") and not name.startswith(("state_in_", "state_out_")):
            length = len(leaves[0]) if leaves and hasattr(leaves[0], "__len__") and np.ndim(leaves[0]) else 0
            if length:
                return length
    return 0
