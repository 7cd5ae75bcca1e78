"""Whether an observation fits its space: its parts, at every step of environments of this process; types and shapes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import reduce
from operator import getitem
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

from anyspace import nesting
from anyspace.errors import ObservationError, UnsupportedSpaceError
from anyspace.spaces import Encoder
from anyspace.spaces.encoding.misfit import FIX_THE_SPACE
from anyspace.spaces.kinds.ignored import IgnoredPart, PartialDict
from anyspace.tree import Path, Tree


class Structure:
    """The Dicts and Tuples of an observation space.

    Gymnasium stacks the parts that it looks up by key or position, and leaves what is too much without a word.

    Args:
        space: of a single observation.

    Attributes:
        any: whether there are Dicts or Tuples.
    """

    def __init__(self, space: gym.Space[Any]):
        self._nodes = [*_nodes(space, ())]
        self.any = bool(self._nodes)

    def fit(self, obs: Tree) -> bool:
        """Return whether each Dict is a dict of all its keys, and each Tuple a tuple or list of its length.

        Parts that are left out have to be there: an observation without them takes a closer look.
        """
        for path, parts in self._nodes:
            value: Any = obs
            for key in path:
                value = value[key]
            if isinstance(parts, int):
                if not isinstance(value, tuple | list) or len(value) != parts:
                    return False
            elif not isinstance(value, dict) or value.keys() != parts:
                return False
        return True


def _nodes(space: gym.Space[Any], path: Path) -> Iterator[tuple[Path, frozenset[Any] | int]]:
    """Yield the path of each Dict or Tuple and its keys, ignored ones too, or its length; a space before its parts."""
    match space:
        case IgnoredPart():
            return
        case PartialDict():
            yield path, space.ignored.union(space.spaces)
        case Dict():
            yield path, frozenset(space.spaces)
        case Tuple():
            yield path, len(space.spaces)
    for key, child in (nesting.parts(space) or {}).items():
        yield from _nodes(child, (*path, key))


def has_fixed_shape(space: gym.Space[Any]) -> bool:
    """Whether all the values of a space have one shape, so that processes can share memory for them.

    Gymnasium would share memory for Text and OneOf too, but reads it once only.
    """
    return all(isinstance(leaf, Box | Discrete | MultiDiscrete | MultiBinary) for leaf in nesting.leaves(space))


class Fit:
    """Requires observations to have the structure, the shapes and the types of their space.

    Gymnasium stacks them or writes them into shared memory, whose errors name neither leaf nor space, and which takes
    another shape of the same size and other types in silence. A space with Sequences or Graphs that say no longest
    length is not checked.

    Args:
        space: of a single observation.
    """

    def __init__(self, space: gym.Space[Any]):
        self._encoder: Encoder | None = None
        with suppress(UnsupportedSpaceError):
            self._encoder = Encoder(space)
        arrays = {path for path, leaf in nesting.iter_leaves(space) if has_fixed_shape(leaf)}
        self._arrays = [] if self._encoder is None else [leaf for leaf in self._encoder.specs if leaf.path in arrays]

    def __call__(self, obs: Tree, number: int) -> None:
        """Raise :class:`ObservationError` if an observation of environment ``number`` does not fit."""
        if self._encoder is None:
            return
        try:
            self._encoder.single(obs)
            self._require_types(obs)
        except ObservationError as error:
            raise ObservationError(f"environment {number}: {error}") from error

    def _require_types(self, obs: Tree) -> None:
        """Require of each leaf that is stacked a dtype of the space's kind, the only ones that NumPy stacks."""
        for leaf in self._arrays:
            came = np.asarray(reduce(getitem, leaf.path, obs)).dtype
            if not np.can_cast(came, leaf.dtype, "same_kind"):
                raise ObservationError(
                    f"{leaf.place()}: expected {leaf.dtype} for {leaf.space}, got {came}. {FIX_THE_SPACE}"
                )


def require_structure(space: gym.Space[Any], observations: Iterable[tuple[int, Tree]], cause: Exception) -> None:
    """Raise :class:`ObservationError` for the first of some environments' observations that does not fit.

    Args:
        space: of a single observation.
        observations: an environment's number and what it returned, None before its first step.
        cause: the error at which that was noticed.
    """
    fit = Fit(space)
    for number, obs in observations:
        if obs is None:
            continue
        try:
            fit(obs, number)
        except ObservationError as fault:
            raise fault from cause
