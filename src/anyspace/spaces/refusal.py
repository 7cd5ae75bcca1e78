"""How a space is refused: with the lines that open a door for it."""

from __future__ import annotations

import shlex
from typing import Any

import gymnasium as gym

from anyspace import tree
from anyspace.errors import UnsupportedSpaceError
from anyspace.spaces.kinds.registered import is_built_in

OBSERVATIONS = (
    "Box, Discrete, MultiDiscrete, MultiBinary, Text, Words, Simplex, Dict and Tuple, OneOf, Repeated, and Sequence and"
    " Graph with a longest length"
)
"""The spaces of observations that are known."""

ACTIONS = (
    "Discrete, MultiDiscrete, MultiBinary, float Box, integer Box with both bounds, Simplex, and Dict and Tuple of them"
)
"""The spaces of actions that are known."""

MOST_CHOICES = 1_000_000
"""How many values an index may have: it is one-hot encoded when a model reads it."""


def require_choices(space: gym.Space[Any], path: tree.Path, choices: int) -> None:
    """Raise :class:`UnsupportedSpaceError` unless an index of a leaf can be one-hot encoded.

    Args:
        space: the leaf's.
        path: where it is in the observation space.
        choices: how many values its indices have, all together.
    """
    if 0 < choices <= MOST_CHOICES:
        return
    what = (
        f"{space} has {choices:,} values, which would be one-hot encoded; at most {MOST_CHOICES:,} are. Declare a float"
        " Box, in a wrapper."
        if choices
        else f"{space} has no value to observe."
    )
    raise _refused(f"{tree.place('obs', path)}: {what}", path)


def unsupported_observation(space: gym.Space[Any], path: tree.Path) -> UnsupportedSpaceError:
    """Return the refusal of an observation of an unknown class, with the lines that open a door.

    Args:
        space: the space of that class.
        path: where it sits in the observation space.
    """
    return _refused(_sentences(tree.place("obs", path), space, "observations", "encoding", OBSERVATIONS), path)


def unsupported_action(space: gym.Space[Any], path: tree.Path) -> UnsupportedSpaceError:
    """Return the refusal of an action of an unknown class; see `unsupported_observation`."""
    return UnsupportedSpaceError(_sentences(tree.place("action", path), space, "actions", "decoding", ACTIONS))


def _refused(text: str, path: tree.Path) -> UnsupportedSpaceError:
    """Return the error, with how to leave out what is at ``path``: itself, or the list or graph that it is in."""
    inside = (i for i, part in enumerate(path) if part is ... or isinstance(part, tree.Part))
    place = tree.place("obs", path[: next(inside, len(path))])
    if place == "obs":
        return UnsupportedSpaceError(text)
    return UnsupportedSpaceError(
        f"{text}\nOr leave this part out of everything, by the config key `ignore`:\n"
        f"    ignore=[{place!r}]    (on the command line: --ignore {shlex.quote(place)})"
    )


def _sentences(place: str, space: gym.Space[Any], noun: str, coding: str, supported: str) -> str:
    kind = type(space)
    # Spaces of older libraries derive from no class of Gymnasium's, and can be registered as well.
    if isinstance(space, type) or not callable(getattr(space, "contains", None)):
        return f"{place}: expected a space, got {space!r}. Supported: {supported}."
    if is_built_in(kind):
        return (
            f"{place}: no {coding} for {noun} of {space}. Supported: {supported}. Wrap the environment to change this"
            f" part of the {noun.removesuffix('s')}."
        )
    return (
        f"{place}: no {coding} for {noun} of {kind.__name__}, a class of {kind.__module__}. Supported: {supported}."
        " Say which of these spaces its values belong to, before the environment is made:\n"
        f"    anyspace.register_space({kind.__name__}, lambda space: {_guess(space)})"
    )


def _guess(space: gym.Space[Any]) -> str:
    """Return an example of a built-in space, spelt, by what a space of an unknown class says of its values."""
    if space.dtype is not None and space.dtype.kind == "U":
        return "gymnasium.spaces.Text(max_length=100)"
    shape = "(8,)" if space.shape is None else str(tuple(space.shape))
    return f"gymnasium.spaces.Box(-numpy.inf, numpy.inf, {shape})"
