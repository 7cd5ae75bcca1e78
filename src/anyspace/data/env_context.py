"""The configuration that an environment is given whole, with the place of the environment."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any


class EnvContext(dict[str, Any]):
    """What an environment that takes its configuration whole is given: ``env_config``, and which environment it is.

    It is a dict, which the environment may change.

    Args:
        env_config: the keys.
        worker_index: number of the collecting process, counted from 1; 0 is the process that trains.
        vector_index: number of the environment in it.
        remote: accepted for old call sites.
        num_workers: how many processes there are.
        recreated_worker: whether the process takes the place of one that failed.
    """

    def __init__(
        self,
        env_config: Mapping[str, Any],
        worker_index: int = 0,
        vector_index: int = 0,
        remote: bool = False,
        num_workers: int | None = None,
        recreated_worker: bool = False,
    ):
        super().__init__(env_config)
        self.worker_index, self.vector_index = worker_index, vector_index
        self.remote, self.num_workers = remote, num_workers
        self.recreated_worker = recreated_worker

    def copy_with_overrides(
        self,
        env_config: Mapping[str, Any] | None = None,
        worker_index: int | None = None,
        vector_index: int | None = None,
        remote: bool | None = None,
        num_workers: int | None = None,
        recreated_worker: bool | None = None,
    ) -> EnvContext:
        """Return a copy in which the arguments that are not None take the place of what was there."""
        return EnvContext(
            self if env_config is None else deepcopy(env_config),
            self.worker_index if worker_index is None else worker_index,
            self.vector_index if vector_index is None else vector_index,
            self.remote if remote is None else remote,
            self.num_workers if num_workers is None else num_workers,
            self.recreated_worker if recreated_worker is None else recreated_worker,
        )

    def set_defaults(self, defaults: Mapping[str, Any]) -> None:
        """Set the keys that are not there."""
        self.update({key: value for key, value in defaults.items() if key not in self})

    def __str__(self) -> str:
        place = f"worker={self.worker_index}/{self.num_workers}, vector_idx={self.vector_index}, remote={self.remote}"
        return f"{super().__str__()[:-1]}, {place}}}"


_WHOLE = ("config", "env_config", "env_context")
"""What a single argument is called that is the configuration, whatever keys that has."""
_CONFIG = re.compile(r"_?(env_?)?(conf|config|configuration|cfg|context|ctx)")
_NEEDED = ("_", "c", "params", "parameters", "settings", "options", "opts", "args")
"""What an argument without a default may be called as well."""


_POSITIONAL = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)


def takes_config(creator: Callable[..., Any], env_config: Mapping[str, Any]) -> bool:
    """Whether a class or function wants ``env_config`` whole, as its first argument, and not as keywords.

    A function does whose only argument has no default. So does what calls its first argument ``config`` (``cfg``,
    ``env_config``, ...) and can do without others, unless ``env_config`` names its arguments and nothing else:

    * ``E(config)``, ``E(cfg, render_mode=None)``: whole;
    * ``E(config=None, size=3)`` with ``{"size": 4}``: keywords; with ``{"height": 4}``: whole;
    * ``E(size)``: keywords.
    """
    parameters = _parameters(creator)
    if not parameters or parameters[0].kind not in _POSITIONAL:
        return False
    first, *others = parameters
    variadic = (first.VAR_POSITIONAL, first.VAR_KEYWORD)
    if any(other.default is other.empty and other.kind not in variadic for other in others):
        return False
    is_needed = first.default is first.empty
    if is_needed and not others and not isinstance(creator, type):
        return True
    if not _CONFIG.fullmatch(first.name) and not (is_needed and first.name in _NEEDED):
        return False
    names = [one.name for one in parameters if one.kind not in variadic]
    named = [key for key in env_config if key in names]
    if first.name in named:
        return first.name in _WHOLE and not others
    return is_needed or not others or len(named) < len(env_config)


def arguments_of(
    creator: Callable[..., Any], env_config: Mapping[str, Any], worker_index: int, vector_index: int
) -> tuple[tuple[EnvContext, ...], dict[str, Any]]:
    """Return the positional arguments and the keywords with which a class or function makes an environment.

    What takes the configuration whole gets it as a dict of its own, and by keyword those keys that name its other
    arguments.
    """
    if not takes_config(creator, env_config):
        return (), dict(env_config)
    others = [parameter.name for parameter in _parameters(creator)[1:]]
    context = EnvContext(env_config, worker_index, vector_index)
    return (context,), {key: value for key, value in env_config.items() if key in others}


def _parameters(creator: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(creator).parameters.values())
    except (TypeError, ValueError):
        return []
