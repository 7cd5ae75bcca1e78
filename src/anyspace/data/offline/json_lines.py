"""Recorded steps as lines of JSON, one object a line.

``{"type": "SampleBatch", column: list, ...}`` holds columns of N steps that follow each other. ``{"type":
"MultiAgentBatch", "policy_batches": {name: {column: list, ...}}}`` holds the same of one policy. A text in place of a
list is a packed column (`packed`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from anyspace import tree
from anyspace.data.offline.packed import pack, unpack
from anyspace.errors import ConfigError
from anyspace.models.runtime import NumpyArray
from anyspace.policy.history import RENAMED

Columns = dict[str, Any]
"""Columns of N steps by name: arrays [N, ...], and observations and actions as they were written."""

NESTED = ("obs", "new_obs", "actions", "infos")
"""Columns that may be nested, or vary in length from step to step."""


class BadLine(ValueError):
    """A line holds no steps."""


def read_line(text: str, place: str, *, unpacks: bool = False, wanted: Collection[str] | None = None) -> Columns:
    """Return the columns of a line.

    Args:
        text: the line.
        place: of the line, for messages.
        unpacks: turn packed columns into arrays.
        wanted: names of the columns to read, where they are there; others stay as they are written. None: all.

    Raises:
        BadLine: the line holds no steps.
        ConfigError: it holds the steps of several policies, or a packed column that nobody asked to be unpacked.
    """
    try:
        batch = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadLine(f"it is no JSON: {error}") from error
    kind = batch.pop("type", None) if isinstance(batch, dict) else None
    if kind == "MultiAgentBatch":
        batch = _of_one_policy(batch, place)
    elif kind != "SampleBatch":
        raise BadLine("it is no object of type 'SampleBatch' or 'MultiAgentBatch'")
    given = {name: value for name, value in batch.items() if name not in RENAMED}
    given |= {new: batch[old] for old, new in RENAMED.items() if old in batch and new not in batch}
    columns: Columns = {
        name: _column(name, value, place, unpacks) if wanted is None or name in wanted else value
        for name, value in given.items()
    }
    reads_ends = wanted is None or "terminateds" in wanted
    if "dones" in batch and "terminateds" not in batch and reads_ends and "truncateds" in given:
        truncated = _column("truncateds", given["truncateds"], place, unpacks)
        columns["terminateds"] = _without(columns["terminateds"], truncated)
    return columns


def _without(done: Any, truncated: Any) -> NumpyArray:
    """Return which steps terminated an episode, of those that ended one in either way."""
    if np.shape(done) != np.shape(truncated):
        raise BadLine(f"'dones' has the shape {np.shape(done)}, but 'truncateds' {np.shape(truncated)}")
    terminated: NumpyArray = (done != 0) & (truncated == 0)
    return terminated


def write_line(columns: Mapping[str, Any], compressed: Collection[str] = ()) -> str:
    """Return columns of arrays, or of nested dicts and tuples of them, as a line.

    Args:
        columns: by name.
        compressed: names of the columns to pack, which have to be arrays.

    Raises:
        ConfigError: a value has no place in JSON; names its column and row.
    """
    batch = {
        name: pack(np.asarray(value)) if name in compressed else tree.map_leaves(_plain, value)
        for name, value in columns.items()
    }
    try:
        return json.dumps({"type": "SampleBatch", **batch}, allow_nan=False, default=_plain_or_refused)
    except (ValueError, TypeError) as error:
        place, fault = next(_faults("", batch), ("", str(error)))
        raise ConfigError(
            f"recorded steps are written as JSON, but {place.removeprefix(', ')}: {fault}. Write finite numbers, texts,"
            " arrays of NumPy, and lists and dicts of these; leave other steps or columns out."
        ) from error


def _faults(place: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield the places within columns that JSON cannot hold, with what is there."""
    try:
        json.dumps(value, allow_nan=False, default=_plain_or_refused)
    except (ValueError, TypeError) as error:
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            for name, inner in value.items():
                yield from _faults(f"{place}, {name!r}" if place else f"column {name!r}", inner)
        elif isinstance(value, list | tuple):
            for row, inner in enumerate(value):
                yield from _faults(f"{place}[{row}]" if "row" in place else f"{place}, row {row}", inner)
        else:
            yield place, f"{value!r:.80} is no finite number" if isinstance(value, float) else f"{error}"


def _plain_or_refused(value: object) -> Any:
    """Return arrays and numbers of NumPy within lists as JSON has them."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{value!r:.80} is of type {type(value).__module__}.{type(value).__qualname__}")


def _of_one_policy(batch: dict[str, Any], place: str) -> dict[str, Any]:
    policies = batch.get("policy_batches")
    if not isinstance(policies, dict) or not policies or not all(isinstance(one, dict) for one in policies.values()):
        raise BadLine("its `policy_batches` is no object of batches")
    if len(policies) > 1:
        raise ConfigError(
            f"{place}: it holds the steps of {len(policies)} policies ({', '.join(sorted(policies))}), but one policy"
            " learns here: write the batch of one policy, as a SampleBatch."
        )
    (only,) = policies.values()
    return {name: column for name, column in only.items() if name != "type"}


def _column(name: str, value: Any, place: str, unpacks: bool) -> Any:
    if isinstance(value, str):
        if not unpacks:
            raise ConfigError(
                f"{place}: the column {name!r} is packed, that is a compressed pickle. Set `unpack_input` to read such"
                " columns (`unpacks=True` of a JsonReader); arrays of NumPy alone are read from them."
            )
        try:
            return unpack(value)
        except ConfigError:
            raise
        except ValueError as error:
            raise BadLine(f"{name!r}: {error}") from error
    if name in NESTED:
        return value
    try:
        column = np.asarray(value)
    except ValueError as error:
        raise BadLine(f"{name!r} is no column: its values are of several shapes") from error
    return column


def _plain(leaf: Any) -> Any:
    return leaf.tolist() if isinstance(leaf, np.ndarray | np.generic) else leaf
