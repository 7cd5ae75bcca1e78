from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from anyspace import PPO
from anyspace.data.rewards import ReturnMoments, RewardTransform
from anyspace.data.trajectory import FinalObs, Trajectory
from anyspace.spaces import RunningStat
from tests.support.environments import Script

REWARDS = np.array([[-3.0, 0.5], [0.0, -0.25], [2.0, 7.0]], np.float32)


def paid(
    rewards: np.ndarray, done: np.ndarray | None = None, valid: np.ndarray | None = None, **columns: Any
) -> Trajectory:
    """A trajectory with the given rewards [T, B] and nothing else."""
    never = np.zeros(rewards.shape, np.bool_)
    obs = [np.zeros((len(rewards) + 1, rewards.shape[1]), np.float32)]
    return Trajectory(
        obs=obs,
        actions=np.zeros(rewards.shape, np.int64),
        rewards=rewards,
        terminated=never if done is None else done,
        truncated=never,
        valid=~never if valid is None else valid,
        final_obs=FinalObs.none(obs, lead=2),
        begins=never[0],
        lanes=np.zeros((rewards.shape[1], 3), np.int64),
        versions=np.zeros(rewards.shape[1], np.int64),
        **columns,
    )


class Scaled:
    """Takes the moments beside the environments and scales where learning is, as an algorithm does."""

    def __init__(self, clip: bool | float = False, gamma: float = 0.99, width: int = 3):
        self.returns, self.transform = ReturnMoments(width, clip, gamma), RewardTransform(clip, normalize=True)

    def __call__(self, rewards: np.ndarray, done: np.ndarray, valid: np.ndarray) -> np.ndarray:
        trajectory = paid(rewards, done, valid)
        trajectory.reward_moments = self.returns(trajectory)
        return self.transform(trajectory).rewards


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
    result = RewardTransform(clip)(paid(came)).rewards
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
    np.testing.assert_array_equal(transform(paid(REWARDS)).rewards, np.array(expected, np.float32))


@pytest.mark.spec(47)
@pytest.mark.parametrize(("clip", "lowest", "highest"), [(None, 1, 1), (3.0, 3, 3), (False, 5, 200)])
def test_an_algorithm_clips_the_rewards_of_atari_games(clip: Any, lowest: float, highest: float) -> None:
    """Hits in Space Invaders earn 5 to 30 points, that of the ship above up to 200; reports tell points."""
    settings: dict[str, Any] = {"train_batch_size": 600, "minibatch_size": 600, "num_epochs": 1, "seed": 0}
    env_config = {"obs_type": "ram", "frameskip": 16, "repeat_action_probability": 0.0}
    algorithm = PPO("ALE/SpaceInvaders-v5", settings, env_config=env_config, clip_rewards=clip, preset="none")
    trajectory = algorithm.fleet.gather(600)
    assert trajectory.rewards.max() >= 5, "a trajectory holds the environment's own rewards"
    rewards = algorithm.rewards(trajectory).rewards
    assert rewards.min() == 0
    assert lowest <= rewards.max() <= highest
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
    scaled, by_hand = Scaled(False if clip is None else clip, gamma=0.8), ByHand(0.8, clip)
    for rewards, done, valid in batches(np.random.default_rng(seed)):
        result = scaled(rewards, done, valid)
        assert result.dtype == np.float32
        np.testing.assert_allclose(result[valid], by_hand(rewards, done, valid)[valid], rtol=1e-5)
    assert scaled.transform.stat.n == len(by_hand.seen)


def test_state_survives_and_episodes_restart() -> None:
    rng = np.random.default_rng(0)
    first, second, by_hand = Scaled(), Scaled(), ByHand(0.99)
    for batch in batches(rng):
        first(*batch)
        by_hand(*batch)
    state = first.transform.state()
    second(*batches(rng, 1)[0])
    second.transform.load_state(state)
    second.returns.restart()
    by_hand.running = [0.0] * 3
    for rewards, done, valid in batches(rng):
        np.testing.assert_allclose(second(rewards, done, valid)[valid], by_hand(rewards, done, valid)[valid], rtol=1e-5)
    third = RewardTransform(normalize=True)
    third.load_state(state)
    assert (third.stat.n, third.stat.mean) == (first.transform.stat.n, first.transform.stat.mean), "a state is a copy"


def test_running_returns_are_forgotten_on_restart() -> None:
    rewards, one = np.array([[1.0], [5.0]], np.float32), np.ones((2, 1), np.bool_)
    scaled = Scaled(gamma=0.5, width=1)
    scaled(rewards, ~one, one)
    scaled.returns.restart()
    scaled(rewards, ~one, one)
    # Returns 1 and 5.5, twice; without the restart the second pair would be 3.75 and 6.875.
    assert scaled.transform.stat.mean == pytest.approx(3.25)


@pytest.mark.parametrize("reward", [0.0, 1.0, 0.1, -1000.3])
def test_rewards_that_never_differ_have_no_scale(reward: float) -> None:
    """A bandit that always pays the same: dividing by a deviation of 0 would make the reward endless."""
    scaled = Scaled()
    for _ in range(3):
        rewards, one = np.full((7, 3), reward, np.float32), np.ones((7, 3), np.bool_)
        np.testing.assert_array_equal(scaled(rewards, one, one), rewards)


def test_tiny_rewards_are_scaled_like_any_others() -> None:
    rewards, one = np.array([[1e-9], [-1e-9], [1e-9], [-1e-9]], np.float32), np.ones((4, 1), np.bool_)
    np.testing.assert_allclose(Scaled(width=1)(rewards, one, one), rewards / 1.1547e-9, rtol=1e-4)


def merged(moments: np.ndarray) -> RunningStat:
    """The statistics of several columns."""
    stat = RunningStat(())
    for count, mean, squares in moments:
        stat.push_moments(int(count), mean, squares)
    return stat


@pytest.mark.parametrize("seed", range(5))
def test_moments_of_columns_merge_to_those_of_all_returns_at_once(seed: int) -> None:
    returns, by_hand, stat = ReturnMoments(3, False, 0.8), ByHand(0.8), RunningStat(())
    for rewards, done, valid in batches(np.random.default_rng(seed)):
        by_hand(rewards, done, valid)
        for count, mean, squares in returns(paid(rewards, done, valid)):
            stat.push_moments(int(count), mean, squares)
    assert stat.n == len(by_hand.seen)
    np.testing.assert_allclose(stat.mean, np.mean(by_hand.seen), rtol=1e-12)
    np.testing.assert_allclose(stat.std, np.std(by_hand.seen, ddof=1), rtol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_moments_of_two_halves_of_the_environments_merge_to_those_of_the_whole(seed: int) -> None:
    """Two workers with one and two environments tell the learner what one worker with three would tell."""
    whole, halves = ReturnMoments(3, 2.0, 0.8), (ReturnMoments(1, 2.0, 0.8), ReturnMoments(2, 2.0, 0.8))
    for rewards, done, valid in batches(np.random.default_rng(seed)):
        at_once = paid(rewards, done, valid)
        at_once.reward_moments = whole(at_once)
        parts = [paid(rewards[:, b], done[:, b], valid[:, b]) for b in (slice(0, 1), slice(1, 3))]
        for part, moments in zip(parts, halves, strict=True):
            part.reward_moments = moments(part)
        joined = Trajectory.side_by_side(parts)
        assert joined.reward_moments is not None
        np.testing.assert_allclose(joined.reward_moments, at_once.reward_moments, rtol=1e-12, atol=1e-12)
        one, other = merged(joined.reward_moments), merged(at_once.reward_moments)
        np.testing.assert_allclose([one.mean, one.std], [other.mean, other.std], rtol=1e-12)


def test_merged_moments_of_groups_of_columns_do_not_depend_on_the_cut() -> None:
    rewards = np.random.default_rng(0).normal(5, 2, (50, 4)).astype(np.float32)
    moments = ReturnMoments(4, False, 0.9)(paid(rewards))
    left, right, whole = merged(moments[:2]), merged(moments[2:]), merged(moments)
    left.merge(right)
    np.testing.assert_allclose([left.n, left.mean, left.std], [whole.n, whole.mean, whole.std], rtol=1e-12)


def test_rewards_without_moments_are_clipped_and_not_scaled() -> None:
    """As those of a recording, whose environments nobody stood beside."""
    transform = RewardTransform(2.5, normalize=True)
    np.testing.assert_array_equal(transform(paid(REWARDS)).rewards, np.clip(REWARDS, -2.5, 2.5))
    assert transform.stat.n == 0


def test_a_trajectory_keeps_the_rewards_that_its_environments_paid() -> None:
    trajectory = paid(REWARDS.copy())
    clipped = RewardTransform(True)(trajectory)
    np.testing.assert_array_equal(trajectory.rewards, REWARDS)
    assert clipped is not trajectory
    assert RewardTransform()(trajectory) is trajectory


def test_reported_returns_are_the_environments_own() -> None:
    """Learning sees signs or scaled rewards, people see what the environment pays."""
    settings: dict[str, Any] = {"train_batch_size": 12, "minibatch_size": 12, "num_epochs": 1, "seed": 0}
    algorithm = PPO(
        Script,
        {**settings, "env_config": {"number": 5}, "clip_rewards": True, "normalize_rewards": True},
        preset="none",
    )
    trajectory = algorithm.fleet.gather(3)
    assert trajectory.episodes[0].total_reward >= 5 + 15 + 25
    assert trajectory.rewards[0, 0] >= 5
    rewards = algorithm.rewards(trajectory).rewards
    assert len(np.unique(rewards)) == 1, "every sign is the same, and so is its scaled form"
    assert rewards[0, 0] < 10
