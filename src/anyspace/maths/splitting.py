"""Arrays cut along their last axis: into parts of given widths, or into the leaves of an action space."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from anyspace import nesting
from anyspace.maths.xp import Array, xp


def split_last(x: Array, widths: Sequence[int]) -> list[Array]:
    """Cut ``[..., sum(widths)]`` along its last axis into one array per width.

    Raises:
        ValueError: The widths do not add up to the last axis.
    """
    stops = list(itertools.accumulate(widths))
    if stops[-1] != x.shape[-1]:
        raise ValueError(f"Cannot cut {x.shape[-1]} values per row into parts of {list(widths)}.")
    return [x[..., stop - width : stop] for width, stop in zip(widths, stops, strict=True)]


def split_leaves(space: nesting.Space, flat: Array) -> list[Array]:
    """Cut flat actions into the values of the leaves of their space.

    Args:
        space: The action space, for example ``Tuple([Discrete(3), Box(-1, 1, (2,))])``.
        flat: ``[..., F]``, for example ``[[2.0, 0.5, -0.5]]``, one row.

    Returns:
        ``[..., *shape]`` per leaf, depth-first in the space's own order; int64 where the leaf is discrete. In the
        example ``[2]`` and ``[[0.5, -0.5]]``.

    Raises:
        ValueError: The leaves hold more or fewer than F numbers.
    """
    ns, leaves = xp(flat), nesting.leaves(space)
    shapes = [leaf.shape or () for leaf in leaves]
    parts = split_last(flat, [math.prod(shape) for shape in shapes])
    batch = tuple(flat.shape[:-1])
    found = []
    for leaf, shape, part in zip(leaves, shapes, parts, strict=True):
        values = ns.reshape(part, (*batch, *shape))
        discrete = leaf.dtype is not None and leaf.dtype.kind != "f"
        found.append(ns.astype(values, "int64") if discrete else values)
    return found
