"""Configurations as JSON, and back.

What JSON has stays as it is: texts, finite numbers, True, False, None, lists, and dicts whose keys are texts. All else
is a dict that says what it stands for::

    MyModel           {"import": "package.module:MyModel"}
    lambda x: x       {"repr": "<lambda> of __main__"}
    float("inf")      {"float": "inf"}
    (1, 2)            {"$": "tuple", "items": [1, 2]}
    {3: "a"}          {"$": "dict", "pairs": [[3, "a"]]}
    Discrete(2)       {"$": "space", "space": {"type": "Discrete", ...}}

Code is written by name. Code without a name that can be imported has a label alone: it cannot be read back. A dict that
looks like one of these is written as pairs.
"""

from __future__ import annotations

import base64
import dataclasses
import math
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import gymnasium as gym
import numpy as np

from anyspace.config import DataclassLike, is_nested, nested
from anyspace.errors import AnyspaceError, ConfigError
from anyspace.importing import importable_name
from anyspace.spaces import to_json

MARK = "$"
"""The key that says what a dict stands for."""

SHORT_MARKS = ("import", "repr", "float")
"""Keys that do so where they are the only one."""

ARRAYS = "biufcSUMm"
"""Kinds of arrays that are nothing but their bytes."""

SCALAR_TYPES: dict[str, type[np.generic]] = {kind.__name__: kind for kind in set(np.sctypeDict.values())}

_WHAT_TO_DO = (
    " Give numbers, texts, None, NumPy arrays and numbers, spaces, paths, bytes, enums, dataclasses, and lists, tuples,"
    " sets and dicts of them; or the class or function that makes the value."
)


def mark_of(value: dict[str, Any]) -> Any:
    """Return what a written dict stands for, or None where it stands for itself."""
    short = next(iter(value)) if len(value) == 1 else None
    return short if short in SHORT_MARKS else value.get(MARK)


def as_plain(config: DataclassLike) -> dict[str, Any]:
    """Return a configuration as JSON can hold it, for :mod:`~anyspace.algorithms.saving.from_plain` to read back.

    Raises:
        ConfigError: a value has no such form; names its place.
    """
    return nested({path: plain_value(value, path) for path, value in settings_of(config)})


def settings_of(config: DataclassLike, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the keys of a configuration and of those nested in it, such as ``model.dim``, with their values."""
    for field in dataclasses.fields(config):
        value, path = getattr(config, field.name), f"{prefix}{field.name}"
        if is_nested(value):
            yield from settings_of(value, f"{path}.")
        else:
            yield path, value


def plain_value(value: Any, place: str) -> Any:
    """Return one value as JSON can hold it.

    Raises:
        ConfigError: it has no such form.
    """
    exact = _EXACT.get(type(value))
    if exact is not None:
        return exact(value, place)
    for kind, write in _FAMILIES:
        if isinstance(value, kind):
            return write(value, place)
    if is_nested(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return _of_class("dataclass", value, fields=_items(fields, place, "."))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return _of_class("named tuple", value, items=_listed(value, place))
    return _object(value, place)


def refusal(value: object, place: str, reason: str = "") -> ConfigError:
    """Return the error that refuses a value of the configuration which a checkpoint cannot hold."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    return ConfigError(
        f"config key `{place}` is of type {kind}, which a checkpoint cannot hold and give back{reason}.{_WHAT_TO_DO}"
    )


def _marked(kind: str, **content: Any) -> dict[str, Any]:
    return {MARK: kind, **content}


def _itself(value: Any, place: str) -> Any:
    return value


def _int(value: int, place: str) -> int:
    if value.bit_length() > 10_000:  # Python reads no number of more than 4,300 digits
        raise refusal(value, place, ": it has too many digits")
    return value


def _float(value: float, place: str) -> Any:
    return value if math.isfinite(value) else {"float": str(value)}


def _listed(value: Any, place: str) -> list[Any]:
    return [plain_value(item, f"{place}[{i}]") for i, item in enumerate(value)]


def _items(value: dict[str, Any], place: str, before: str = "") -> dict[str, Any]:
    return {
        key: plain_value(item, f"{place}{before}{key}" if before else at(place, key)) for key, item in value.items()
    }


def _pairs(value: dict[Any, Any], place: str) -> list[Any]:
    return [[plain_value(key, f"a key of {place}"), plain_value(item, at(place, key))] for key, item in value.items()]


def _dict(value: dict[Any, Any], place: str) -> dict[str, Any]:
    if all(type(key) is str for key in value) and MARK not in value and mark_of(value) is None:
        return _items(value, place)
    return _marked("dict", pairs=_pairs(value, place))


def _members(value: Any, place: str) -> list[Any]:
    """Return the members of a set in an order that does not depend on their hashes."""
    return sorted((plain_value(item, f"a member of {place}") for item in value), key=repr)


def _array(value: np.ndarray[Any, Any], place: str) -> dict[str, Any]:
    if value.dtype.kind not in ARRAYS:
        raise refusal(value, place, f": its dtype is {value.dtype}")
    return _marked("array", dtype=value.dtype.str, shape=list(value.shape), data=_base64(value.tobytes()))


def _scalar(value: np.generic, place: str) -> dict[str, Any]:
    if value.dtype.kind not in ARRAYS or isinstance(value.item(), np.generic):
        raise refusal(value, place)
    return _marked("scalar", dtype=value.dtype.str, value=plain_value(value.item(), place))


def _dtype(value: np.dtype[Any], place: str) -> dict[str, Any]:
    return _marked("dtype", name=value.str)


def _space(value: gym.Space[Any], place: str) -> dict[str, Any]:
    try:
        return _marked("space", space=to_json(value))
    except AnyspaceError as error:
        raise refusal(value, place, f": {error}") from error


def _path(value: PurePath, place: str) -> dict[str, Any]:
    return _marked(
        "path", system=next(name for name, kind in PATHS.items() if isinstance(value, kind)), path=str(value)
    )


def _class(value: type, place: str) -> dict[str, Any]:
    if SCALAR_TYPES.get(value.__name__) is value:
        return _marked("scalar type", name=value.__name__)
    return _code(value)


def _code(value: object) -> dict[str, Any]:
    name = importable_name(value)
    return {"repr": label_of(value)} if name is None else {"import": name}


def label_of(value: object) -> str:
    """Return what code without an importable name is called: ``<lambda> of __main__``."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    return f"{name} of {module}" if name and module else f"an object of type {type(value).__qualname__}"


def _of_class(kind: str, value: object, **content: Any) -> dict[str, Any]:
    """Return a value of a class that is somebody's code; where the class has no name, that is all there is of it."""
    name = importable_name(type(value))
    return _code(type(value)) if name is None else _marked(kind, name=name, **content)


def _object(value: Any, place: str) -> dict[str, Any]:
    """Return an object that is nothing but its attributes, or a callable one by its label."""
    kind, cause = type(value), None
    own = {name for base in kind.__mro__[:-1] for name, item in vars(base).items() if item}
    name = importable_name(kind)
    if name is not None and hasattr(value, "__dict__") and not own & _OWN_WAYS:
        try:
            return _marked("object", name=name, fields=_items(vars(value), place, "."))
        except ConfigError as error:
            cause = error
    if callable(value):
        return _code(value)
    raise refusal(value, place) from cause


_OWN_WAYS = {"__new__", "__reduce__", "__reduce_ex__", "__getstate__", "__slots__"}
"""Methods and entries of a class by which its objects are more than their attributes."""


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


PATHS: dict[str, type[PurePath]] = {"here": Path, "posix": PurePosixPath, "windows": PureWindowsPath}

_EXACT: dict[type, Callable[[Any, str], Any]] = {
    type(None): _itself,
    bool: _itself,
    int: _int,
    str: _itself,
    float: _float,
    list: _listed,
    dict: _dict,
    tuple: lambda value, place: _marked("tuple", items=_listed(value, place)),
    OrderedDict: lambda value, place: _marked("ordered dict", pairs=_pairs(value, place)),
    set: lambda value, place: _marked("set", items=_members(value, place)),
    frozenset: lambda value, place: _marked("frozenset", items=_members(value, place)),
    bytes: lambda value, place: _marked("bytes", data=_base64(value)),
    bytearray: lambda value, place: _marked("bytearray", data=_base64(value)),
    complex: lambda value, place: _marked("complex", parts=[_float(value.real, place), _float(value.imag, place)]),
    range: lambda value, place: _marked("range", items=[value.start, value.stop, value.step]),
    slice: lambda value, place: _marked("slice", items=_listed((value.start, value.stop, value.step), place)),
    type(...): lambda value, place: _marked("ellipsis"),
    np.ndarray: _array,
}

_FAMILIES: list[tuple[type, Callable[[Any, str], Any]]] = [
    (Enum, lambda value, place: _of_class("enum", value, member=value.name)),
    (np.generic, _scalar),
    (np.dtype, _dtype),
    (gym.Space, _space),
    (PurePath, _path),
    (type, _class),
    (types.FunctionType, lambda value, place: _code(value)),
]


def at(place: str, key: object) -> str:
    """Return the place of a dict's value: ``env_config["size"]``."""
    return f'{place}["{key}"]' if isinstance(key, str) else f"{place}[{key!r}]"
