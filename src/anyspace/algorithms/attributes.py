"""What is set on an algorithm, and whether a checkpoint has to hold it."""

from __future__ import annotations

import logging
import numbers
import random
from collections import deque
from collections.abc import Mapping
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from anyspace.algorithms.config import AlgorithmConfig
from anyspace.algorithms.layers import explained_key
from anyspace.algorithms.state import is_ours
from anyspace.errors import ConfigError
from anyspace.foreign_names import ALGORITHM, Explains
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


def is_part(value: object) -> bool:
    """Return whether a value is something that a checkpoint has to hold, if training goes on from it."""
    if isinstance(value, type | bool):
        return False
    kinds = Stateful | Module | Generator | np.random.Generator | random.Random | ArrayLike
    return isinstance(value, numbers.Real | kinds)


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
    if isinstance(value, _NO_STATE) or type(value).__module__.partition(".")[0] == "anyspace":
        return False
    kept = getattr(value, "__dict__", {}).values()
    return any(is_part(one) and not isinstance(one, numbers.Real) for one in kept)


class Attributes:
    """Notices what is set on an object.

    Args:
        owner: the object.
    """

    def __init__(self, owner: object):
        self._all, self._seen = vars(owner), set(vars(owner))
        self._plain: dict[str, object] = {}

    def added(self) -> dict[str, Any]:
        """Return the attributes that were set since :meth:`note`, or that were None, a bool or a text then."""
        names = self._all.keys() - self._seen
        names |= {name for name, value in self._plain.items() if self._all.get(name) is not value}
        return {name: value for name, value in self._all.items() if name in names and value is not self}

    def note(self, added: Mapping[str, Any]) -> None:
        """Take note of attributes."""
        self._seen |= added.keys()
        plain = {name: value for name, value in added.items() if value is None or isinstance(value, bool | str)}
        self._plain = {name: value for name, value in self._plain.items() if name not in added} | plain


def _unnamed(parts: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that hold what training may go on from, and that ``parts()`` do not name."""
    named = {id(part) for part in parts.values()}
    return {
        name: value
        for name, value in added.items()
        if name not in parts and any(id(part) not in named for part in _parts_in(value))
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
        line = f"{name!r}: self.{name}"
        if _keeps_arrays(value) and not is_part(value):
            kind = type(value).__name__
            raise ConfigError(
                f"{setter} self.{name}, a {kind}, whose arrays a checkpoint would not hold. Let it derive from a class"
                f" with state() and load_state(), and name it in parts(): return {{**super().parts(), {line}}}; or keep"
                " the arrays themselves, and name those."
            )
        if isinstance(value, dict):
            line = f"**{{f'{name}_{{key}}': part for key, part in self.{name}.items()}}"
        elif not is_part(value):
            line = f"**{{f'{name}_{{i}}': part for i, part in enumerate(self.{name})}}"
        raise ConfigError(
            f"{setter} self.{name}, which a checkpoint would not hold. Name it in parts():"
            f" return {{**super().parts(), {line}}}."
        )


class Settled(Explains):
    """Base of an algorithm, whose settings stay as they are once it is built.

    An attribute that it lacks, and that other libraries' algorithms have, is explained: where it is read, and where it
    is set. A class of somebody's may set any.
    """

    _foreign = ALGORITHM
    _is_built = False

    def _explained(self, name: str) -> str:
        config: AlgorithmConfig | None = vars(self).get("config")
        return super()._explained(name) or ("" if config is None else explained_key(config, name))

    if not TYPE_CHECKING:  # type checkers refuse what is unknown

        def __setattr__(self, name, value):
            kind = type(self)
            if self._is_built and is_ours(kind) and name not in vars(self) and not hasattr(kind, name):
                hint = self._explained(name)
                if hint:
                    raise ConfigError(
                        f"{kind.__name__}.{name} cannot be set: nothing would come of it. {hint} What an algorithm was"
                        f" built with stays; {kind.__name__}.load(path, lr=1e-4) goes on from a checkpoint with another"
                        " value."
                    )
            super().__setattr__(name, value)
