"""The state of a checkpoint: how a run is described, what has to be there, and what earlier formats had instead."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from anyspace import tree
from anyspace.algorithms.config import AlgorithmConfig
from anyspace.algorithms.saving.plain import MARK, as_plain, label_of
from anyspace.data.environments import EnvSpec
from anyspace.errors import AnyspaceError, CheckpointError
from anyspace.execution.checkpoint import FORMAT, STATE_FILE, find_checkpoint, read_checkpoint
from anyspace.importing import importable_name, is_ours
from anyspace.models.runtime import NumpyArray
from anyspace.policy.policy import Policy
from anyspace.spaces.serialize import Spaces, from_json, same_space, to_json


def recorded_name(kind: type) -> str:
    """Return the name by which checkpoints know a class of algorithms: ``PPO``, or ``package.module:Name``."""
    return kind.__name__ if is_ours(kind) else importable_name(kind) or label_of(kind)


def is_shipped(kind: type) -> bool:
    """Return whether a class of algorithms is one of this library's."""
    return kind.__module__.startswith("anyspace.algorithms.")


ENTRIES: dict[str, tuple[type | tuple[type, ...], str]] = {
    "algorithm": (str, "a text"),
    "env": ((str, type(None)), "a text or null"),
    "seed": (int, "a whole number of at least 0"),
    "preset": (str, "a text"),
    "config": (dict, "an object"),
    "observation_space": (dict, "an object"),
    "action_space": (dict, "an object"),
    "parts": (dict, "an object"),
}
"""What the state of a checkpoint has to hold."""

_OLD_ENTRIES: dict[str, tuple[type | tuple[type, ...], str]] = {
    "counters": (dict, "an object"),
    "evaluated_at": (int, "a whole number of at least 0"),
    "best_return": ((int, float, type(None)), "a number or null"),
    "latest_episodes": (list, "a list"),
    "coefficients": (dict, "an object"),
}
"""What stood beside that in format 1, in place of the parts."""


def check(state: Mapping[str, Any], entries: Mapping[str, tuple[type | tuple[type, ...], str]], file: Path) -> None:
    """Raise :class:`CheckpointError`, which names file and key, unless all entries are there and of their types."""
    for key, (kind, spelt) in entries.items():
        if key not in state:
            raise CheckpointError(f"{file}: `{key}` is missing; it is to be {spelt}.")
        value = state[key]
        is_negative = kind is int and (isinstance(value, bool) or (isinstance(value, int) and value < 0))
        if not isinstance(value, kind) or is_negative:
            raise CheckpointError(f"{file}: `{key}` is {str(value)[:80]!r}; it is to be {spelt}.")


def upgraded(
    state: dict[str, Any], tensors: dict[str, NumpyArray], file: Path
) -> tuple[dict[str, Any], dict[str, NumpyArray]]:
    """Return a checkpoint of an earlier format as one of today's.

    Formats 1 and 2 wrote dicts with any keys as they are. Format 1 had counters and coefficients beside each
    other in the state, and one random source; the sources start anew from its seed.
    """
    number = state["format"]
    state = {**state, "format": FORMAT, "config": modern_config(state.get("config"), number)}
    if number < 3:
        state = {**state, "preset": state.get("preset", "none")}
    if number > 1:
        return state, tensors
    check(state, _OLD_ENTRIES, file)
    names = ("counters", "evaluated_at", "best_return", "latest_episodes")
    coefficients = {name: np.asarray(value) for name, value in state["coefficients"].items()}
    plain = {"policy": {}, "learner": {}, "rewards": {}, "counters": {name: state[name] for name in names}}
    arrays = {name: value for name, value in tensors.items() if name != "policy/rng"}
    arrays |= {f"{name}/value": value for name, value in coefficients.items()}
    rest = {name: value for name, value in state.items() if name not in (*names, "coefficients")}
    return {**rest, "parts": {**plain, **{name: {} for name in coefficients}}}, arrays


def modern_config(config: Any, number: int) -> Any:
    """Return a configuration of format ``number`` as it is written today.

    Models of formats 1 and 2 saw the mask of an observation as a part of it, and had no key to say so.
    """
    config = _modern(config, number)
    if number > 2 or not isinstance(config, dict) or not isinstance(config.get("model"), dict):
        return config
    return {**config, "model": {"mask_as_feature": True, **config["model"]}}


def _modern(value: Any, number: int) -> Any:
    """Return a value of format ``number`` as :mod:`anyspace.algorithms.saving.plain` writes it today."""
    if number > 2:
        return value
    if isinstance(value, list):
        return [_modern(item, number) for item in value]
    if not isinstance(value, dict):
        return value
    items = {key: _modern(item, number) for key, item in value.items()}
    return {MARK: "dict", "pairs": [list(item) for item in items.items()]} if MARK in items else items


def run_description(kind: type, env: EnvSpec | None, seed: int, preset: str, config: AlgorithmConfig) -> dict[str, Any]:
    """Return what identifies a run, as a checkpoint's state and the files of a run folder hold it."""
    name = None if env is None else env.describe()
    label = env.name if env is not None and name is None else None
    return {
        "algorithm": recorded_name(kind),
        "env": name,
        "env_label": label,
        "seed": seed,
        "preset": preset,
        "config": as_plain(config),
    }


def described_spaces(policy: Policy) -> dict[str, Any]:
    """Return both spaces of a policy as a checkpoint's state holds them; :func:`spaces_of` reads them."""
    return {"observation_space": to_json(policy.observation_space), "action_space": to_json(policy.env_action_space)}


def spaces_of(state: Mapping[str, Any], file: object) -> Spaces:
    """Return the observation space and the action space of a checkpoint."""
    spaces = []
    for key in ("observation_space", "action_space"):
        try:
            spaces.append(from_json(state[key]))
        except AnyspaceError as error:
            raise CheckpointError(f"{file}: `{key}`: {error}") from error
    return spaces[0], spaces[1]


def require_plausible(
    state: Mapping[str, Any], settings: AlgorithmConfig, tensors: Mapping[str, NumpyArray], file: object
) -> None:
    """Refuse sizes that the checkpoint's own weights contradict: a model of these could take all memory there is.

    Each number in a hidden layer, each choice of an action and each value of an index has a weight of its own in the
    default models. What custom models make of their settings nobody knows.

    Raises:
        CheckpointError: names file and key.
    """
    try:
        sizes = [(f"config.{key}", size) for key, size in settings.least_sizes()]
    except AnyspaceError as error:
        raise CheckpointError(f"{file}: {error}") from error
    if sizes and settings.preprocesses:
        sizes.append(("observation_space", _choices(state["observation_space"])))
    if sizes and settings.model.parametric_actions is None:
        sizes.append(("action_space", _choices(state["action_space"])))
    weights = sum(value.size for name, value in tensors.items() if name.startswith("policy/model/"))
    for key, size in sizes:
        if size > max(weights, HARMLESS):
            raise CheckpointError(
                f"{file}: `{key}` makes a model of {size:,} weights or more, but the checkpoint holds {weights:,}."
            )


HARMLESS = 2**22
"""As many weights may be built without looking."""


def _choices(space: Any) -> int:
    """Return how many values all indices of a space have together, as its written form says."""
    if isinstance(space, list):
        return sum(map(_choices, space))
    if not isinstance(space, dict):
        return 0
    own = {"Discrete": space.get("n"), "MultiDiscrete": space.get("nvec")}.get(str(space.get("type")))
    if own is not None:
        return int(np.sum(np.array(own, object)))
    return sum(map(_choices, space.values()))


def require_equal_spaces(mine: Spaces, theirs: Spaces, path: object) -> None:
    """Raise :class:`CheckpointError` unless weights of a checkpoint are for these spaces."""
    for kind, own, other in zip(("observation", "action"), mine, theirs, strict=True):
        if not same_space(own, other):
            raise CheckpointError(
                f"the {kind} space of {path} is {other}, but this environment's is {own}; weights carry over"
                " between equal spaces only. Layers that are alike are taken over one by one:"
                " set_weights({**get_weights(), **some}), where `some` are of Policy.load(path).weights()."
            )


def weights_of(path: str | os.PathLike[str], spaces: Spaces) -> dict[str, NumpyArray]:
    """Return the weights and the filter's statistics of a checkpoint, by the policy's names for them.

    Raises:
        CheckpointError: they are for other spaces.
    """
    state, tensors = read_checkpoint(path)
    file = find_checkpoint(path) / STATE_FILE
    check(state, {key: ENTRIES[key] for key in ("observation_space", "action_space")}, file)
    require_equal_spaces(spaces, spaces_of(state, file), path)
    weights = tree.under("policy", tensors)
    return {name: value for name, value in weights.items() if name not in ("timestep", "version")}
