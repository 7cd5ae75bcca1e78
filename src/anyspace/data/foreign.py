"""What is no environment of Gymnasium's, and settings that a constructor does not take, in terms of the user's code."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym

from anyspace.errors import EnvironmentSetupError, nearest
from anyspace.foreign_names import VECTOR_ENVIRONMENTS

_ADVICE = {
    "gym": (
        "It is of the old package gym. Import gymnasium instead (`import gymnasium as gym`), return (obs, info) from"
        " reset and (obs, reward, terminated, truncated, info) from step. Of what you cannot change, shimmy's"
        " GymV26CompatibilityV0(env=env) makes a Gymnasium environment, or GymV21CompatibilityV0(env=env) where step"
        " returns four values (gym before 0.26)."
    ),
    "pettingzoo": (
        "PettingZoo's environments have several agents. Let one policy play them all: make it parallel where it is not"
        " (pettingzoo.utils.aec_to_parallel), then give supersuit.concat_vec_envs_v1("
        "supersuit.pettingzoo_env_to_vec_env_v1(env), 1, base_class='gymnasium')."
    ),
    "stable_baselines3": (
        "Vector environments of Stable-Baselines3 are not Gymnasium's. Give what makes one environment, such as an id,"
        " and set `num_envs_per_env_runner`; vectorization='async' takes a process for each."
    ),
    "dm_env": "It is DeepMind's. shimmy's DmControlCompatibilityV0 makes a Gymnasium environment of it.",
    "dm_control": "It is DeepMind's. shimmy's DmControlCompatibilityV0 makes a Gymnasium environment of it.",
}
_SEVERAL_AGENTS = "Several agents in one environment are out of scope: give one agent's view as a gymnasium.Env."
_SEVERAL = "Several environments are made of what makes one: give that, and set `num_envs_per_env_runner`."
_OLD_API = "A gymnasium.Env has reset() -> (obs, info) and step() -> (obs, reward, terminated, truncated, info)."


def require_environment(env: Any, origin: str) -> gym.Env[Any, Any]:
    """Return ``env`` if it is a Gymnasium environment with both spaces.

    Args:
        env: what is to be one.
        origin: where it is from, with a verb: ``"MyEnv gave"``.

    Raises:
        EnvironmentSetupError: it is something else; says what, and what to do.
    """
    if isinstance(env, gym.vector.VectorEnv):
        raise EnvironmentSetupError(
            f"{origin} {type(env).__name__}, a vector environment. Hand over the vector environment itself, or what"
            " makes a single environment."
        )
    several = any(kind.__name__ == "MultiAgentEnv" for kind in type(env).__mro__)
    if several or not isinstance(env, gym.Env):
        advice = _SEVERAL_AGENTS if several else _advice(env)
        raise EnvironmentSetupError(f"{origin} {type(env).__name__}, not a gymnasium.Env. {advice}")
    for attribute in ("observation_space", "action_space"):
        space = getattr(env, attribute, None)
        if not isinstance(space, gym.Space):
            old = " It is of the old package gym: take gymnasium.spaces." if _package(space) == "gym" else ""
            raise EnvironmentSetupError(
                f"{origin} an environment whose {attribute} is {space!r}, not a gymnasium.Space; set it in"
                f" the environment's __init__.{old}"
            )
    return env


def require_arguments(
    make: Callable[..., Any], given: Mapping[str, Any], cause: TypeError, more: tuple[str, ...] = ()
) -> None:
    """Raise a clear error in place of ``cause`` if ``env_config`` does not fit what makes environments.

    Args:
        make: a class or function.
        given: the configuration.
        cause: what calling it raised.
        more: names that are taken beside those of the signature.

    Raises:
        EnvironmentSetupError: names what is unknown or missing, and what there is.
    """
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):
        return
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    names = [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_POSITIONAL]
    name = getattr(make, "__name__", type(make).__name__)
    takes = f"{name} takes {', '.join(f'`{known}`' for known in names) or 'no argument'}"
    unknown = [key for key in given if key not in (*names, *more)]
    if unknown:
        raise EnvironmentSetupError(
            f"`env_config` holds {unknown[0]!r}, but {takes}.{nearest(str(unknown[0]), names)}"
        ) from cause
    needed = [parameter for parameter in parameters if parameter.default is inspect.Parameter.empty]
    missing = [one.name for one in needed if one.kind is not one.VAR_POSITIONAL and one.name not in given]
    if missing:
        raise EnvironmentSetupError(f"`env_config` lacks {missing[0]!r}, which {name} needs: {takes}.") from cause


def require_env_alone(wrap: Callable[..., Any]) -> None:
    """Raise :class:`EnvironmentSetupError` for a wrapper that cannot be called with an environment alone."""
    try:
        inspect.signature(wrap).bind(None)
    except TypeError as error:
        name = getattr(wrap, "__name__", type(wrap).__name__)
        raise EnvironmentSetupError(
            f"the wrapper {name} cannot be called with an environment alone ({error}). Put its arguments into a"
            f" function of a module of yours, `def wrapped(env): return {name}(env, ...)`, and give that function."
        ) from error
    except ValueError:  # it has no signature
        return


def _advice(env: Any) -> str:
    """Return what to do about a value that is no environment."""
    if isinstance(env, list | tuple):
        return _SEVERAL
    more = [VECTOR_ENVIRONMENTS[kind.__name__] for kind in type(env).__mro__ if kind.__name__ in VECTOR_ENVIRONMENTS]
    return " ".join([_ADVICE.get(_package(env), _OLD_API), *more])


def _package(value: Any) -> str:
    """Return the package of the first foreign class that a value is of, or the package of its own class."""
    packages = [kind.__module__.partition(".")[0] for kind in type(value).__mro__]
    return next((package for package in packages if package in _ADVICE), packages[0])
