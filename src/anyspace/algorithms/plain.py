"""Configurations as JSON, and back.

What JSON has stays as it is: texts, finite numbers, True, False, None, lists, and dicts whose keys are texts. All else
is a dict with the key ``$``, which says what it is::

    (1, 2)            {"$": "tuple", "items": [1, 2]}
    {3: "a"}          {"$": "dict", "pairs": [[3, "a"]]}
    float("inf")      {"$": "float", "value": "inf"}
    Discrete(2)       {"$": "space", "space": {"type": "Discrete", ...}}
    MyModel           {"$": "code", "name": "package.module:MyModel"}
    lambda x: x       {"$": "code", "name": null, "label": "<lambda> of __main__"}

Code is written by name. Code without a name that can be imported has a label alone: it cannot be read back.
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
from typing import Any, TypeAlias

import gymnasium as gym
import numpy as np

from anyspace.config import DataclassLike, importable_name
from anyspace.errors import AnyspaceError, ConfigError
from anyspace.spaces import from_json, to_json

MARK = "$"
"""The key that says what a dict stands for."""

Resolve: TypeAlias = Callable[[str | None, str], Any]
"""Returns the code of a name ``module:Name``, or of None, at a place such as ``model.custom_model``."""

_ARRAYS = "biufcSUMm"
"""Kinds of arrays that are nothing but their bytes."""

_SCALAR_TYPES: dict[str, type[np.generic]] = {kind.__name__: kind for kind in set(np.sctypeDict.values())}

_WHAT_TO_DO = (
    " Give numbers, texts, None, NumPy arrays and numbers, spaces, paths, bytes, enums, dataclasses, and lists, tuples,"
    " sets and dicts of them; or the class or function that makes the value."
)


# ------------------------------------------------------------------------------------------------- writing


def as_plain(config: DataclassLike) -> dict[str, Any]:
    """Return a configuration as JSON can hold it, for :func:`from_plain` to read back.

    Raises:
        ConfigError: a value has no such form; names its place.
    """
    plain: dict[str, Any] = {}
    for keys, value in keys_of(config):
        section = plain
        for key in keys[:-1]:
            section = section.setdefault(key, {})
        section[keys[-1]] = plain_value(value, ".".join(keys))
    return plain


def keys_of(config: DataclassLike, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the keys of a configuration and of those nested in it, such as ``("model", "dim")``, with their values."""
    for field in dataclasses.fields(config):
        value, keys = getattr(config, field.name), (*above, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield from keys_of(value, keys)
        else:
            yield keys, value


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
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return _of_class("dataclass", value, fields=_items(fields, place, "."))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return _of_class("named tuple", value, items=_listed(value, place))
    if callable(value):
        return _code(value)
    raise refusal(value, place)


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
    return value if math.isfinite(value) else _marked("float", value=str(value))


def _listed(value: Any, place: str) -> list[Any]:
    return [plain_value(item, f"{place}[{i}]") for i, item in enumerate(value)]


def _items(value: dict[str, Any], place: str, before: str = "") -> dict[str, Any]:
    return {
        key: plain_value(item, f"{place}{before}{key}" if before else at(place, key)) for key, item in value.items()
    }


def _pairs(value: dict[Any, Any], place: str) -> list[Any]:
    return [[plain_value(key, f"a key of {place}"), plain_value(item, at(place, key))] for key, item in value.items()]


def _dict(value: dict[Any, Any], place: str) -> dict[str, Any]:
    if MARK not in value and all(type(key) is str for key in value):
        return _items(value, place)
    return _marked("dict", pairs=_pairs(value, place))


def _members(value: Any, place: str) -> list[Any]:
    """Return the members of a set in an order that does not depend on their hashes."""
    return sorted((plain_value(item, f"a member of {place}") for item in value), key=repr)


def _array(value: np.ndarray[Any, Any], place: str) -> dict[str, Any]:
    if value.dtype.kind not in _ARRAYS:
        raise refusal(value, place, f": its dtype is {value.dtype}")
    return _marked("array", dtype=value.dtype.str, shape=list(value.shape), data=_base64(value.tobytes()))


def _scalar(value: np.generic, place: str) -> dict[str, Any]:
    if value.dtype.kind not in _ARRAYS or isinstance(value.item(), np.generic):
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
        "path", system=next(name for name, kind in _PATHS.items() if isinstance(value, kind)), path=str(value)
    )


def _class(value: type, place: str) -> dict[str, Any]:
    if _SCALAR_TYPES.get(value.__name__) is value:
        return _marked("scalar type", name=value.__name__)
    return _code(value)


def _code(value: object) -> dict[str, Any]:
    name = importable_name(value)
    return _marked("code", name=name) if name is not None else _marked("code", name=None, label=label_of(value))


def label_of(value: object) -> str:
    """Return what code without an importable name is called: ``<lambda> of __main__``."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    return f"{name} of {module}" if name and module else f"an object of type {type(value).__qualname__}"


def _of_class(kind: str, value: object, **content: Any) -> dict[str, Any]:
    """Return a value of a class that is somebody's code; where the class has no name, that is all there is of it."""
    code = _code(type(value))
    return _marked(kind, name=code["name"], **content) if code["name"] is not None else code


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


_PATHS: dict[str, type[PurePath]] = {"here": Path, "posix": PurePosixPath, "windows": PureWindowsPath}

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


# ------------------------------------------------------------------------------------------------- reading


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
    if MARK not in value:
        return {key: from_plain(item, resolve, at(place, key) if place else key) for key, item in value.items()}
    try:
        return _READERS[value[MARK]](value, resolve, place)
    except AnyspaceError:
        raise
    except Exception as error:
        raise ConfigError(f"config key `{place}` is damaged: {value[MARK]!r} is not written like this.") from error


def at(place: str, key: object) -> str:
    """Return the place of a dict's value: ``env_config["size"]``."""
    return f'{place}["{key}"]' if isinstance(key, str) else f"{place}[{key!r}]"


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
    if type(name) is not str or dtype.kind not in _ARRAYS or dtype.itemsize == 0:
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


_READERS: dict[str, Callable[[dict[str, Any], Resolve, str], Any]] = {
    "float": lambda value, resolve, place: float({"inf": "inf", "-inf": "-inf", "nan": "nan"}[value["value"]]),
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
    "scalar type": lambda value, resolve, place: _SCALAR_TYPES[value["name"]],
    "space": lambda value, resolve, place: from_json(value["space"]),
    "path": lambda value, resolve, place: _PATHS[value["system"]](value["path"]),
    "code": lambda value, resolve, place: resolve(value["name"], place),
    "enum": _read_enum,
    "dataclass": _read_dataclass,
    "named tuple": _read_named_tuple,
}
