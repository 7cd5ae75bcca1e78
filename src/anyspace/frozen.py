"""What a frozen configuration says where somebody sets one of its keys."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING, Any, Self

from anyspace.errors import nearest

_LONGEST = 40


class Frozen:
    """Base of frozen dataclasses: to set or delete a key is an error that says what to do instead.

    Python makes such methods for each frozen dataclass. They give way to the ones here when the first object of the
    class is made.
    """

    _instead = ""  # what to do, with {key} and {value}; an annotation would make it look like a key

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Put the methods of this class in the place of Python's."""
        for name in ("__setattr__", "__delattr__"):
            if getattr(cls, name) is not getattr(Frozen, name):
                setattr(cls, name, getattr(Frozen, name))
        return super().__new__(cls)

    if not TYPE_CHECKING:  # type checkers refuse it by themselves

        def __setattr__(self, name, value):
            kind = type(self)
            if name not in kind.__dataclass_fields__:
                close = nearest(name, kind.__dataclass_fields__)
                raise FrozenInstanceError(f"{kind.__name__} has no key {name!r}, and none can be set.{close}")
            text = repr(value)
            instead = kind._instead.format(key=name, value=text if len(text) <= _LONGEST else "...")
            raise FrozenInstanceError(
                f"{kind.__name__}.{name} cannot be set: what an algorithm was built with stays. {instead}"
            )

        def __delattr__(self, name):
            raise FrozenInstanceError(f"{type(self).__name__}.{name} cannot be deleted: a configuration has all keys.")
