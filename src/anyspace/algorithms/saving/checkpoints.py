"""What a checkpoint holds: the parts of an algorithm by name, and what they are for."""

from __future__ import annotations

import inspect
import json
import numbers
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from anyspace.algorithms.contract import ALWAYS
from anyspace.algorithms.saving.attributes import ArrayLike, Generator, Module, Stateful, is_plain, require_named
from anyspace.data.growing import Growing
from anyspace.errors import AnyspaceError, CheckpointError, ConfigError
from anyspace.execution.pieces import Piece, Snapshot, read_piece
from anyspace.models.runtime import NumpyArray, Runtime


def require_savable(algorithm: object, parts: Mapping[str, Any], added: Mapping[str, Any], runtime: Runtime) -> None:
    """Refuse, before training starts, what a checkpoint of an algorithm could not hold.

    Args:
        algorithm: whose parts they are.
        parts: what its ``parts()`` name.
        added: the attributes that its ``setup()`` set.
        runtime: of the policy's framework.

    Raises:
        ConfigError: ``parts()`` do not name what ``setup()`` set (the message has the line to add), or name what cannot
            change in place otherwise than its attribute, or the state of a part cannot be saved.
    """
    kind = type(algorithm).__name__
    for name, part in parts.items():
        if not (_changes_in_place(part, runtime) or _is_attribute(algorithm, name, part)):
            raise ConfigError(
                f"{kind}.parts()[{name!r}] is {part!r}, which is not what self.{name} is, but loading would set that."
                " Numbers, texts and arrays that cannot change in place are attributes, and parts() names them as the"
                " attributes are named: 'level': self.level."
            )
    require_named(f"{kind}.setup() sets", parts, added)
    own = {name: part for name, part in parts.items() if name not in ALWAYS and not isinstance(part, Growing)}
    _content(_copied(own, runtime), runtime)


def _changes_in_place(part: Any, runtime: Runtime) -> bool:
    """Return whether loading changes a part itself; else it sets the attribute of the part's name."""
    if isinstance(part, numbers.Real | np.generic | str):
        return False
    if isinstance(part, Stateful | Module | Generator | np.ndarray) or not isinstance(part, ArrayLike):
        return True
    try:
        with runtime.no_grad():
            part[...] = part  # type: ignore[index]
    except TypeError:
        return False
    return True


def _is_attribute(algorithm: object, name: str, part: Any) -> bool:
    """Return whether a part is the attribute of its name; properties, which may be computed, are none."""
    mine = inspect.getattr_static(algorithm, name, None)
    plain = numbers.Real | np.generic | str
    return mine is part or (isinstance(mine, plain) and isinstance(part, plain) and bool(mine == part))


def copied(
    parts: Mapping[str, Any], description: Callable[[], Mapping[str, Any]], runtime: Runtime
) -> Callable[[], Snapshot]:
    """Copy the state of an algorithm, and return what makes the content of a checkpoint of the copy.

    Copying is quick: it is done after every iteration, for a content that will hardly ever be made. Growing parts are
    left out.

    Args:
        parts: of the algorithm.
        description: what else the checkpoint says of it.
        runtime: of the policy's framework.

    Raises:
        ConfigError: a part is nothing that can be saved, or, when the content is made, its state holds something that
            can not.
    """
    states = _copied({name: part for name, part in parts.items() if not isinstance(part, Growing)}, runtime)

    def content() -> Snapshot:
        plain, tensors = _content(states, runtime)
        return {**description(), "parts": plain}, tensors

    return content


def with_growing(snapshot: Snapshot, parts: Mapping[str, Growing], runtime: Runtime) -> Snapshot:
    """Return a snapshot with the present state of growing parts, whose portions go into files of their own."""
    state, tensors = snapshot
    plain, arrays = _content({name: part.state() for name, part in parts.items()}, runtime)
    return {**state, "parts": {**state["parts"], **plain}}, {**tensors, **arrays}


def packed(portion: Mapping[str, Any], runtime: Runtime) -> Snapshot:
    """Return what JSON holds of a portion of a growing part, and its arrays."""
    tensors: dict[str, NumpyArray] = {}
    return _packed(portion, "portion", tensors, runtime), tensors


def _copied(parts: Mapping[str, Any], runtime: Runtime) -> dict[str, dict[str, Any]]:
    """Return the state of all parts as it is now, by name; training on does not change it."""
    states = {}
    for name, part in parts.items():
        state = _state_of(name, part)
        try:
            # The parts that every algorithm has return copies.
            states[name] = state if name in ALWAYS else _copy(state, runtime)
        except TypeError as error:
            raise _unsavable(name, error) from error
    return states


def _content(states: Mapping[str, dict[str, Any]], runtime: Runtime) -> Snapshot:
    """Return what JSON holds of each state, by name, and all arrays, named ``part/name``."""
    plain: dict[str, Any] = {}
    tensors: dict[str, NumpyArray] = {}
    for name, found in states.items():
        arrays = {key: value for key, value in found.items() if _is_array(value)}
        rest = {key: value for key, value in found.items() if key not in arrays}
        try:
            tensors |= {f"{name}/{key}": _as_numpy(value, runtime) for key, value in arrays.items()}
            plain[name] = _packed(rest, name, tensors, runtime)
            json.dumps(plain[name], allow_nan=False)
        except (TypeError, ValueError) as error:
            raise _unsavable(name, error) from error
    return plain, tensors


def _unsavable(name: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"parts()[{name!r}]: its state cannot be saved: {error}. Let it hold arrays, numbers, texts, None, and"
        " lists and dicts of those."
    )


def _copy(value: Any, runtime: Runtime) -> Any:
    """Return a nested value with copies of its arrays, lists and dicts."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if _is_array(value):
        return _as_numpy(value, runtime)
    if isinstance(value, Mapping):
        return {key: _copy(item, runtime) for key, item in value.items()}
    return [_copy(item, runtime) for item in value] if isinstance(value, list | tuple) else value


def _state_of(name: str, part: Any) -> dict[str, Any]:
    if isinstance(part, numbers.Real | np.generic):
        return {"value": np.asarray(part)}
    if isinstance(part, Stateful):
        state = part.state()
        if not isinstance(state, Mapping):
            raise ConfigError(
                f"parts()[{name!r}]: {type(part).__name__}.state() must return a dict of what is to be saved, but"
                f" returned {state!r}."
            )
        return dict(state)
    if isinstance(part, Module):
        return dict(part.state_dict())
    if isinstance(part, np.random.Generator):
        return {"state": dict(part.bit_generator.state)}
    if isinstance(part, Generator) and isinstance(part.get_state(), ArrayLike):
        return {"state": part.get_state()}
    if isinstance(part, ArrayLike | str):
        return {"value": part}
    if isinstance(part, list | dict | deque):
        if not is_plain(part):
            raise ConfigError(
                f"parts()[{name!r}]: a {type(part).__name__} holds numbers, texts, None, arrays of NumPy's, and"
                " collections of those, but something else is in it. Keep that in an object with state() and"
                " load_state()."
            )
        return {"value": list(part) if isinstance(part, deque) else part}
    raise ConfigError(
        f"parts()[{name!r}] is of type {type(part).__name__}, which has neither state() and load_state() nor"
        " state_dict() and load_state_dict(), and is no array, number, text, list, dict, deque or generator of NumPy's;"
        " give it the first two."
    )


def restored(
    algorithm: object,
    parts: Mapping[str, Any],
    plain: Mapping[str, Any],
    tensors: Mapping[str, NumpyArray],
    runtime: Runtime,
    path: object,
    pieces: Mapping[str, Sequence[Piece]],
) -> dict[str, Any]:
    """Put parts into the state that a checkpoint holds; return those that cannot change in place, by name.

    These are numbers, texts, arrays of some frameworks, and arrays that were saved with another shape or dtype.

    Args:
        algorithm: whose parts they are, or its class.
        parts: by name.
        plain: what JSON holds of each.
        tensors: the arrays of all.
        runtime: of the policy's framework.
        path: the checkpoint's, for messages.
        pieces: the files of growing parts, by name.

    Raises:
        CheckpointError: the checkpoint holds other parts, or they do not fit.
    """
    without = [part for name, part in parts.items() if name not in plain and isinstance(part, Growing)]
    parts = {name: part for name, part in parts.items() if name in plain or not isinstance(part, Growing)}
    if plain.keys() != parts.keys():
        raise CheckpointError(
            f"{path} holds the parts {', '.join(sorted(plain))}, but the algorithm has {', '.join(sorted(parts))}; load"
            " it with the class and the configuration that saved it."
        )
    changed: dict[str, Any] = {}
    for name, part in parts.items():
        own = {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")}
        try:
            state = {**own, **_unpacked(plain[name], tensors)}
            if isinstance(part, Growing):
                part.clear()
                for piece in pieces.get(name, ()):
                    part.load_portion(_unpacked(*read_piece(piece.file)))
            anew = _restored(part, state, runtime)
            if anew is not None:
                _require_attribute(algorithm, name, part, anew)
                changed[name] = anew
        except AnyspaceError:
            raise
        except Exception as error:  # whatever a part of the user's makes of a state that is not its own
            reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            raise CheckpointError(f"{path} does not fit this configuration: {name}: {reason}.") from error
    for part in without:
        part.clear()
    return changed


def _restored(part: Any, state: dict[str, Any], runtime: Runtime) -> Any:
    """Restore a part in place, or return what takes its place; None: nothing has to."""
    if isinstance(part, numbers.Real | np.generic | str):
        return _number(state["value"])
    if isinstance(part, Stateful):
        part.load_state(state)
    elif isinstance(part, Module):
        part.load_state_dict(_on_device(state, runtime))
    elif isinstance(part, np.random.Generator):
        part.bit_generator.state = state["state"]
    elif isinstance(part, Generator):
        holder = part.get_state()
        holder[...] = runtime.asarray(state["state"].copy())
        part.set_state(holder)
    elif isinstance(part, dict):
        part.clear()
        part.update(state["value"])
    elif isinstance(part, list | deque):
        part.clear()
        part.extend(state["value"])
    else:
        return _restored_array(part, np.asarray(state["value"]), runtime)
    return None


def _number(value: Any) -> Any:
    """Return a number as it was saved; in earlier checkpoints those of NumPy's stand as plain ones."""
    if not isinstance(value, np.ndarray):
        return value
    if value.ndim:
        raise ValueError(f"a number is there now, but an array of shape {value.shape} was saved; begin with an array")
    return value.item() if value.dtype in (np.float64, np.int64, np.bool_) else value[()]


def _restored_array(part: Any, saved: NumpyArray, runtime: Runtime) -> Any:
    """Write into an array; return another one where it cannot change, or had another shape or dtype."""
    own = _as_numpy(part, runtime)
    anew = saved.copy() if isinstance(part, np.ndarray) else runtime.asarray(saved.copy())
    if (own.shape, own.dtype) == (saved.shape, saved.dtype):
        try:
            with runtime.no_grad():
                part[...] = anew
        except TypeError:
            return anew
        return None
    if type(anew) is not type(part):
        raise ValueError(
            f"it is a {type(part).__name__} of shape {own.shape} and {own.dtype}, but one of shape {saved.shape} and"
            f" {saved.dtype} was saved"
        )
    return anew


def _require_attribute(algorithm: object, name: str, part: Any, anew: Any) -> None:
    """Raise :class:`ValueError` unless a part that something takes the place of is the attribute of its name."""
    if not _is_attribute(algorithm, name, part):
        shapes = " and ".join(str(np.shape(each)) for each in (part, anew))
        raise ValueError(
            f"what was saved cannot be written into it (shapes {shapes}), and it is not self.{name}, which could"
            " be set instead: name it in parts() as its attribute is named"
        )


def _is_array(value: object) -> bool:
    """Return whether a value is an array of NumPy or of the framework: whatever JSON knows nothing of."""
    return value is not None and not isinstance(value, str | bool | np.bool_ | numbers.Real | Mapping | list | tuple)


def _as_numpy(value: Any, runtime: Runtime) -> NumpyArray:
    try:
        return value if isinstance(value, np.ndarray) else np.array(runtime.numpy(value))
    except Exception as error:
        raise TypeError(f"a value of type {type(value).__name__} is no array") from error


def _packed(value: Any, name: str, tensors: dict[str, NumpyArray], runtime: Runtime) -> Any:
    """Return a nested value as JSON has it; arrays in it go to ``tensors``, dicts keep keys that are no texts."""
    if _is_array(value):
        # Keys may be alike but for their type, or hold a slash.
        name = f"{name} ({len(tensors)})" if name in tensors else name
        tensors[name] = _as_numpy(value, runtime)
        return {"tensor": name}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value) and value.keys() not in ({"tensor"}, {"pairs"}):
            return {key: _packed(item, f"{name}/{key}", tensors, runtime) for key, item in value.items()}
        return {"pairs": [[key, _packed(item, f"{name}/{key}", tensors, runtime)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_packed(item, f"{name}/{i}", tensors, runtime) for i, item in enumerate(value)]
    return value.item() if isinstance(value, np.generic) else value


def _unpacked(value: Any, tensors: Mapping[str, NumpyArray]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"tensor"}:
            return tensors[value["tensor"]]
        if value.keys() == {"pairs"}:
            return {key: _unpacked(item, tensors) for key, item in value["pairs"]}
        return {key: _unpacked(item, tensors) for key, item in value.items()}
    return [_unpacked(item, tensors) for item in value] if isinstance(value, list) else value


def _on_device(value: Any, runtime: Runtime) -> Any:
    if isinstance(value, np.ndarray):
        return runtime.asarray(value.copy())
    if isinstance(value, dict):
        return {key: _on_device(item, runtime) for key, item in value.items()}
    return [_on_device(item, runtime) for item in value] if isinstance(value, list) else value
