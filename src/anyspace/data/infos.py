"""Infos of environments: stacked whatever they hold, and the numbers among them.

Infos of B environments are Gymnasium's dict: of each key the values of all environments, an array [B, ...], and beside
it a mask bool [B] under ``_key`` that says who gave one. Dicts are stacked key by key.
"""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.vector import VectorEnv

from anyspace.data.trajectory import Bools, Ints
from anyspace.spaces.mask_layout import given_key

Infos = dict[Any, Any]
Numbers = npt.NDArray[np.float64]

_DTYPES = {float: np.dtype(np.float64), int: np.dtype(np.int64), bool: np.dtype(np.bool_)}
_INTEGER = _DTYPES[int]
_INT64 = range(-(2**63), 2**63)


def stack_faithfully(envs: VectorEnv[Any, Any, Any]) -> None:
    """Let a vector environment stack infos by :func:`add_info`.

    Gymnasium gives a key the type and the shape of the first environment's value: it truncates 0.75 beside an int, and
    fails at arrays of another shape. A class that stacks infos in a way of its own keeps to it.
    """
    base = envs.unwrapped
    if type(base)._add_info is VectorEnv._add_info:
        base._add_info = functools.partial(add_info, base.num_envs)  # type: ignore[method-assign]


def add_info(num_envs: int, infos: Infos, info: Infos, number: int) -> Infos:
    """Add the info of environment ``number`` to those of all, and return them.

    Values of one type and shape are stacked as Gymnasium stacks them. Where an environment gives another type or shape
    than those before it, the key becomes an array of objects [B].
    """
    for key, value in info.items():
        # What nearly all infos are: names, and after the first environment numbers of the same type as its.
        dtype, there = _DTYPES.get(type(value)), infos.get(key)
        if dtype is not None and type(key) is str and key[:1] != "_":
            if there is None and (dtype is not _INTEGER or value in _INT64):
                infos[key] = there = np.zeros(num_envs, dtype)
                infos["_" + key] = np.zeros(num_envs, np.bool_)
            if type(there) is np.ndarray and there.dtype is dtype and there.ndim == 1:
                try:
                    there[number] = value
                    infos["_" + key][number] = True
                except OverflowError:
                    pass
                else:
                    continue
        _add_value(num_envs, infos, key, value, number)
    return infos


def _add_value(num_envs: int, infos: Infos, key: Any, value: Any, number: int) -> None:
    name = key[1:] if isinstance(key, str) and key.startswith("_") else None
    if name is not None and isinstance(infos.get(name), np.ndarray | dict):
        return  # where Gymnasium has this key, it holds a mask
    there, given = infos.get(key), infos.get(given_key(key))
    if there is None or not isinstance(given, np.ndarray):
        given = np.zeros(num_envs, np.bool_)
    if isinstance(value, dict) and key != "final_obs" and (there is None or isinstance(there, dict)):
        infos[key] = add_info(num_envs, {} if there is None else there, value, number)
    else:
        if there is None:
            there = _room(num_envs, key, value)
        elif not _takes(there, value):
            there = _objects(num_envs, there, given)
        there[number] = value
        infos[key] = there
    given[number] = True
    infos[given_key(key)] = given


def listed(num_envs: int, infos: Any) -> Infos:
    """Return infos that came as one dict for each environment as a single dict, and no infos for None."""
    stacked: Infos = {}
    if isinstance(infos, list | tuple):
        for number, info in enumerate(infos[:num_envs]):
            if isinstance(info, dict):
                add_info(num_envs, stacked, info, number)
    return stacked


def numbers(infos: Infos, key: Any, wanted: Bools) -> tuple[Ints, Numbers]:
    """Return which of the ``wanted`` environments gave a number under a key, and the numbers: [n] each.

    Numbers are Python's and NumPy's, booleans and arrays without dimensions among them. NaN and infinity are none, and
    are warned of once.
    """
    values = infos.get(key)
    if not isinstance(values, np.ndarray) or values.shape != wanted.shape:
        return _NOBODY, _NONE
    given = infos.get(given_key(key))
    rows = np.flatnonzero(wanted & given if isinstance(given, np.ndarray) and given.shape == wanted.shape else wanted)
    found: Numbers
    if values.dtype.kind in "biuf":
        found = values[rows].astype(np.float64)
    elif values.dtype.kind == "O":
        found = np.array([_number(values[row]) for row in rows], np.float64)
    else:
        return _NOBODY, _NONE
    there = np.isfinite(found)
    if there.all():
        return rows, found
    strange = [row for row in rows[~there].tolist() if isinstance(values[row], float | np.floating)]
    if strange:
        _tell(str(key), strange[0], float(values[strange[0]]))
    return rows[there], found[there]


def _tell(name: str, row: int, value: float) -> None:
    """Warn that a number is left out; once a name, for it may be so at every step."""
    if name not in _TOLD:
        _TOLD.add(name)
        _LOG.warning(
            f"environment {row}: the number {name!r} of its info is {value}. Only finite numbers count: means of"
            f" {name!r} are over the others, and it is missing where there is none."
        )


_LOG = logging.getLogger("anyspace")
_TOLD: set[str] = set()
"""The names of numbers that were warned of."""


def number_keys(infos: Infos) -> list[Any]:
    """Return the keys under which numbers may be: all but masks and names that begin with an underscore."""
    return [key for key in infos if not _is_mask(key)]


def by_step(infos: Infos, rows: Bools, ended: Ints) -> list[tuple[Infos, Bools]]:
    """Return the infos of a step, each with those of the ``rows`` of whose step they tell.

    Where an environment was reset within the step, its last infos are under "final_info", and the ones beside it belong
    to the reset.
    """
    final = infos.get("final_info")
    if not isinstance(final, dict):
        return [(infos, rows)]
    over = np.zeros_like(rows)
    over[ended] = True
    return [(final, rows & over), (infos, rows & ~over)]


def numbers_of_step(infos: Infos, rows: Bools, ended: Ints) -> Iterator[tuple[str, Ints, Numbers]]:
    """Yield the names of the numbers among the infos of a step, with the ``rows`` that gave one and the numbers [n].

    A name may come twice, for the rows that were reset within the step and for the others.
    """
    for told, whose in by_step(infos, rows, ended):
        for key in number_keys(told):
            who, values = numbers(told, key, whose)
            if len(who):
                yield str(key), who, values


def with_reset(infos: Infos, reset_infos: Infos, ended: Ints) -> Infos:
    """Return the infos of a step whose ended episodes were followed by a reset, as ``SAME_STEP`` sources give them.

    Rows ``ended`` are the reset's; what the step said about them is under ``final_info``.
    """
    return {**_replace_rows(infos, reset_infos, ended), "final_info": infos}


def _replace_rows(infos: Infos, others: Infos, rows: Ints) -> Infos:
    replaced: Infos = {**others}
    for name, values in infos.items():
        other = others.get(name)
        if isinstance(values, dict):
            replaced[name] = _replace_rows(values, other if isinstance(other, dict) else {}, rows)
        elif isinstance(values, np.ndarray):
            mixed = values.copy()
            if isinstance(other, np.ndarray) and other.shape == mixed.shape:
                if other.dtype != mixed.dtype:
                    mixed = mixed.astype(np.object_)
                mixed[rows] = other[rows]
            elif _is_mask(name):  # says whose value is there
                mixed[rows] = False
            replaced[name] = mixed
    return replaced


_NOBODY: Ints = np.zeros(0, np.int64)
_NONE: Numbers = np.zeros(0)


def _is_mask(key: Any) -> bool:
    return key.startswith("_") if isinstance(key, str) else isinstance(key, tuple) and key[:1] == ("_",)


def _room(num_envs: int, key: Any, value: Any) -> npt.NDArray[Any]:
    """Return an array for values like ``value``, one of each environment."""
    kind = type(value)
    if (kind is int and value not in _INT64) or key == "final_obs":
        return np.full(num_envs, None, np.object_)
    if kind in _DTYPES or issubclass(kind, np.number):
        return np.zeros(num_envs, kind)
    if kind is np.ndarray:
        return np.zeros((num_envs, *value.shape), value.dtype)
    return np.full(num_envs, None, np.object_)


def _takes(array: npt.NDArray[Any] | Infos, value: Any) -> bool:
    """Whether ``value`` would stay what it is as a row of an array."""
    if isinstance(array, dict):
        return False
    if array.dtype == np.object_ and array.ndim == 1:
        return True
    kind = type(value)
    if kind is np.ndarray:
        return bool(value.shape == array.shape[1:] and value.dtype == array.dtype)
    if array.ndim > 1:
        return False
    if kind is int and value not in _INT64:
        return False
    dtype = _DTYPES.get(kind) or (value.dtype if isinstance(value, np.generic) else None)
    return dtype is not None and dtype == array.dtype


def _objects(num_envs: int, values: npt.NDArray[Any] | Infos, given: Bools) -> npt.NDArray[Any]:
    """Return values as an array of objects: what each environment gave, None of all others."""
    objects = np.full(num_envs, None, np.object_)
    for row in np.flatnonzero(given).tolist():
        objects[row] = _row_of(values, row)
    return objects


def _row_of(values: npt.NDArray[Any] | Infos, row: int) -> Any:
    """Return what one environment gave of stacked values."""
    if not isinstance(values, dict):
        return values[row]
    given = {key: values[given_key(key)][row] for key in values if given_key(key) in values}
    return {key: _row_of(values[key], row) for key, is_given in given.items() if is_given}


def with_own_arrays(infos: Infos) -> Infos:
    """Return infos whose arrays are copies; what they hold is the same."""
    return {
        key: with_own_arrays(value)
        if isinstance(value, dict)
        else value.copy()
        if isinstance(value, np.ndarray)
        else value
        for key, value in infos.items()
    }


def _number(value: Any) -> float:
    """Return a value as a number, NaN for what is none."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if not isinstance(value, int | float | np.bool_ | np.integer | np.floating):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan
