"""Shipped settings: one small TOML per environment and algorithm, and a general one per kind of task.

A table of a file, such as ``[memory.use_attention]``, holds what a policy with that memory has in place of the rest.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

import gymnasium as gym
from gymnasium import spaces

from anyspace import nesting
from anyspace.errors import ConfigError, nearest
from anyspace.models.config import ModelConfig
from anyspace.spaces.kinds.registered import equivalent, known_actions
from anyspace.spaces.prepared import prepared

GENERAL = ("discrete", "tabular", "continuous", "image")
"""Presets that serve every environment without one of its own."""


@dataclass(frozen=True)
class Preset:
    """Settings to lay over an algorithm's defaults."""

    name: str
    """The environment's id, or one of :data:`GENERAL`."""
    settings: dict[str, Any]
    """Config keys and values, nested for ``model``; ``"none"`` in a file, which has no null, is None here."""
    is_of_run: bool = False
    """Whether they are all settings of a run, whose author chose them to go together."""


PLAIN = Preset("none", {})
"""Changes nothing: the plain defaults."""


def named_preset(algorithm: str, name: str, model: ModelConfig | None = None) -> Preset:
    """Return a preset by name.

    Args:
        algorithm: lower-case name.
        name: an environment's id, or one of :data:`GENERAL`.
        model: says which memory the policy has; None: it has none.

    Raises:
        ConfigError: no preset has that name.
    """
    known = preset_names(algorithm)
    if not known:
        raise ConfigError(f"there is no preset {name!r} for {algorithm}, which has none; leave `preset` out.")
    if name not in known:
        choices = [*known, "auto", "none"]
        raise ConfigError(
            f"there is no preset {name!r} for {algorithm}.{nearest(name, choices)} Known: {', '.join(choices)}."
        )
    text = (_folder(algorithm) / f"{name}.toml").read_text(encoding="utf-8")
    settings = tomllib.loads(text)
    for memory, changes in settings.pop("memory", {}).items():
        if model is not None and getattr(model, memory):
            settings |= {**changes, "model": {**settings["model"], **changes.get("model", {})}}
    return Preset(name, {key: None if value == "none" else value for key, value in settings.items()})


def general_preset(
    algorithm: str,
    observation_space: gym.Space[Any],
    action_space: gym.Space[Any],
    model: ModelConfig | None = None,
) -> Preset:
    """Return the general preset for a pair of spaces.

    There is one for images, one for actions that are a float Box, one for observations that are choices alone, and one
    for the rest.

    Where a network encodes the parts of an observation one by one (lists, texts, graphs, alternatives), it gets a layer
    on top of all of them, without which it could not learn what they mean together.
    """
    action_space = equivalent(known_actions(action_space))
    leaves = nesting.leaves(equivalent(prepared(observation_space)))
    if any(isinstance(leaf, spaces.Box) and len(leaf.shape) == 3 for leaf in leaves):
        return named_preset(algorithm, "image", model)
    fitting = {
        "continuous": isinstance(action_space, spaces.Box) and action_space.dtype.kind == "f",
        "tabular": all(isinstance(leaf, _CHOICES) for leaf in leaves),
    }
    # An algorithm without one for continuous actions refuses them with the reason, when it is built.
    kinds = [kind for kind, fits in fitting.items() if fits and kind in preset_names(algorithm)]
    preset = named_preset(algorithm, kinds[0] if kinds else "discrete", model)
    if all(map(_is_flat, leaves)):
        return preset
    layers = preset.settings["model"]
    return Preset(
        preset.name, {**preset.settings, "model": {**layers, "post_fcnet_hiddens": layers["fcnet_hiddens"][-1:]}}
    )


def preset_names(algorithm: str) -> list[str]:
    """Return the names of an algorithm's presets, general ones last."""
    folder = _folder(algorithm)
    found = [file.name.removesuffix(".toml") for file in folder.iterdir()] if folder.is_dir() else []
    return sorted(found, key=lambda name: (name in GENERAL, name))


def _folder(algorithm: str) -> Any:
    return resources.files("anyspace") / "presets" / algorithm


_CHOICES = (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


def _is_flat(leaf: gym.Space[Any]) -> bool:
    return isinstance(leaf, _CHOICES) or (isinstance(leaf, spaces.Box) and len(leaf.shape) < 2)
