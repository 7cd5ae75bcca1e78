"""Wrappers that keep running statistics: neither checkpoints nor other environments have what they learnt."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import gymnasium as gym
from gymnasium.vector import SyncVectorEnv, VectorEnv

KEY = "running_statistics"
"""Under which key a single environment's metadata name its wrappers to the vector environment around it."""


_ATTRIBUTES = ("obs_rms", "return_rms", "ret_rms", "reward_rms", "rew_rms", "rms", "running_mean_std", "running_stats")
"""Attributes by which such wrappers, Gymnasium's and others, keep what they learnt."""


def wrappers_with_statistics(env: gym.Env[Any, Any] | VectorEnv[Any, Any, Any]) -> list[str]:
    """Return the names of the layers of an environment that keep a running mean or deviation, outermost first."""
    found, layer = [], env
    while True:
        # Asked for by name: looking through vars() makes every later attribute access of an environment slower.
        if any(getattr(layer, name, None) is not None for name in _ATTRIBUTES):
            found.append(type(layer).__name__)
        if not isinstance(layer, gym.Wrapper | gym.vector.VectorWrapper):
            break
        layer = layer.env
    if isinstance(layer, SyncVectorEnv) and KEY not in layer.metadata:
        return [*found, *wrappers_with_statistics(layer.envs[0])]
    return [*found, *(layer.metadata or {}).get(KEY, ())]


def statistics_warning(names: Iterable[str]) -> str | None:
    """Return what to say of such wrappers when a run starts, or None where there are none."""
    unique = list(dict.fromkeys(names))
    if not unique:
        return None
    instead = []
    if any("reward" not in name.lower() for name in unique):
        instead.append('observation_filter="MeanStdFilter"')
    if any("reward" in name.lower() for name in unique):
        instead.append("normalize_rewards=True")
    return (
        f"{' and '.join(unique)} around the environment: the running statistics are not part of checkpoints, and"
        " evaluation starts without them, so that a trained policy sees other numbers there. Leave the wrapper out and"
        f" set {' and '.join(instead)}, whose statistics are saved and shared."
    )
