"""Spaces of classes of their own, and environments that have them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, Text, Tuple

from anyspace.spaces import Repeated, register_space
from anyspace.spaces.kinds import registered


class Mission(gym.Space[Any]):
    """Sentences. Two spaces of the class are never equal, as Gymnasium leaves it."""

    def __init__(self) -> None:
        super().__init__(dtype=str)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        return str(self.np_random.choice(["go to the red ball", "go home"]))

    def contains(self, x: Any) -> bool:
        return isinstance(x, str)


class Hand(gym.Space[Any]):
    """Sets of cards."""

    def __init__(self, cards: int) -> None:
        self.cards = cards
        super().__init__()

    def sample(self, mask: Any = None, probability: Any = None) -> frozenset[int]:
        return frozenset(np.flatnonzero(self.np_random.integers(2, size=self.cards)).tolist())

    def contains(self, x: Any) -> bool:
        return isinstance(x, frozenset) and all(type(card) is int and 0 <= card < self.cards for card in x)


class LargeHand(Hand):
    """A subclass, which its base's registration covers."""


def as_bits(space: Hand, cards: frozenset[int]) -> Any:
    return np.array([card in cards for card in range(space.cards)], np.int8)


def as_cards(space: Hand, bits: Any) -> frozenset[int]:
    return frozenset(np.flatnonzero(bits).tolist())


def register_text() -> None:
    register_space(Mission, lambda space: Text(max_length=20, charset="abcdefghijklmnopqrstuvwxyz "))


def register_hand() -> None:
    register_space(
        Hand,
        lambda space: MultiBinary(space.cards),
        encode=as_bits,
        decode=as_cards,
        arguments=lambda space: {"cards": space.cards},
    )


@contextmanager
def as_before() -> Iterator[None]:
    """Forget at the end what was registered since."""
    before = dict(registered._registered)
    try:
        yield
    finally:
        registered._registered.clear()
        registered._registered.update(before)


class Draws(gym.Env[Any, Any]):
    """Draws observations from its space, and requires of every action that it is in its own.

    Args:
        spaces: return the observation space and the action space, new ones for every environment.
        length: of every episode.
    """

    def __init__(self, spaces: Callable[[], tuple[gym.Space[Any], gym.Space[Any]]], length: int = 5) -> None:
        self.observation_space, self.action_space = spaces()
        self.length, self.t = length, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        self.t += 1
        return self.observation_space.sample(), 1.0, False, self.t >= self.length, {}


def everywhere() -> tuple[gym.Space[Any], gym.Space[Any]]:
    """Own spaces at every kind of place: alone, in a Dict, a Tuple and a list; and in actions."""
    observation = Dict(
        image=Box(0, 255, (4, 4, 3), np.uint8),
        mission=Mission(),
        held=Tuple([Discrete(2), LargeHand(5), Repeated(Hand(3), 2)]),
    )
    return observation, Dict(move=Discrete(3), play=Hand(4))


class Everywhere(Draws):
    """`everywhere`, as a class that can be imported."""

    def __init__(self) -> None:
        super().__init__(everywhere)
