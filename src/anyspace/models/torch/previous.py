"""The inputs of a memory from the steps before: actions, encoded as features, and rewards."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import torch
from torch import nn

from anyspace import nesting, tree
from anyspace.maths.xp import Array, xp
from anyspace.models.runtime import NumpyArray
from anyspace.models.view_requirement import ViewRequirement
from anyspace.spaces.decoding import options


class PreviousInputs(nn.Module):
    """Encodes the last actions and rewards: what is discrete one-hot, component by component, the rest as it is.

    It has no weights. Letters: N rows, d numbers in one action (leaves in the space's own order, raveled), n actions,
    m rewards.

    Attributes:
        width: how many features come out; 0 means that there is nothing to feed, and :meth:`forward` is not called.

    Args:
        action_space: the environment's action space.
        actions: n, how many actions are fed, at least 0.
        rewards: m, how many rewards are fed, at least 0.
        nested: actions come nested like the space (`_disable_action_flattening`), not as one array.

    Raises:
        UnsupportedSpaceError: naming the leaf of the action space that has no decoding.
    """

    column: torch.Tensor
    option: torch.Tensor
    is_choice: torch.Tensor

    def __init__(self, action_space: gym.Space[Any], *, actions: int, rewards: int, nested: bool):
        super().__init__()
        self._space, self._actions, self._rewards, self._nested = action_space, actions, rewards, nested
        # Feature j of an action tells whether its number column[j] is option[j], or is that number.
        features = list(_features(action_space)) if actions else []
        choice = [option is not None for _, option in features]
        self.register_buffer("column", torch.tensor([column for column, _ in features], dtype=torch.long), False)
        self.register_buffer("option", torch.tensor([float(option or 0) for _, option in features]), False)
        self.register_buffer("is_choice", torch.tensor(choice, dtype=torch.bool), False)
        self.width: int = actions * len(features) + rewards

    def view_requirements(self) -> dict[str, ViewRequirement]:
        """Return the views to declare: ``prev_actions`` and ``prev_rewards``, where they are fed."""
        views = {}
        if self._actions:
            views["prev_actions"] = ViewRequirement("actions", self._space, _last(self._actions))
        if self._rewards:
            views["prev_rewards"] = ViewRequirement("rewards", shift=_last(self._rewards))
        return views

    def forward(self, input_dict: dict[str, Any]) -> torch.Tensor:
        """Return features [N, width], float32: actions, oldest first, then rewards, oldest first.

        Args:
            input_dict: ``prev_actions`` as raw samples, [N, ...] where n is 1, else [N, n, ...], of a composite space
                [.., d] or nested; ``prev_rewards`` [N] or [N, m]. An option is an index counted from 0.
        """
        features: torch.Tensor = self._encoded(input_dict, self.column, self.option, self.is_choice)
        return features

    def numpy_forward(self) -> Callable[[dict[str, Any]], NumpyArray] | None:
        """Return :meth:`forward` for NumPy arrays on the CPU, or None if there is nothing to feed."""
        if not self.width:
            return None
        tables = [buffer.numpy() for buffer in (self.column, self.option, self.is_choice)]
        return lambda input_dict: self._encoded(input_dict, *tables)

    def _encoded(self, input_dict: dict[str, Any], column: Array, option: Array, is_choice: Array) -> Array:
        parts = []
        ns = xp(column)
        if self._actions:
            numbers = ns.take_columns(self._numbers(input_dict["prev_actions"]), column)
            encoded = ns.where(is_choice, ns.astype(numbers == option, "float32"), numbers)
            parts.append(ns.reshape(encoded, (encoded.shape[0], -1)))  # [N, n * one's features]
        if self._rewards:
            parts.append(ns.reshape(ns.astype(input_dict["prev_rewards"], "float32"), (-1, self._rewards)))
        return ns.concatenate(parts, axis=1)

    def _numbers(self, actions: tree.Tree) -> Array:
        """Return actions as float32 [N, n, d], which holds the indices of every distribution that can be built."""

        def numbers(leaf: gym.Space[Any], values: Array) -> Array:
            return xp(values).astype(values, "float32").reshape(len(values), self._actions, _size(leaf))

        if not self._nested:
            flat = xp(actions).astype(actions, "float32")
            return flat.reshape(len(flat), self._actions, sum(map(_size, nesting.leaves(self._space))))
        parts = tree.leaves(nesting.map_leaves(numbers, self._space, actions))
        return xp(parts[0]).concatenate(parts, axis=2)


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
