"""Explorations of users: how they are made, what methods they have, and what they choose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete

from anyspace.distributions import Categorical
from anyspace.errors import ConfigError
from anyspace.policy.exploration import ALONE, EpsilonGreedy, StochasticSampling, exploration_of
from anyspace.policy.exploration.contract import ChoiceCheck, choice_check
from tests.algorithms.test_dqn import make

THREE = Discrete(3)
BOTH = Dict(a=THREE, b=Box(-1, 1, (2,)))


class Mine:
    """Takes the action that it is told."""

    def __init__(self, action_space: Any, place: Any, *, action: Any = None):
        self.action = action

    def at(self, timestep: int) -> None:
        pass

    def draw(self, distribution: Any, rng: Any, steps: int) -> None:
        return None

    def choose(self, distribution: Any, *, explore: bool, rng: Any, noise: Any) -> Any:
        return distribution.deterministic_sample() if self.action is None else self.action


class OfRllib:
    def __init__(self, action_space: Any, *, framework: Any, policy_config: Any):
        pass

    def get_exploration_action(self) -> None:
        pass


class Deaf(Mine):
    at = None  # type: ignore[assignment]


class Narrow(Mine):
    def choose(self, distribution: Any, explore: bool) -> Any:  # type: ignore[override]
        pass


class Forgetful(Mine):
    def state(self) -> dict[str, Any]:
        return {}


class Unsaved(Mine):
    def load_state(self, state: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (
            OfRllib,
            r"made as OfRllib\(action_space, place, \*\*keywords\), but OfRllib\(.* It looks like a class for RLlib",
        ),
        (Deaf, r"Deaf has no method at\(timestep\)"),
        (Forgetful, r"Forgetful has state\(\), but no load_state\(\): .* Write both"),
        (Unsaved, r"Unsaved has load_state\(\), but no state\(\): "),
        (Narrow, r"Narrow\.choose\(.* is called as choose\(distribution, \*, explore, rng, noise\): "),
    ],
)
def test_what_is_no_exploration_is_named(kind: type, text: str) -> None:
    with pytest.raises(ConfigError, match=rf"`exploration_config`: .*{text}.*docs/algorithms\.md"):
        exploration_of(StochasticSampling, {"type": kind}, THREE, ALONE)


@pytest.mark.parametrize(
    ("space", "action", "text"),
    [
        (THREE, [0, 0], r"action: an array \[2\], got \[0, 0\] \(list\)"),
        (THREE, None, r"action: an array \[2\], got None"),
        (THREE, np.array([0]), r"action: an array \[2\], got shape \(1,\)"),
        (THREE, torch.tensor([0, 7]), r"whole numbers from 0 to 2, got 7 in row 1"),
        (THREE, torch.tensor([0.5, 1]), r"whole numbers from 0 to 2, got 0\.5 in row 0"),
        (BOTH, {"a": torch.zeros(2)}, r"raw actions of Dict.*KeyError"),
        (BOTH, {"a": torch.zeros(2), "b": torch.full((2, 2), torch.nan)}, r'action\["b"\]: finite numbers, got nan'),
        (BOTH, {"a": torch.zeros(2), "b": torch.zeros(2, 3)}, r'action\["b"\]: an array \[2, 2\], got shape \(2, 3\)'),
    ],
)
def test_what_is_no_choice_is_named(space: Any, action: Any, text: str) -> None:
    check = ChoiceCheck(Mine(space, ALONE), space)
    with pytest.raises(ConfigError, match=rf"Mine\.choose\(\) returned no choice of actions: expected .*{text}"):
        check(action, 2, lambda part: part.numpy())


def test_choices_are_arrays() -> None:
    check = ChoiceCheck(Mine(BOTH, ALONE), BOTH)
    found = check({"b": torch.ones(2, 2), "a": np.array([1, 2])}, 2, lambda part: part.numpy())
    assert found["a"].tolist() == [1, 2]
    assert isinstance(found["b"], np.ndarray)
    relaxed = ChoiceCheck(Mine(THREE, ALONE), THREE)(torch.eye(3)[:2], 2, lambda part: part.numpy())
    assert relaxed.shape == (2, 3)
    assert choice_check(EpsilonGreedy(THREE), THREE) is None
    assert Categorical(torch.eye(3)).deterministic_sample().tolist() == [0, 1, 2]


def test_a_policy_checks_what_it_is_told() -> None:
    algorithm = make(exploration_config={"type": Mine, "action": np.array([7, 7])})
    with pytest.raises(ConfigError, match=r"Mine\.choose\(\) returned no choice of actions: .* got 7 in row 0"):
        algorithm.train()
    algorithm.close()
    algorithm = make(exploration_config={"type": Mine})
    assert algorithm.train()["timesteps_this_iter"]
    algorithm.close()


def test_a_saved_state_stays_as_it_was_when_the_counting_goes_on() -> None:
    class Counting(Mine):
        def __init__(self, action_space: Any, place: Any):
            super().__init__(action_space, place)
            self.counts = np.zeros(3)

        def state(self) -> dict[str, Any]:
            return {"counts": self.counts}

        def load_state(self, state: dict[str, Any]) -> None:
            self.counts[:] = state["counts"]

    algorithm = make(exploration_config={"type": Counting})
    saved = algorithm.policy.state()
    algorithm.policy.exploration.counts += 7
    assert saved["exploration/counts"].tolist() == [0, 0, 0]
    algorithm.policy.load_state(saved)
    assert algorithm.policy.exploration.counts.tolist() == [0, 0, 0]
    algorithm.close()
