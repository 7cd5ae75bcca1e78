"""What has to be learnt, and how well: final weights, acting deterministically, 100 fresh episodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.vector.utils import batch_space, iterate

from anyspace import PPO, Algorithm
from tasks import Harvest, Lock, Raid


def learnt(algorithm: Algorithm[Any], steps: int) -> float:
    algorithm.learn(steps, progress=False)
    mean: float = algorithm.evaluate(100)["episode_return_mean"]
    name, done = algorithm.env_spec.name, algorithm.progress
    print(
        f"\n{name}, seed {algorithm.seed}: {mean:.1f} after {done.timesteps_total:,} steps, {done.time_total_s:.0f} s"
    )
    return mean


def cartpole(seed: int) -> float:
    """Train as `make demo` does."""
    return learnt(PPO("CartPole-v1", preset="auto", seed=seed, stop_return=475.0), 100_000)


def test_cartpole_on_one_seed() -> None:
    assert cartpole(0) >= 475


@pytest.mark.learning
@pytest.mark.parametrize("seed", range(5))
def test_cartpole(seed: int) -> None:
    assert cartpole(seed) >= 475


@pytest.mark.learning
@pytest.mark.parametrize("seed", range(3))
def test_pendulum(seed: int) -> None:
    assert learnt(PPO("Pendulum-v1", preset="auto", seed=seed), 200_000) >= -300


@pytest.mark.learning
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("task", "steps"), [(Lock, 150_000), (Raid, 200_000), (Harvest, 300_000)])
def test_tasks_are_learnt_and_every_leaf_counts(task: Any, steps: int, seed: int) -> None:
    algorithm = PPO(task, preset="auto", seed=seed)
    assert learnt(algorithm, steps) >= 0.95 * task.best_return()
    for position, leaf in enumerate(algorithm.policy.encode.specs):
        share = return_with_leaf_zeroed(algorithm, task(), position) / task.best_return()
        print(f"{leaf.place()} zeroed: {share:.0%} of the best return")
        assert share < 0.7


def return_with_leaf_zeroed(algorithm: Algorithm[Any], env: Any, position: int, episodes: int = 50) -> float:
    """Act with one leaf of every encoded observation replaced by zeros; an action that is an error ends the episode."""
    policy, total = algorithm.policy, 0.0
    for episode in range(episodes):
        obs, _ = env.reset(seed=10_000 + episode)
        done = False
        while not done:
            leaves = [np.array(leaf)[None] for leaf in policy.encode.single(obs)]
            leaves[position][...] = 0
            with policy.acting():
                actions = policy.to_env(policy.act(leaves, explore=False))
            try:
                obs, reward, _, done, _ = env.step(next(iter(iterate(batch_space(env.action_space, 1), actions))))
            except ValueError:
                break
            total += reward
    return total / episodes
