"""Keys laid over settings, in layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anyspace import config as configs
from anyspace.algorithms.config import RENAMED, AlgorithmConfig
from anyspace.algorithms.foreign_keys import FOREIGN_KEYS
from anyspace.hints import Hints


def overridden(base: AlgorithmConfig, *layers: Mapping[str, Any]) -> AlgorithmConfig:
    """Return settings with keys laid over them, later layers over earlier ones.

    Raises:
        ConfigError: there is no such key, or a value is of the wrong type.
    """
    for layer in layers:
        base = configs.merge(base, layer, renamed=RENAMED, foreign=FOREIGN_KEYS)
    return base


def given_keys(base: AlgorithmConfig, *layers: Mapping[str, Any]) -> frozenset[str]:
    """Return the keys that layers over some settings give, nested ones as ``model.use_lstm``."""
    return frozenset(key for layer in layers for key in configs.given_paths(base, layer, RENAMED))


def explained_key(config: AlgorithmConfig, name: str) -> str:
    """Return where a configuration has what is asked of an algorithm itself, a sentence; empty: it has no such key."""
    key, paths = RENAMED.get(name, name), [*configs.paths(config)]
    if key in paths:
        return f"It is `config.{key}` here."
    hint = Hints(paths, RENAMED, FOREIGN_KEYS).whereabouts(name)
    return f"Settings are in `config`.{hint}" if hint else ""
