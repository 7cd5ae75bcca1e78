"""Makes the environments of a run: one after the other in this process, in processes of their own, or as they come."""

from __future__ import annotations

import functools
import os
import signal
from typing import Any, Literal

import gymnasium as gym
from gymnasium.vector import SyncVectorEnv, VectorEnv

from anyspace.data.atari_native import is_console, native_envs, native_settings
from anyspace.data.batching import StackedActions, VectorMember, autoreset_mode_of
from anyspace.data.contract import close
from anyspace.data.environments import EnvSpec, made_by_gymnasium
from anyspace.data.in_turn import sync_envs
from anyspace.data.processes import Processes, copied
from anyspace.data.structure import has_fixed_shape
from anyspace.data.vector import Envs, VectorSource
from anyspace.errors import EnvironmentSetupError
from anyspace.spaces import Encoder, check_action_space
from anyspace.spaces.kinds.registered import Registration, adopt, equivalent, registered_spaces
from anyspace.spaces.serialize import Spaces

Vectorization = Literal["auto", "native", "sync", "async"]


def make_source(
    spec: EnvSpec, num_envs: int, vectorization: Vectorization = "auto", limit: float | None = None
) -> VectorSource:
    """Return ``num_envs`` environments of ``spec`` as one source.

    Args:
        spec: the environment.
        num_envs: how many, at least 1.
        vectorization: ``native`` is the id's own vector environment, ``sync`` a loop in this process,
            ``async`` one process each; ``auto`` takes native where there is one, else sync; of a single environment it
            takes native for Atari alone, since a loop is twice as fast.
        limit: seconds that a step or reset of an environment in a process of its own may take; None: any number.

    Raises:
        EnvironmentSetupError: if the environment cannot be made, or not in this way.
    """
    if isinstance(spec.env, VectorEnv):
        return _given_source(spec, spec.env, num_envs)
    if vectorization in ("auto", "native"):
        envs = _native_envs(spec, num_envs, asked=vectorization == "native")
        if envs is not None:
            return VectorSource(envs, is_native=True)
        if vectorization == "native":
            raise EnvironmentSetupError(
                f"{spec.name} has no vector environment of its own that works with these settings and wrappers; use"
                " vectorization='sync' or 'async'."
            )
    make = functools.partial(_make_one, spec.resolved(), trainer=os.getpid(), known=registered_spaces())
    first = make(0)
    spaces = first.observation_space, first.action_space
    makers = [functools.partial(make, number, spaces) for number in range(num_envs)]
    try:
        if vectorization == "async":
            first.close()
            envs = Processes(makers, shared_memory=has_fixed_shape(first.observation_space), limit=limit)
        else:
            envs = sync_envs(first, makers[1:])
    except (RuntimeError, IndexError):
        _refuse_spaces(*spaces)
        raise
    envs.action_space = StackedActions(envs.single_action_space, num_envs)
    return VectorSource(envs)


def make_separate_source(
    spec: EnvSpec, num_envs: int, vectorization: Vectorization = "auto", limit: float | None = None
) -> VectorSource:
    """Return environments apart from those that :func:`make_source` returns for the same ``spec``.

    They differ where ``spec`` holds a vector environment: that one serves training, a copy of it serves here,
    with as many environments as it has.

    Raises:
        EnvironmentSetupError: if there is no way to make them.
    """
    if not isinstance(spec.env, VectorEnv):
        return make_source(spec, num_envs, vectorization, limit)
    try:
        other = copied(spec.env)
    except Exception as error:
        raise EnvironmentSetupError(
            f"evaluation needs environments apart from those that train, but {type(spec.env).__name__} cannot be"
            f" copied ({error}). Give a Gymnasium id, a class or a function instead of a vector environment."
        ) from error
    return VectorSource(_held_to_contract(other))


def _make_one(
    spec: EnvSpec, number: int, expected: Spaces | None = None, *, trainer: int, known: list[Registration]
) -> VectorMember:
    """Return environment ``number``, whose spaces are to be the ``expected`` ones, those of the first one made."""
    in_worker = os.getpid() != trainer
    if in_worker:
        adopt(known)
        # Ctrl-C reaches every process of a terminal; whether to stop is for the one that trains to decide.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    env = VectorMember(spec.make(number), number, spec.action_mask_key, spec.max_len, spec.ignore, checks=in_worker)
    spaces = env.observation_space, env.action_space
    for kind, mine, theirs in zip(("observation", "action"), spaces, expected or spaces, strict=True):
        if mine != theirs:
            env.close()
            _refuse_spaces(*spaces)
            raise EnvironmentSetupError(
                f"environment {number}: the {kind} space of {spec.name} is {mine}, but that of the first one made is"
                f" {theirs}. All environments of a run need the same spaces; do not draw them at random."
            )
    return env


def _refuse_spaces(observation_space: gym.Space[Any], action_space: gym.Space[Any]) -> None:
    """Raise :class:`UnsupportedSpaceError` if an environment has spaces that Gymnasium cannot stack."""
    Encoder(observation_space)
    check_action_space(equivalent(action_space))


def _native_envs(spec: EnvSpec, num_envs: int, *, asked: bool) -> Envs | None:
    """Return the id's own vector environment, or None: it has none that fits, or nobody asked, and a loop is faster."""
    registered = spec.registered()
    if registered is None or spec.wrappers or "render_mode" in spec.env_config:
        return None
    if is_console(registered):
        settings = native_settings(registered, spec.env_config) if spec.atari.pref == "deepmind" else None
        return None if settings is None else native_envs(settings, spec.atari, num_envs)
    if registered.vector_entry_point is None or registered.additional_wrappers or (num_envs == 1 and not asked):
        return None
    with made_by_gymnasium(registered.id):
        try:
            envs = gym.make_vec(
                registered.id, num_envs=num_envs, vectorization_mode="vector_entry_point", **spec.env_config
            )
        except TypeError:  # it lacks a setting that single environments may have
            return None
    if autoreset_mode_of(envs) is None and not asked:
        close(envs)
        return None
    return envs


def _given_source(spec: EnvSpec, envs: Envs, num_envs: int) -> VectorSource:
    for key in ("wrappers", "env_config"):
        if getattr(spec, key):
            raise EnvironmentSetupError(
                f"`{key}` is for making single environments, but a vector environment was given; build it the way"
                " you want it, or give what makes one of its environments."
            )
    if envs.num_envs != num_envs:
        raise EnvironmentSetupError(
            f"the given vector environment has {envs.num_envs} environments, but num_envs_per_env_runner is"
            f" {num_envs}; make them equal."
        )
    return VectorSource(_held_to_contract(envs))


def _held_to_contract(envs: Envs) -> Envs:
    """Return a vector environment whose environments in this process are looked at as those that are made here."""
    base = envs.unwrapped
    if isinstance(base, SyncVectorEnv):
        base.envs = [
            env if isinstance(env, VectorMember) else VectorMember(env, number, copies=True)
            for number, env in enumerate(base.envs)
        ]
    return envs
