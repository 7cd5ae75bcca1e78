"""Whether an observation has the parts of its space: a look at every step of environments of this process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
from gymnasium.spaces import Dict, Tuple

from anyspace import nesting
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
