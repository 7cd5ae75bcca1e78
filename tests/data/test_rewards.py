from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from anyspace import PPO
from anyspace.data.rewards import RewardTransform
from tests.support.environments import Script

REWARDS = np.array([[-3.0, 0.5], [0.0, -0.25], [2.0, 7.0]], np.float32)
NEVER = np.zeros((3, 2), np.bool_)


@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        (None, REWARDS),
        (False, REWARDS),
        (True, [[-1, 1], [0, -1], [1, 1]]),
        (1.0, [[-1, 0.5], [0, -0.25], [1, 1]]),
        (2.5, [[-2.5, 0.5], [0, -0.25], [2, 2.5]]),
    ],
)
def test_clipping(clip: Any, expected: Any) -> None:
    came = REWARDS.copy()
    result = RewardTransform(clip)(came, NEVER, ~NEVER)
    np.testing.assert_array_equal(result, np.array(expected, np.float32))
    assert result.dtype == np.float32
    np.testing.assert_array_equal(came, REWARDS)


@pytest.mark.spec(47)
@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        (None, [[-1, 1], [0, -1], [1, 1]]),
        (True, [[-1, 1], [0, -1], [1, 1]]),
        (2.5, [[-2.5, 0.5], [0, -0.25], [2, 2.5]]),
        (False, REWARDS),
    ],
)
def test_clipping_for_atari(clip: Any, expected: Any) -> None:
    transform = RewardTransform(clip)
    transform.is_atari = True
    np.testing.assert_array_equal(transform(REWARDS, NEVER, ~NEVER), np.array(expected, np.float32))


@pytest.mark.spec(47)
@pytest.mark.parametrize(("clip", "lowest", "highest"), [(None, 1, 1), (3.0, 3, 3), (False, 5, 30)])
def test_an_algorithm_clips_the_rewards_of_atari_games(clip: Any, lowest: float, highest: float) -> None:
    """Hits in Space Invaders earn 5 to 30 points; reports tell points."""
    settings: dict[str, Any] = {"train_batch_size": 600, "minibatch_size": 600, "num_epochs": 1, "seed": 0}
    env_config = {"obs_type": "ram", "frameskip": 16, "repeat_action_probability": 0.0}
    algorithm = PPO("ALE/SpaceInvaders-v5", settings, env_config=env_config, clip_rewards=clip)
    trajectory = algorithm.fleet.gather(600)
    assert trajectory.rewards.min() == 0
    assert lowest <= trajectory.rewards.max() <= highest
    assert trajectory.episodes[0].total_reward >= 35


def batches(rng: np.random.Generator, count: int = 4) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Rewards, ends and valid rows [T, 3]; a row after an end is sometimes not valid, and then holds nonsense."""
    found = []
    for _ in range(count):
        steps = int(rng.integers(1, 9))
        rewards = rng.normal(2, 3, (steps, 3)).astype(np.float32)
        done = rng.random((steps, 3)) < 0.3
        valid = np.ones((steps, 3), np.bool_)
        valid[1:] = ~(done[:-1] & (rng.random((steps - 1, 3)) < 0.5))
        done &= valid
        rewards[~valid] = 1e5
        found.append((rewards, done, valid))
    return found


class ByHand:
    """Reward by reward, environment by environment, all returns kept in a list."""

    def __init__(self, gamma: float, clip: float | None = None):
        self.gamma, self.clip = gamma, clip
        self.seen: list[float] = []
        self.running = [0.0] * 3

    def __call__(self, rewards: np.ndarray, done: np.ndarray, valid: np.ndarray) -> np.ndarray:
        clipped = rewards.astype(np.float64)
        if self.clip is not None:
            clipped = np.maximum(np.minimum(clipped, self.clip), -self.clip)
        for b in range(rewards.shape[1]):
            for t in range(len(rewards)):
                if valid[t, b]:
                    self.running[b] = self.gamma * self.running[b] + clipped[t, b]
                    self.seen.append(self.running[b])
                    if done[t, b]:
                        self.running[b] = 0.0
        mean = sum(self.seen) / len(self.seen)
        variance = sum((value - mean) ** 2 for value in self.seen) / (len(self.seen) - 1)
        return np.asarray(clipped / variance**0.5)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("clip", [None, 2.0])
def test_normalising_divides_by_the_deviation_of_the_discounted_return(seed: int, clip: float | None) -> None:
    transform, by_hand = RewardTransform(clip, normalize=True, gamma=0.8), ByHand(0.8, clip)
    for rewards, done, valid in batches(np.random.default_rng(seed)):
        result = transform(rewards, done, valid)
        assert result.dtype == np.float32
        np.testing.assert_allclose(result[valid], by_hand(rewards, done, valid)[valid], rtol=1e-5)
    assert transform.stat.n == len(by_hand.seen)


def test_state_survives_and_episodes_restart() -> None:
    rng = np.random.default_rng(0)
    first, second, by_hand = RewardTransform(normalize=True), RewardTransform(normalize=True), ByHand(0.99)
    for batch in batches(rng):
        first(*batch)
        by_hand(*batch)
    state = first.state()
    second(*batches(rng, 1)[0])
    second.load_state(state)
    by_hand.running = [0.0] * 3
    for rewards, done, valid in batches(rng):
        np.testing.assert_allclose(second(rewards, done, valid)[valid], by_hand(rewards, done, valid)[valid], rtol=1e-5)
    third = RewardTransform(normalize=True)
    third.load_state(state)
    assert (third.stat.n, third.stat.mean) == (first.stat.n, first.stat.mean), "a state is a copy"


def test_running_returns_are_forgotten_on_restart() -> None:
    rewards, one = np.array([[1.0], [5.0]], np.float32), np.ones((2, 1), np.bool_)
    transform = RewardTransform(normalize=True, gamma=0.5)
    transform(rewards, ~one, one)
    transform.restart()
    transform(rewards, ~one, one)
    # Returns 1 and 5.5, twice; without the restart the second pair would be 3.75 and 6.875.
    assert transform.stat.mean == pytest.approx(3.25)


@pytest.mark.parametrize("reward", [0.0, 1.0, 0.1, -1000.3])
def test_rewards_that_never_differ_have_no_scale(reward: float) -> None:
    """A bandit that always pays the same: dividing by a deviation of 0 would make the reward endless."""
    transform = RewardTransform(normalize=True)
    for _ in range(3):
        rewards, one = np.full((7, 3), reward, np.float32), np.ones((7, 3), np.bool_)
        np.testing.assert_array_equal(transform(rewards, one, one), rewards)


def test_tiny_rewards_are_scaled_like_any_others() -> None:
    rewards, one = np.array([[1e-9], [-1e-9], [1e-9], [-1e-9]], np.float32), np.ones((4, 1), np.bool_)
    np.testing.assert_allclose(RewardTransform(normalize=True)(rewards, one, one), rewards / 1.1547e-9, rtol=1e-4)


def test_reported_returns_are_the_environments_own() -> None:
    """Learning sees signs or scaled rewards, people see what the environment pays."""
    settings: dict[str, Any] = {"train_batch_size": 12, "minibatch_size": 12, "num_epochs": 1, "seed": 0}
    algorithm = PPO(Script, {**settings, "env_config": {"number": 5}, "clip_rewards": True, "normalize_rewards": True})
    trajectory = algorithm.fleet.gather(3)
    assert trajectory.episodes[0].total_reward >= 5 + 15 + 25
    assert len(np.unique(trajectory.rewards)) == 1, "every sign is the same, and so is its scaled form"
    assert trajectory.rewards[0, 0] < 10
