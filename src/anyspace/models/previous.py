"""What memories are given of the steps before: actions, encoded as features, and rewards, in any framework."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np

from anyspace import nesting, tree
from anyspace.maths.xp import Array, xp
from anyspace.models.view_requirement import ViewRequirement
from anyspace.spaces.decoding import options


class PreviousFeatures:
    """Encodes the last actions and rewards: what is discrete one-hot, component by component, the rest as it is.

    Letters: N rows, d numbers in one action (leaves in the space's own order, raveled), n actions, m rewards, f
    features of one action.

    Attributes:
        width: how many features come out; 0 means that there is nothing to feed, and it is not called.
        tables: three arrays [f] of NumPy: feature j of an action tells whether its number ``tables[0][j]`` is
            ``tables[1][j]``, or, where ``tables[2][j]`` is False, is that number.

    Args:
        action_space: the environment's action space.
        actions: n, how many actions are fed, at least 0.
        rewards: m, how many rewards are fed, at least 0.
        nested: actions come nested like the space (`_disable_action_flattening`), not as one array.

    Raises:
        UnsupportedSpaceError: naming the leaf of the action space that has no decoding.
    """

    def __init__(self, action_space: gym.Space[Any], *, actions: int, rewards: int, nested: bool):
        self._space, self._actions, self._rewards, self._nested = action_space, actions, rewards, nested
        features = list(_features(action_space)) if actions else []
        self.tables = (
            np.array([column for column, _ in features], np.int64),
            np.array([float(option or 0) for _, option in features], np.float32),
            np.array([option is not None for _, option in features], np.bool_),
        )
        self.width = actions * len(features) + rewards

    def view_requirements(self) -> dict[str, ViewRequirement]:
        """Return the views to declare: ``prev_actions`` and ``prev_rewards``, where they are fed."""
        views = {}
        if self._actions:
            views["prev_actions"] = ViewRequirement("actions", self._space, _last(self._actions))
        if self._rewards:
            views["prev_rewards"] = ViewRequirement("rewards", shift=_last(self._rewards))
        return views

    def __call__(self, input_dict: dict[str, Any], tables: tuple[Array, ...] | None = None) -> Array:
        """Return features [N, width], float32: actions, oldest first, then rewards, oldest first.

        Args:
            input_dict: ``prev_actions`` as raw samples, [N, ...] where n is 1, else [N, n, ...], of a composite space
                [.., d] or nested; ``prev_rewards`` [N] or [N, m]. An option is an index counted from 0.
            tables: as the attribute has them, as arrays of the inputs' framework; None: they are converted.
        """
        parts = []
        if self._actions:
            numbers = self._numbers(input_dict["prev_actions"])
            ns = xp(numbers)
            column, option, is_choice = tables or [ns.asarray(table, like=numbers) for table in self.tables]
            numbers = ns.take_columns(numbers, column)
            encoded = ns.where(is_choice, ns.astype(numbers == option, "float32"), numbers)
            parts.append(ns.reshape(encoded, (encoded.shape[0], self.width - self._rewards)))
        if self._rewards:
            rewards = input_dict["prev_rewards"]
            ns = xp(rewards)
            parts.append(ns.reshape(ns.astype(rewards, "float32"), (-1, self._rewards)))
        return parts[0] if len(parts) == 1 else ns.concatenate(parts, axis=1)

    def _numbers(self, actions: tree.Tree) -> Array:
        """Return actions as float32 [N, n, d], which holds the indices of every distribution that can be built."""

        def numbers(leaf: gym.Space[Any], values: Array) -> Array:
            return self._flat(values, _size(leaf))

        if not self._nested:
            return self._flat(actions, sum(map(_size, nesting.leaves(self._space))))
        parts = tree.leaves(nesting.map_leaves(numbers, self._space, actions))
        return xp(parts[0]).concatenate(parts, axis=2)

    def _flat(self, values: Array, width: int) -> Array:
        ns = xp(values)
        return ns.reshape(ns.astype(values, "float32"), (values.shape[0], self._actions, width))


def _last(n: int) -> int | str:
    return -1 if n == 1 else f"-{n}:-1"


def _size(leaf: gym.Space[Any]) -> int:
    return math.prod(leaf.shape or ())


def _features(space: gym.Space[Any]) -> Iterator[tuple[int, int | None]]:
    """Yield, for each feature of an action, the number that it is read from and the option that it stands for."""
    column = 0
    for path, leaf in nesting.iter_leaves(space):
        for count in options(leaf, path) or (None,) * _size(leaf):
            yield from ((column, option) for option in ((None,) if count is None else range(count)))
            column += 1
