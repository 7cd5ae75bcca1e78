"""What a sweep tries: a range for each key, shipped beside the presets, one TOML for each algorithm.

A range is a table, ``{ low = 1e-5, high = 1e-2, log = true }`` or ``{ choices = [64, 128] }``. Where low and high are
whole numbers, so is what is drawn.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from anyspace import config as configs
from anyspace.algorithms.config import RENAMED, AlgorithmConfig
from anyspace.algorithms.layers import overridden
from anyspace.errors import ConfigError, nearest
from anyspace.importing import is_ours


@dataclass(frozen=True)
class Range:
    """What is tried of one key."""

    path: str
    """The key, with those it is nested in before it: ``model.fcnet_hiddens``."""
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    """Whether small values are drawn as often as large ones, ten times as large."""
    choices: tuple[Any, ...] = ()
    """In place of an interval."""

    def drawn(self, trial: Any) -> Any:
        """Return the value that a trial of Optuna suggests."""
        if self.choices:
            # Lists as well, which Optuna takes as texts.
            return json.loads(trial.suggest_categorical(self.path, [json.dumps(value) for value in self.choices]))
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(self.path, self.low, self.high, log=self.log)
        return trial.suggest_float(self.path, self.low, self.high, log=self.log)

    @property
    def ends(self) -> list[Any]:
        """Values that a key has to take for the range to make sense."""
        return [*self.choices] or [self.low, self.high]


def shipped_ranges(lineage: Sequence[type]) -> dict[str, Any]:
    """Return the shipped ranges of an algorithm, or of the class that it derives from.

    Args:
        lineage: the algorithm's class and the classes that it derives from, nearest first.

    Raises:
        ConfigError: there are none.
    """
    for kind in lineage:
        file = resources.files("anyspace") / "presets" / "ranges" / f"{kind.__name__.lower()}.toml"
        if is_ours(kind) and file.is_file():
            return tomllib.loads(file.read_text(encoding="utf-8"))
    raise ConfigError(f"no ranges are shipped for {lineage[0].__name__}; give them as --ranges FILE.")


def ranges_file(file: Path) -> dict[str, Any]:
    """Return the ranges of a user's file.

    Raises:
        ConfigError: it cannot be read, or is no TOML.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--ranges {file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigError(f"--ranges {file} is no TOML: {error}.") from error


def as_ranges(content: Mapping[str, Any], defaults: AlgorithmConfig) -> list[Range]:
    """Return the ranges of a file, each of which is checked.

    Args:
        content: of the file.
        defaults: settings of the algorithm, whose keys there are.

    Raises:
        ConfigError: there is no such key, it takes no such values, or the table is no range.
    """
    found = list(_ranges(content, {*configs.paths(defaults)}, ""))
    if not found:
        raise ConfigError("there is nothing to try: give at least one range, such as lr = { low = 1e-5, high = 1e-3 }.")
    for one in found:
        for value in one.ends:
            overridden(defaults, configs.nested({one.path: value}))
    return found


def require_possible(
    ranges: Sequence[Range], check: Callable[[dict[str, Any]], object], given: Mapping[str, Any]
) -> None:
    """Refuse a range that no value can be drawn of, whatever is drawn of the others.

    An end that fails together with another key is a trial that is lost, and no reason to refuse the rest.

    Args:
        ranges: all that are tried.
        check: raises :class:`ConfigError` where an algorithm would not take the keys, nested, that it is given.
        given: keys that are not tried, nested.

    Raises:
        ConfigError: that of the last value, with the range named.
    """
    for one in ranges:
        found: ConfigError | None = None
        for tried in _corners(one, [other for other in ranges if other is not one]):
            try:
                check(configs.laid_over(given, configs.nested(tried)))
                break
            except ConfigError as error:
                found = error
        else:
            raise ConfigError(f"no value of the range of `{one.path}` can be tried: {found}") from found


def _corners(one: Range, others: Sequence[Range]) -> Iterator[dict[str, Any]]:
    """Yield the ends of a range, by themselves and beside the first and the last ends of the others."""
    for beside in (
        {},
        {other.path: other.ends[0] for other in others},
        {other.path: other.ends[-1] for other in others},
    ):
        yield from ({**beside, one.path: value} for value in one.ends)


def _ranges(content: Mapping[str, Any], known: set[str], prefix: str) -> list[Range]:
    found: list[Range] = []
    for given, table in content.items():
        path = f"{prefix}{RENAMED.get(given, given)}"
        if path not in known:
            raise ConfigError(f"the ranges name `{path}`, which is no configuration key.{nearest(path, known)}")
        is_nested = isinstance(table, Mapping) and any(f"{path}.{key}" in known for key in table)
        found += _ranges(table, known, f"{path}.") if is_nested else [_range(path, table)]
    return found


def _range(path: str, table: Any) -> Range:
    how = "write { low = 1e-5, high = 1e-2, log = true } or { choices = [64, 128] }"
    if not isinstance(table, Mapping) or {*table} not in ({"choices"}, {"low", "high"}, {"low", "high", "log"}):
        raise ConfigError(f"the range of `{path}` is {table!r}: {how}.")
    if "choices" in table:
        if not isinstance(table["choices"], list) or not table["choices"]:
            raise ConfigError(f"the range of `{path}` has no choices: {how}.")
        return Range(path, choices=tuple(table["choices"]))
    low, high, log = table["low"], table["high"], table.get("log", False)
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high))
    if not numbers or not low < high or (log and low <= 0):
        raise ConfigError(
            f"the range of `{path}` is {low!r} to {high!r}{', log' if log else ''}, which is none: {how}."
        )
    return Range(path, low, high, bool(log))
