"""A batch as plain arrays of fixed shapes, as compiled frameworks take it, and put together again within their calls.

Letters: N rows; M rows that others point into.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from anyspace.maths.gather import Gathered, Window
from anyspace.maths.xp import Array
from anyspace.models.runtime import NumpyArray
from anyspace.policy.batch import OF_ALL_ROWS, Batch
from anyspace.tree import Tree

Named = dict[str, Any]
"""Arrays by name, such as ``obs/0``."""

Build = Callable[[Named, Named], Any]
"""Makes a column of the arrays by row and of the stored ones."""

FEWEST_ROWS = 8
"""Fewer rows are padded to as many."""


@dataclass(frozen=True)
class Columns:
    """The columns of a batch as plain arrays.

    A batch with an observation of one leaf and a view ``last`` of it has the rows ``obs/0`` [N, ...],
    ``views/'last'/index`` and ``views/'last'/missing`` [N, k]; stored is ``views/'last'/0`` [M, ...].
    """

    rows: Named
    """[N, ...] each."""
    stored: Named
    """[M, ...] each: what is stored once, however many rows show it."""
    built: dict[str, Build]
    """What makes each column of them."""


def put_together(built: Mapping[str, Build], rows: Named, stored: Named) -> Batch:
    """Return the batch of such arrays, of any framework, and of any number of rows."""
    return Batch({name: build(rows, stored) for name, build in built.items()})


def columns_of(batch: Mapping[str, Any]) -> Columns:
    """Return a batch of NumPy arrays as plain arrays; without the columns that are no rows."""
    columns = Columns({}, {}, {})
    for name, column in batch.items():
        if name not in OF_ALL_ROWS:
            columns.built[name] = _apart(name, column, columns.rows, columns.stored)
    return columns


def _apart(name: str, column: Tree, rows: Named, stored: Named) -> Build:
    """Add the arrays of a column by name, and return what puts it together again."""
    if isinstance(column, dict):
        # A space may have both keys, 1 and "1", or "a/b" beside "b" within "a".
        parts = {key: _apart(f"{name}/{key!r}", part, rows, stored) for key, part in column.items()}
        return lambda rows, stored: {key: build(rows, stored) for key, build in parts.items()}
    if isinstance(column, list | tuple):
        several = [_apart(f"{name}/{i}", part, rows, stored) for i, part in enumerate(column)]
        kind = type(column) if type(column) in (list, tuple) else tuple
        return lambda rows, stored: kind(build(rows, stored) for build in several)
    if isinstance(column, Window):
        return _window(name, column, rows, stored)
    if isinstance(column, Gathered):
        rows[f"{name}/index"], stored[name] = column.index, column.stored
        return lambda rows, stored: Gathered(stored[name], rows[f"{name}/index"])
    rows[name] = column
    return lambda rows, stored: rows[name]


def _window(name: str, window: Window, rows: Named, stored: Named) -> Build:
    index, missing = f"{name}/index", f"{name}/missing"
    rows[index] = window.index
    # Whether anything is missing changes from batch to batch, and what is compiled must not.
    rows[missing] = np.zeros(window.index.shape, np.bool_) if window.missing is None else window.missing
    parts: list[Callable[[Named], Any]] = []
    for i, leaf in enumerate(window.stored):
        part = f"{name}/{i}"
        if isinstance(leaf, Gathered):
            stored[part], stored[f"{part}/index"] = leaf.stored, leaf.index
            parts.append(partial(_gathered, part))
        else:
            stored[part] = leaf
            parts.append(partial(_stored, part))
    return lambda rows, stored: Window([part(stored) for part in parts], rows[index], rows[missing])


def _gathered(name: str, stored: Named) -> Gathered:
    return Gathered(stored[name], stored[f"{name}/index"])


def _stored(name: str, stored: Named) -> Array:
    return stored[name]


def size_for(count: int) -> int:
    """Return for how many rows, steps or sequences to compile where there are ``count``.

    It is a power of two, or, from 8 on, one and a half of one: 8, 12, 16, 24, 32, 48 and so on. More sizes would mean
    less to compute, and more often something to compile. It goes by this number alone, so that a run that goes on from
    a checkpoint takes the same steps.
    """
    power = 1 << (count - 1).bit_length()
    return power // 4 * 3 if count > 8 and count <= power // 4 * 3 else power


def padded_stored(stored: Named) -> Named:
    """Return stored arrays with as many rows of zeros behind as make their number one of few."""
    return {name: filled_up(array, size_for(len(array))) for name, array in stored.items()}


def filled_up(array: NumpyArray, size: int) -> NumpyArray:
    """Return an array with as many rows of zeros behind as make ``size`` rows."""
    if len(array) == size:
        return array
    return np.concatenate([array, np.zeros((size - len(array), *array.shape[1:]), array.dtype)])
