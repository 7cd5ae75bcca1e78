"""Several choices whose options lie side by side.

Letters: N rows, k branches (one for each choice), A_i options of branch i, A the sum of all A_i, W the largest A_i.

An example: of the action space ``MultiDiscrete([2, 3])`` a row of values is [a0, a1, b0, b1, b2]. `split` makes it
[[a0, a1, -], [b0, b1, b2]], and the choice [1, 0] stands for a1 and b0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anyspace import nesting
from anyspace.maths.xp import Array, xp
from anyspace.tree import Tree


class Branches:
    """Where the options of each branch lie.

    Attributes:
        widths: A_i of each branch.
        count: k.
        total: A.
        widest: W.

    Args:
        widths: A_i of each branch, at least one branch, each of at least one option.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        self.widths = tuple(int(width) for width in widths)
        self.count, self.total, self.widest = len(self.widths), sum(self.widths), max(self.widths)
        self._even = self.total == self.count * self.widest
        starts, steps = np.cumsum((0, *self.widths[:-1])), np.arange(self.widest)
        self._starts = starts
        self._inside = steps < np.array(self.widths)[:, None]
        # Beyond its own options a branch repeats its first one, which no argmax prefers to the first itself.
        self._columns = starts[:, None] + np.where(self._inside, steps, 0)
        self._slots = np.flatnonzero(self._inside)

    def split(self, x: Array) -> Array:
        """Return ``x`` ``[N, A, ...]`` branch by branch ``[N, k, W, ...]``; short ones repeat their first option."""
        ns, shape = xp(x), (self.count, self.widest)
        if self._even:
            return ns.reshape(x, (x.shape[0], *shape, *x.shape[2:]))
        return self._taken(x, self._columns.reshape(-1), shape)

    def join(self, x: Array) -> Array:
        """Return ``x`` ``[N, k, W, ...]`` side by side ``[N, A, ...]``; undoes `split`."""
        flat = xp(x).reshape(x, (x.shape[0], self.count * self.widest, *x.shape[3:]))
        return flat if self._even else self._taken(flat, self._slots, (self.total,))

    def allowed(self, mask: Array | None, *, like: Array) -> Array | None:
        """Return which options count, booleans ``[N, k, W]`` (or ``[k, W]``), or None where all of them do.

        Args:
            mask: ``[N, A]`` of booleans or 0/1, or None. A branch that allows nothing counts as one that allows
                everything.
            like: an array of the framework.
        """
        ns = xp(like)
        inside = None if self._even else ns.asarray(self._inside, like=like)
        if mask is None:
            return inside
        held = self.split(ns.holds(ns.asarray(mask, like=like)))
        held = held if inside is None else held & inside
        opened = held | ~ns.any(held, axis=-1, keepdims=True)
        return opened if inside is None else opened & inside

    def argmax(self, x: Array) -> Array:
        """Return the position of the largest value of each branch, ``[N, A]`` to integers ``[N, k]``."""
        return xp(x).argmax(self.split(x), axis=-1)

    def at(self, x: Array, choices: Array) -> Array:
        """Return what ``x`` ``[N, A, ...]`` holds for the choices, integers ``[N, k]``: ``[N, k, ...]``."""
        ns = xp(x)
        index = choices if self.count == 1 else choices + ns.asarray(self._starts, like=choices)
        rest = tuple(x.shape[2:])
        if rest:
            index = ns.reshape(index, (*index.shape, *(1 for _ in rest)))
            index = ns.broadcast_to(index, (*index.shape[:2], *rest))
        return ns.take_along_axis(x, index, axis=1)

    def mean(self, x: Array) -> Array:
        """Return the mean over the branches, ``[N, k]`` to ``[N]``."""
        return xp(x).reshape(x, (x.shape[0],)) if self.count == 1 else xp(x).mean(x, axis=-1)

    def _taken(self, x: Array, columns: Array, shape: tuple[int, ...]) -> Array:
        """Return entries of the second axis, which become axes of ``shape``."""
        ns = xp(x)
        found = ns.take_columns(ns.moveaxis(x, 1, -1), ns.asarray(columns, like=x))
        return ns.reshape(ns.moveaxis(found, -1, 1), (x.shape[0], *shape, *x.shape[2:]))


def choices(space: nesting.Space, actions: Tree) -> Array:
    """Return the choices that discrete actions are made of, leaf by leaf, integers ``[N, k]``.

    Args:
        space: the action space, of discrete leaves alone.
        actions: as the distribution of the space gives them, ``[N, *shape]`` per leaf, nested like the space.
    """
    parts = nesting.values(space, actions)
    ns, columns = xp(parts[0]), [xp(part).reshape(part, (part.shape[0], -1)) for part in parts]
    return ns.astype(columns[0] if len(columns) == 1 else ns.concatenate(columns, axis=-1), "int64")
