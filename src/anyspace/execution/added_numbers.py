"""What callbacks may put into the result of an iteration: numbers beside its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anyspace.errors import ConfigError
from anyspace.execution.log import is_number

_COUNTERS = {"training_iteration", "timesteps_total", "timesteps_this_iter", "time_total_s", "time_this_iter_s"}
"""The numbers of a result that the run and its log go by."""


def noted(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a result holds now, the dicts in it included."""
    return {name: noted(value) if isinstance(value, Mapping) else value for name, value in result.items()}


def require_numbers(callback: str, before: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    """Refuse what a callback put into the result and no log could hold, and changes of what the run goes by.

    Args:
        callback: as messages name it.
        before: what the result held, as :func:`noted`.
        result: what it holds now.

    Raises:
        ConfigError: names the callback and what it did.
    """
    for name in _COUNTERS & before.keys():
        if result.get(name) is not before[name]:
            change = f"set {name!r} to {result[name]!r} in" if name in result else f"took {name!r} out of"
            raise ConfigError(
                f"{callback} {change} the result, but the run and its log go by that number: put numbers of"
                " yours under names of their own."
            )
    for name, value in result.items():
        known = before.get(name)
        if isinstance(value, Mapping) and isinstance(known, Mapping):
            require_numbers(callback, known, value)
        elif not (name in before and value is known) and not (isinstance(name, str) and _is_loggable(value)):
            raise ConfigError(
                f"{callback} put {name!r}: {value!r} into the result: names are texts, and values"
                " numbers that a float holds, or dicts of them."
            )


def _is_loggable(value: Any) -> bool:
    """Whether it is a number that a float holds, or a dict of such numbers, or of lists of them.

    A list in a dict, such as the returns of an evaluation that is put into the result, is not logged.
    """
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and _is_in_dict(part) for name, part in value.items())
    if not is_number(value):
        return False
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _is_in_dict(value: object) -> bool:
    return all(map(_is_loggable, value)) if isinstance(value, list | tuple) else _is_loggable(value)
