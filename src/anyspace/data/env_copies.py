"""Environments that are there already: another one like them, and the id that makes them again."""

from __future__ import annotations

import copy
import logging
from typing import Any

import gymnasium as gym

from anyspace.errors import EnvironmentSetupError

Env = gym.Env[Any, Any]

_LOG = logging.getLogger("anyspace")


def another(env: Env, env_config: dict[str, Any], *, tells: bool) -> Env:
    """Return another environment like ``env``: a copy, with all that was set on it, or what its spec makes.

    Args:
        env: the environment.
        env_config: keywords for making one; there must be none.
        tells: whether to say that what was made lacks what was set on ``env``.

    Raises:
        EnvironmentSetupError: it can neither be copied nor made again, or there are keywords.
    """
    kind = type(env).__name__
    if env_config:
        raise EnvironmentSetupError(
            f"`env_config` is for making environments, but an instance of {kind} was given, which is copied with all"
            f" that was set on it. Make it with {', '.join(map(repr, env_config))}, or give its id, its class or a"
            " function. Beside an instance, env_config={} leaves out what a checkpoint holds."
        )
    try:
        return copy.deepcopy(env)
    except Exception as error:
        uncopied, failed = f"the environment instance {kind} cannot be copied ({error})", error
    if env.spec is None:
        raise EnvironmentSetupError(
            f"{uncopied}, so no second one can be made from it. Give its class or a function that returns a new one."
        ) from failed
    try:
        made: Env = gym.make(env.spec, disable_env_checker=True)
    except ValueError as error:  # from a wrapper that keeps no record of how it was made
        raise EnvironmentSetupError(
            f"{uncopied}, but gym.make cannot make it again: {str(error).rstrip('.')}. Give a function that returns a"
            " new one, or its wrappers as `wrappers=[...]`."
        ) from error
    if tells:
        _LOG.warning(
            f"{uncopied}, so new ones are made by its id, {env.spec.id}, without what was set on the instance. Give a"
            " function that returns a new one, if that matters."
        )
    return made


def sufficient_id(env: Env | gym.vector.VectorEnv[Any, Any, Any]) -> str | None:
    """Return the id that makes ``env`` again, or None where it has more settings than its id."""
    registered = None if env.spec is None else gym.registry.get(env.spec.id)
    if env.spec is None or registered is None or isinstance(env, gym.vector.VectorWrapper):
        return None
    return env.spec.id if _settings(env.spec) == _settings(registered) else None


def _settings(spec: gym.envs.registration.EnvSpec) -> dict[str, Any]:
    kwargs = {key: value for key, value in spec.kwargs.items() if key not in _RUNTIME_KEYWORDS}
    wrappers = {"additional_wrappers": spec.additional_wrappers}
    return {"max_episode_steps": spec.max_episode_steps, **wrappers, **kwargs}


_RUNTIME_KEYWORDS = ("render_mode", "num_envs", "vectorization_mode", "vector_kwargs")
