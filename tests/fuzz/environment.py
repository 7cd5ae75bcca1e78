"""Pairs of spaces, and environments that live in them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Tuple
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from tests.fuzz.sampling import Sampler, draw_mask, leaf_spaces, leaf_values, nested_mask, option_counts, taken

NUM_ENVS = 2
MASK_KEY = "action_mask"
Masks = Literal["none", "observation", "nested observation", "info", "nested info", "method"]
Source = Literal["same step", "next step", "disabled"]


@dataclass(frozen=True)
class Pair:
    """Two spaces, and how they are trained."""

    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]
    masks: Masks = "none"
    """Where masks come from; in an observation they are under its key ``action_mask``."""
    source: Source = "same step"
    """Who resets the environments and when; other than ``same step`` is a vector environment given ready."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the algorithm."""
    resumes: bool = False
    """Whether training goes on after loading."""
    seed: int = 0

    @property
    def has_bounded_actions(self) -> bool:
        """Whether float actions are promised to be inside their bounds."""
        return bool(self.config.get("normalize_actions", True) or self.config.get("clip_actions", False))

    @property
    def max_len(self) -> int:
        """Longest length of Sequences and Graphs that say none."""
        return int(self.config.get("max_len", 0))


class Seen(NamedTuple):
    """What an environment gave to act on."""

    obs: Any
    info: dict[str, Any]
    mask: Any
    """What is allowed, one entry for each option of each choice; None: everything is."""


class RandomEnv(gym.Env[Any, Any]):
    """Observes random points of a space, whatever is done; an action outside its space or mask is an error.

    Args:
        pair: the spaces.
    """

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.observation_space, self.action_space = pair.observation_space, pair.action_space
        self.counts = [count for leaf in leaf_spaces(self.action_space) for count in option_counts(leaf)]
        self.seen: list[Seen] = []
        self.actions: list[Any] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(1, 8))
        return self._observed(None)

    def step(self, action: Any) -> Any:
        require_allowed(self.pair, action, self.seen[-1].mask)
        if self.pair.source == "same step":  # others hand over what Gymnasium makes of stacked actions
            leaves = zip(leaf_spaces(self.action_space), leaf_values(self.action_space, action), strict=True)
            assert all(isinstance(value, np.ndarray) for leaf, value in leaves if not isinstance(leaf, Discrete))
        self.actions.append(action)
        self.left -= 1
        obs, info = self._observed(self.seen[-1].obs)
        ends, for_good = self.left == 0, bool(self.np_random.integers(2))
        return obs, float(self.np_random.normal()), ends and for_good, ends and not for_good, info

    def _observed(self, previous: Any) -> tuple[Any, dict[str, Any]]:
        obs = Sampler(self.np_random, self.pair.max_len).draw(self.observation_space, previous)
        info: dict[str, Any] = {}
        masks, flat = self.pair.masks, None
        if masks != "none":
            parts = draw_mask(self.np_random, self.counts)
            flat = np.concatenate(parts)
            mask = nested_mask(self.action_space, iter(parts)) if "nested" in masks else flat
            if "observation" in masks:
                obs[MASK_KEY] = mask
            elif "info" in masks:
                info[MASK_KEY] = mask
        self.seen.append(Seen(obs, info, flat))
        return obs, info


class EnvWithMethod(RandomEnv):
    """Tells its masks when asked."""

    def action_masks(self) -> Any:
        return self.seen[-1].mask


def require_allowed(pair: Pair, action: Any, mask: Any) -> None:
    """Assert that an action is in its space and that ``mask`` allows it."""
    space = pair.action_space
    assert is_member(space if pair.has_bounded_actions else unlimited(space), action), f"{action!r} is not in {space}"
    if mask is None:
        return
    first = 0
    for leaf, value in zip(leaf_spaces(space), leaf_values(space, action), strict=True):
        counts = option_counts(leaf)
        for count, option in zip(counts, taken(leaf, value) if counts else [], strict=True):
            assert mask[first + option], f"option {option} of {leaf} was forbidden: {mask[first : first + count]}"
            first += count


def is_member(space: gym.Space[Any], value: Any) -> bool:
    """Whether a space contains a value; Gymnasium takes numbers apart of arrays for members of rank 0, and warns."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*Casting input x to numpy array")
        return bool(space.contains(value))


def unlimited(space: gym.Space[Any]) -> gym.Space[Any]:
    """Return an action space without the bounds of its float Boxes."""
    match space:
        case Dict():
            return Dict([(key, unlimited(child)) for key, child in space.spaces.items()])
        case Tuple():
            return Tuple([unlimited(child) for child in space.spaces])
        case Box() if space.dtype.kind == "f":
            return Box(-np.inf, np.inf, space.shape, space.dtype.type)
    return space


def as_env(pair: Pair, envs: list[RandomEnv]) -> Any:
    """Return what to train in; the environments that it makes are added to ``envs``."""

    def make() -> RandomEnv:
        envs.append((EnvWithMethod if pair.masks == "method" else RandomEnv)(pair))
        return envs[-1]

    if pair.source == "same step":
        return make
    mode = AutoresetMode.NEXT_STEP if pair.source == "next step" else AutoresetMode.DISABLED
    return SyncVectorEnv([make] * NUM_ENVS, autoreset_mode=mode)
