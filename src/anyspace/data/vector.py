"""Vector environments behind one small interface, whatever resets them and however they run."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array

from anyspace import tree
from anyspace.data.environments import EnvSpec, quiet_passive_checks
from anyspace.data.trajectory import Bools, Floats, Ints
from anyspace.errors import EnvironmentSetupError, ObservationError
from anyspace.spaces import encode
from anyspace.tree import Tree

Vectorization = Literal["auto", "native", "sync", "async"]
Envs = VectorEnv[Any, Any, Any]


class Step(NamedTuple):
    """One step of B environments."""

    obs: Tree
    """Stacked observations to act on next, [B, ...]."""
    rewards: Floats
    """[B]."""
    terminated: Bools
    """[B]."""
    truncated: Bools
    """[B]."""
    ignored: Bools
    """[B] True where the source reset an environment instead of taking its action."""
    ended: Ints
    """[n] environments whose last observation is in ``final_obs`` because ``obs`` holds a new episode's."""
    final_obs: Tree
    """Stacked observations [n, ...], or None where n is 0."""
    infos: dict[str, Any]
    """As the vector environment gave them."""


class VectorSource:
    """B environments that reset themselves.

    Gymnasium knows three ways to reset. ``NEXT_STEP`` sources spend a step whose action they ignore,
    ``SAME_STEP`` ones hand the last observation over in the infos, ``DISABLED`` ones are reset from here.
    :meth:`step` tells all three by ``ignored``, ``ended`` and ``final_obs``.

    Raises:
        EnvironmentSetupError: if the environments do not say how they reset themselves.
    """

    def __init__(self, envs: Envs):
        self.envs = envs
        self.num_envs: int = envs.num_envs
        self.observation_space = envs.single_observation_space
        self.action_space = envs.single_action_space
        mode = envs.metadata.get("autoreset_mode")
        if mode is None:
            raise EnvironmentSetupError(
                f"{type(envs).__name__} does not say how it resets itself: set metadata['autoreset_mode'] to a"
                " gymnasium.vector.AutoresetMode (Gymnasium 1.1 or later)."
            )
        self.mode = AutoresetMode(mode)
        self._ignored: Bools = np.zeros(self.num_envs, np.bool_)
        self._nobody = np.zeros(0, np.int64)

    def reset(self, seed: int | None = None) -> Tree:
        """Start new episodes everywhere and return their first observations, stacked."""
        self._ignored = np.zeros(self.num_envs, np.bool_)
        try:
            return self.envs.reset(seed=seed)[0]
        except Exception as error:
            self._explain(error)
            raise

    def step(self, actions: Tree) -> Step:
        """Step every environment; see :class:`Step`."""
        try:
            obs, rewards, terminated, truncated, infos = self.envs.step(actions)
        except Exception as error:
            self._explain(error)
            raise
        ignored = self._ignored
        ended, final_obs = self._nobody, None
        done = np.logical_or(terminated, truncated)
        if self.mode is AutoresetMode.NEXT_STEP:
            self._ignored = done
        elif done.any():
            ended = np.flatnonzero(done)
            if self.mode is AutoresetMode.SAME_STEP:
                final_obs = self._stack([infos["final_obs"][row] for row in ended])
            else:
                final_obs = tree.map_leaves(lambda leaf: np.asarray(leaf)[ended], obs)
                obs, _ = self.envs.reset(options={"reset_mask": done.copy()})
        return Step(obs, np.asarray(rewards, np.float32), terminated, truncated, ignored, ended, final_obs, infos)

    def close(self) -> None:
        """Close the environments."""
        self.envs.close()

    def _stack(self, observations: list[Tree]) -> Tree:
        buffer: Any = create_empty_array(self.observation_space, n=len(observations))
        return concatenate(self.observation_space, observations, buffer)

    def _explain(self, error: Exception) -> None:
        """Raise a clear error in place of ``error`` if an observation that does not fit its space caused it.

        Stacking is done by Gymnasium, whose message for such an observation names neither leaf nor space.
        """
        if not isinstance(self.envs, SyncVectorEnv):
            return
        for index, obs in enumerate(self.envs._env_obs):
            if obs is None:
                continue
            try:
                encode(self.observation_space, obs)
            except ObservationError as fault:
                raise ObservationError(f"environment {index}: {fault}") from error


def make_source(spec: EnvSpec, num_envs: int, vectorization: Vectorization = "auto") -> VectorSource:
    """Return ``num_envs`` environments of ``spec`` as one source.

    Args:
        spec: the environment.
        num_envs: how many, at least 1.
        vectorization: ``native`` is the id's own vector environment, ``sync`` a loop in this process,
            ``async`` one process each; ``auto`` takes native where there is one, else sync.

    Raises:
        EnvironmentSetupError: if the environment cannot be made, or not in this way.
    """
    if isinstance(spec.env, VectorEnv):
        return _given_source(spec, spec.env, num_envs)
    native = _has_native(spec)
    if vectorization == "native" and not native:
        raise EnvironmentSetupError(
            f"{spec.name} has no vector environment of its own that works without wrappers; use vectorization="
            "'sync' or 'async'."
        )
    if native and vectorization in ("auto", "native"):
        with quiet_passive_checks():
            return VectorSource(
                gym.make_vec(
                    str(spec.env),
                    num_envs=num_envs,
                    vectorization_mode="vector_entry_point",
                    **spec.env_config,
                )
            )
    if isinstance(spec.env, gym.Env) and num_envs == 1:
        return VectorSource(_same_step(SyncVectorEnv, spec, 1))
    return VectorSource(_same_step(AsyncVectorEnv if vectorization == "async" else SyncVectorEnv, spec, num_envs))


def _same_step(kind: type[SyncVectorEnv] | type[AsyncVectorEnv], spec: EnvSpec, num_envs: int) -> Envs:
    makers = [spec.make] * num_envs
    if kind is AsyncVectorEnv:
        return AsyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP)
    return SyncVectorEnv(makers, copy=False, autoreset_mode=AutoresetMode.SAME_STEP)


def _has_native(spec: EnvSpec) -> bool:
    if not isinstance(spec.env, str) or spec.wrappers or "render_mode" in spec.env_config:
        return False
    registered = gym.registry.get(spec.env)
    return registered is not None and registered.vector_entry_point is not None and not registered.additional_wrappers


def _given_source(spec: EnvSpec, envs: Envs, num_envs: int) -> VectorSource:
    if spec.wrappers:
        raise EnvironmentSetupError("`wrappers` wrap single environments, but a vector environment was given.")
    if envs.num_envs != num_envs:
        raise EnvironmentSetupError(
            f"the given vector environment has {envs.num_envs} environments, but num_envs_per_env_runner is"
            f" {num_envs}; make them equal."
        )
    return VectorSource(envs)
