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
        env_config: keywords for ``gym.make``; where there are some, a new environment is made.
        tells: whether to say that what was made lacks what was set on ``env``.

    Raises:
        EnvironmentSetupError: it can neither be copied nor made again.
    """
    kind, failed = type(env).__name__, None
    if not env_config:
        try:
            return copy.deepcopy(env)
        except Exception as error:
            failed = error
    if env.spec is None and failed is None:
        raise EnvironmentSetupError(
            f"`env_config` says how to make environments, but an instance of {kind} was given that gym.make did not"
            " make. Give its class or a function."
        )
    uncopied = f"the environment instance {kind} cannot be copied ({failed})"
    if env.spec is None:
        raise EnvironmentSetupError(
            f"{uncopied}, so no second one can be made from it. Give its class or a function that returns a new one."
        ) from failed
    try:
        made: Env = gym.make(env.spec, disable_env_checker=True, **env_config)
    except ValueError as error:  # from a wrapper that keeps no record of how it was made, too
        reason = "`env_config` makes environments anew" if failed is None else uncopied
        raise EnvironmentSetupError(
            f"{reason}, but gym.make cannot make it again: {str(error).rstrip('.')}. Give a function that returns a new"
            " one, or its wrappers as `wrappers=[...]`."
        ) from error
    if failed is not None and tells:
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
