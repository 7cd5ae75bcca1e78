"""What an exploration of a user's must be like: how it is made, what methods it has, and what it chooses."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np

from anyspace import nesting, tree
from anyspace.errors import ConfigError
from anyspace.importing import is_ours
from anyspace.models.runtime import NumpyArray
from anyspace.policy.exploration.protocol import Exploration, Place
from anyspace.spaces.decoding import options
from anyspace.tree import Tree

_PAGE = "docs/algorithms.md#an-exploration-of-your-own has an example."

_METHODS: dict[str, tuple[str, tuple[object, ...], dict[str, object]]] = {
    "at": ("timestep", (0,), {}),
    "draw": ("distribution, rng, steps", (None, None, 1), {}),
    "choose": ("distribution, *, explore, rng, noise", (None,), {"explore": True, "rng": None, "noise": None}),
}
"""By name: the arguments of a method, as they are spelt, and as it is called with them."""


def name_of(factory: object) -> str:
    """Return the name of a class of explorations, or of a partial of one."""
    kind = factory.func if isinstance(factory, partial) else factory
    return getattr(kind, "__name__", repr(kind))


def require_factory(
    key: str, factory: Callable[..., object], action_space: gym.Space[Any], place: Place, settings: Mapping[str, Any]
) -> None:
    """Raise :class:`ConfigError` unless something can be called with a space, a place and keywords."""
    signature = inspect.signature(factory)
    try:
        signature.bind(action_space, place, **settings)
    except TypeError as error:
        name = name_of(factory)
        rllib = callable(getattr(factory, "get_exploration_action", None))
        hint = " It looks like a class for RLlib, which asks get_exploration_action()." if rllib else ""
        raise ConfigError(
            f"config key `{key}`: an exploration is made as {name}(action_space, place, **keywords), but"
            f" {name}{signature} does not take that: {error}.{hint} {_PAGE}"
        ) from error


def require_methods(key: str, exploration: object) -> None:
    """Raise :class:`ConfigError` unless an exploration has the methods that it is asked by."""
    name = type(exploration).__name__
    for method, (spelt, arguments, keywords) in _METHODS.items():
        found = getattr(exploration, method, None)
        if not callable(found):
            raise ConfigError(f"config key `{key}`: {name} has no method {method}({spelt}). {_PAGE}")
        try:
            inspect.signature(found).bind(*arguments, **keywords)
        except TypeError as error:
            raise ConfigError(
                f"config key `{key}`: {name}.{method}{inspect.signature(found)} is called as {method}({spelt}):"
                f" {error}. {_PAGE}"
            ) from error
    saves, restores = (callable(getattr(exploration, method, None)) for method in ("state", "load_state"))
    if saves != restores:
        has, lacks = ("state", "load_state") if saves else ("load_state", "state")
        raise ConfigError(
            f"config key `{key}`: {name} has {has}(), but no {lacks}(): a checkpoint holds what the one returns,"
            f" for the other to restore. Write both, or neither. {_PAGE}"
        )


class ChoiceCheck:
    """Checks what an exploration of a user's chooses.

    Args:
        exploration: whose choices they are.
        action_space: of the actions.
    """

    def __init__(self, exploration: Exploration, action_space: gym.Space[Any]):
        self._name, self._space = f"{type(exploration).__name__}.choose()", action_space
        self._leaves = [
            (tree.place("action", path), leaf.shape or (), options(leaf, path))
            for path, leaf in nesting.iter_leaves(action_space)
        ]

    def __call__(self, raw: Tree, rows: int, as_array: Callable[[Any], NumpyArray]) -> Tree:
        """Return chosen actions as NumPy arrays.

        Raises:
            ConfigError: they are not ``rows`` raw actions of the space.
        """
        try:
            parts = nesting.values(self._space, raw)
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise self._refusal(f"raw actions of {self._space}", f"{raw!r:.80} ({error!r})") from error
        arrays = [self._array(part, rows, as_array, *leaf) for part, leaf in zip(parts, self._leaves, strict=True)]
        return nesting.built(self._space, arrays)

    def _array(
        self,
        part: Any,
        rows: int,
        as_array: Callable[[Any], NumpyArray],
        place: str,
        shape: tuple[int, ...],
        counts: tuple[int, ...],
    ) -> NumpyArray:
        expected = f"{place}: an array [{', '.join(map(str, (rows, *shape)))}]"
        try:
            array = part if isinstance(part, np.ndarray) else as_array(part)
        except Exception as error:
            raise self._refusal(expected, f"{part!r:.80} ({type(part).__name__})") from error
        relaxed = len(counts) == 1 and array.shape == (rows, *counts) and counts[0] > 1
        if relaxed:  # one number for each option, the largest of which is taken
            return array
        if array.shape[:1] != (rows,) or array.size != rows * int(np.prod(shape)):
            raise self._refusal(expected, f"shape {array.shape}")
        if not counts:
            if not np.isfinite(array).all():
                raise self._refusal(f"{place}: finite numbers", str(array[~np.isfinite(array)][0]))
            return array
        found: Any = array.reshape(rows, len(counts))
        wrong = (found != np.floor(found)) | (found < 0) | (found >= np.array(counts))
        if wrong.any():
            row, component = np.argwhere(wrong)[0]
            expected = f"{place}: options, whole numbers from 0 to {counts[component] - 1}"
            raise self._refusal(expected, f"{found[row, component]} in row {row}")
        return array

    def _refusal(self, expected: str, came: str) -> ConfigError:
        return ConfigError(f"{self._name} returned no choice of actions: expected {expected}, got {came}. {_PAGE}")


def choice_check(exploration: Exploration, action_space: gym.Space[Any]) -> ChoiceCheck | None:
    """Return what checks the choices of an exploration of a user's; None: they are this library's."""
    ours = is_ours(type(exploration).choose)
    return None if ours else ChoiceCheck(exploration, action_space)
