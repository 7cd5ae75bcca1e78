"""``Batch``: rows to learn from, by column, that know how to average themselves."""

from __future__ import annotations

from typing import Any

from anyspace import tree
from anyspace.errors import ConfigError
from anyspace.maths.gather import rows_of
from anyspace.maths.xp import Array, xp

OF_ALL_ROWS = ("sequences", "windows")
"""Columns that are no rows: they say how the rows belong together."""

NEXT = "next_"
"""What the names of columns begin with that say what transitions led to."""


class Batch(dict[str, Any]):
    """N rows by the name of the column, each a tree of tensors [N, ...] on the device.

    Every batch has ``obs``, the encoded observation's leaves. It has ``action_mask`` [N, A] where a mask comes with
    observations, ``views`` where the model looks at other steps, and ``sequences`` where the rows are steps of
    sequences.

    Where rows do not count there is ``counted`` [N], ones and zeros. The learner of a compiled framework, which wants
    few shapes, repeats rows up to the next of a few sizes; replayed sequences begin with steps that only fill the
    memory. Losses notice nothing as long as they reduce by :meth:`mean`, :meth:`sum` and :meth:`max`.
    """

    @property
    def mask(self) -> Array | None:
        """Which choices are allowed [N, A], booleans; None where everything is."""
        return self.get("action_mask")

    @property
    def counted(self) -> Array | None:
        """Which rows count [N], ones and zeros; None where all do."""
        return self.get("counted")

    def mean(self, x: Array) -> Array:
        """Return the mean of ``x`` [N] over the rows that count, a scalar."""
        ns, counted = xp(x), self.counted
        return ns.mean(x) if counted is None else self.sum(x) / ns.sum(counted)

    def sum(self, x: Array) -> Array:
        """Return the sum of ``x`` [N] over the rows that count, a scalar."""
        ns, counted = xp(x), self.counted
        return ns.sum(x if counted is None else ns.where(counted > 0, x, 0.0))

    def max(self, x: Array) -> Array:
        """Return the largest of ``x`` [N] over the rows that count, a scalar."""
        ns, counted = xp(x), self.counted
        return ns.max(x if counted is None else ns.where(counted > 0, x, -float("inf")), axis=0)

    def following(self) -> Batch:
        """Return the columns ``next_obs``, ``next_action_mask`` and ``next_views`` as a batch of their own.

        They hold what transitions led to; see :func:`anyspace.data.transitions.transitions`.
        """
        there = {name: f"{NEXT}{name}" for name in ("obs", "action_mask", "views")}
        return Batch({name: self[column] for name, column in there.items() if column in self})

    def slice(self, start: int, stop: int) -> Batch:
        """Return neighbouring rows, copying nothing; neighbouring sequences, where rows are steps of sequences."""
        sequences = self.get("sequences")
        if sequences is None:
            return self.of_rows(slice(start, stop))
        stops = sequences.lens.cumsum()
        part = self.of_rows(slice(int(stops[start] - sequences.lens[start]), int(stops[stop - 1])))
        part["sequences"] = sequences[start:stop]
        return part

    def take(self, rows: object) -> Batch:
        """Return the given rows of every column; ``rows`` is a slice, or an index of the framework.

        Raises:
            ConfigError: the rows are steps of sequences, which stay together.
        """
        if "sequences" in self:
            raise ConfigError(
                "take() would tear sequences apart, of which these rows are the steps: slice(start, stop) takes"
                " neighbouring sequences, and minibatches(policy, batch, size) whole ones, shuffled."
            )
        return self.of_rows(rows)

    def __missing__(self, name: str) -> Any:
        raise ConfigError(f"the batch has no column {name!r}; it has {', '.join(map(str, self))}.")

    def of_rows(self, rows: object) -> Batch:
        """Return the given rows of every column, and nothing of how they belong together; see :meth:`take`."""
        return Batch(
            {
                name: tree.map_leaves(lambda leaf: rows_of(leaf, rows), self[name])
                for name in self
                if name not in OF_ALL_ROWS
            }
        )
