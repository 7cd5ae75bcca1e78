"""What environments are told while training goes on, such as the level of a curriculum."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import gymnasium as gym
from gymnasium.vector import VectorEnv

from anyspace.data.contract import described
from anyspace.errors import EnvironmentSetupError, nearest


class EnvCall(NamedTuple):
    """A method of every environment that is called, and with what."""

    number: int
    """How many calls there were with it: 1 for the first one."""
    method: str
    arguments: tuple[Any, ...]


class EnvCalls:
    """The latest call of each method, in the order of the calls: what environments that begin later are to be told."""

    def __init__(self) -> None:
        self._number = 0
        self._latest: dict[str, EnvCall] = {}

    def add(self, method: str, arguments: tuple[Any, ...]) -> None:
        """Take in a call; it takes the place of an earlier one of the same method."""
        self._number += 1
        self._latest.pop(method, None)
        self._latest[method] = EnvCall(self._number, method, arguments)

    def __iter__(self) -> Iterator[EnvCall]:
        return iter(self._latest.values())


AnyEnv = gym.Env[Any, Any] | VectorEnv[Any, Any, Any]


def call(env: AnyEnv, place: str, method: str, arguments: tuple[Any, ...]) -> None:
    """Call a method of an environment, or of the first of its wrappers that has it.

    Args:
        env: the environment, or a vector environment that steps several by itself.
        place: names it in messages.
        method: its name.
        arguments: of the call.

    Raises:
        EnvironmentSetupError: there is no such method.
    """
    layers = [env]
    while isinstance(layers[-1], gym.Wrapper | gym.vector.VectorWrapper):
        layers.append(layers[-1].env)
    found = next((layer for layer in layers if hasattr(layer, method)), None)
    function = getattr(found, method, None)
    if callable(function):
        function(*arguments)
        return
    if found is not None:
        kind = type(found).__name__
        problem = f"{kind}.{method} is {described(function)}, and no method. Give {kind} a method that sets it."
    else:
        names = " and its wrappers have" if len(layers) > 1 else " has"
        methods = {name for layer in layers for name in vars(type(layer)) if not name.startswith("_")}
        problem = f"{type(layers[-1]).__name__}{names} no method of this name.{nearest(method, sorted(methods))}"
    raise EnvironmentSetupError(f"{place}call_envs({method!r}): {problem}")
