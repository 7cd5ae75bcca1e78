"""The initialiser keys of the model configuration: from a key to a function that fills arrays, in any framework."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from anyspace.errors import ConfigError, nearest
from anyspace.importing import import_path, is_path

Fill = Callable[..., Any]
"""Fills an array of a framework in place; called with the array and keyword arguments."""

ERRORS = (TypeError, ValueError, RuntimeError)
"""What functions raise that cannot fill an array, or do not take the arguments."""


def named(initializer: str | Fill, key: str, known: Mapping[str, Fill]) -> Fill:
    """Return the function that a configuration names.

    Args:
        initializer: its name, with or without a last underscore, its path, or the function itself.
        key: the configuration key that asks for it.
        known: the framework's functions by name.

    Raises:
        ConfigError: there is no such function.
    """
    if isinstance(initializer, str) and is_path(initializer):
        initializer = import_path(initializer)
    if callable(initializer):
        return initializer
    bare = initializer.rstrip("_")
    found = known.get(bare) or known.get(f"{bare}_")
    if found is None:
        names = [name.rstrip("_") for name in known]
        raise ConfigError(
            f"config key `model.{key}` is {initializer!r}, but there is no such initialiser.{nearest(bare, names)}"
            f" Known: {', '.join(names)}; or a function that fills the tensor it is given."
        )
    return found


def initializer_of(
    model_config: Mapping[str, Any], key: str, known: Mapping[str, Fill], initialise: Fill
) -> Fill | None:
    """Return the function that fills arrays as ``key`` and ``key + "_config"`` say; None: the default of the layer.

    Args:
        model_config: every key of the model configuration.
        key: such as "fcnet_weights_initializer".
        known: the framework's functions by name.
        initialise: fills an array by keyword arguments ``initializer``, ``config`` and ``key``.

    Raises:
        ConfigError: there is no such initialiser.
    """
    initializer = model_config[key]
    if initializer is None:
        return None
    named(initializer, key, known)
    return partial(initialise, initializer=initializer, config=model_config[f"{key}_config"], key=key)


def misfit(
    error: Exception,
    initializer: str | Fill,
    config: Mapping[str, Any] | None,
    shape: tuple[int, ...],
    key: str,
) -> ConfigError:
    """Return the error to raise where a function cannot fill an array.

    Args:
        error: what it raised.
        initializer: as the configuration names it.
        config: its keyword arguments.
        shape: of the array.
        key: the configuration key that asks for it.
    """
    return ConfigError(
        f"config key `model.{key}` is {initializer!r} with the arguments {dict(config or {})}, which cannot fill a"
        f" tensor of shape {shape}: {error}. Correct `model.{key}_config`, or take another initialiser."
    )
