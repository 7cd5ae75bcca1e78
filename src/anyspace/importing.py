"""Code by its name: what another process can import, and what a name stands for."""

from __future__ import annotations

import functools
import importlib
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from anyspace.errors import ConfigError

_MOVED = {
    "anyspace.models.torch.compat": "anyspace._rllib.torch.layers",
    "anyspace.models.torch.compat_choices": "anyspace._rllib.torch.choices",
    "anyspace.models.torch.compat_continuous": "anyspace._rllib.torch.continuous",
    "anyspace.models.torch.compat_dists": "anyspace._rllib.torch.dists",
    "anyspace.models.torch.compat_gradients": "anyspace._rllib.torch.gradients",
    "anyspace.models.torch.compat_modules": "anyspace._rllib.torch.modules",
    "anyspace.models.torch.compat_tensors": "anyspace._rllib.torch.tensors",
    "anyspace.models.torch.compat_wrapper": "anyspace._rllib.torch.wrapper",
    "anyspace.models.tf.compat": "anyspace._rllib.tf.lifted",
    "anyspace.models.tf.compat_dists": "anyspace._rllib.tf.dists",
    "anyspace.models.tf.compat_functions": "anyspace._rllib.tf.functions",
    "anyspace.models.tf.compat_layers": "anyspace._rllib.tf.layers",
    "anyspace.models.tf.keras_networks": "anyspace._rllib.tf.keras_networks",
    "anyspace.models.tf.tf1": "anyspace._rllib.tf.tf1",
}
"""Modules under the names that earlier checkpoints have for them."""


_INSTALLED = tuple(
    os.path.join(folder, "")  # so that a folder whose name merely begins alike is another one
    for folder in (str(Path(__file__).parent), *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")))
)
"""Folders of this library, of Python's own modules and of installed packages."""


def is_ours(thing: type | Callable[..., object]) -> bool:
    """Whether a class or function is one of this library's; the algorithms with RLlib's defaults are, too."""
    return thing.__module__.partition(".")[0] == "anyspace"


def is_installed(file: str) -> bool:
    """Whether a file of code is this library's, Python's own or of an installed package: nobody's who trains."""
    return file.startswith(_INSTALLED)


def importable_name(thing: object) -> str | None:
    """Return ``module:Name`` of a class or function that another process can import, else None.

    What a script or a notebook defines, ``__main__``, has no such name: there, it is another program's.
    """
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or is_of_a_script(thing):
        return None
    try:
        if sys.modules[module].__spec__ is None:  # made in this process, and nowhere to be found by another
            return None
        found = functools.reduce(getattr, name.split("."), sys.modules[module])
    except (KeyError, AttributeError):
        return None
    # A bound method has its function's name, and a name may have been given to something else since.
    return f"{module}:{name}" if found == thing else None


def is_of_a_script(thing: object) -> bool:
    """Return whether code, itself or as ``module:Name``, is of a script or a notebook, which no other one knows."""
    module = thing.partition(":")[0] if isinstance(thing, str) else getattr(thing, "__module__", None)
    return module in ("__main__", "__mp_main__")


def import_name(name: str) -> Any:
    """Return what ``module:Name`` stands for; a module of this library may have the name that it had earlier.

    Raises:
        ConfigError: it cannot be imported.
    """
    module_name, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), *attribute.split("."))):
        raise ConfigError(f"{name!r} cannot be imported: write it as `package.module:Name`.")
    try:
        found: Any = importlib.import_module(_MOVED.get(module_name, module_name))
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        if attribute == "py" or module_name.endswith(".py"):
            module = module_name.removesuffix(".py")
            raise ConfigError(
                f"{name!r} cannot be imported: write a module and what is in it, and no file: `{module}:Name`."
            ) from error
        raise ConfigError(
            f"{name!r} cannot be imported: {error}. Write `package.module:Name`, with the package installed or in"
            " a folder on Python's path (`sys.path`)."
        ) from error
    return found


def is_path(name: str) -> bool:
    """Whether a text has the form of a path to something that can be imported."""
    return "." in name or ":" in name


_may_import: ContextVar[Callable[[str], bool]] = ContextVar("_may_import", default=lambda name: True)


@contextmanager
def importing_only(allowed: Callable[[str], bool]) -> Iterator[None]:
    """Let :func:`import_path` import within the context only names ``module:Name`` for which ``allowed`` holds."""
    token = _may_import.set(allowed)
    try:
        yield
    finally:
        _may_import.reset(token)


def import_path(path: str) -> Any:
    """Return what ``package.module:Name`` or ``package.module.Name`` stands for.

    Raises:
        ConfigError: it cannot be imported, or must not be; see :func:`importing_only`.
    """
    module, _, name = path.partition(":") if ":" in path else path.rpartition(".")
    if not _may_import.get()(f"{module}:{name}"):
        raise ConfigError(f"{path!r} names code that nobody has vouched for, so it is not imported.")
    return import_name(f"{module}:{name}" if module else path)
