"""Episodes that do not end: what is said, when, and what is known to end them."""

from __future__ import annotations

import logging
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv
from gymnasium.wrappers import TimeLimit

from anyspace.data.collector import Collector
from anyspace.data.endless import LONG_EPISODE, EndlessWatch, advice
from anyspace.data.environments import EnvSpec
from anyspace.data.sources import make_source
from anyspace.data.vector import VectorSource
from tests.support.environments import Script
from tests.support.scripted import known_policy


def limited(env: Any) -> Any:
    return TimeLimit(env, 7)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (EnvSpec("CartPole-v1"), True),
        (EnvSpec("CartPole-v1", {"max_episode_steps": -1}), False),
        (EnvSpec(Script), False),
        (EnvSpec(Script, wrappers=(limited,)), True),
        (EnvSpec(gym.vector.SyncVectorEnv([lambda: Script()])), False),
        (EnvSpec(gym.vector.SyncVectorEnv([lambda: limited(Script())])), True),
    ],
    ids=["id", "id without its limit", "class", "wrapper", "vector", "vector of limited ones"],
)
def test_limits_are_known(spec: EnvSpec, expected: bool) -> None:
    source = make_source(spec, 1, "sync")
    assert source.is_limited is expected
    source.close()


def test_the_limit_of_a_native_vector_environment_is_known() -> None:
    assert make_source(EnvSpec("CartPole-v1"), 1, "native").is_limited


def test_ids_are_told_apart() -> None:
    assert EnvSpec("CartPole-v1").is_id
    assert not EnvSpec("tests.support.environments:Script").is_id
    assert not EnvSpec(Script).is_id


def test_advice_fits_how_the_environment_was_named() -> None:
    assert "--env-config '{\"max_episode_steps\": 1000}'" in advice(EnvSpec("CartPole-v1"))
    assert "--wrappers your_module:limited" in advice(EnvSpec(Script))
    assert "each environment of the vector" in advice(EnvSpec(SyncVectorEnv([Script])))


def test_the_word_comes_once_and_not_where_a_limit_is_known(caplog: pytest.LogCaptureFixture) -> None:
    watch, silent = EndlessWatch(EnvSpec(Script), limited=False), EndlessWatch(EnvSpec(Script), limited=True)
    with caplog.at_level(logging.WARNING, "anyspace"):
        for longest in (0, LONG_EPISODE - 1):
            watch(longest)
        assert not caplog.messages
        for longest in (LONG_EPISODE, LONG_EPISODE + 5):
            watch(longest)
            silent(longest)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("Script: an episode has not ended after 10,000 steps.")


def test_collecting_tells_the_length_of_the_longest_episode_under_way() -> None:
    told: list[int] = []
    ends = [(5, "terminated"), (10**6, "terminated")]
    source = VectorSource(SyncVectorEnv([lambda: Script(0, ends), lambda: Script(1, [(3, "truncated")])]))
    collector = Collector(source, known_policy(), watch=told.append)
    for steps in (4, 4, 4):
        collector.gather(steps)
    # The second step of each reset is spent on it: the mode is NEXT_STEP.
    assert told == [4, 2, 6]


def test_whole_episodes_are_watched_while_they_are_waited_for() -> None:
    told: list[int] = []
    source = VectorSource(SyncVectorEnv([lambda: Script(0, [(40, "terminated")])]))
    trajectory = Collector(source, known_policy(), watch=told.append).gather_episodes(10)
    assert told[:3] == [1, 2, 3]
    assert max(told) >= 30
    assert np.count_nonzero(trajectory.valid) == 40
