"""What environments are told while training goes on, such as the level of a curriculum."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Iterator
from typing import Any, NamedTuple

import gymnasium as gym
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv, VectorWrapper

from anyspace.data.contract import described
from anyspace.errors import ConfigError, EnvironmentSetupError, nearest

AnyEnv = gym.Env[Any, Any] | VectorEnv[Any, Any, Any]

_OF_GYMNASIUM = (gym.Env, SyncVectorEnv, AsyncVectorEnv)


class EnvCallError(EnvironmentSetupError):
    """A method of an environment could not be called, or raised an error; ``number`` says which call it was."""

    number = 0


class EnvCall(NamedTuple):
    """A method of every environment that is called, and with what."""

    number: int
    """How many calls there were with it: 1 for the first one."""
    method: str
    arguments: tuple[Any, ...]


class EnvCalls:
    """The latest call of each method, in the order of the calls: what environments that begin later are told, too."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._latest: dict[str, EnvCall] = {}
        self._before: dict[str, EnvCall] = {}

    def add(self, method: str, arguments: tuple[Any, ...]) -> EnvCall:
        """Take in a call, with copies of the arguments; it takes the place of an earlier one of the same method.

        Raises:
            ConfigError: it is no name of a method of somebody's own, or arguments cannot be copied.
        """
        if not isinstance(method, str):
            raise ConfigError(f"call_envs() takes the name of a method, such as 'set_level', not {described(method)}.")
        private = method.startswith("_")
        if private or any(hasattr(kind, method) for kind in _OF_GYMNASIUM):
            reason = "the name is private" if private else "Gymnasium's own methods are called by training"
            raise ConfigError(f"call_envs({method!r}): {reason}. Call a method of your own, such as 'set_level'.")
        try:
            copied = pickle.loads(pickle.dumps(arguments))
        except Exception as error:
            raise ConfigError(
                f"call_envs({method!r}): environments receive copies, but {described(arguments)} cannot be copied by"
                f" pickle ({error}). Give numbers, texts, arrays, or lists and dicts of them."
            ) from error
        if method in self._latest:
            self._before[method] = self._latest.pop(method)
        self._latest[method] = told = EnvCall(next(self._numbers), method, copied)
        return told

    def forget(self, number: int) -> None:
        """Leave out a call that failed: the one before it, of the same method, is the latest again."""
        for method, told in list(self._latest.items()):
            if told.number == number:
                del self._latest[method]
                if method in self._before:
                    self._latest[method] = self._before.pop(method)

    def __len__(self) -> int:
        return len(self._latest)

    def __iter__(self) -> Iterator[EnvCall]:
        return iter(sorted(self._latest.values(), key=lambda told: told.number))


def call(env: AnyEnv, place: str, method: str, arguments: tuple[Any, ...]) -> None:
    """Call a method of an environment, or of the first of its wrappers that has it.

    Args:
        env: the environment, or a vector environment that steps several by itself.
        place: names it in messages.
        method: its name.
        arguments: of the call.

    Raises:
        EnvCallError: there is no such method, or it raised an error.
    """
    layers = [env]
    while isinstance(layers[-1], gym.Wrapper | VectorWrapper):
        layers.append(layers[-1].env)
    found = next((layer for layer in layers if hasattr(layer, method)), None)
    function = getattr(found, method, None)
    if callable(function):
        try:
            function(*arguments)
        except Exception as error:
            raise EnvCallError(f"{place}call_envs({method!r}): {type(error).__name__}: {error}") from error
        return
    if found is not None:
        kind = type(found).__name__
        problem = f"{kind}.{method} is {described(function)}, and no method. Give {kind} a method that sets it."
    else:
        names = " and its wrappers have" if len(layers) > 1 else " has"
        problem = f"{type(layers[-1]).__name__}{names} no method of this name.{nearest(method, _methods(layers))}"
    raise EnvCallError(f"{place}call_envs({method!r}): {problem}")


def _methods(layers: list[AnyEnv]) -> list[str]:
    """Return the names of methods that are not Gymnasium's."""
    names = {name for layer in layers for name in dir(type(layer)) if callable(getattr(type(layer), name, None))}
    return sorted(
        name for name in names if not name.startswith("_") and not any(hasattr(kind, name) for kind in _OF_GYMNASIUM)
    )
