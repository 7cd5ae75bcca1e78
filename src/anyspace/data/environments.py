"""How users name an environment, and how one is made from that."""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym

from anyspace.config import import_name, importable_name
from anyspace.errors import ConfigError, EnvironmentSetupError, nearest

Env = gym.Env[Any, Any]
EnvLike = str | type[Env] | Callable[..., Env] | Env | gym.vector.VectorEnv[Any, Any, Any]
Wrapper = Callable[[Env], Env]

_creators: dict[str, Callable[..., Env]] = {}


def register_env(name: str, creator: Callable[..., Env]) -> None:
    """Make ``creator`` available as ``env=name``.

    Args:
        name: goes before Gymnasium's ids.
        creator: returns an environment; one that takes an argument receives ``env_config``.
    """
    _creators[name] = creator


@dataclass(frozen=True)
class EnvSpec:
    """An environment as the user gave it.

    Attributes:
        env: a Gymnasium id, a registered name, ``package.module:Name``, a class, a callable or an instance.
        env_config: keywords for ``gym.make`` or the class; a function of one argument, or a class whose only
            argument is called ``config``, receives it whole.
        wrappers: applied to each environment in order; names ``package.module:Name`` are imported.
    """

    env: EnvLike
    env_config: dict[str, Any] = field(default_factory=dict)
    wrappers: Sequence[Wrapper | str] = ()

    @property
    def name(self) -> str:
        """A short name for messages, presets and run folders."""
        if isinstance(self.env, str):
            return self.env
        if isinstance(self.env, gym.Env | gym.vector.VectorEnv):
            return self.env.spec.id if self.env.spec is not None else type(self.env).__name__
        return getattr(self.env, "__name__", type(self.env).__name__)

    def describe(self) -> str | None:
        """Return the string from which the environment can be made again, or None where there is none."""
        if isinstance(self.env, str):
            return self.env
        if isinstance(self.env, gym.Env | gym.vector.VectorEnv):
            return self.env.spec.id if self.env.spec is not None else None
        return importable_name(self.env)

    def describe_wrappers(self) -> list[str] | None:
        """Return the wrappers as importable names, or None where one has no such name."""
        names = [wrapper if isinstance(wrapper, str) else importable_name(wrapper) for wrapper in self.wrappers]
        return None if None in names else [name for name in names if name is not None]

    def make(self, render_mode: str | None = None) -> Env:
        """Return a new environment, wrapped.

        Raises:
            EnvironmentSetupError: if the id is unknown, or what was made is no Gymnasium environment.
        """
        env = self._make_bare({} if render_mode is None else {"render_mode": render_mode})
        if not isinstance(env, gym.Env):
            raise EnvironmentSetupError(
                f"{self.name} gave {type(env).__name__}, not a gymnasium.Env. Old gym environments need"
                " gymnasium's API: reset() -> (obs, info), step() -> (obs, reward, terminated, truncated, info)."
            )
        for wrapper in self.wrappers:
            env = (_imported(wrapper) if isinstance(wrapper, str) else wrapper)(env)
        return env

    def _make_bare(self, extra: dict[str, Any]) -> Env:
        if isinstance(self.env, gym.Env):
            return _fresh_copy(self.env)
        keywords = {**self.env_config, **extra}
        creator = self._creator()
        if creator is None:
            with quiet_passive_checks():
                return gym.make(str(self.env), disable_env_checker=True, **keywords)
        return creator(self.env_config) if _takes_config(creator) else creator(**keywords)

    def _creator(self) -> Callable[..., Env] | None:
        """Return the class or callable behind ``env``; None for an id of Gymnasium's."""
        if not isinstance(self.env, str):
            assert callable(self.env)
            return self.env
        if self.env in _creators:
            return _creators[self.env]
        if ":" in self.env:
            found: Callable[..., Env] | None = _imported(self.env)
            return found
        if self.env not in gym.registry and not _is_versionless(self.env):
            raise EnvironmentSetupError(
                f"no environment is known as {self.env!r}.{nearest(self.env, [*gym.registry, *_creators])}"
                " Give a Gymnasium id, a name passed to register_env, `package.module:EnvClass`, a class or a"
                " callable; ids of other packages need that package imported first."
            )
        return None


@contextlib.contextmanager
def quiet_passive_checks() -> Iterator[None]:
    """Leave out Gymnasium's advice at creation, which is about its own checkers."""
    level = gym.logger.min_level
    gym.logger.min_level = gym.logger.ERROR
    try:
        yield
    finally:
        gym.logger.min_level = level


def _is_versionless(name: str) -> bool:
    return any(registered.startswith(f"{name}-v") for registered in gym.registry)


def _fresh_copy(env: Env) -> Env:
    if env.spec is not None:
        return gym.make(env.spec, disable_env_checker=True)
    try:
        return copy.deepcopy(env)
    except Exception as error:
        raise EnvironmentSetupError(
            f"the environment instance {type(env).__name__} cannot be copied ({error}), so no second one can be made"
            " from it. Give its class or a function that returns a new one."
        ) from error


def _takes_config(creator: Callable[..., Env]) -> bool:
    """Whether ``creator`` wants ``env_config`` whole: a function of one argument, a class of one ``config``."""
    try:
        parameters = list(inspect.signature(creator).parameters.values())
    except (TypeError, ValueError):
        return False
    if len(parameters) != 1 or parameters[0].kind not in (_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY):
        return False
    return not isinstance(creator, type) or parameters[0].name in ("config", "env_config", "env_context")


_POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD


def _imported(name: str) -> Any:
    try:
        found = import_name(name)
    except ConfigError as error:
        raise EnvironmentSetupError(str(error)) from error
    if not callable(found):
        raise EnvironmentSetupError(f"{name!r} is {type(found).__name__}, not a class or a function.")
    return found
