"""Masks that nobody reads: what to say of them before a policy learns to do what they forbid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym

from anyspace import nesting, tree
from anyspace.errors import ConfigError, near
from anyspace.policy.config import PolicyConfig
from anyspace.policy.masking import Masking


def overlooked(masking: Masking, space: gym.Space[Any], info: Mapping[str, Any], loses: str | None) -> str | None:
    """Return what to say of something that looks like a mask and is not read, or None where there is no such thing.

    Args:
        masking: of the policy, which has found no mask.
        space: of a single observation.
        info: of a reset.
        loses: the name of the wrapper that returns observations without the mask that it is given; None: there is none.
    """
    key = masking.key
    if not key or not masking.reads_infos:
        return None
    if loses is not None:
        return (
            f"{loses} around the environment returns observations without {tree.place('obs', (key,))}, so the policy"
            " has no mask and does what is forbidden. Return the mask from a method action_masks(), or in every info as"
            f" {key!r}; or set config key `action_mask_key` to None to go without."
        )
    wanted = f"{tree.place('obs', (key,))}, info[{key!r}] or what a method action_masks() returns"
    for path, _ in nesting.iter_leaves(space):
        if key in path[1:]:
            place = tree.place("obs", path[: path.index(key, 1) + 1])
            return f"{place} is not read as a mask, which is {wanted}: move it to the top of the observation."
    places = _places(space, info)
    close = near(key, places)
    if not close:
        return None
    advice = f"If it is one, set config key `action_mask_key` to {close[0]!r}."
    return f"{places[close[0]]} is not read as a mask, which is {wanted}. {advice}"


def require_found(masking: Masking, sentence: str | None) -> None:
    """Raise :class:`ConfigError` if somebody named the mask, for no mask was found by that name.

    Args:
        masking: of the policy, which has found no mask.
        sentence: what :func:`overlooked` returned.
    """
    key = masking.key
    if key in ("", PolicyConfig.action_mask_key):
        return
    place = tree.place("obs", (key,))
    reason = f"there is no mask of that name: no {place}, no info[{key!r}] after a reset and no method action_masks()"
    if not masking.width:
        reason = "the action has no separate options that a mask could forbid"
    elif sentence is not None:
        reason = "there is no mask of that name"
    raise ConfigError(
        f"config key `action_mask_key` is {key!r}, but {reason}. {sentence or 'Correct it, or leave it out.'}"
    )


def _places(space: gym.Space[Any], info: Mapping[str, Any]) -> dict[str, str]:
    """Return the names at the top of an observation and in an info, each with how its place is written."""
    parts = [name for name in nesting.parts(space) or {} if isinstance(name, str)]
    given = [name for name in info if isinstance(name, str) and not name.startswith("_")]
    return {**{name: f"info[{name!r}]" for name in given}, **{name: tree.place("obs", (name,)) for name in parts}}
