"""What is set on an algorithm, and whether a checkpoint has to hold it."""

from __future__ import annotations

import itertools
import logging
import numbers
import random
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from anyspace.errors import ConfigError
from anyspace.importing import is_installed, is_ours
from anyspace.models.runtime import NumpyArray

_LOG = logging.getLogger("anyspace")


@runtime_checkable
class Stateful(Protocol):
    """A part that says itself what is to be saved."""

    def state(self) -> dict[str, Any]:
        """Return arrays, and values that JSON has, by name."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned."""


@runtime_checkable
class Module(Protocol):
    """A module or an optimiser of a framework."""

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values, nested."""

    def load_state_dict(self, state: dict[str, Any]) -> object:
        """Restore what :meth:`state_dict` returned."""


@runtime_checkable
class ArrayLike(Protocol):
    """An array of any framework."""

    def __array__(self) -> NumpyArray:
        """Return it as NumPy has it."""


@runtime_checkable
class Generator(Protocol):
    """A source of random numbers of a framework."""

    def get_state(self) -> Any:
        """Return the state, as an array of the framework."""

    def set_state(self, state: Any) -> object:
        """Restore what :meth:`get_state` returned."""


_NO_STATE = (type, ModuleType, FunctionType, gym.Space, gym.Env, VectorEnv)

_OF_AN_ITERATION = 2
"""How often attributes are checked for an iteration."""

_MOST = 10_000
"""How many leaves of an attribute are compared: data of millions of numbers would take a second each time."""

_Leaves = tuple[object, ...]
"""The first plain values within a value, how long the collections within it are, and the types of parts in it."""


def is_part(value: object) -> bool:
    """Return whether a value is something that a checkpoint has to hold, if training goes on from it."""
    if isinstance(value, type | bool):
        return False
    kinds = Stateful | Module | Generator | np.random.Generator | random.Random | ArrayLike
    return isinstance(value, numbers.Real | kinds)


def is_plain(value: object) -> bool:
    """Return whether a value is a number, a bool, a text, None, an array of NumPy's, or a collection of such ones."""
    if isinstance(value, dict):
        return all(is_plain(item) for pair in value.items() for item in pair)
    if isinstance(value, list | tuple | deque):
        return all(map(is_plain, value))
    return value is None or isinstance(value, numbers.Real | str | np.generic | np.ndarray)


def _parts_in(value: object) -> list[object]:
    """Return what a checkpoint has to hold of the value of an attribute; numbers count where they stand alone."""
    if isinstance(value, dict | list | tuple | set | deque):
        items = value.values() if isinstance(value, dict) else value
        return [part for item in items for part in _parts_in(item) if not isinstance(part, numbers.Real)]
    return [value] if is_part(value) or _keeps_arrays(value) else []


def _keeps_arrays(value: object) -> bool:
    """Return whether an object of somebody's class keeps arrays, modules or generators: running statistics, say.

    What functions, spaces, environments and objects of this library keep is no state of an algorithm.
    """
    if isinstance(value, _NO_STATE) or is_ours(type(value)):
        return False
    kept = getattr(value, "__dict__", {}).values()
    return any(is_part(one) and not isinstance(one, numbers.Real) for one in kept)


def _leaves(value: object, seen: frozenset[int]) -> Iterator[object]:
    """Yield the plain values within a value, the lengths of its collections, and the types of parts.

    Objects of somebody's own class are looked into. Those of this library, of classes derived from this library's, of
    Python and of installed packages are not: their numbers change with whatever is done with them.

    Args:
        value: anything.
        seen: the objects around it, by id.
    """
    if isinstance(value, numbers.Real | np.generic | str | bytes):
        yield value
    elif id(value) in seen or isinstance(value, _NO_STATE):
        return
    elif isinstance(value, dict):
        yield len(value)
        for pair in value.items():
            for item in pair:
                yield from _leaves(item, seen | {id(value)})
    elif isinstance(value, list | tuple | set | frozenset | deque):
        yield len(value)
        for item in value:
            yield from _leaves(item, seen | {id(value)})
    elif is_part(value) or _keeps_arrays(value):
        yield type(value)
    elif not any(is_ours(kind) for kind in type(value).__mro__) and not _is_installed(type(value)):
        for item in getattr(value, "__dict__", {}).values():
            yield from _leaves(item, seen | {id(value)})


def _is_installed(kind: type) -> bool:
    """Return whether a class is Python's, or of an installed package."""
    if kind.__module__ == "__main__":
        return False
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return file is None or is_installed(file)


class Attributes:
    """Notices what is set on an object, and what changes there.

    Args:
        owner: the object.
    """

    def __init__(self, owner: object):
        self._all, self._seen, self._owner = vars(owner), set(vars(owner)), frozenset({id(owner)})
        self._kind, self._checks = type(owner), 0
        self._noted: dict[str, _Leaves] = {}

    def check(self, parts: Mapping[str, Any]) -> None:
        """Refuse, before and after each iteration, what a checkpoint of an algorithm would lack.

        Of an algorithm of this library others set it, which is told. So is what changes for the first time when a run
        may have gone on for hours.

        Args:
            parts: what ``parts()`` name.

        Raises:
            ConfigError: an attribute was added, or changed within the first iteration, that ``parts()`` do not name.
        """
        added, algorithm = self.added(), self._kind.__name__
        if is_ours(self._kind):
            tell_of_unnamed(algorithm, parts, added)
        else:
            require_named(f"{algorithm} sets", parts, added)
            for name, value in self.changed(parts).items():
                text = f"{algorithm} changes self.{name} while training, {_remedy(name, value)}"
                if self._checks < _OF_AN_ITERATION:
                    raise ConfigError(text)
                _LOG.warning(text)
                del self._noted[name]
        self._checks += 1
        self.note(added)

    def added(self) -> dict[str, Any]:
        """Return the attributes that were set since :meth:`note`."""
        return {name: value for name, value in self._all.items() if name not in self._seen and value is not self}

    def changed(self, parts: Mapping[str, Any]) -> dict[str, Any]:
        """Return the attributes that hold other plain values than at :meth:`note`, or more things, or fewer.

        Args:
            parts: what is named, and may change.
        """
        named = {id(part) for part in parts.values()}
        return {
            name: self._all.get(name)
            for name, leaves in self._noted.items()
            if name not in parts and id(self._all.get(name)) not in named and self._leaves_of(name) != leaves
        }

    def note(self, added: Mapping[str, Any]) -> None:
        """Take note of attributes."""
        self._seen |= added.keys()
        self._noted |= {name: self._leaves_of(name) for name in added}

    def _leaves_of(self, name: str) -> _Leaves:
        return tuple(itertools.islice(_leaves(self._all.get(name), self._owner), _MOST))


def _unnamed(parts: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that hold what training may go on from, and that ``parts()`` do not name.

    A number is named by its name alone: two numbers that are equal may be one object.
    """
    named = {id(part) for part in parts.values() if not isinstance(part, numbers.Real)}
    return {
        name: value
        for name, value in added.items()
        if name not in parts and id(value) not in named and any(id(part) not in named for part in _parts_in(value))
    }


def tell_of_unnamed(algorithm: str, parts: Mapping[str, Any], added: Mapping[str, Any]) -> None:
    """Warn of what others set on an algorithm of this library, whose ``parts()`` do not name it."""
    for name in _unnamed(parts, added):
        _LOG.warning(
            f"{algorithm}.{name} was set from outside: no checkpoint holds it, so a run that goes on lacks it. What a"
            " callback notes is kept on the callback, and what training depends on in a class derived from"
            f" {algorithm}, which names it in parts()."
        )


def require_named(setter: str, parts: Mapping[str, Any], added: Mapping[str, Any]) -> None:
    """Raise :class:`ConfigError` if ``parts()`` do not name what attributes hold that training may go on from.

    Args:
        setter: who set the attributes, for the message.
        parts: what ``parts()`` name.
        added: the attributes.
    """
    for name, value in _unnamed(parts, added).items():
        raise ConfigError(f"{setter} self.{name}, {_remedy(name, value)}")


def _remedy(name: str, value: object) -> str:
    """Return the end of a message: what a checkpoint would lack, and what to do."""
    line, kind = f"return {{**super().parts(), {name!r}: self.{name}}}", type(value).__name__
    if is_part(value) or (is_plain(value) and value is not None and not isinstance(value, tuple)):
        return f"which a checkpoint would not hold. Name it in parts(): {line}."
    if isinstance(value, dict | list | tuple) and _parts_in(value):
        items = f"key, part in self.{name}.items()" if isinstance(value, dict) else f"i, part in enumerate(self.{name})"
        number = "key" if isinstance(value, dict) else "i"
        line = f"return {{**super().parts(), **{{f'{name}_{{{number}}}': part for {items}}}}}"
        return (
            f"which a checkpoint would not hold. Name it in parts(): {line}. That takes as many as setup() makes; what"
            " grows goes into an object with state() and load_state()."
        )
    if value is None or isinstance(value, tuple | set | frozenset):
        return (
            f"which a checkpoint would not hold. Keep a number, a text, a list, a dict or an array, and name it in"
            f" parts(): {line}."
        )
    arrays = "whose arrays a checkpoint would not hold" if _keeps_arrays(value) else "which a checkpoint would not hold"
    return (
        f"a {kind}, {arrays}. Let it derive from a class with state() and"
        f" load_state(), and name it in parts(): {line}; or keep the arrays and numbers themselves, and name those."
    )
