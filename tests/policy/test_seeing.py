"""What comes with raw observations when a policy acts alone."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Dict, Discrete, MultiBinary
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from anyspace import PPO
from anyspace.errors import ObservationError

CARDS = 4
SETTINGS: dict[str, Any] = {"train_batch_size": 16, "minibatch_size": 8, "num_epochs": 1, "seed": 0, "preset": "none"}


class Hand(gym.Env[Any, Any]):
    """Plays cards, each once, until none is left; the last observation's mask allows nothing.

    Args:
        source: "observation", "infos" or "method": where the mask is.
    """

    action_space = Discrete(CARDS)

    def __init__(self, source: str):
        self.source = source
        cards = MultiBinary(CARDS)
        self.observation_space = Dict(cards=cards, action_mask=cards) if source == "observation" else cards
        if source == "method":
            self.action_masks = lambda: self.left.copy()

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.left = np.ones(CARDS, np.int8)
        return self.look()

    def look(self) -> Any:
        left = self.left.copy()
        obs = {"cards": left, "action_mask": left} if self.source == "observation" else left
        return obs, {"action_mask": left} if self.source == "infos" else {}

    def step(self, action: Any) -> Any:
        assert self.left[action], f"{action} has been played"
        self.left[action] = 0
        obs, info = self.look()
        return obs, 1.0, not self.left.any(), False, info


@pytest.mark.parametrize("source", ["observation", "infos", "method"])
def test_where_an_episode_has_ended_a_mask_may_allow_nothing(source: str) -> None:
    algorithm = PPO(lambda: Hand(source), **SETTINGS)
    algorithm.train()
    envs = SyncVectorEnv([lambda: Hand(source)] * 2, autoreset_mode=AutoresetMode.NEXT_STEP)
    obs, info = envs.reset(seed=0)
    ended, episodes = np.zeros(2, np.bool_), 0

    def given() -> dict[str, Any]:
        if source == "method":
            return {"mask": envs.call("action_masks")}
        return {"info": info} if source == "infos" else {}

    for _ in range(3 * (CARDS + 1)):
        if ended.any():
            with pytest.raises(ObservationError, match=r"allows no action at all.*say so: `ended=terminated \| trunc"):
                algorithm.compute_actions(obs, **given())
            masks = {"action_masks" if key == "mask" else key: value for key, value in given().items()}
            assert algorithm.predict(obs, ended=ended, **masks)[0].shape == (2,)
            assert algorithm.policy.predict_values(obs, ended=ended, **given()).shape == (2,)
        actions = algorithm.compute_actions(obs, ended=ended, explore=True, **given())
        obs, _, terminated, truncated, info = envs.step(actions)
        ended = terminated | truncated
        episodes += int(ended.sum())
    assert episodes == 6


def test_one_environment_may_have_ended() -> None:
    algorithm = PPO(lambda: Hand("observation"), **SETTINGS)
    nothing = np.zeros(CARDS, np.int8)
    obs = {"cards": nothing, "action_mask": nothing}
    assert algorithm.compute_single_action(obs, ended=True) in range(CARDS)
    with pytest.raises(ObservationError, match="allows no action at all"):
        algorithm.compute_single_action(obs, ended=False)
    for wrong in ([True, False], 1, "yes"):
        with pytest.raises(ObservationError, match="ended: expected True or False, or one for each of 1 observations"):
            algorithm.compute_single_action(obs, ended=wrong)


def test_observations_that_do_not_fit_are_not_blamed_on_an_environment() -> None:
    algorithm = PPO(lambda: Hand("observation"), **SETTINGS)
    cards = np.ones(CARDS, np.int8)
    one = {"cards": cards, "action_mask": cards}
    for act in (algorithm.compute_actions, algorithm.predict, algorithm.policy.predict_values):
        with pytest.raises(ObservationError, match=r"got list\. To hand over several .* part by part.*observations\.$"):
            act([one, one])
    for act in (algorithm.compute_actions, algorithm.compute_single_action):
        with pytest.raises(ObservationError, match=r"^obs: expected a dict with keys \['cards', .*$") as caught:
            act(cards)
        assert "environment" not in str(caught.value)
    assert len(algorithm.compute_actions({key: [value] * 2 for key, value in one.items()})) == 2
