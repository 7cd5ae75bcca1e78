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


class _Place(NamedTuple):
    """Where an object was found; its text is made for those alone that were looked for."""

    before: _Place | None
    form: str
    """Of the step to it, with a place for the key."""
    key: object
    one: object

    def way(self) -> Way:
        """Return the way to it."""
        steps, place, holders = "", self, list[object]()
        while place.before is not None:
            steps = place.form.format(place.key) + steps
            place = place.before
            holders.insert(0, place.one)
        path = _REGISTRY.sub(lambda found: f".{found[1]}" if found[1] else "", steps).removeprefix(".")
        return Way(path, tuple(holders))


def ways_to(model: object, wanted: Collection[object]) -> dict[int, Way]:
    """Return the shortest ways from a model to some objects, by their ids; those that it does not lead to are left out.

    It goes through the attributes of objects and of their classes, through dicts, lists and tuples, what
    ``functools.partial`` binds, and the variables of functions within functions.
    """
    left, ways = {id(one) for one in wanted}, dict[int, Way]()
    waiting = deque([_Place(None, "", None, model)])
    kept: dict[int, object] = {}  # what is held here has an id of its own
    while waiting and left and len(kept) < _MOST_OBJECTS:
        place = waiting.popleft()
        one = place.one
        if id(one) in left:
            left.remove(id(one))
            ways[id(one)] = place.way()
        if isinstance(one, _NOT_LOOKED_INTO) or id(one) in kept:
            continue
        kept[id(one)] = one
        waiting.extend(_Place(place, *part) for part in _parts(one))
    return ways


_Part = tuple[str, object, object]
"""The form of the step to it, the key in that, and the part."""


def _parts(one: object) -> Iterator[_Part]:
    if isinstance(one, dict):
        yield from (("[{!r}]", key, part) for key, part in islice(one.items(), _MOST_OBJECTS))
    elif isinstance(one, list | tuple):
        yield from (("[{}]", position, part) for position, part in enumerate(islice(one, _MOST_OBJECTS)))
    elif isinstance(one, functools.partial):
        yield from _parts([one.func, *one.args])
        yield from _parts(one.keywords)
    elif isinstance(one, MethodType):
        yield "", None, one.__self__
    elif isinstance(one, FunctionType):
        yield from ((".{}", name, cell) for name, cell in _variables_of(one))
    elif not isinstance(one, type):
        for holder in (one, *type(one).__mro__):
            yield from ((".{}", name, part) for name, part in list(getattr(holder, "__dict__", {}).items()))
        for kind in type(one).__mro__:
            yield from ((".{}", name, part) for name, part in _slots(one, kind))


def _slots(one: object, kind: type) -> Iterator[tuple[str, object]]:
    """Yield the attributes that an object has in the slots of a class."""
    slots = vars(kind).get("__slots__", ())
    for name in (slots,) if isinstance(slots, str) else slots:
        try:
            yield name, object.__getattribute__(one, name)
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
