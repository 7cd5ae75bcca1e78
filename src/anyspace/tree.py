"""Nested structures (dict, tuple, list) of arrays: the shape that composite spaces give to data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""The way from the root of a structure to one leaf: dict keys and tuple positions."""

Tree: TypeAlias = Any
"""A leaf (an array of any framework), or a dict, tuple or list of trees."""


def map_leaves(function: Callable[..., Any], tree: Tree, *rest: Tree) -> Tree:
    """Apply ``function`` to each leaf of ``tree`` (and the matching leaves of ``rest``); keep the structure."""
    if isinstance(tree, dict):
        return {key: map_leaves(function, tree[key], *(other[key] for other in rest)) for key in tree}
    if isinstance(tree, tuple | list):
        parts = [map_leaves(function, *children) for children in zip(tree, *rest, strict=True)]
        return type(tree)(parts) if type(tree) in (tuple, list) else tuple(parts)
    return function(tree, *rest)


def iter_leaves(tree: Tree, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield ``(path, leaf)`` depth-first, dicts in their own key order."""
    if isinstance(tree, dict):
        for key in tree:
            yield from iter_leaves(tree[key], (*path, key))
    elif isinstance(tree, tuple | list):
        for position, child in enumerate(tree):
            yield from iter_leaves(child, (*path, position))
    else:
        yield path, tree


def leaves(tree: Tree) -> list[Any]:
    """Return the leaves depth-first, dicts in their own key order."""
    found: list[Any] = []
    _collect(tree, found)
    return found


def _collect(tree: Tree, found: list[Any]) -> None:
    if isinstance(tree, tuple | list):
        for child in tree:
            _collect(child, found)
    elif isinstance(tree, dict):
        for child in tree.values():
            _collect(child, found)
    else:
        found.append(tree)


def place(root: str, path: Path) -> str:
    """Spell a path as users would index it: ``place("obs", ("cart", 0))`` is ``obs["cart"][0]``."""
    return root + "".join(f"[{part}]" if isinstance(part, int) else f'["{part}"]' for part in path)
