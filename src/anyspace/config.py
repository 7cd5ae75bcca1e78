"""Configuration as flat dataclasses: dicts merged in by key, every unknown key and wrong type refused."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import itertools
import math
import numbers
import textwrap
import types
import typing
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Literal, Protocol, TypeGuard, TypeVar

import numpy as np

from anyspace.errors import ConfigError
from anyspace.hints import Hints


class DataclassLike(Protocol):
    """Any dataclass instance."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


C = TypeVar("C", bound=DataclassLike)

MISTAKEN = "mistaken"
"""In the metadata of a field: what to say beside a value of the wrong type."""

_SEARCH = " One run has one value: a loop over values, or `anyspace sweep`, tries several."


def merge(
    config: C,
    *layers: Mapping[str, Any],
    renamed: Mapping[str, str] | None = None,
    advice: Hints | None = None,
) -> C:
    """Return ``config`` with layers laid over it, later over earlier; a nested mapping overrides a nested dataclass.

    Args:
        config: the dataclass instance that holds the defaults; it is not changed.
        layers: key to value, such as ``{"lr": 1e-3, "model": {"fcnet_hiddens": [64]}}``.
        renamed: former names of keys, accepted in place of today's.
        advice: what to write in place of unknown keys; None: the nearest known one.

    Raises:
        ConfigError: for unknown keys, all of them (says where each belongs, or names the nearest known one), or a value
            of the wrong type.
    """
    require_known(config, *layers, renamed=renamed, advice=advice)
    for layer in layers:
        config = with_layer(config, layer, renamed or {})
    return config


def require_known(
    config: DataclassLike,
    *layers: Mapping[str, Any],
    renamed: Mapping[str, str] | None = None,
    advice: Hints | None = None,
) -> None:
    """Raise :class:`ConfigError` for all keys that ``config`` does not have; arguments as for :func:`merge`."""
    former = renamed or {}
    hints = advice or Hints([*paths(config)], former)
    unknown = [line for layer in layers for line in _unknown(config, layer, former, hints, "")]
    if unknown:
        raise ConfigError("\n".join(unknown))


def require(condition: bool, key: str, value: object, reason: str) -> None:
    """Raise a :class:`ConfigError` that names ``key``, ``value`` and ``reason`` unless ``condition`` holds."""
    if not condition:
        raise ConfigError(f"config key `{key}` is {value!r}, but {reason}.")


def whole(value: object, expected: str) -> int:
    """Return a whole number as an int; 1e5 is one, too.

    Args:
        value: what came.
        expected: begins the message, such as "learn() takes a whole number of steps".

    Raises:
        ConfigError: ``value`` is no whole number.
    """
    if isinstance(value, int | float | np.integer | np.floating) and type(value) is not bool and value % 1 == 0:
        return int(value)
    raise ConfigError(f"{expected}, but {value!r} came.")


def require_finite(config: DataclassLike, keys: Iterable[str], limits: Collection[str] = ()) -> None:
    """Raise a :class:`ConfigError` for the first of some keys whose value is a number that is not finite.

    Args:
        config: has the keys.
        keys: to look at.
        limits: those of limits, of which infinity is one that is never reached.
    """
    for key in keys:
        value = getattr(config, key)
        fits = not isinstance(value, float) or math.isfinite(value) or (value == math.inf and key in limits)
        require(fits, key, value, "it must be a finite number")


def is_nested(value: object) -> TypeGuard[DataclassLike]:
    """Whether a value has keys of its own, as ``model`` has: an instance of a dataclass."""
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def changes(config: DataclassLike, base: DataclassLike) -> dict[str, Any]:
    """Return the keys of ``config`` whose values differ from ``base``; nested keys are joined by a dot."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        mine, theirs = getattr(config, field.name), getattr(base, field.name)
        if is_nested(mine):
            found |= {f"{field.name}.{key}": value for key, value in changes(mine, theirs).items()}
        elif not are_equal(mine, theirs):
            found[field.name] = mine
    return found


def are_equal(mine: Any, theirs: Any) -> bool:
    """Return whether two values of a key are equal; arrays are compared as a whole."""
    if isinstance(mine, np.ndarray) or isinstance(theirs, np.ndarray):
        return type(mine) is type(theirs) and np.array_equal(mine, theirs)
    if isinstance(mine, dict) and isinstance(theirs, dict):
        return mine.keys() == theirs.keys() and all(are_equal(value, theirs[key]) for key, value in mine.items())
    if isinstance(mine, list | tuple) and type(mine) is type(theirs):
        return len(mine) == len(theirs) and all(map(are_equal, mine, theirs))
    return bool(mine == theirs)


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested keys with others laid over them."""
    both = {key for key in below.keys() & above.keys() if isinstance(below[key], dict) and isinstance(above[key], dict)}
    return {**below, **above, **{key: laid_over(below[key], above[key]) for key in both}}


def nested(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return keys that dots join, as :func:`changes` does, as nested dicts."""
    result: dict[str, Any] = {}
    for path, value in found.items():
        *outer, key = path.split(".")
        place = result
        for name in outer:
            place = place.setdefault(name, {})
        place[key] = value
    return result


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
        if is_nested(current):
            if not isinstance(value, Mapping):
                value = changes(value, type(current)())
            found |= {f"{key}.{path}" for path in given_paths(current, value)}
        else:
            found.add(key)
    return found


def _unknown(
    config: DataclassLike, overrides: Mapping[str, Any], renamed: Mapping[str, str], advice: Hints, prefix: str
) -> Iterator[str]:
    """Yield what to say of the keys that there are not: a line each, and one for those of a level like no other."""
    known = {field.name for field in dataclasses.fields(config)}
    unlike: dict[str, str] = {}
    for given, value in overrides.items():
        key = renamed.get(given, given)
        current = getattr(config, key) if key in known else None
        if key not in known:
            path = f"{prefix}{given}"
            hint = advice.of(path, repr(value))
            if hint:
                yield f"unknown config key `{path}`.{hint}"
            else:
                unlike[path] = repr(value)
        elif is_nested(current) and isinstance(value, Mapping):
            yield from _unknown(current, value, {}, advice, f"{prefix}{key}.")
    if unlike:
        keys = f"key{'s' if len(unlike) > 1 else ''} {', '.join(f'`{path}`' for path in unlike)}"
        arguments = "" if prefix else advice.of_arguments(unlike)
        known_keys = f"Known keys here: {', '.join(sorted(known))}."
        more = "docs/configuration.md lists the keys." if arguments else known_keys
        yield f"unknown config {keys}.{arguments} {more}"


def with_layer(config: C, overrides: Mapping[str, Any], renamed: Mapping[str, str], prefix: str = "") -> C:
    """Return ``config`` with one layer laid over it; :func:`merge` for keys that :func:`require_known` let pass."""
    hints = type_hints(type(config))
    values: dict[str, Any] = {}
    for given, value in overrides.items():
        key = renamed.get(given, given)
        if given != key and key in overrides:
            raise ConfigError(f"config keys `{given}` and `{key}` are two names for one setting; give one.")
        current = getattr(config, key)
        if is_nested(current) and isinstance(value, Mapping):
            values[key] = with_layer(current, value, {}, f"{prefix}{key}.")
            continue
        values[key] = _taken(type(config), f"{prefix}{key}", value, hints[key])
    return dataclasses.replace(config, **values)


def checked(config: C, prefix: str = "") -> C:
    """Return a whole configuration whose values have exactly the types of its keys; defaults stay as they are.

    Args:
        config: the dataclass instance; it is not changed.
        prefix: of the keys in messages: those it is nested in, with a dot behind each.

    Raises:
        ConfigError: for a value of the wrong type.
    """
    hints, plain = type_hints(type(config)), type(config)()
    values: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value is not getattr(plain, field.name):
            values[field.name] = _taken(type(config), f"{prefix}{field.name}", value, hints[field.name])
    return dataclasses.replace(config, **values)


def _taken(config_class: type[DataclassLike], path: str, value: Any, hint: Any) -> Any:
    """Return the value of a key in exactly the types of its hint, or raise :class:`ConfigError`."""
    if not matches(value, hint):
        raise ConfigError(
            f"config key `{path}` takes {spell(hint)}, but {value!r} ({type(value).__name__}) came."
            f"{_remark(config_class, path.rpartition('.')[2], value, hint)}"
        )
    if is_nested(value):
        return checked(value, f"{path}.")
    return settled(value, hint)


def _remark(config_class: type[DataclassLike], key: str, value: object, hint: Any) -> str:
    """Return what else to say of a value of the wrong type: nothing, or a sentence with a space before it."""
    if isinstance(value, dict) and value.keys() == {"grid_search"}:
        return _SEARCH
    fields = {field.name: field for field in dataclasses.fields(config_class)}
    if MISTAKEN in fields[key].metadata:
        return f" {fields[key].metadata[MISTAKEN]}"
    if key.endswith("_schedule"):
        return " A schedule is [step, value] pairs, such as [[0, 1e-3], [100_000, 0.0]], and no function."
    if float not in (hint, *typing.get_args(hint)) or value is None:
        return ""
    if f"{key}_schedule" in fields:
        return f" A schedule goes into `{key}_schedule`: 'linear', or pairs such as [[0, 1e-3], [100_000, 0.0]]."
    return " It is one number, and has no schedule." if callable(value) or isinstance(value, list | tuple) else ""


def paths(config: DataclassLike, prefix: str = "") -> Iterator[str]:
    """Yield every key, with those it is nested in before it; the outermost level comes first."""
    nested: list[tuple[str, DataclassLike]] = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        yield f"{prefix}{field.name}"
        if is_nested(value):
            nested.append((f"{prefix}{field.name}.", value))
    for inner, value in nested:
        yield from paths(value, inner)


@functools.cache
def type_hints(config_class: type) -> dict[str, Any]:
    """Return the types that the fields of a configuration are annotated with, by name."""
    hints = typing.get_type_hints(config_class)
    return {name: hint for name, hint in hints.items() if typing.get_origin(hint) is not ClassVar}


def sections(config_class: type) -> dict[str, type]:
    """Return the keys of a configuration that are configurations themselves, with their classes."""
    return {
        name: hint
        for name, hint in type_hints(config_class).items()
        if isinstance(hint, type) and dataclasses.is_dataclass(hint)
    }


@functools.cache
def documents(config_class: type) -> dict[str, str]:
    """Return what is written under the fields of a configuration and of the classes it derives from, by name."""
    found: dict[str, str] = {}
    for kind in reversed(config_class.__mro__[:-1]):
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
        except (OSError, TypeError):  # a class that was made without a file
            continue
        assert isinstance(body, ast.ClassDef)
        for line, below in itertools.pairwise(body.body):
            is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
            if is_text and isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                found[line.target.id] = inspect.cleandoc(str(below.value.value))  # type: ignore[attr-defined]
    return found


KEYS_OF = "keys of"
"""In the metadata of a field that is a dict: the dataclass whose keys the dict has. It says which of them name code."""


def keys_of(config_class: type) -> dict[str, type]:
    """Return the fields of a configuration that are dicts with keys of a dataclass, with the dataclass."""
    fields = dataclasses.fields(config_class)
    return {field.name: field.metadata[KEYS_OF] for field in fields if KEYS_OF in field.metadata}


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
    if origin is tuple and arguments[-1] is ...:
        return isinstance(value, list | tuple) and all(matches(item, arguments[0]) for item in value)
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


def settled(value: Any, hint: Any) -> Any:
    """Return a value that matches ``hint`` in exactly its types: tuples for tuples, floats for floats.

    Containers are new ones at any depth, so that a caller who changes theirs later changes no configuration.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return settled(value, next(option for option in arguments if matches(value, option)))
    if origin is list:
        return [settled(item, arguments[0]) for item in value]
    if origin is tuple and arguments[-1] is ...:
        return tuple(settled(item, arguments[0]) for item in value)
    if origin is tuple:
        return tuple(settled(item, kind) for item, kind in zip(value, arguments, strict=True))
    if origin is dict:
        return {settled(key, arguments[0]): settled(item, arguments[1]) for key, item in value.items()}
    return hint(value) if hint in (bool, int, float) else copied(value)


def copied(value: Any, made: dict[int, Any] | None = None) -> Any:
    """Return plain dicts, lists and tuples anew, also those that hold themselves; all else is as it is."""
    made = {} if made is None else made
    if type(value) is tuple:
        return tuple(copied(item, made) for item in value)
    if type(value) not in (dict, list):
        return value
    if id(value) not in made:
        new = made[id(value)] = type(value)()
        if isinstance(value, dict):
            new.update({key: copied(item, made) for key, item in value.items()})
        else:
            new.extend(copied(item, made) for item in value)
    return made[id(value)]


def spell(hint: Any) -> str:
    """Spell the type that a field is annotated with, for messages."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType, Literal):
        return " or ".join(map(repr if origin is Literal else spell, arguments))
    if hint is types.NoneType:
        return "None"
    if origin is not None:
        return str(hint).replace("typing.", "")
    name = str(getattr(hint, "__name__", hint))
    return f"a dict of its keys, or in a whole configuration {name}(...)" if dataclasses.is_dataclass(hint) else name
