"""Environments of one process, stepped one after the other."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import concatenate, iterate

from anyspace import nesting
from anyspace.data.batching import VectorMember
from anyspace.data.infos import Infos
from anyspace.data.structure import has_fixed_shape
from anyspace.data.trajectory import Bools
from anyspace.models.runtime import NumpyArray
from anyspace.tree import Path, Tree

_NUMBERS = (int, np.int64)
"""The types of a Discrete's values, which an array of integers takes as they are."""


class InTurn(SyncVectorEnv):
    """Gymnasium's ``SyncVectorEnv`` with a quicker ``step``; it resets environments in the step that ends an episode.

    Where each part of the observations is an array of the shape and the kind of its space, it is written into the stack
    as it is. Whatever else comes is stacked, or refused, by Gymnasium.

    Args:
        makers: make the environments.
    """

    def __init__(self, makers: Sequence[Callable[[], gym.Env[Any, Any]]]):
        super().__init__(makers, copy=False, autoreset_mode=AutoresetMode.SAME_STEP)
        space = self.single_observation_space
        self._stacks: list[tuple[Path, NumpyArray]] = []
        if all(has_fixed_shape(leaf) for leaf in nesting.leaves(space)):
            stacked = nesting.values(space, self._observations)
            self._stacks = [(path, one) for (path, _), one in zip(nesting.iter_leaves(space), stacked, strict=True)]

    def step(self, actions: Tree) -> tuple[Tree, npt.NDArray[np.float64], Bools, Bools, Infos]:
        """Step every environment, and reset those whose episodes end."""
        infos: Infos = {}
        fits = bool(self._stacks)
        for i, (env, action) in enumerate(zip(self.envs, iterate(self.action_space, actions), strict=True)):
            returned = env.step(action)
            self._env_obs[i], self._rewards[i], terminated, truncated, info = returned
            self._terminations[i], self._truncations[i] = terminated, truncated
            if terminated or truncated:
                infos = self._add_info(infos, {"final_obs": self._env_obs[i], "final_info": info}, i)
                self._env_obs[i], info = env.reset()
            if info:
                infos = self._add_info(infos, info, i)
            if self._stacks and not self._write(i):
                fits, self._env_obs[i] = False, copy.deepcopy(self._env_obs[i])
        if not fits:
            self._observations = concatenate(self.single_observation_space, self._env_obs, self._observations)
        # What Gymnasium's own reset() looks at.
        self._autoreset_envs = self._terminations | self._truncations
        return self._observations, self._rewards.copy(), self._terminations.copy(), self._truncations.copy(), infos

    def _write(self, i: int) -> bool:
        """Write the observation of an environment into the stack; return whether that can be done as it is.

        It is done before the next environment is stepped, for environments may share the array that they write into.
        """
        for path, stack in self._stacks:
            value: Any = self._env_obs[i]
            try:
                for key in path:
                    value = value[key]
                if not (_fits(value, stack) if type(value) is np.ndarray else _is_index(value, stack)):
                    return False
                stack[i] = value
            except (TypeError, LookupError, OverflowError):
                return False
        return True


def _fits(value: NumpyArray, stack: NumpyArray) -> bool:
    """Whether NumPy stacks an array without changing what its numbers are, but for their precision."""
    same = value.dtype == stack.dtype or np.can_cast(value.dtype, stack.dtype, "same_kind")
    return bool(value.shape == stack.shape[1:] and same)


def _is_index(value: Any, stack: NumpyArray) -> bool:
    return type(value) in _NUMBERS and stack.ndim == 1 and stack.dtype == np.int64


def sync_envs(first: VectorMember, makers: Sequence[Callable[[], VectorMember]]) -> InTurn:
    """Return environments that are stepped one after the other; if one cannot be made, the others are closed."""
    with ExitStack() as made:
        members = [first]
        made.callback(first.close)
        for make in makers:
            members.append(make())
            made.callback(members[-1].close)
        given = [partial(_same, member) for member in members]
        envs = InTurn(given)
        made.pop_all()
    return envs


def _same(member: VectorMember) -> VectorMember:
    return member
