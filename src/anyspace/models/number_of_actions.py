"""How many actions a Discrete space has, for models with a number or a vector for every single action."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from gymnasium import spaces

from anyspace.errors import UnsupportedSpaceError


def number_of_actions(action_space: gym.Space[Any], purpose: str, advice: str) -> int:
    """Return how many actions a Discrete space has.

    Args:
        action_space: the environment's action space.
        purpose: what the number is for, a sentence for the error.
        advice: what to do where the space is another one, a sentence for the error.

    Raises:
        UnsupportedSpaceError: the space is not Discrete.
    """
    if not isinstance(action_space, spaces.Discrete):
        raise UnsupportedSpaceError(
            f"action: {purpose}, so the action space has to be Discrete, but it is {action_space}. {advice}"
        )
    return int(action_space.n)
