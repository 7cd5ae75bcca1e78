"""Configuration as flat dataclasses: dicts merged in by key, every unknown key and wrong type refused."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import math
import numbers
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Protocol, TypeVar

import numpy as np

from anyspace.errors import ConfigError
from anyspace.hints import Hints


class DataclassLike(Protocol):
    """Any dataclass instance."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


C = TypeVar("C", bound=DataclassLike)


def merge(
    config: C,
    overrides: Mapping[str, Any],
    *,
    renamed: Mapping[str, str] | None = None,
    foreign: Mapping[str, str] | None = None,
) -> C:
    """Return ``config`` with ``overrides`` laid over it; a nested mapping overrides a nested dataclass.

    Args:
        config: the dataclass instance that holds the defaults; it is not changed.
        overrides: key to value, such as ``{"lr": 1e-3, "model": {"fcnet_hiddens": [64]}}``.
        renamed: former names of keys, accepted in place of today's.
        foreign: what to say of keys that other libraries have, as :class:`Hints` takes it.

    Raises:
        ConfigError: for an unknown key (says where it belongs, or names the nearest known one) or a value of the wrong
            type.
    """
    advice = Hints([*paths(config)], renamed or {}, foreign or {})
    return _merge(config, overrides, renamed or {}, advice, prefix="")


def require(condition: bool, key: str, value: object, reason: str) -> None:
    """Raise a :class:`ConfigError` that names ``key``, ``value`` and ``reason`` unless ``condition`` holds."""
    if not condition:
        raise ConfigError(f"config key `{key}` is {value!r}, but {reason}.")


def changes(config: DataclassLike, base: DataclassLike) -> dict[str, Any]:
    """Return the keys of ``config`` whose values differ from ``base``; nested keys are joined by a dot."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        mine, theirs = getattr(config, field.name), getattr(base, field.name)
        if dataclasses.is_dataclass(mine) and not isinstance(mine, type):
            found |= {f"{field.name}.{key}": value for key, value in changes(mine, theirs).items()}
        elif mine != theirs:
            found[field.name] = mine
    return found


def given_paths(
    config: DataclassLike, overrides: Mapping[str, Any], renamed: Mapping[str, str] | None = None
) -> set[str]:
    """Return which keys ``overrides`` for ``config`` give, each with those it is nested in before it.

    A whole configuration in place of a mapping gives the keys whose values differ from its class's defaults.
    """
    found: set[str] = set()
    for given, value in overrides.items():
        key = (renamed or {}).get(given, given)
        current = getattr(config, key, None)
        if dataclasses.is_dataclass(current) and not isinstance(current, type):
            if not isinstance(value, Mapping):
                value = changes(value, type(current)())
            found |= {f"{key}.{path}" for path in given_paths(current, value)}
        else:
            found.add(key)
    return found


def _merge(config: C, overrides: Mapping[str, Any], renamed: Mapping[str, str], advice: Hints, prefix: str) -> C:
    fields = {field.name for field in dataclasses.fields(config)}
    hints = _type_hints(type(config))
    values: dict[str, Any] = {}
    for given, value in overrides.items():
        key = renamed.get(given, given)
        if key not in fields:
            known = f" Known keys here: {', '.join(sorted(fields))}."
            hint = advice.of(f"{prefix}{given}", repr(value))
            raise ConfigError(f"unknown config key `{prefix}{given}`.{hint or known}")
        if given != key and key in overrides:
            raise ConfigError(f"config keys `{given}` and `{key}` are two names for one setting; give one.")
        current = getattr(config, key)
        if dataclasses.is_dataclass(current) and not isinstance(current, type) and isinstance(value, Mapping):
            values[key] = _merge(current, value, {}, advice, f"{prefix}{key}.")
            continue
        if not matches(value, hints[key]):
            raise ConfigError(
                f"config key `{prefix}{key}` takes {spell(hints[key])}, but {value!r} ({type(value).__name__}) came."
            )
        values[key] = _settled(value, hints[key])
    return dataclasses.replace(config, **values)


def paths(config: DataclassLike, prefix: str = "") -> Iterator[str]:
    """Yield every key, with those it is nested in before it; the outermost level comes first."""
    nested: list[tuple[str, DataclassLike]] = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        yield f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            nested.append((f"{prefix}{field.name}.", value))
    for inner, value in nested:
        yield from paths(value, inner)


@functools.cache
def _type_hints(config_class: type) -> dict[str, Any]:
    hints = typing.get_type_hints(config_class)
    return {name: hint for name, hint in hints.items() if typing.get_origin(hint) is not ClassVar}


def matches(value: object, hint: Any) -> bool:
    """Whether a value has the type that a field is annotated with."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(matches(value, option) for option in arguments)
    if origin is Literal:
        return any(type(value) is type(argument) and value == argument for argument in arguments)
    if origin is list:
        return isinstance(value, list | tuple) and all(matches(item, arguments[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            matches(item, kind) for pair in value.items() for item, kind in zip(pair, arguments, strict=True)
        )
    if origin is tuple:
        return (
            isinstance(value, list | tuple)
            and len(value) == len(arguments)
            and all(matches(item, kind) for item, kind in zip(value, arguments, strict=True))
        )
    if hint is bool:
        return isinstance(value, bool | np.bool_)
    if hint is float:
        return isinstance(value, numbers.Real) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, numbers.Integral) and not isinstance(value, bool)
    kind = origin or hint
    return value is None if kind is types.NoneType else isinstance(value, kind)


def _settled(value: Any, hint: Any) -> Any:
    """Return a value that matches ``hint`` in exactly its types: tuples for tuples, floats for floats.

    Containers are new ones, so that a caller who changes theirs later changes no configuration.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _settled(value, next(option for option in arguments if matches(value, option)))
    if origin is list:
        return [_settled(item, arguments[0]) for item in value]
    if origin is tuple:
        return tuple(_settled(item, kind) for item, kind in zip(value, arguments, strict=True))
    if origin is dict:
        return dict(value)
    return hint(value) if hint in (bool, int, float) else value


def spell(hint: Any) -> str:
    """Spell the type that a field is annotated with, for messages."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(spell(option) for option in arguments)
    if origin is Literal:
        return " or ".join(repr(argument) for argument in arguments)
    if hint is types.NoneType:
        return "None"
    if origin is not None:
        return str(hint).replace("typing.", "")
    return str(getattr(hint, "__name__", hint))


def as_plain(config: DataclassLike) -> dict[str, Any]:
    """Return the configuration as JSON-able dicts, for :func:`from_plain` to read back.

    A class or function becomes ``{"import": "module:Name"}``, a number that JSON lacks ``{"float": "inf"}``.
    Anything else that JSON has no form for becomes ``{"repr": ...}``, which is refused when read back. Tuples
    come back as lists.
    """
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return {
        name: as_plain(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else _plain(value)
        for name, value in values.items()
    }


def from_plain(value: Any) -> Any:
    """Return what :func:`as_plain` was given, classes and functions imported again.

    Raises:
        ConfigError: for a value that had no importable name.
    """
    if isinstance(value, dict):
        if value.keys() == {"import"}:
            return import_name(value["import"])
        if value.keys() == {"float"}:
            return float(value["float"])
        if value.keys() == {"repr"}:
            raise ConfigError(
                f"the stored configuration holds {value['repr']}, which cannot be made again from a file; give it"
                " anew (`config={...}`)."
            )
        return {key: from_plain(item) for key, item in value.items()}
    return [from_plain(item) for item in value] if isinstance(value, list) else value


def importable_name(thing: object) -> str | None:
    """Return ``module:Name`` of a class or function that can be imported, else None."""
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if not module or not name or module == "__main__":
        return None
    try:
        found = functools.reduce(getattr, name.split("."), sys.modules[module])
    except (KeyError, AttributeError):
        return None
    # A bound method has its function's name, and a name may have been given to something else since.
    return f"{module}:{name}" if found == thing else None


def import_name(name: str) -> Any:
    """Return what ``module:Name`` stands for.

    Raises:
        ConfigError: it cannot be imported.
    """
    module_name, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), *attribute.split("."))):
        raise ConfigError(f"{name!r} cannot be imported: write it as `package.module:Name`.")
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"{name!r} cannot be imported: {error}. Write `package.module:Name`, with the package installed or in"
            " a folder on Python's path (`sys.path`)."
        ) from error
    return found


def is_path(name: str) -> bool:
    """Whether a text has the form of a path to something that can be imported."""
    return "." in name or ":" in name


def import_path(path: str) -> Any:
    """Return what ``package.module:Name`` or ``package.module.Name`` stands for.

    Raises:
        ConfigError: it cannot be imported.
    """
    if ":" in path:
        return import_name(path)
    module, _, name = path.rpartition(".")
    return import_name(f"{module}:{name}")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping) and _is_plain_mapping(value):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        number = float(value)
        return number if math.isfinite(number) else {"float": str(number)}
    name = importable_name(value)
    return {"repr": repr(value)} if name is None else {"import": name}


def _is_plain_mapping(value: Mapping[Any, Any]) -> bool:
    """Whether JSON keeps the keys as they are, and :func:`from_plain` cannot take them for one of its marks."""
    return all(isinstance(key, str) for key in value) and set(value) not in ({"import"}, {"float"}, {"repr"})


def without(stored: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored settings less those that are changed: one that cannot be made again does no harm then."""
    kept = {key: value for key, value in stored.items() if key not in changed}
    for key in stored.keys() & changed.keys():
        if isinstance(stored[key], Mapping) and isinstance(changed[key], Mapping):
            kept[key] = without(stored[key], changed[key])
    return kept
