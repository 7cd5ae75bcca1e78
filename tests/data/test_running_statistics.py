"""Statistics in wrappers are named when a run starts."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import SyncVectorEnv
from gymnasium.wrappers import NormalizeObservation, NormalizeReward, RecordEpisodeStatistics

from anyspace import PPO
from anyspace.data.running_statistics import statistics_warning
from tests.support.environments import Samples

SMALL = {"train_batch_size": 4, "minibatch_size": 4, "num_epochs": 1, "num_envs_per_env_runner": 2}
OBSERVATIONS, REWARDS = 'observation_filter="MeanStdFilter"', "normalize_rewards=True"


def plain() -> Samples:
    return Samples(Box(-1, 1, (1,)), Discrete(2))


class RunningMeanStd:
    mean, var = 0.0, 1.0


class Own(gym.ObservationWrapper[Any, Any, Any]):
    """Keeps statistics of its own."""

    def __init__(self, env: Any):
        super().__init__(env)
        self.running_mean_std = RunningMeanStd()

    def observation(self, observation: Any) -> Any:
        return observation


def vector(wrapper: Any) -> Any:
    return wrapper(SyncVectorEnv([plain, plain]))


KINDS: list[tuple[str, Any, list[str]]] = [
    ("NormalizeObservation", lambda: NormalizeObservation(plain()), [OBSERVATIONS]),
    ("NormalizeReward", lambda: RecordEpisodeStatistics(NormalizeReward(plain())), [REWARDS]),
    (
        "NormalizeReward and NormalizeObservation",
        lambda: NormalizeReward(NormalizeObservation(plain())),
        [OBSERVATIONS, REWARDS],
    ),
    ("Own", lambda: Own(plain()), [OBSERVATIONS]),
    ("NormalizeObservation", NormalizeObservation(plain()), [OBSERVATIONS]),
    ("NormalizeObservation", vector(gym.wrappers.vector.NormalizeObservation), [OBSERVATIONS]),
    ("NormalizeReward", vector(gym.wrappers.vector.NormalizeReward), [REWARDS]),
    ("NormalizeObservation", SyncVectorEnv([lambda: NormalizeObservation(plain())] * 2), [OBSERVATIONS]),
]


@pytest.mark.parametrize(("name", "env", "keys"), KINDS)
def test_wrappers_with_statistics_are_said_once(
    name: str, env: Any, keys: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    algo = PPO(env, SMALL, preset="none")
    algo.train()
    (message,) = [message for message in caplog.messages if "running statistics" in message]
    assert message.startswith(f"{name} around the environment: the running statistics are not part of checkpoints")
    for key in (OBSERVATIONS, REWARDS):
        assert (key in message) == (key in keys)


def test_wrappers_of_an_id_and_in_other_processes(caplog: pytest.LogCaptureFixture) -> None:
    PPO("CartPole-v1", {**SMALL, "wrappers": [NormalizeObservation], "vectorization": "async"}, preset="none").close()
    (message,) = caplog.messages
    assert message.startswith("NormalizeObservation around")


def test_nothing_is_said_of_other_wrappers(caplog: pytest.LogCaptureFixture) -> None:
    PPO(lambda: RecordEpisodeStatistics(plain()), SMALL, preset="none").train()
    PPO("CartPole-v1", SMALL, preset="none").train()
    assert not caplog.messages
    assert statistics_warning([]) is None


def test_the_advice_does_what_the_wrapper_did() -> None:
    config = {**SMALL, "observation_filter": "MeanStdFilter", "normalize_rewards": True}
    algo = PPO(plain, config, preset="none")
    algo.train()
    assert any(name.startswith("filter") for name in algo.policy.weights())
    assert np.isfinite(algo.rewards.stat.std).all()
