"""Between one environment and many: rows of stacked observations, split actions, infos that survive stacking."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from gymnasium.vector.utils import iterate

from anyspace.data.atari import is_atari
from anyspace.data.trajectory import Ints
from anyspace.spaces.decoding import one_action
from anyspace.tree import Tree

Infos = dict[str, Any]


def take_rows(space: gym.Space[Any], batched: Tree, rows: Ints) -> Tree:
    """Return some rows of stacked observations, stacked.

    Args:
        space: of a single observation.
        batched: arrays [B, ...], and tuples of B values for spaces whose values have no common shape (such as
            Sequence, Text, Graph, OneOf and Repeated), nested as the space is.
        rows: [n] indices below B.
    """
    if isinstance(space, Dict):
        return {key: take_rows(child, batched[key], rows) for key, child in space.spaces.items()}
    if isinstance(space, Tuple):
        return tuple(take_rows(child, part, rows) for child, part in zip(space.spaces, batched, strict=True))
    if isinstance(batched, tuple | list):
        return tuple(batched[row] for row in rows)
    return np.asarray(batched)[rows]


def has_fixed_shape(space: gym.Space[Any]) -> bool:
    """Whether all the values of a space have one shape, so that processes can share memory for them.

    Gymnasium would share memory for Text and OneOf too, but reads it once only.
    """
    if isinstance(space, Dict):
        return all(map(has_fixed_shape, space.spaces.values()))
    if isinstance(space, Tuple):
        return all(map(has_fixed_shape, space.spaces))
    return isinstance(space, Box | Discrete | MultiDiscrete | MultiBinary)


class StackedActions(gym.Space[Any]):
    """Actions for B environments: arrays [B, ...], nested as an action of one.

    In place of the batched space that Gymnasium's vector environments split actions by, which knows neither
    empty parts nor spaces that are not Gymnasium's.

    Args:
        single: the space of one environment.
        num_envs: B.
    """

    def __init__(self, single: gym.Space[Any], num_envs: int):
        super().__init__()
        self.single, self.num_envs = single, num_envs


@iterate.register(StackedActions)
def _(space: StackedActions, items: Tree) -> Iterator[Any]:
    for row in range(space.num_envs):
        yield one_action(space.single, items, row)


class InVector(gym.Wrapper[Any, Any, Any, Any]):
    """What one environment needs to stand in a vector environment of Gymnasium's.

    It copies an episode's last observation, for the reset within the same step may write into the same array; it
    says in ``metadata["atari"]`` whether it is an Atari environment; and it puts what a method ``action_masks()``
    of the environment or of a wrapper returns into infos that have no mask of their own.

    Args:
        env: the environment.
        action_mask_key: name of the mask among the infos; None asks for no masks.
    """

    def __init__(self, env: gym.Env[Any, Any], action_mask_key: str | None):
        super().__init__(env)
        self.metadata = {**env.metadata, "atari": is_atari(env)}
        self._key = action_mask_key
        self._action_masks = env.get_wrapper_attr("action_masks") if env.has_wrapper_attr("action_masks") else None

    def reset(self, *, seed: int | None = None, options: Infos | None = None) -> tuple[Any, Infos]:
        """Start a new episode."""
        obs, info = self.env.reset(seed=seed, options=options)
        return obs, self._with_mask(info)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, Infos]:
        """Step the environment."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        if terminated or truncated:
            obs = copy.deepcopy(obs)
        return obs, reward, terminated, truncated, self._with_mask(info)

    def _with_mask(self, info: Infos) -> Infos:
        if self._action_masks is None or self._key is None or self._key in info:
            return info
        return {**info, self._key: self._action_masks()}


def with_reset(infos: Infos, reset_infos: Infos, ended: Ints) -> Infos:
    """Return the infos of a step whose ended episodes were followed by a reset, as ``SAME_STEP`` sources give them.

    Rows ``ended`` are the reset's; what the step said about them is under ``final_info``.
    """
    return {**_replace_rows(infos, reset_infos, ended), "final_info": infos}


def _replace_rows(infos: Infos, others: Infos, rows: Ints) -> Infos:
    replaced: Infos = {**others}
    for name, values in infos.items():
        other = others.get(name)
        if isinstance(values, dict):
            replaced[name] = _replace_rows(values, other if isinstance(other, dict) else {}, rows)
        elif isinstance(values, np.ndarray):
            mixed = values.copy()
            if isinstance(other, np.ndarray) and other.shape == mixed.shape:
                mixed[rows] = other[rows]
            elif name.startswith("_"):  # says whose value is there
                mixed[rows] = False
            replaced[name] = mixed
    return replaced
