"""Environments in turn do what Gymnasium's do, whatever they observe."""

from __future__ import annotations

import copy
from contextlib import closing
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from anyspace.data.in_turn import InTurn
from tests.support.environments import Samples

SPACES: dict[str, gym.Space[Any]] = {
    "box": Box(-1, 1, (2, 3)),
    "box without axes": Box(-1, 1, ()),
    "discrete": Discrete(4, start=-2),
    "nested": Dict({"a": Tuple((Discrete(3), MultiBinary((2, 2)))), "b": Dict({1: MultiDiscrete([2, 5])})}),
    "empty part": Tuple((Dict(), Box(-1, 1, (2,)))),
    "pictures": Dict({"eye": Box(0, 255, (4, 4, 3), np.uint8), "speed": Box(-np.inf, np.inf, (1,), np.float64)}),
    "text": Dict({"says": Text(4), "box": Box(-1, 1, (2,))}),
    "nothing": Dict(),
}


class Odd(Samples):
    """Gives what it observes as something else, or pays more than a float holds."""

    def __init__(self, change: str):
        super().__init__(Dict({"box": Box(-1, 1, (2,)), "number": Discrete(3)}), Discrete(2))
        self.change = change

    def _sample(self) -> Any:
        obs = super()._sample()
        changes = {
            "lists": {"box": [0.5, -0.5], "number": obs["number"]},
            "wider": {"box": obs["box"].astype(np.float16), "number": np.int8(1)},
            "more": {**obs, "beside": 1},
            "python": {**obs, "number": 2},
        }
        return changes.get(self.change, obs)


def same(one: Any, other: Any) -> None:
    if isinstance(one, np.ndarray) and one.dtype == object:
        one, other = [*one], [*other]
    np.testing.assert_equal(one, other)
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_steps_are_those_of_gymnasium(space: gym.Space[Any]) -> None:
    compare(lambda: Samples(copy.deepcopy(space), Discrete(2)))


@pytest.mark.parametrize("change", ["lists", "wider", "more", "python"])
def test_what_does_not_fit_as_it_is_is_stacked_by_gymnasium(change: str) -> None:
    compare(partial(Odd, change))


def compare(make: Any) -> None:
    """Step both, beyond the ends of episodes."""
    makers = [make] * 3
    theirs = SyncVectorEnv(makers, copy=False, autoreset_mode=AutoresetMode.SAME_STEP)
    with closing(InTurn(makers)) as mine, closing(theirs):
        same(mine.reset(seed=5), theirs.reset(seed=5))
        kept = []
        for _ in range(5):
            found, expected = (envs.step(np.array([0, 1, 1])) for envs in (mine, theirs))
            for one, other in zip(found[:4], expected[:4], strict=True):
                same(one, other)
            assert found[4].keys() == expected[4].keys()
            same(found[4].get("final_obs"), expected[4].get("final_obs"))
            kept.append((found[1:4], expected[1:4]))
        for later, expected in kept:  # no later step has changed them
            np.testing.assert_equal(later, expected)


@pytest.mark.parametrize(
    ("space", "observed", "message"),
    [
        (Box(-1, 1, (2,)), np.zeros(3, np.float32), "shape"),
        (Box(-1, 1, (2,)), np.zeros(1, np.float32), "shape"),
        (MultiDiscrete([3, 3]), np.array([0.5, 1.5]), "Cannot cast"),
    ],
)
def test_what_does_not_fit_is_refused(space: gym.Space[Any], observed: Any, message: str) -> None:
    class Odder(Samples):
        def _sample(self) -> Any:
            return super()._sample() if self.t == 0 else observed

    with closing(InTurn([lambda: Odder(copy.deepcopy(space), Discrete(2))] * 2)) as envs:
        envs.reset(seed=0)
        with pytest.raises((ValueError, TypeError), match=message):
            envs.step(np.array([0, 0]))
