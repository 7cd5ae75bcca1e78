"""Giving flat observations their structure back (spec 2.9)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import gymnasium as gym
from gymnasium.spaces import Dict, Tuple

from anyspace import tree
from anyspace.maths.xp import Array
from anyspace.spaces.encoding import spec

_TENSORLIBS = ("numpy", "torch", "tf", "tf2", None)


def restore_original_dimensions(obs: Any, obs_space: gym.Space[Any], tensorlib: str | None = None) -> tree.Tree:
    """Cut flat observations into the structure of the space that they were flattened from.

    Args:
        obs: [N, F] of any framework, N any leading batch dimensions. Structured input comes back as it is.
        obs_space: the preprocessed space; its ``original_space`` gives the structure. Without a Dict or Tuple
            there, ``obs`` comes back as it is.
        tensorlib: "numpy", "torch", "tf" or "tf2", as old code passes it; the array itself decides.

    Returns:
        A dict for a Dict and a list for a Tuple, in the space's own order, of leaves [N, *feature shape].
        Discrete and MultiDiscrete leaves stay one-hot.

    Raises:
        ValueError: the last dimension is not F, or ``tensorlib`` is unknown.
    """
    if tensorlib not in _TENSORLIBS:
        raise ValueError(f"tensorlib: expected one of {', '.join(map(repr, _TENSORLIBS))}, got {tensorlib!r}.")
    original = getattr(obs_space, "original_space", None)
    if not isinstance(original, Dict | Tuple) or isinstance(obs, dict | list | tuple):
        return obs
    specs = spec(original)
    size = sum(leaf.width for leaf in specs)
    if not obs.shape or obs.shape[-1] != size:
        raise ValueError(f"obs: expected flattened observations of shape [..., {size}], got {tuple(obs.shape)}.")
    features, position = [], 0
    for leaf in specs:
        column = obs[..., position : position + leaf.width]
        features.append(column.reshape((*obs.shape[:-1], *leaf.feature_shape)))
        position += leaf.width
    return restore_features(original, features)


def restore_features(space: gym.Space[Any], features: Iterable[Array]) -> tree.Tree:
    """Nest per-leaf features, given in the order of `encoding.spec`, as ``space`` is nested.

    Returns:
        A dict for a Dict, a list for a Tuple (as the documented restore function gives it), the feature
        itself for any other space.
    """
    return _nest(space, iter(features))


def _nest(space: gym.Space[Any], features: Iterator[Array]) -> tree.Tree:
    if isinstance(space, Dict):
        return {key: _nest(child, features) for key, child in space.spaces.items()}
    if isinstance(space, Tuple):
        return [_nest(child, features) for child in space.spaces]
    return next(features)
