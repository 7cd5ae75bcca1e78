"""What a checkpoint holds: the parts of an algorithm by name, and what they are for."""

from __future__ import annotations

import json
import numbers
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import gymnasium as gym
import numpy as np

from anyspace import config as configs
from anyspace.algorithms.config import AlgorithmConfig
from anyspace.algorithms.contract import ALWAYS
from anyspace.algorithms.settings import given_keys, overridden
from anyspace.errors import AnyspaceError, CheckpointError, ConfigError
from anyspace.execution.checkpoint import FORMAT
from anyspace.models.runtime import NumpyArray, Runtime
from anyspace.spaces import from_json, to_json

K = TypeVar("K")


@runtime_checkable
class Stateful(Protocol):
    """A part that says itself what is to be saved."""

    def state(self) -> dict[str, Any]:
        """Return arrays, and values that JSON has, by name."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned."""


@runtime_checkable
class Module(Protocol):
    """A module or an optimiser of a framework."""

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values, nested."""

    def load_state_dict(self, state: dict[str, Any]) -> object:
        """Restore what :meth:`state_dict` returned."""


def is_part(value: object) -> bool:
    """Return whether a value is something that a checkpoint has to hold, if training goes on from it."""
    plain = isinstance(value, numbers.Real | np.ndarray) and not isinstance(value, bool)
    return plain or isinstance(value, Stateful | Module)


def kind_of(state: Mapping[str, Any], asked: type[K], known: Sequence[type[K]], path: object) -> type[K]:
    """Return the class that a checkpoint's algorithm is to be an instance of.

    Args:
        state: the checkpoint's.
        asked: the class whose ``load`` was called. The class of all algorithms reads those that are shipped.
        known: all classes of algorithms.
        path: the checkpoint's, for the message.

    Raises:
        CheckpointError: the class that was asked is another algorithm.
    """
    shipped = {kind.__name__: kind for kind in known if kind.__module__.startswith("anyspace.algorithms.")}
    kind = asked if asked in known else shipped.get(state["algorithm"])
    if kind is None or (state["algorithm"] != kind.__name__ and kind.__name__ in shipped):
        raise CheckpointError(
            f"{path} is a checkpoint of {state['algorithm']}, which {asked.__name__}.load cannot read; call load"
            " on the class that saved it."
        )
    return kind


def require_savable(algorithm: str, parts: Mapping[str, Any], added: Mapping[str, Any], runtime: Runtime) -> None:
    """Refuse, before training starts, what a checkpoint of an algorithm could not hold.

    Args:
        algorithm: the name of its class.
        parts: what its ``parts()`` name.
        added: the attributes that its ``setup()`` set.
        runtime: of the policy's framework.

    Raises:
        ConfigError: ``parts()`` do not name what ``setup()`` set (the message has the line to add), or the state of a
            part cannot be saved.
    """
    for name, value in added.items():
        if is_part(value) and name not in parts and all(value is not part for part in parts.values()):
            raise ConfigError(
                f"{algorithm}.setup() sets self.{name}, which a checkpoint would not hold. Name it in parts():"
                f" return {{**super().parts(), {name!r}: self.{name}}}."
            )
    captured({name: part for name, part in parts.items() if name not in ALWAYS}, runtime)


def captured(parts: Mapping[str, Any], runtime: Runtime) -> tuple[dict[str, Any], dict[str, NumpyArray]]:
    """Return the state of all parts: what JSON holds of each, by name, and all arrays, named ``part/name``.

    Raises:
        ConfigError: a part is nothing that can be saved, or its state holds something that can not.
    """
    plain: dict[str, Any] = {}
    tensors: dict[str, NumpyArray] = {}
    for name, part in parts.items():
        found = _state_of(name, part)
        arrays = {key: value for key, value in found.items() if _is_array(value)}
        rest = {key: value for key, value in found.items() if key not in arrays}
        try:
            tensors |= {f"{name}/{key}": _as_numpy(value, runtime) for key, value in arrays.items()}
            plain[name] = _packed(rest, name, tensors, runtime)
            json.dumps(plain[name], allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"parts()[{name!r}]: its state cannot be saved: {error}. Let it hold arrays, numbers, texts, None, and"
                " lists and dicts of those."
            ) from error
    return plain, tensors


def _state_of(name: str, part: Any) -> dict[str, Any]:
    if isinstance(part, Stateful):
        return part.state()
    if isinstance(part, Module):
        return dict(part.state_dict())
    if is_part(part):
        return {"value": part if isinstance(part, np.ndarray) else np.asarray(part)}
    raise ConfigError(
        f"parts()[{name!r}] is of type {type(part).__name__}, which has neither state() and load_state() nor"
        " state_dict() and load_state_dict(), and is no array or number; give it the first two."
    )


def restored(
    parts: Mapping[str, Any],
    plain: Mapping[str, Any],
    tensors: Mapping[str, NumpyArray],
    runtime: Runtime,
    path: object,
) -> dict[str, int | float]:
    """Put parts into the state that a checkpoint holds; return the numbers among them, which cannot change in place.

    Raises:
        CheckpointError: the checkpoint holds other parts, or they do not fit.
    """
    if plain.keys() != parts.keys():
        raise CheckpointError(
            f"{path} holds the parts {', '.join(sorted(plain))}, but the algorithm has {', '.join(sorted(parts))}; load"
            " it with the class and the configuration that saved it."
        )
    changed: dict[str, int | float] = {}
    for name, part in parts.items():
        own = {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")}
        try:
            if isinstance(part, Stateful):
                part.load_state({**own, **_unpacked(plain[name], tensors)})
            elif isinstance(part, Module):
                state = {**own, **_unpacked(plain[name], tensors)}
                part.load_state_dict(_on_device(state, runtime))
            elif isinstance(part, np.ndarray):
                part[...] = own["value"]
            else:
                changed[name] = own["value"].item()
        except (KeyError, ValueError) as error:
            if isinstance(error, AnyspaceError):
                raise
            raise CheckpointError(f"{path} does not fit this configuration: {name}: {error}.") from error
    return changed


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


def upgraded(state: dict[str, Any], tensors: dict[str, NumpyArray]) -> tuple[dict[str, Any], dict[str, NumpyArray]]:
    """Return a checkpoint of an earlier format as one of today's.

    Format 1 had counters and coefficients beside each other in the state, and one random source; the sources start anew
    from its seed.
    """
    if state["format"] == FORMAT:
        return state, tensors
    names = ("counters", "evaluated_at", "best_return", "latest_episodes")
    coefficients = state["coefficients"]
    plain = {"policy": {}, "learner": {}, "rewards": {}, "counters": {name: state[name] for name in names}}
    arrays = {name: value for name, value in tensors.items() if name != "policy/rng"}
    arrays |= {f"{name}/value": np.asarray(value) for name, value in coefficients.items()}
    rest = {name: value for name, value in state.items() if name not in (*names, "coefficients")}
    return {**rest, "format": FORMAT, "parts": {**plain, **{name: {} for name in coefficients}}}, arrays


def stored_settings(
    state: Mapping[str, Any], config_class: type[AlgorithmConfig], *layers: Mapping[str, Any]
) -> AlgorithmConfig:
    """Return a checkpoint's settings with keys laid over them; keys that are given anew need not be readable."""
    stored = state["config"]
    for layer in layers:
        stored = configs.without(stored, layer)
    settings = overridden(config_class(), configs.from_plain(stored), *layers)
    return settings.fitted(given_keys(settings, *layers))


def described_spaces(observation_space: gym.Space[Any], action_space: gym.Space[Any]) -> dict[str, Any]:
    """Return both spaces as a checkpoint's state holds them; :func:`spaces_of` reads them."""
    return {"observation_space": to_json(observation_space), "action_space": to_json(action_space)}


def spaces_of(state: Mapping[str, Any]) -> tuple[gym.Space[Any], gym.Space[Any]]:
    """Return the observation space and the action space of a checkpoint."""
    return from_json(state["observation_space"]), from_json(state["action_space"])


def require_equal_spaces(
    mine: tuple[gym.Space[Any], gym.Space[Any]], theirs: tuple[gym.Space[Any], gym.Space[Any]], path: object
) -> None:
    """Raise :class:`CheckpointError` unless weights of a checkpoint are for these spaces."""
    for kind, own, other in zip(("observation", "action"), mine, theirs, strict=True):
        if own != other:
            raise CheckpointError(
                f"the {kind} space of {path} is {other}, but this environment's is {own}; weights carry over"
                " between equal spaces only."
            )
