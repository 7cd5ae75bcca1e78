"""``RepeatedValues``: lists of varying length as arrays of fixed shape.

Letters: B stands for any number of leading batch dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from anyspace import tree
from anyspace.maths.xp import Array
from anyspace.tree import Tree


class RepeatedValues:
    """What a model sees of lists: the elements of all of them at each position, and how long each list is.

    A list of dicts is a dict of arrays here, and a list of lists holds other RepeatedValues: repetition is pushed
    down to the leaves.

    An example: the lists ``[1, 2]`` and ``[3]`` of at most three numbers are ``values`` ``[[1, 2, 0], [3, 0, 0]]`` and
    ``lengths`` ``[2, 1]``.

    Args:
        values: the elements: nested dicts and lists of arrays [B, max_len, ...] of any framework, and of
            RepeatedValues whose lengths are [B, max_len]. What lies beyond a list's length is zero.
        lengths: how many elements each list has, [B], whole numbers of any dtype.
        max_len: longest length.
    """

    def __init__(self, values: Tree, lengths: Array, max_len: int) -> None:
        self.values, self.lengths, self.max_len = values, lengths, max_len
        self._lists: list[Any] | None = None

    def map(self, function: Callable[..., Array], *rest: RepeatedValues) -> RepeatedValues:
        """Return RepeatedValues with ``function`` applied to every array: lengths and values, however deep.

        Args:
            function: takes an array, and the matching one of each of ``rest``.
            rest: further RepeatedValues of the same structure.
        """
        values = map_arrays(function, self.values, *(other.values for other in rest))
        lengths = function(self.lengths, *(other.lengths for other in rest))
        return RepeatedValues(values, lengths, self.max_len)

    def unbatch_repeat_dim(self) -> Tree:
        """Split the axis of elements: nested as ``values``, with lists of ``max_len`` parts [B, ...] as leaves.

        The parts of RepeatedValues are RepeatedValues.
        """
        axis = len(self.lengths.shape)
        return tree.map_leaves(lambda leaf: [_at(axis, i, leaf) for i in range(self.max_len)], self.values)

    def unbatch_all(self) -> list[Any]:
        """Return the lists themselves, without padding: nested Python lists, B first, then the elements.

        An element is nested as ``values``, with arrays [...] as leaves; RepeatedValues in it are lists in turn. It
        is computed once; arrays are views where the framework has them.
        """
        if self._lists is None:
            self._lists = self._unbatched()
        return self._lists

    def _unbatched(self) -> list[Any]:
        if len(self.lengths.shape):  # TensorFlow's shape of a scalar is not false
            return [_element(i, self) for i in range(self.lengths.shape[0])]
        return [tree.map_leaves(partial(_element, i), self.values) for i in range(int(self.lengths))]

    def __repr__(self) -> str:
        return f"RepeatedValues(values={self.values}, lengths={self.lengths}, max_len={self.max_len})"


def map_arrays(function: Callable[..., Array], structured: Tree, *rest: Tree) -> Tree:
    """Apply ``function`` to every array of a structured observation, those within RepeatedValues too.

    Args:
        function: takes an array, and the matching one of each of ``rest``.
        structured: an observation, or what a model makes of it.
        rest: further ones of the same structure.
    """
    return tree.map_leaves(partial(_map, function), structured, *rest)


def any_array(structured: Tree) -> Array | None:
    """Return an array [N, ...] of a structured observation, which says how many rows there are; None: it has none."""
    leaf = next(tree.iter_leaves(structured), (None, None))[1]
    return leaf.lengths if isinstance(leaf, RepeatedValues) else leaf


def _map(function: Callable[..., Array], leaf: Any, *rest: Any) -> Array | RepeatedValues:
    return leaf.map(function, *rest) if isinstance(leaf, RepeatedValues) else function(leaf, *rest)


def _at(axis: int, position: int, leaf: Array | RepeatedValues) -> Array | RepeatedValues:
    """Return one position along an axis that all arrays have."""
    return _map(lambda array: array[(slice(None),) * axis + (position,)], leaf)


def _element(position: int, leaf: Array | RepeatedValues) -> Array | list[Any]:
    """Return one position along the first axis, RepeatedValues as lists."""
    element = _at(0, position, leaf)
    return element.unbatch_all() if isinstance(element, RepeatedValues) else element
