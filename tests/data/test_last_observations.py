"""Last observations that are the next episodes' first ones."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from anyspace.data.collector import Collector
from anyspace.data.env_check import check_env
from anyspace.data.environments import EnvSpec
from anyspace.data.last_observations import ENOUGH, FIRST_AS_LAST, LastObservations, first_as_last
from anyspace.data.sources import make_source
from anyspace.models import ModelConfig
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.config import PolicyConfig
from anyspace.policy.policy import Policy


class OneArray(gym.Env[Any, Any]):
    """Counts to two, in an array that it returns each time."""

    observation_space, action_space = Box(0, 2, (1,)), Discrete(2)

    def __init__(self) -> None:
        self.t = np.zeros(1, np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t[:] = 0
        return self.t, {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return self.t, 0.0, False, bool(self.t[0] == 2), {}


class Copies(OneArray):
    def step(self, action: Any) -> Any:
        obs, *rest = super().step(action)
        return obs.copy(), *rest


class Bandit(OneArray):
    def step(self, action: Any) -> Any:
        return self.t, 0.0, True, False, {}


def test_every_part_of_an_observation_counts() -> None:
    final, leaves = [np.array([[0], [5]]), np.array([7, 8])], [np.array([[1], [0], [5]]), np.array([6, 7, 9])]
    seen = [np.zeros((3, 1)), np.zeros(3)]
    assert first_as_last(final, seen, leaves, np.array([1, 2])) == [True, False]


def test_an_end_without_another_observation_tells_nothing() -> None:
    unknown, one, other = (np.full((1, 1), number) for number in (np.nan, 1, 2))
    for same in (unknown, one):
        assert first_as_last([same], [same], [same], np.array([0])) == []
    assert first_as_last([unknown], [one], [unknown], np.array([0])) == [True]
    assert first_as_last([one], [one], [other], np.array([0])) == [False]


def test_one_that_differs_is_enough(caplog: pytest.LogCaptureFixture) -> None:
    same, other, seen = [np.zeros((1, 2))], [np.ones((1, 2))], [np.full((1, 2), 2)]
    for ends, told in (([same] * (ENOUGH + 2), 1), ([same] * (ENOUGH - 1), 0), ([same, other, *[same] * ENOUGH], 0)):
        caplog.clear()
        last = LastObservations(SyncVectorEnv([OneArray]), watches=True)
        for final in ends:
            last.look(final, seen, same, np.array([0]))
        assert caplog.messages == [FIRST_AS_LAST] * told


@pytest.mark.parametrize(
    ("kind", "env", "told"),
    [
        (AsyncVectorEnv, OneArray, 1),
        (partial(AsyncVectorEnv, copy=False), OneArray, 1),
        (AsyncVectorEnv, Copies, 0),
        (SyncVectorEnv, OneArray, 0),
        (AsyncVectorEnv, Bandit, 0),
    ],
    ids=["lost", "lost beside shared memory", "copied", "copied here", "one observation"],
)
def test_lost_last_observations_are_told(kind: Any, env: Any, told: int, caplog: pytest.LogCaptureFixture) -> None:
    """In training once, however often collecting starts anew, and by a check."""
    config = PolicyConfig(model=ModelConfig(fcnet_hiddens=[4]))
    policy = Policy(OneArray.observation_space, OneArray.action_space, config, TorchRuntime("cpu"))
    with closing(kind([env] * 2, autoreset_mode=AutoresetMode.SAME_STEP)) as envs:
        source = make_source(EnvSpec(envs), 2)
        for _ in range(2):
            Collector(source, policy).gather(8)
        assert caplog.messages == [FIRST_AS_LAST] * told
        findings = check_env(envs, steps=40).findings
    assert [one.what for one in findings] == [FIRST_AS_LAST] * told
