"""Keys laid over settings, in layers."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, TypeVar

from anyspace import config as configs
from anyspace.algorithms.config import RENAMED, AlgorithmConfig
from anyspace.algorithms.foreign_keys import FOREIGN_KEYS
from anyspace.algorithms.shipped import SHIPPED, shipped
from anyspace.hints import Hints, Spelling, in_python
from anyspace.policy.exploration.keywords import laid_over

C = TypeVar("C", bound=AlgorithmConfig)

EXPLORATION = "exploration_config"
"""The key whose options are of one thing as long as their `type` is the same."""


def overridden(base: C, *layers: Mapping[str, Any]) -> C:
    """Return settings with keys laid over them, later layers over earlier ones.

    Raises:
        ConfigError: there are no such keys, or a value is of the wrong type.
    """
    configs.require_known(base, *layers, renamed=RENAMED, advice=key_hints(base))
    for layer in layers:
        base = configs.with_layer(base, {**layer, **_options(base, layer)}, RENAMED)
    return base


def key_hints(settings: AlgorithmConfig, spell: Spelling = in_python) -> Hints:
    """Return what to write in place of keys that settings do not have."""
    return Hints([*configs.paths(settings)], RENAMED, FOREIGN_KEYS, spell, owners, "env_config")


@functools.cache
def owners(key: str) -> tuple[str, ...]:
    """Return the names of the shipped algorithms that have a key; it imports all of them."""
    return tuple(name for name in SHIPPED if key in configs.type_hints(shipped(name).config_class))


def _options(base: AlgorithmConfig, layer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dicts of a layer whose keys are options of one thing, laid over those of some settings."""
    dicts = {key: layer[key] for key in configs.keys_of(type(base)) if isinstance(layer.get(key), Mapping)}
    own = base.own_exploration
    return {
        key: laid_over(own, getattr(base, key), value) if key == EXPLORATION else {**getattr(base, key), **value}
        for key, value in dicts.items()
    }


def given_keys(base: AlgorithmConfig, *layers: Mapping[str, Any]) -> frozenset[str]:
    """Return the keys that layers over some settings give, nested ones as ``model.use_lstm``."""
    return frozenset(key for layer in layers for key in configs.given_paths(base, layer, RENAMED))


def explained_key(config: AlgorithmConfig, name: str) -> str:
    """Return where a configuration has what is asked of an algorithm itself, a sentence; empty: it has no such key."""
    key, hints = RENAMED.get(name, name), Hints([*configs.paths(config)], RENAMED, FOREIGN_KEYS)
    if key in hints.paths:
        return f"It is `config.{key}` here."
    hint = hints.whereabouts(name)
    return f"Settings are in `config`.{hint}" if hint else ""
