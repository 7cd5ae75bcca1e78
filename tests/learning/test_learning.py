"""What has to be learnt, and how well: final weights, acting deterministically, 100 fresh episodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from anyspace import PPO, Algorithm
from tasks import Lock


def learnt(algorithm: Algorithm[Any], steps: int) -> float:
    algorithm.learn(steps, progress=False)
    mean: float = algorithm.evaluate(100)["episode_return_mean"]
    name, seed = algorithm.env_spec.name, algorithm.seed
    print(
        f"\n{name}, seed {seed}: {mean:.1f} after {algorithm.timesteps_total:,} steps, {algorithm.time_total_s:.0f} s"
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
def test_nested_spaces_are_learnt_and_every_leaf_counts(seed: int) -> None:
    algorithm = PPO(Lock, preset="auto", seed=seed)
    assert learnt(algorithm, 150_000) >= 0.95 * Lock.best_return()
    for leaf in range(4):
        share = return_with_leaf_zeroed(algorithm, leaf) / Lock.best_return()
        print(f"leaf {leaf} zeroed: {share:.0%} of the best return")
        assert share < 0.7


def return_with_leaf_zeroed(algorithm: Algorithm[Any], leaf: int, episodes: int = 50) -> float:
    """Act with one leaf of every observation replaced by zeros (or its first index)."""
    env = Lock()
    total = 0.0
    for episode in range(episodes):
        obs, _ = env.reset(seed=10_000 + episode)
        done = False
        while not done:
            blanked = {
                "vector": obs["vector"] * (leaf != 0),
                "dial": obs["dial"] if leaf != 1 else 1,
                "inner": (
                    obs["inner"][0] * (leaf != 2),
                    {"sign": np.float32(obs["inner"][1]["sign"] * (leaf != 3))},
                ),
            }
            obs, reward, _, done, _ = env.step(algorithm.compute_single_action(blanked))
            total += reward
    return total / episodes
