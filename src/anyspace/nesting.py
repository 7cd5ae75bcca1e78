"""Dict and Tuple spaces: their leaves, values in the order of the leaves, and values put together again.

A *leaf* is a space that is neither Dict nor Tuple. The order of the leaves is depth-first, the parts of a Dict in the
space's own key order, whatever the order of the keys in a value::

    space = Dict({"b": Discrete(2), "a": Tuple([Discrete(3), Discrete(4)])})
    leaves(space)                                    # [Discrete(3), Discrete(4), Discrete(2)]: Dict sorts its keys
    values(space, {"b": 1, "a": (2, 3)})             # [2, 3, 1]
    built(space, [2, 3, 1])                          # {"a": (2, 3), "b": 1}
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from typing import Any, TypeAlias

import gymnasium as gym
from gymnasium.spaces import Dict, Tuple

from anyspace import tree
from anyspace.tree import Path, Tree

Space: TypeAlias = gym.Space[Any]


def _form_of(kind: type) -> type | None:
    """Return what values of a class of spaces are: dicts, tuples, or None for leaves.

    Environments are stepped with one walk each, and asking an abstract class takes longer than the rest of the walk.
    """
    if issubclass(kind, Dict):
        return dict
    return tuple if issubclass(kind, Tuple) else None


_form: Callable[[type], type | None] = cache(_form_of)


def parts(space: Space) -> Mapping[Any, Space] | None:
    """Return the parts of a Dict by key and of a Tuple by position; None for a leaf."""
    nested: Any = space
    form = _form(type(space))
    if form is None:
        return None
    children: Mapping[Any, Space] = nested.spaces if form is dict else dict(enumerate(nested.spaces))
    return children


def is_leaf(space: Space) -> bool:
    """Return whether a space is neither Dict nor Tuple."""
    return _form(type(space)) is None


def has_part(space: Space, key: Any) -> bool:
    """Return whether a space is a Dict with this key, or a Tuple with this position."""
    return key in (parts(space) or {})


def iter_leaves(space: Space, path: Path = ()) -> Iterator[tuple[Path, Space]]:
    """Yield the path and the space of each leaf.

    Args:
        space: any space.
        path: where it sits in a larger one; the paths of the leaves begin with it.
    """
    children = parts(space)
    if children is None:
        yield path, space
    else:
        for key, child in children.items():
            yield from iter_leaves(child, (*path, key))


def leaves(space: Space) -> list[Space]:
    """Return the leaves of a space."""
    return [leaf for _, leaf in iter_leaves(space)]


def values(space: Space, value: Tree) -> list[Any]:
    """Return what a value nested like ``space`` holds for each leaf.

    Args:
        space: any space.
        value: dicts with at least the keys of the space in any order, tuples or lists of its lengths.

    Raises:
        ValueError: a tuple has another length.
        KeyError: a key is missing.
    """
    found: list[Any] = []
    map_leaves(lambda _, leaf: found.append(leaf), space, value)
    return found


def unwrapped(spaces: Tree) -> Tree:
    """Return a space, or nested dicts and tuples of spaces, as dicts and tuples whose leaves are the leaf spaces."""
    return tree.map_leaves(partial(map_leaves, _itself), spaces)


def _itself(leaf: Space) -> Space:
    return leaf


def built(space: Space, parts: Iterable[Any]) -> Tree:
    """Return dicts and tuples nested like ``space``, from one value for each leaf; undoes `values`."""
    remaining = iter(parts)
    return map_leaves(lambda _: next(remaining), space)


def apart(rows: Callable[[Space, Any], Iterable[Any]], space: Space, value: Tree, count: int) -> list[Tree]:
    """Return ``count`` values nested like ``space`` from one value that holds a stack of them in each leaf.

    Args:
        rows: takes the space of a leaf and its stack, and returns what that holds of each value.
        space: any space.
        value: nested like it.
        count: how many values there are.
    """
    children = parts(space)
    if children is None:
        return list(rows(space, value))
    is_dict = _form(type(space)) is dict
    if not children:
        return [{} if is_dict else () for _ in range(count)]
    found = zip(*[apart(rows, child, value[key], count) for key, child in children.items()], strict=True)
    return [dict(zip(children, row, strict=True)) for row in found] if is_dict else list(found)


def map_leaves(function: Callable[..., Any], space: Space, *trees: Tree) -> Tree:
    """Return ``function(leaf, *values of the leaf)`` for each leaf, nested like ``space`` as dicts and tuples.

    Args:
        function: takes the space of a leaf, then its value from each of the ``trees``.
        space: any space.
        trees: values nested like it.
    """
    nested: Any = space
    form = _form(type(space))
    if form is None:
        return function(space, *trees)
    if form is tuple:
        return tuple(map_leaves(function, *children) for children in zip(nested.spaces, *trees, strict=True))
    return {key: map_leaves(function, child, *[value[key] for value in trees]) for key, child in nested.spaces.items()}
