"""What a user may replace: wrappers, model, action distribution."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import nn

from anyspace import PPO
from anyspace.distributions import Categorical
from anyspace.models import TorchModelV2
from tests.support.tasks import Countdown

FAST: dict[str, Any] = {"train_batch_size": 32, "minibatch_size": 16, "num_epochs": 1, "seed": 0}


class Floats(gym.Env[Any, Any]):
    """Observes a float64 in [0, 5) and pays ten times it."""

    observation_space = gym.spaces.Box(0, 5, (), np.float64)
    action_space = gym.spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return np.float64(0), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return np.float64(self.t % 5), 10.0 * self.t, self.t == 8, False, {}


class OneHotEnv(gym.ObservationWrapper[Any, Any, Any]):
    """One-hot encodes a float observation, as a custom preprocessor would have done."""

    def __init__(self, env: gym.Env[Any, Any]):
        super().__init__(env)
        self.observation_space = gym.spaces.Box(0, 1, (5,), np.float32)

    def observation(self, observation: Any) -> Any:
        return np.eye(5, dtype=np.float32)[int(observation)]


class ClipRewardEnv(gym.RewardWrapper[Any, Any]):
    """Clips rewards to [0, 15]."""

    def reward(self, reward: Any) -> Any:
        return np.clip(reward, 0, 15)


class Linear(TorchModelV2, nn.Module):
    """A linear policy that records what it is given."""

    def __init__(self, obs_space: Any, action_space: Any, num_outputs: Any, model_config: Any, name: str):
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
        nn.Module.__init__(self)
        self.layer = nn.Linear(int(np.prod(obs_space.shape)), num_outputs + 1)
        self.seen: list[torch.Tensor] = []

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        self.seen.append(input_dict["obs_flat"])
        self.out = self.layer(input_dict["obs_flat"])
        return self.out[:, :-1], state

    def value_function(self) -> torch.Tensor:
        return self.out[:, -1]


class Greedier(Categorical):
    """A categorical at half the temperature."""

    def __init__(self, inputs: Any, model: Any = None, *, mask: Any = None):
        super().__init__(inputs, model, mask=mask, temperature=0.5)


@pytest.mark.spec(36)
def test_an_observation_wrapper_replaces_a_custom_preprocessor() -> None:
    algorithm = PPO(Floats, FAST, wrappers=[OneHotEnv], preset="none")
    obs = algorithm.fleet.gather(32).obs[0]
    assert obs.shape == (33, 1, 5)
    np.testing.assert_array_equal(obs[:7, 0].argmax(1), [0, 1, 2, 3, 4, 0, 1])
    algorithm.train()
    assert algorithm.compute_single_action(OneHotEnv(Floats()).reset()[0]) in Floats.action_space


@pytest.mark.spec(37)
def test_a_reward_wrapper_changes_the_recorded_rewards() -> None:
    plain, clipped = (PPO(Floats, FAST, wrappers=wrappers, preset="none") for wrappers in ([], [ClipRewardEnv]))
    np.testing.assert_array_equal(plain.fleet.gather(4).rewards[:, 0], [10, 20, 30, 40])
    np.testing.assert_array_equal(clipped.fleet.gather(4).rewards[:, 0], [10, 15, 15, 15])


@pytest.mark.spec(2)
@pytest.mark.parametrize(
    "changed",
    [{"wrappers": [OneHotEnv]}, {"model": {"custom_model": Linear}}, {"model": {"custom_action_dist": Greedier}}],
    ids=["environment", "model", "distribution"],
)
def test_every_replaceable_part_trains(changed: dict[str, Any]) -> None:
    algorithm = PPO(Floats, FAST, **changed, preset="none")
    before = algorithm.policy.state()
    result = algorithm.train()
    assert np.isfinite(result["learner"]["total_loss"])
    after = algorithm.policy.state()
    assert any(not np.array_equal(before[name], after[name]) for name in before if name.startswith("model/"))
    blank = algorithm.policy.distribution(torch.zeros(1, 3))
    assert isinstance(blank, Greedier) == ("custom_action_dist" in changed.get("model", {}))
    assert isinstance(algorithm.policy.model, Linear) == ("custom_model" in changed.get("model", {}))


@pytest.mark.spec(5)
def test_float64_observations_are_float32_in_the_model_and_actions_stay_indices() -> None:
    algorithm = PPO(Floats, FAST, model={"custom_model": Linear}, preset="none")
    trajectory = algorithm.fleet.gather(8)
    assert {tensor.dtype for tensor in algorithm.policy.model.seen} == {torch.float32}  # type: ignore[attr-defined]
    assert trajectory.obs[0].dtype == np.float32
    assert trajectory.actions.dtype == np.int64, "superseded: see docs/deviations.md, row 5"


@pytest.mark.parametrize(
    ("clip", "expected"), [(None, [1, 1]), (True, [1, 1]), (False, [1, 1]), (0.25, [0.25, 0.25]), (7.0, [1, 1])]
)
def test_reward_clipping_options(clip: Any, expected: list[float]) -> None:
    algorithm = PPO(Countdown, FAST, clip_rewards=clip, preset="none")
    trajectory = algorithm.fleet.gather(32)
    np.testing.assert_array_equal(trajectory.rewards[:2, 0], [1, 1], err_msg="a trajectory holds what was paid")
    np.testing.assert_array_equal(algorithm.rewards(trajectory).rewards[:2, 0], expected)
    assert trajectory.episodes[0].total_reward == 5, "reported returns are the environment's own"
    other = PPO(Floats, FAST, clip_rewards=clip, preset="none")
    scaled = other.rewards(other.fleet.gather(2)).rewards[:, 0]
    by_hand = {True: [1, 1], 0.25: [0.25, 0.25], 7.0: [7, 7]}.get(clip, [10, 20])
    np.testing.assert_array_equal(scaled, by_hand)
