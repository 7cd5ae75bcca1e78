"""How many options the choices of an action have, for models with a number for each."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym

from anyspace import nesting, tree
from anyspace.errors import UnsupportedSpaceError
from anyspace.spaces.decoding import options


def numbers_of_options(action_space: gym.Space[Any]) -> tuple[int, ...]:
    """Return how many options each choice of an action has, leaf by leaf, in the order of `spaces.ActionMasks`.

    ``Tuple([Discrete(3), MultiDiscrete([4, 5]), MultiBinary(2)])`` has 3, 4, 5, 2 and 2.

    Args:
        action_space: the environment's action space, for Q-learning.

    Raises:
        UnsupportedSpaceError: naming the leaf that is continuous; or nothing is there to choose.
    """
    found: list[int] = []
    for path, leaf in nesting.iter_leaves(action_space):
        counts = options(leaf, path)
        if not counts and math.prod(leaf.shape or ()) > 0:
            raise UnsupportedSpaceError(
                f"{tree.place('action', path)}: Q-learning compares the values of all options of an action, and {leaf}"
                " has infinitely many. Take SAC or PPO for these actions, or let the environment offer a Discrete."
            )
        found += counts
    if not found:
        raise UnsupportedSpaceError(f"action: {action_space} holds no value to choose.")
    return tuple(found)
