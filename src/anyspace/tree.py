"""Nested structures (dict, tuple, list) of arrays: the shape that composite spaces give to data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import EllipsisType
from typing import Any, TypeAlias


class Part(str):
    """A part that is not indexed but named, as an attribute is: the ``nodes`` of a graph."""

    __slots__ = ()


Path: TypeAlias = tuple[str | int | EllipsisType, ...]
"""The way from the root of a structure to one leaf: dict keys, tuple positions, `Part`s; Ellipsis: any element."""

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


def leaves_by_key(tree: Tree) -> list[Any]:
    """Return the leaves depth-first, dicts in the order of their sorted keys, as ``flatten`` of dm-tree does."""
    if isinstance(tree, dict):
        return [leaf for key in sorted(tree) for leaf in leaves_by_key(tree[key])]
    if isinstance(tree, tuple | list):
        return [leaf for child in tree for leaf in leaves_by_key(child)]
    return [tree]


def _collect(tree: Tree, found: list[Any]) -> None:
    if isinstance(tree, tuple | list):
        for child in tree:
            _collect(child, found)
    elif isinstance(tree, dict):
        for child in tree.values():
            _collect(child, found)
    else:
        found.append(tree)


def place(root: str, path: Path, numbers: Iterable[int] = ()) -> str:
    """Spell a path as users would index it: ``place("obs", ("cart", 0))`` is ``obs["cart"][0]``.

    Args:
        root: what the structure is called.
        path: the way to the leaf.
        numbers: of the elements that the Ellipses of the path stand for, outermost first; further ones are
            spelt ``[...]``.
    """
    elements = iter(numbers)
    return root + "".join(_spelled(next(elements, ...) if part is ... else part) for part in path)


def _spelled(part: str | int | EllipsisType) -> str:
    if isinstance(part, Part):
        return f".{part}"
    if isinstance(part, str):
        return f"[{part!r}]" if '"' in part or "\\" in part or not part.isprintable() else f'["{part}"]'
    return "[...]" if part is ... else f"[{part}]"


def prefixed(prefix: str, values: dict[str, Any]) -> dict[str, Any]:
    """Put values by name under ``prefix/name``."""
    return {f"{prefix}/{name}": value for name, value in values.items()}


def under(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `prefixed`: return what is named ``prefix/...``, without that; leave out the rest."""
    start = f"{prefix}/"
    return {name.removeprefix(start): value for name, value in values.items() if name.startswith(start)}
