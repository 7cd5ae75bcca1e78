"""What a checkpoint can hold: tried by writing and reading, before training starts."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import gymnasium as gym
import numpy as np

from anyspace.algorithms.saving.from_plain import from_plain
from anyspace.algorithms.saving.plain import at, plain_value, refusal, settings_of
from anyspace.config import DataclassLike, is_nested
from anyspace.errors import CheckpointError, UnsupportedSpaceError
from anyspace.execution.checkpoint import parsed
from anyspace.importing import import_name
from anyspace.spaces.serialize import from_json, same_space, to_json

_PLAIN = (type(None), bool, int, float, str)
"""Types whose values need no trying."""

_LABELLED = object()
"""Stands for code without a name that can be imported, for which loading will ask."""


def require_spaces(observation_space: gym.Space[Any], action_space: gym.Space[Any]) -> None:
    """Refuse spaces that a checkpoint could not give back, by really writing and reading them.

    Raises:
        UnsupportedSpaceError: a space has no written form, or is another one when it is read.
    """
    for name, space in (("observation", observation_space), ("action", action_space)):
        read = from_json(parsed(json.dumps(to_json(space), allow_nan=False), f"the {name} space"))
        if not same_space(read, space):
            raise UnsupportedSpaceError(f"{name}: {space} is another space when it is read back from a checkpoint.")


def require_values(config: DataclassLike) -> None:
    """Refuse a configuration that a checkpoint could not give back, by really writing and reading it.

    Code without a name that can be imported passes: loading asks for it.

    Raises:
        ConfigError: a value has no written form, or is another one when it is read; names its place.
    """
    for place, value in settings_of(config):
        if type(value) in _PLAIN:
            continue
        try:
            text = json.dumps(plain_value(value, place), allow_nan=False)
            read = from_plain(parsed(text, place), _found, place)
        except RecursionError as error:
            raise refusal(value, place, ": it is nested too deeply, or holds itself") from error
        except CheckpointError as error:
            raise refusal(value, place, f": {error}") from error
        different = difference(value, read, place)
        if different is not None:
            raise refusal(different[1], different[0], " as it is")


def _found(name: str | None, place: str) -> Any:
    return _LABELLED if name is None else import_name(name)


def difference(value: Any, read: Any, place: str) -> tuple[str, Any] | None:
    """Return the place and the value where what was read is not what was written, or None; types count.

    Args:
        value: what was written.
        read: what came back.
        place: of both.
    """
    if read is _LABELLED or value is read:
        return None
    if type(value) is not type(read):
        return place, value
    if isinstance(value, list | tuple | dict) and len(value) != len(read):
        return place, value
    if isinstance(value, list | tuple):
        parts = zip(value, read, strict=True)
        return _first([(f"{place}[{i}]", one, other) for i, (one, other) in enumerate(parts)])
    if isinstance(value, dict):
        keys = [(f"a key of {place}", one, other) for one, other in zip(value, read, strict=True)]
        items = zip(value.items(), read.values(), strict=True)
        return _first([*keys, *((at(place, key), one, other) for (key, one), other in items)])
    if is_nested(value):
        names = [field.name for field in dataclasses.fields(value)]
        return _first([(f"{place}.{name}", getattr(value, name), getattr(read, name)) for name in names])
    if _are_equal(value, read):
        return None
    is_object = hasattr(value, "__dict__") and not isinstance(value, gym.Space)
    return difference(vars(value), vars(read), place) if is_object else (place, value)


def _first(pairs: list[tuple[str, Any, Any]]) -> tuple[str, Any] | None:
    found = (difference(value, read, place) for place, value, read in pairs)
    return next((different for different in found if different is not None), None)


def _are_equal(value: Any, read: Any) -> bool:
    """Return whether two values of one type are equal: NaN to NaN, arrays byte by byte, spaces in all that they are."""
    if isinstance(value, np.ndarray):
        return bool(value.dtype == read.dtype) and value.shape == read.shape and value.tobytes() == read.tobytes()
    if isinstance(value, gym.Space):
        mine, its = (
            {name: part for name, part in vars(space).items() if name not in _NO_PART} for space in (value, read)
        )
        return mine.keys() == its.keys() and all(_are_alike(part, its[name]) for name, part in mine.items())
    return bool(value == read or (value != value and read != read))


_NO_PART = ("_np_random", "low_repr", "high_repr", "sort_keys")
"""Attributes of a space that say nothing about its members: its random source, what it prints, how it was given."""


def _are_alike(part: Any, its: Any) -> bool:
    """Return whether two parts of spaces are equal, where a NumPy integer stands for an integer."""
    if isinstance(part, dict):
        return list(part) == list(its) and all(_are_alike(item, its[key]) for key, item in part.items())
    if isinstance(part, list | tuple):
        return len(part) == len(its) and all(map(_are_alike, part, its))
    if isinstance(part, gym.Space | np.ndarray):
        return type(part) is type(its) and _are_equal(part, its)
    return bool(part == its)
