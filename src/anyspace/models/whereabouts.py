"""By which way a model leads to an object, for messages that name it."""

from __future__ import annotations

import functools
import re
from collections import deque
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from types import FunctionType, MethodType, ModuleType
from typing import NamedTuple

_MOST_OBJECTS = 100_000
"""How many objects are looked at: a model may hold a data set."""

_REGISTRY = re.compile(r"\._(?:parameters|modules|buffers)\['([^']+)'\]|\.__wrapped__")
"""How PyTorch keeps what is an attribute to everybody else, and what decorators leave."""

_NOT_LOOKED_INTO = (str, bytes, int, float, complex, type(None), ModuleType)


class Way(NamedTuple):
    """A way to an object."""

    path: str
    """As ``blocks[0].weight``."""
    holders: tuple[object, ...]
    """The objects on it, of the last of which the object is an attribute or an item."""


def way_to(model: object, wanted: Collection[object]) -> Way | None:
    """Return the shortest way from a model to one of some objects; None: there is none.

    It goes through the attributes of objects and of their classes, through dicts, lists and tuples, what
    ``functools.partial`` binds, and the variables of functions within functions.
    """
    ids = {id(one) for one in wanted}
    waiting: deque[tuple[str, object, tuple[object, ...]]] = deque([("", model, ())])
    kept: dict[int, object] = {}  # what is held here has an id of its own
    while waiting and len(kept) < _MOST_OBJECTS:
        path, one, holders = waiting.popleft()
        if id(one) in ids:
            return Way(_REGISTRY.sub(lambda found: f".{found[1]}" if found[1] else "", path).removeprefix("."), holders)
        if isinstance(one, _NOT_LOOKED_INTO) or id(one) in kept:
            continue
        kept[id(one)] = one
        waiting.extend((path + step, part, (*holders, one)) for step, part in _parts(one))
    return None


def _parts(one: object) -> Iterator[tuple[str, object]]:
    if isinstance(one, dict):
        yield from ((f"[{key!r}]", part) for key, part in islice(one.items(), _MOST_OBJECTS))
    elif isinstance(one, list | tuple):
        yield from ((f"[{position}]", part) for position, part in enumerate(islice(one, _MOST_OBJECTS)))
    elif isinstance(one, functools.partial):
        yield from _parts([one.func, *one.args])
        yield from _parts(one.keywords)
    elif isinstance(one, MethodType):
        yield "", one.__self__
    elif isinstance(one, FunctionType):
        yield from ((f".{name}", cell) for name, cell in _variables_of(one))
    elif not isinstance(one, type):
        for holder in (one, *type(one).__mro__):
            yield from ((f".{name}", part) for name, part in list(getattr(holder, "__dict__", {}).items()))
        for kind in type(one).__mro__:
            yield from _slots(one, kind)


def _slots(one: object, kind: type) -> Iterator[tuple[str, object]]:
    """Yield the attributes that an object has in the slots of a class."""
    slots = vars(kind).get("__slots__", ())
    for name in (slots,) if isinstance(slots, str) else slots:
        try:
            yield f".{name}", object.__getattribute__(one, name)
        except (AttributeError, TypeError):  # it is not set yet, or private to the class, or no slot of Python's
            continue


def _variables_of(function: Callable[..., object]) -> Iterator[tuple[str, object]]:
    """Yield the variables that a function has from the one that it was made in, and what it wraps."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # it is not set yet
            continue
    yield from vars(function).items()
