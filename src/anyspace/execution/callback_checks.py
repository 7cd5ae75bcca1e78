"""Whether what somebody hands over as a callback is one: what it is instead, and what to hand over."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from anyspace.answers import is_of_stable_baselines
from anyspace.errors import ConfigError, near
from anyspace.foreign_names import CALLBACK_CLASSES, CALLBACK_METHODS


def require_known_methods(kind: type, base: type) -> None:
    """Raise :class:`ConfigError` for a method that is named like one of a callback, and that nothing calls.

    Args:
        kind: the class of a callback.
        base: :class:`anyspace.Callback`, from which it is derived.
    """
    known = [name for name in vars(base) if name.startswith("on_")]
    own = [one for one in kind.__mro__ if issubclass(one, base) and one is not base]
    for name in (name for one in own for name, method in vars(one).items() if callable(method) and name not in known):
        meant = [CALLBACK_METHODS[name]] if name in CALLBACK_METHODS else []
        if name.startswith(("on_", "_on_")):
            meant = meant or near(name.removeprefix("_"), known)
        if meant:
            arguments = ", ".join(inspect.signature(getattr(base, meant[0])).parameters)
            raise ConfigError(f"{kind.__name__}.{name}() is never called: override {meant[0]}({arguments}).")
        if name.startswith("on_"):
            raise ConfigError(
                f"{kind.__name__}.{name}() is never called: a callback's methods are {', '.join(known)}. Give a method"
                " of your own another name."
            )


def require_function(part: object, base: type) -> Callable[..., Any]:
    """Return ``part`` if it can be called with an algorithm and a result.

    Args:
        part: what was handed over, which is no object of ``base``.
        base: :class:`anyspace.Callback`.

    Raises:
        ConfigError: it is something else.
    """
    kind = part if isinstance(part, type) else type(part)
    if is_of_stable_baselines(kind):
        known = [one.__name__ for one in kind.__mro__ if one.__name__ in CALLBACK_CLASSES]
        raise ConfigError(
            f"the callback {kind.__name__} is of Stable-Baselines3, whose callbacks are not called here."
            f" {CALLBACK_CLASSES[known[0] if known else 'BaseCallback']}"
        )
    if isinstance(part, str):
        instead = CALLBACK_CLASSES.get(part, "Hand over the function itself, or an object of a class.")
        raise ConfigError(f"the callback is the text {part!r}. {instead}")
    if isinstance(part, type):
        derived = "" if issubclass(part, base) else ", of a class derived from anyspace.Callback"
        raise ConfigError(
            f"the callback is the class {part.__name__}: hand over an object, {part.__name__}(){derived}."
        )
    if not callable(part):
        raise ConfigError(
            f"a callback is a function f(algorithm, result) or an object of a subclass of anyspace.Callback, but"
            f" {part!r} came."
        )
    _require_two_arguments(part)
    return part


def _require_two_arguments(function: Callable[..., Any]) -> None:
    try:
        signature = inspect.signature(function)
    except ValueError:  # of what is written in C nothing may be known
        return
    try:
        signature.bind(None, None)
    except TypeError:
        name = getattr(function, "__name__", repr(function))
        raise ConfigError(
            f"the callback {name}{signature} is called as {name}(algorithm, result): let it take two arguments."
        ) from None
