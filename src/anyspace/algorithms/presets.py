"""Shipped settings: one small TOML per environment and algorithm, and a general one per kind of task."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

import gymnasium as gym
from gymnasium import spaces

from anyspace.errors import ConfigError, nearest

GENERAL = ("discrete", "continuous", "image")
"""Presets that serve every environment without one of its own."""


@dataclass(frozen=True)
class Preset:
    """Settings to lay over an algorithm's defaults."""

    name: str
    """The environment's id, or one of :data:`GENERAL`."""
    settings: dict[str, Any]
    """Config keys and values, nested for ``model``."""


def find_preset(
    preset: str,
    algorithm: str,
    env_name: str,
    observation_space: gym.Space[Any],
    action_space: gym.Space[Any],
) -> Preset:
    """Return the preset that ``preset`` asks for.

    Args:
        preset: ``"auto"`` takes the environment's own, else the general one of its spaces; any other name is
            looked up as it is.
        algorithm: lower-case name.
        env_name: the environment's id.
        observation_space: of one environment.
        action_space: of one environment.

    Raises:
        ConfigError: no preset has that name.
    """
    known = preset_names(algorithm)
    if preset == "auto":
        name = env_name if env_name in known else _general(observation_space, action_space)
    else:
        name = preset
    if name not in known:
        raise ConfigError(
            f"there is no preset {name!r} for {algorithm}.{nearest(name, known)} Known: {', '.join(known)}."
        )
    text = (_folder(algorithm) / f"{name}.toml").read_text(encoding="utf-8")
    return Preset(name, tomllib.loads(text))


def preset_names(algorithm: str) -> list[str]:
    """Return the names of an algorithm's presets, general ones last."""
    folder = _folder(algorithm)
    found = [file.name.removesuffix(".toml") for file in folder.iterdir()] if folder.is_dir() else []
    return sorted(found, key=lambda name: (name in GENERAL, name))


def _folder(algorithm: str) -> Any:
    return resources.files("anyspace") / "presets" / algorithm


def _general(observation_space: gym.Space[Any], action_space: gym.Space[Any]) -> str:
    if any(isinstance(leaf, spaces.Box) and len(leaf.shape) == 3 for leaf in _leaves(observation_space)):
        return "image"
    floats = (isinstance(leaf, spaces.Box) and leaf.dtype.kind == "f" for leaf in _leaves(action_space))
    return "continuous" if any(floats) else "discrete"


def _leaves(space: gym.Space[Any]) -> list[gym.Space[Any]]:
    if isinstance(space, spaces.Dict):
        return [leaf for child in space.spaces.values() for leaf in _leaves(child)]
    if isinstance(space, spaces.Tuple):
        return [leaf for child in space.spaces for leaf in _leaves(child)]
    return [space]
