"""Masks of actions: which options of an action space are allowed, as one row of booleans.

A row holds one entry per option, leaf by leaf in the space's own key order, components in C order:

| leaf | entries |
|---|---|
| Discrete | n |
| MultiDiscrete | sum(nvec), component after component |
| integer Box | the values of each component, its bounds included, component after component |
| MultiBinary | two per bit: may it be 0, may it be 1 |
| float Box, Simplex | none: there are no separate options |

Letters: N rows, A entries in one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from anyspace import nesting, tree
from anyspace.errors import nearest
from anyspace.maths.arrays import Bools
from anyspace.maths.xp import Array
from anyspace.spaces.decoding import options

_MOST_LISTED = 4
"""Leaves, and components of a leaf, that a message lists."""
_MOST_ENTRIES = 8
"""Entries of a mask that a message lists."""


@dataclass(frozen=True)
class _Node:
    """The whole space or a part of it, down to one component of a leaf."""

    space: gym.Space[Any]
    options: tuple[int, ...]
    """How many options each component within has."""
    path: tree.Path
    """Where it sits in the whole space."""
    children: dict[Any, _Node] | None = None
    """Parts of a Dict or Tuple by key or position; a leaf has none."""

    @cached_property
    def width(self) -> int:
        return sum(self.options)

    @cached_property
    def named(self) -> dict[Any, _Node]:
        """The parts of a Dict by key; those of a Tuple have no names."""
        return self.children if isinstance(self.space, spaces.Dict) and self.children is not None else {}

    @cached_property
    def leaves(self) -> list[_Node]:
        if self.children is None:
            return [self]
        return [leaf for child in self.children.values() for leaf in child.leaves]

    @cached_property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes that one mask may have as an array."""
        flat = (self.width,)
        if self.children is None and len(set(self.options)) == 1:
            return flat, (*(self.space.shape or ()), self.options[0])
        return (flat,)


class ActionMasks:
    """The layout of the masks of an action space.

    Attributes:
        width: A, the entries of one row; 0 where nothing can be masked.

    Args:
        space: the action space.

    Raises:
        UnsupportedSpaceError: naming the leaf that has no decoding.
    """

    def __init__(self, space: gym.Space[Any]) -> None:
        self._root = _node(space, ())
        self.width = self._root.width
        sizes = [leaf.width for leaf in self._root.leaves]
        stops = np.cumsum(sizes).tolist()
        self._slices = [slice(stop - size, stop) for size, stop in zip(sizes, stops, strict=True)]
        self._firsts = np.cumsum([0, *self._root.options])[:-1]

    def flatten(self, mask: Any, *, single: bool = False, place: str = "mask", count: int | None = None) -> Bools:
        """Return masks as rows ``[N, A]``, True where an option is allowed.

        Each of these is accepted, of the space or of any part of it, with entries 0 or 1 of any dtype:

        * None: everything is allowed;
        * an array ``[N, A]``; of a leaf whose components have n options each also ``[N, *shape, n]``, such as
          ``[N, *shape, 2]`` of a MultiBinary;
        * of a leaf: a list of one ``[N, n]`` per component;
        * of a Tuple: a list of one mask per part; of a Dict: a mapping, in which keys may be missing; of both: a
          list of one mask per leaf, with or without the continuous leaves;
        * an object array ``[N]`` of one mask each, or a mapping with the boolean ``[N]`` of which rows hold
          ``key`` under ``_key``, or `given_key`: what vector environments make of the masks in infos;
        * of a Tuple or Dict also a list of N arrays ``[A]``, and of a Dict a list of N mappings: what their
          ``call("action_masks")`` returns.

        Args:
            mask: any of them.
            single: it is of one row, and has no axis of length N.
            place: what an error calls the mask.
            count: N, where it is known.

        Returns:
            ``[N, A]``; N is 1 where nothing tells another number.

        Raises:
            ValueError: naming the leaf, what was expected and what came.
        """
        # What environments give at every step.
        if single and type(mask) is np.ndarray and mask.dtype == np.bool_ and mask.shape == (self.width,):
            return mask[None]
        rows = _read(self._root, mask, single, place)
        if rows is None:
            return np.ones((count or 1, self.width), np.bool_)
        if count is not None and len(rows) != count:
            raise ValueError(f"{place}: expected masks of {count} environments, got {len(rows)}.")
        return rows

    def split(self, flat: Array) -> Any:
        """Return rows ``[N, A]`` of any framework as the distribution of the space takes them for its ``mask``.

        Returns:
            ``[N, A]`` as it is, None for a leaf without options; for a Tuple or Dict a list of these, one per leaf.
        """
        masks = [flat[..., part] if part.start < part.stop else None for part in self._slices]
        return masks[0] if self._root.children is None else masks

    def empty_rows(self, flat: Bools) -> Bools:
        """Return which of the rows ``[N, A]`` leave some component of some leaf without an option, bool ``[N]``."""
        if self.width == 0:
            return np.zeros(len(flat), np.bool_)
        empty: Bools = ~np.logical_or.reduceat(flat, self._firsts, axis=1)
        return np.asarray(empty.any(axis=1))

    def describe_empty(self, row: Bools) -> str:
        """Return place and entries of the first component that a row ``[A]`` leaves without an option, for messages."""
        component = int(np.logical_not(np.logical_or.reduceat(row, self._firsts)).argmax())
        leaf, number = [(leaf, i) for leaf in self._root.leaves for i in range(len(leaf.options))][component]
        which = f", component {number}" if len(leaf.options) > 1 else ""
        count = leaf.options[number]
        zeros = ", ".join(["0"] * min(count, _MOST_ENTRIES))
        entries = f"[{zeros}]" if count <= _MOST_ENTRIES else f"[{zeros}, ...], {count} zeros"
        return f"{tree.place('action', leaf.path)}{which} has {entries}"


def _node(space: gym.Space[Any], path: tree.Path) -> _Node:
    parts = nesting.parts(space)
    if parts is None:
        return _Node(space, options(space, path), path)
    children = {key: _node(child, (*path, key)) for key, child in parts.items()}
    return _Node(space, tuple(count for child in children.values() for count in child.options), path, children)


def _read(node: _Node, mask: Any, single: bool, place: str) -> Bools | None:
    """Return the mask of one part of the space as rows [N, A]; None: everything is allowed."""
    if mask is None:
        return None
    if not single and isinstance(mask, np.ndarray) and mask.dtype == object and mask.ndim == 1:
        return _of_rows(node, mask, place)
    if not single and isinstance(mask, list | tuple) and mask and all(_is_row(node, entry) for entry in mask):
        return _of_rows(node, mask, place)
    if isinstance(mask, Mapping):
        return _of_mapping(node, mask, single, place)
    parts = _parts(node, mask, single) if isinstance(mask, list | tuple) else None
    if parts is None:
        return _of_array(node, mask, single, place)
    given = [(part, _read(part, entry, single, tree.place(place, (key,)))) for part, key, entry in parts]
    return _joined(given, place)


def _is_row(node: _Node, entry: Any) -> bool:
    """Return whether the entry of a list can only be the mask of a whole row: that of a part has an axis of rows."""
    if node.children is None:
        return False
    if isinstance(entry, Mapping):
        return bool(entry) and entry.keys() <= node.named.keys()
    return isinstance(entry, np.ndarray) and entry.shape == (node.width,)


def _of_rows(node: _Node, masks: Iterable[Any], place: str) -> Bools:
    """Return the masks of one row each as rows [N, A]."""
    rows = [_read(node, entry, True, f"{place}[{row}]") for row, entry in enumerate(masks)]
    return np.concatenate([np.ones((1, node.width), np.bool_) if row is None else row for row in rows])


def _parts(node: _Node, mask: Sequence[Any], single: bool) -> list[tuple[_Node, Any, Any]] | None:
    """Return what a list holds, as (part of the space, its key, its mask); None: the numbers of one array."""
    if any(np.isscalar(entry) for entry in mask):
        return None
    if node.children is None:
        axes = 1 if single else 2
        if len(mask) != len(node.options) or any(entry is not None and _axes(entry) != axes for entry in mask):
            return None
        components = [_Node(spaces.Discrete(count), (count,), node.path) for count in node.options]
        return list(zip(components, range(len(mask)), mask, strict=True))
    if isinstance(node.space, spaces.Tuple) and len(mask) == len(node.children):
        return list(zip(node.children.values(), node.children, mask, strict=True))
    for leaves in (node.leaves, [leaf for leaf in node.leaves if leaf.options]):
        if len(mask) == len(leaves):
            return list(zip(leaves, range(len(mask)), mask, strict=True))
    return None


def given_key(key: Any) -> Any:
    """Return the key under which the infos of several environments say who gave ``key``; 0 and "0" have one each."""
    return f"_{key}" if isinstance(key, str) else ("_", key)


def _of_mapping(node: _Node, mask: Mapping[Any, Any], single: bool, place: str) -> Bools | None:
    children = node.named
    # Gymnasium itself writes f"_{key}" beside every key, in which 0 and "0" are one.
    spelt = {f"_{key}": key for key in children} | {given_key(key): key for key in children}
    holders = {name: key for name, key in spelt.items() if name not in children}
    unknown = [name for name in mask if name not in children and name not in holders]
    if unknown:
        hint = nearest(str(unknown[0]), map(str, children))
        raise ValueError(f"{place}: the mask has a part {unknown[0]!r}, but {node.space} has none.{hint}")
    given = []
    for key, child in children.items():
        rows = _read(child, mask.get(key), single, tree.place(place, (key,)))
        who = next((name for name, held in holders.items() if held == key and name in mask), None)
        if rows is not None and not single and who is not None:
            # A row without this key holds zeros there.
            rows = rows | ~np.asarray(mask[who], np.bool_)[:, None]
        given.append((child, rows))
    return _joined(given, place)


def _joined(given: list[tuple[_Node, Bools | None]], place: str) -> Bools | None:
    """Put the rows of several parts side by side."""
    counts = {len(rows) for _, rows in given if rows is not None}
    if not counts:
        return None
    if len(counts) > 1:
        raise ValueError(f"{place}: expected as many rows from every part, got {sorted(counts)}.")
    (n,) = counts
    return np.concatenate(
        [np.ones((n, part.width), np.bool_) if rows is None else rows for part, rows in given], axis=1
    )


def _axes(entry: Any) -> int | None:
    try:
        return np.ndim(entry)
    except ValueError:
        return None


def _of_array(node: _Node, mask: Any, single: bool, place: str) -> Bools:
    try:
        array = np.asarray(mask)
    except ValueError:
        raise ValueError(f"{place}: expected {_wanted(node, single)}, got lists of uneven lengths.") from None
    shape = array.shape if single else array.shape[1:]
    if shape not in node.shapes or not (single or array.ndim):
        advice = _listed(node) if node.width else " It has no options to mask: leave it out, or give None."
        raise ValueError(f"{place}: expected {_wanted(node, single)}, got shape {list(array.shape)}.{advice}")
    if array.dtype != np.bool_:
        wrong = array[(array != 0) & (array != 1)]
        if wrong.size:
            raise ValueError(f"{place}: a mask holds only 0 (forbidden) and 1 (allowed), got {wrong.tolist()[0]!r}.")
    return array.reshape(1 if single else len(array), node.width).astype(np.bool_, copy=False)


def _wanted(node: _Node, single: bool) -> str:
    rows = [] if single else ["N"]
    shapes = [[*rows, *shape] for shape in dict.fromkeys(node.shapes)]
    return f"a mask of {node.space} as {' or '.join('[' + ', '.join(map(str, shape)) + ']' for shape in shapes)}"


def _listed(node: _Node) -> str:
    """Say how many entries each leaf has, those of its components apart; nothing where there is one component."""
    if len(node.options) < 2:
        return ""
    leaves = [leaf for leaf in node.leaves if leaf.options]
    counts = [
        f"{' + '.join(map(str, leaf.options[:_MOST_LISTED]))}{' + ...' if len(leaf.options) > _MOST_LISTED else ''} for"
        f" {tree.place('action', leaf.path)}"
        for leaf in leaves[:_MOST_LISTED]
    ]
    return f" Its entries: {', '.join(counts)}{', ...' if len(leaves) > _MOST_LISTED else ''}."
