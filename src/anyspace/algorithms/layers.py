"""Keys laid over settings, in layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anyspace import config as configs
from anyspace.algorithms.config import RENAMED, AlgorithmConfig
from anyspace.algorithms.foreign_keys import FOREIGN_KEYS


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
