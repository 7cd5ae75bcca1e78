"""Values of a configuration, read back from what :mod:`anyspace.algorithms.saving.plain` wrote."""

from __future__ import annotations

import base64
import dataclasses
import math
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeAlias

import numpy as np

from anyspace.algorithms.saving.plain import ARRAYS, MARK, PATHS, SCALAR_TYPES, at, mark_of
from anyspace.errors import AnyspaceError, ConfigError
from anyspace.spaces import from_json

Resolve: TypeAlias = Callable[[str | None, str], Any]
"""Returns the code of a name ``module:Name``, or of None, at a place such as ``model.custom_model``."""


def from_plain(value: Any, resolve: Resolve, place: str = "") -> Any:
    """Return what :func:`as_plain` and :func:`plain_value` were given.

    Args:
        value: what they returned.
        resolve: finds the code of a name.
        place: of the value, for messages.

    Raises:
        ConfigError: the value is nothing that they return.
    """
    if isinstance(value, list):
        return [from_plain(item, resolve, f"{place}[{i}]") for i, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    kind = mark_of(value)
    if kind is None and MARK not in value:
        return {key: from_plain(item, resolve, at(place, key) if place else key) for key, item in value.items()}
    try:
        return _READERS[kind](value, resolve, place)
    except AnyspaceError:
        raise
    except Exception as error:
        raise ConfigError(f"config key `{place}` is damaged: {kind!r} is not written like this.") from error


def _read_array(value: dict[str, Any], resolve: Resolve, place: str) -> np.ndarray[Any, Any]:
    dtype, shape, data = (
        _known_dtype(value["dtype"]),
        tuple(value["shape"]),
        base64.b64decode(value["data"], validate=True),
    )
    if not all(type(size) is int and size >= 0 for size in shape) or math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError("the bytes are not those of the shape")
    return np.ndarray(shape, dtype, data).copy()


def _known_dtype(name: str) -> np.dtype[Any]:
    dtype = np.dtype(name)
    if type(name) is not str or dtype.kind not in ARRAYS or dtype.itemsize == 0:
        raise ValueError(f"dtype {name!r}")
    return dtype


def _read_enum(value: dict[str, Any], resolve: Resolve, place: str) -> Enum:
    kind = resolve(value["name"], place)
    if not (isinstance(kind, type) and issubclass(kind, Enum)):
        raise TypeError("no enum")
    return kind[value["member"]]


def _read_dataclass(value: dict[str, Any], resolve: Resolve, place: str) -> Any:
    kind = resolve(value["name"], place)
    given = {name: from_plain(item, resolve, f"{place}.{name}") for name, item in value["fields"].items()}
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise TypeError("no dataclass")
    takes = {field.name: field.init for field in dataclasses.fields(kind)}
    made = kind(**{name: item for name, item in given.items() if takes[name]})
    for name in (name for name, is_argument in takes.items() if not is_argument):
        object.__setattr__(made, name, given[name])
    return made


def _read_object(value: dict[str, Any], resolve: Resolve, place: str) -> Any:
    kind = resolve(value["name"], place)
    made = object.__new__(kind)
    vars(made).update({name: from_plain(item, resolve, f"{place}.{name}") for name, item in value["fields"].items()})
    return made


def _read_items(make: Callable[[list[Any]], Any]) -> Callable[[dict[str, Any], Resolve, str], Any]:
    def read(value: dict[str, Any], resolve: Resolve, place: str) -> Any:
        if not isinstance(value["items"], list):
            raise TypeError("no list of items")
        return make(from_plain(value["items"], resolve, place))

    return read


def _read_pairs(make: Callable[[list[Any]], Any]) -> Callable[[dict[str, Any], Resolve, str], Any]:
    def read(value: dict[str, Any], resolve: Resolve, place: str) -> Any:
        keys = [from_plain(key, resolve, f"a key of {place}") for key, _ in value["pairs"]]
        return make(
            [
                (key, from_plain(item, resolve, at(place, key)))
                for key, (_, item) in zip(keys, value["pairs"], strict=True)
            ]
        )

    return read


def _read_named_tuple(value: dict[str, Any], resolve: Resolve, place: str) -> Any:
    kind = resolve(value["name"], place)
    if not (isinstance(kind, type) and issubclass(kind, tuple)):
        raise TypeError("no named tuple")
    return kind(*from_plain(value["items"], resolve, place))


_NOT_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}

_READERS: dict[str, Callable[[dict[str, Any], Resolve, str], Any]] = {
    "import": lambda value, resolve, place: resolve(value["import"], place),
    "repr": lambda value, resolve, place: resolve(None, place),
    "float": lambda value, resolve, place: _NOT_FINITE[value["float"]],
    "tuple": _read_items(tuple),
    "set": _read_items(set),
    "frozenset": _read_items(frozenset),
    "range": _read_items(lambda items: range(*items)),
    "slice": _read_items(lambda items: slice(*items)),
    "dict": _read_pairs(dict),
    "ordered dict": _read_pairs(OrderedDict),
    "bytes": lambda value, resolve, place: base64.b64decode(value["data"], validate=True),
    "bytearray": lambda value, resolve, place: bytearray(base64.b64decode(value["data"], validate=True)),
    "complex": lambda value, resolve, place: complex(*from_plain(value["parts"], resolve, place)),
    "ellipsis": lambda value, resolve, place: ...,
    "array": _read_array,
    "scalar": lambda value, resolve, place: _known_dtype(value["dtype"]).type(
        from_plain(value["value"], resolve, place)
    ),
    "dtype": lambda value, resolve, place: np.dtype(str(value["name"])),
    "scalar type": lambda value, resolve, place: SCALAR_TYPES[value["name"]],
    "space": lambda value, resolve, place: from_json(value["space"]),
    "path": lambda value, resolve, place: PATHS[value["system"]](value["path"]),
    "enum": _read_enum,
    "dataclass": _read_dataclass,
    "named tuple": _read_named_tuple,
    "object": _read_object,
}
