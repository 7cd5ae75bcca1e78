"""How users name an environment, and how one is made from that."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import gymnasium as gym

from anyspace.config import copied
from anyspace.data.atari import AtariOptions, prepare
from anyspace.data.contract import refuse_exit
from anyspace.data.env_context import arguments_of
from anyspace.data.env_copies import another, sufficient_id
from anyspace.data.foreign import require_arguments, require_env_alone, require_environment
from anyspace.errors import ConfigError, EnvironmentSetupError, nearest
from anyspace.importing import import_name, importable_name

Env = gym.Env[Any, Any]
EnvLike = str | type[Env] | Callable[..., Env] | Env | gym.vector.VectorEnv[Any, Any, Any]
Wrapper = Callable[[Env], Env]

_creators: dict[str, Callable[..., Env]] = {}


def register_env(name: str, creator: Callable[..., Env]) -> None:
    """Make ``creator`` available as ``env=name``.

    Args:
        name: takes precedence over Gymnasium's ids.
        creator: returns an environment; one that takes an argument receives ``env_config``.

    Raises:
        ConfigError: ``name`` is no text, or ``creator`` cannot be called.
    """
    if not isinstance(name, str) or not (callable(creator) or isinstance(creator, gym.Env)):
        raise ConfigError(
            "register_env takes a name and what makes an environment, register_env('shop', lambda config: Shop()), but"
            f" {name!r} and {creator!r} came."
        )
    _creators[name] = creator


def registered_ids() -> dict[str, gym.envs.registration.EnvSpec]:
    """Return Gymnasium's records of the ids that this process registered itself, for processes that know no such ids.

    Gymnasium's own ids are left out, and those of packages that register theirs when they are imported.
    """
    packages = tuple(_PACKAGES)
    return {
        name: record
        for name, record in gym.registry.items()
        if not name.startswith(packages) and not _is_gymnasiums(record)
    }


def adopt_ids(records: Mapping[str, gym.envs.registration.EnvSpec]) -> None:
    """Take in what :func:`registered_ids` returned in another process."""
    for name, record in records.items():
        gym.registry.setdefault(name, record)


Origin = Literal["registered", "gymnasium", "other", "code", "unknown"]
"""Who stands behind the name of an environment; see :func:`origin_of`."""


def origin_of(name: str) -> Origin:
    """Return who stands behind the name of an environment, without importing anything for it.

    * ``registered``: the caller, by :func:`register_env`;
    * ``gymnasium``: an id of Gymnasium's own environments, or of a package that this library knows, such as Atari's;
    * ``other``: an id that somebody else registered with Gymnasium in this process, such as a plugin of its;
    * ``code``: whoever wrote the module with which the name begins, and which has to be imported;
    * ``unknown``: nobody yet.
    """
    if name in _creators:
        return "registered"
    if ":" in _with_colon(name):
        return "code"
    ids = [name] if name in gym.registry else [known for known in gym.registry if known.startswith(f"{name}-v")]
    if name.startswith(tuple(_PACKAGES)) or (ids and all(_is_gymnasiums(gym.registry[known]) for known in ids)):
        return "gymnasium"
    return "other" if ids else "unknown"


def _is_gymnasiums(registered: gym.envs.registration.EnvSpec) -> bool:
    """Return whether an id stands for nothing but code of Gymnasium's."""
    wrappers = [wrapper.entry_point for wrapper in registered.additional_wrappers]
    for maker in (registered.entry_point, registered.vector_entry_point, *wrappers):
        module = maker if isinstance(maker, str) else getattr(maker, "__module__", None) or ""
        if maker is not None and module.partition(":")[0].partition(".")[0] != "gymnasium":
            return False
    return True


@dataclass(frozen=True)
class EnvSpec:
    """An environment as the user gave it.

    Attributes:
        env: a Gymnasium id, a registered name, ``package.module:Name`` (or, as RLlib takes it,
            ``package.module.Name``), a class, a callable or an instance, of which copies are made.
        env_config: keywords for ``gym.make``, the class or the function; what takes a configuration receives a copy of
            it whole (:func:`~anyspace.data.env_context.takes_config`). An instance takes none.
        wrappers: applied to each environment in order; names ``package.module:Name`` are imported.
        atari: what is put around Atari environments whose observations the wrappers have left as they are.
        action_mask_key: name of the mask among the infos; None takes none from a method ``action_masks()``.
        max_len: longest length of Sequences and Graphs without one (`spaces.bounded`).
        ignore: parts to leave out of observations (`spaces.prepared`).
        worker_index: of the process that collects, for environments that take their configuration whole; 0 trains.
    """

    env: EnvLike
    env_config: dict[str, Any] = field(default_factory=dict)
    wrappers: Sequence[Wrapper | str] = ()
    atari: AtariOptions = field(default_factory=AtariOptions)
    action_mask_key: str | None = "action_mask"
    max_len: int | dict[str, int] | None = None
    ignore: Sequence[str] = ()
    worker_index: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.env, str):
            object.__setattr__(self, "env", _with_version(_with_colon(self.env)))

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
            return sufficient_id(self.env)
        return importable_name(self.env)

    @property
    def is_id(self) -> bool:
        """Whether it is an id, which gym.make makes."""
        return isinstance(self.env, str) and self.creator() is None

    def resolved(self) -> EnvSpec:
        """Return the same with a registered name replaced by its creator, for processes that know no such names."""
        creator = _creators.get(self.env) if isinstance(self.env, str) else None
        return self if creator is None else replace(self, env=creator)

    def make(self, vector_index: int = 0) -> Env:
        """Return a new environment, wrapped.

        Args:
            vector_index: which of the environments side by side it is, for those that take their configuration whole.

        Raises:
            EnvironmentSetupError: if the id is unknown, ``env_config`` does not fit, what Gymnasium needs is not
                installed, or what was made is no Gymnasium environment.
            RuntimeError: if making it ends the program.
        """
        try:
            return self._make(vector_index)
        except gym.error.DependencyNotInstalled as error:
            raise _lacking(self.name, error) from error
        except SystemExit as error:
            refuse_exit(error, f"what makes {self.name}")
            raise

    def _make(self, vector_index: int) -> Env:
        env = require_environment(self._make_bare(vector_index), f"{self.name} gave")
        for wrapper in self.wrappers:
            wrap = _imported(wrapper) if isinstance(wrapper, str) else wrapper
            require_env_alone(wrap)
            env = require_environment(wrap(env), f"the wrapper {getattr(wrap, '__name__', wrap)} gave")
        return prepare(env, self.atari)

    def registered(self) -> gym.envs.registration.EnvSpec | None:
        """Return Gymnasium's record of the environment, where that is an id spelt out in full.

        Raises:
            EnvironmentSetupError: it is one of Atari's, and ale_py is not installed.
        """
        if not isinstance(self.env, str) or self.env in _creators:
            return None
        _let_register(self.env)
        return gym.registry.get(self.env)

    def _make_bare(self, vector_index: int) -> Env:
        if isinstance(self.env, gym.Env):
            return another(self.env, self.env_config, tells=vector_index == 0)
        if not isinstance(self.env, str) and not callable(self.env):
            return require_environment(self.env, "`env` is")
        creator = self.creator()
        if creator is None:
            return self._made_by_gymnasium(str(self.env))
        # A copy: environments change what they read, and the next one needs it as it was.
        whole, keywords = arguments_of(creator, copied(self.env_config), self.worker_index, vector_index)
        try:
            return creator(*whole, **keywords)
        except TypeError as error:
            if not whole:
                require_arguments(creator, keywords, error)
            raise

    def _made_by_gymnasium(self, name: str) -> Env:
        try:
            with made_by_gymnasium(name):
                return gym.make(name, disable_env_checker=True, **copied(self.env_config))
        except TypeError as error:
            registered = gym.registry.get(name.rpartition(":")[2])
            if registered is not None and registered.entry_point is not None:
                entry = registered.entry_point
                creator = gym.envs.registration.load_env_creator(entry) if isinstance(entry, str) else entry
                require_arguments(creator, {**registered.kwargs, **self.env_config}, error, tuple(_of_make()))
            raise

    def creator(self) -> Callable[..., Env] | None:
        """Return the class or callable behind ``env``; None for an id of Gymnasium's."""
        if not isinstance(self.env, str):
            assert callable(self.env)  # an instance is copied
            return self.env
        if self.env in _creators:
            return _creators[self.env]
        module, colon, name = self.env.rpartition(":")
        if colon:  # Gymnasium's own way to spell an id of another package: importing that one registers it.
            _import_package(module, self.env)
            is_id = name in gym.registry and not hasattr(sys.modules[module], name)
            if name.replace(".", "").isidentifier() and not is_id:
                return _imported(self.env)
        _let_register(name)
        if name not in gym.registry and not _is_versionless(name):
            hint = nearest(name, [*gym.registry, *_creators])
            raise EnvironmentSetupError(
                f"{module} was imported, but registers no environment {name!r} with Gymnasium.{hint} If it does so with"
                " the old package gym, give a function that makes the environment for Gymnasium, as by shimmy."
                if colon
                else f"no environment is known as {name!r}.{hint} Give a Gymnasium id, that of another package with the"
                f" package in front (`package:{name}`), a name passed to register_env, `package.module:EnvClass`, a"
                " class or a callable."
            )
        return None


def _with_colon(name: str) -> str:
    """Return ``package.module:Name`` for ``package.module.Name``, unless an environment is known by that name."""
    module, _, attribute = name.rpartition(".")
    is_dotted = module and all(part.isidentifier() for part in name.split("."))
    return f"{module}:{attribute}" if is_dotted and name not in _creators and name not in gym.registry else name


def _with_version(name: str) -> str:
    """Return an id with a version: the latest where it has none, which Gymnasium takes, so that a run says which."""
    if ":" in name or name in _creators or name in gym.registry:
        return name
    versions = [known.removeprefix(f"{name}-v") for known in gym.registry if known.startswith(f"{name}-v")]
    numbers = [int(version) for version in versions if version.isdecimal()]
    return f"{name}-v{max(numbers)}" if numbers else name


_PACKAGES = {
    "ALE/": ("ale_py", "an Atari environment", "'anyspace[atari]'"),
    "MiniGrid-": ("minigrid", "an environment of MiniGrid", "minigrid"),
    "BabyAI-": ("minigrid", "an environment of MiniGrid", "minigrid"),
    "popgym-": ("popgym", "an environment of POPGym", "popgym"),
}
"""How ids begin that a package registers when it is imported: its module, what they are, what to install."""


def _let_register(name: str) -> None:
    """Let a package register its ids if ``name`` is to be one of them."""
    found = next((package for start, package in _PACKAGES.items() if name.startswith(start)), None)
    if found is None or name in gym.registry:
        return
    module, what, install = found
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise EnvironmentSetupError(
            f"{name!r} is {what}, but {module} cannot be imported ({error}): pip install {install}."
        ) from error


@contextlib.contextmanager
def made_by_gymnasium(name: str) -> Iterator[None]:
    """Make an environment by its id: leave out Gymnasium's advice, and say what an id of Gymnasium's own lacks.

    Raises:
        EnvironmentSetupError: a package is not installed, or the environment has moved to one.
    """
    try:
        with quiet_passive_checks():
            yield
    except (gym.error.DependencyNotInstalled, ImportError) as error:
        registered = gym.registry.get(name)
        if isinstance(error, ImportError) and (registered is None or not _is_gymnasiums(registered)):
            raise  # an error of the environment's own code, whose traceback says where it is
        raise _lacking(name, error) from error


def _lacking(name: str, error: Exception) -> EnvironmentSetupError:
    advice = " Install that package." if isinstance(error, ModuleNotFoundError) else ""
    return EnvironmentSetupError(f"{name} cannot be made: {str(error).rstrip('.')}.{advice}")


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


def _of_make() -> list[str]:
    """Return the names of gym.make's own settings."""
    return list(inspect.signature(gym.make).parameters)


def _import_package(module: str, name: str) -> None:
    """Import what stands before the colon of ``name``."""
    try:
        import_name(f"{module}:__name__")
    except ConfigError as error:
        raise EnvironmentSetupError(
            f"{name!r} cannot be imported: {error.__cause__ or f'{module!r} is no name of a module'}. Install it,"
            " or put it into a folder on Python's path (`sys.path`)."
        ) from error


def _imported(name: str) -> Callable[..., Env]:
    try:
        found: Callable[..., Env] = import_name(name)
    except ConfigError as error:
        raise EnvironmentSetupError(str(error)) from error
    if not callable(found):
        raise EnvironmentSetupError(f"{name!r} is {type(found).__name__}, not a class or a function.")
    return found
