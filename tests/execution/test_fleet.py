from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from anyspace import IMPALA, PPO
from anyspace.data.collector import Collector
from anyspace.data.env_context import EnvContext
from anyspace.data.environments import EnvSpec
from anyspace.data.sources import make_source
from anyspace.execution.fleet import LocalFleet
from anyspace.models import ModelConfig
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.config import PolicyConfig
from anyspace.policy.policy import Policy
from tests.support.environments import Script
from tests.support.scripted import collector, known_policy


@pytest.mark.parametrize(
    ("steps", "fragment", "shape"),
    [(12, None, (4, 3)), (13, None, (5, 3)), (1, None, (1, 3)), (12, 4, (4, 3)), (13, 4, (4, 6)), (24, 2, (2, 12))],
)
def test_fragments_side_by_side(steps: int, fragment: int | None, shape: tuple[int, int]) -> None:
    fleet = LocalFleet(collector(AutoresetMode.SAME_STEP), fragment=fragment, whole_episodes=False, explore=False)
    trajectory = fleet.gather(steps)
    assert trajectory.valid.shape == shape
    assert trajectory.num_steps >= steps
    # Each fragment goes on where the one beside it stopped.
    for left in range(shape[1] - 3):
        np.testing.assert_array_equal(trajectory.obs[0][-1, left], trajectory.obs[0][0, left + 3])


def test_whole_episodes() -> None:
    fleet = LocalFleet(collector(AutoresetMode.SAME_STEP), fragment=2, whole_episodes=True, explore=False)
    trajectory = fleet.gather(10)
    assert trajectory.num_steps == sum(episode.length for episode in trajectory.episodes) >= 10


def test_it_acts_with_the_weights_it_is_given() -> None:
    """It is built with the learner's policy, and acts with whatever weights that has when it is asked."""
    source = make_source(EnvSpec("CartPole-v1"), 2)
    settings = PolicyConfig(model=ModelConfig(fcnet_hiddens=[4]))
    mine, theirs = (
        Policy(source.observation_space, source.action_space, settings, TorchRuntime("cpu"), seed=seed)
        for seed in (0, 1)
    )
    fleet = LocalFleet(Collector(source, mine), fragment=None, whole_episodes=False, explore=False)
    fleet.restart(3)
    before = fleet.gather(100)
    mine.load_state(theirs.state())
    fleet.restart(3)
    after = fleet.gather(100)
    np.testing.assert_array_equal(before.obs[0][0], after.obs[0][0])
    twin = Collector(make_source(EnvSpec("CartPole-v1"), 2), theirs, seed=3).gather(50, explore=False)
    np.testing.assert_array_equal(after.actions, twin.actions)
    assert not np.array_equal(after.actions, before.actions)


def test_a_restart_begins_new_episodes_with_the_seed() -> None:
    source = make_source(EnvSpec("CartPole-v1"), 2)
    settings = PolicyConfig(model=ModelConfig(fcnet_hiddens=[4]))
    policy = Policy(source.observation_space, source.action_space, settings, TorchRuntime("cpu"))
    fleet = LocalFleet(Collector(source, policy), fragment=None, whole_episodes=False, explore=False)
    fleet.restart(5)
    first, goes_on = fleet.gather(6), fleet.gather(6)
    fleet.restart(5)
    again = fleet.gather(6)
    fleet.restart()
    other = fleet.gather(6)
    np.testing.assert_array_equal(first.obs[0], again.obs[0])
    assert not np.array_equal(first.obs[0][0], other.obs[0][0])
    np.testing.assert_array_equal(goes_on.obs[0][0], first.obs[0][-1])
    assert [one.begins.all() for one in (first, goes_on, again, other)] == [True, False, True, True]
    assert fleet.metrics() == {}


def test_exploring_is_up_to_the_fleet() -> None:
    """The known policy's choices are near even at first, so 60 samples cannot all be the deterministic ones."""
    for explore in (False, True):
        source = make_source(EnvSpec(Script, {"ends": ((1, "terminated"),)}), 3)
        fleet = LocalFleet(Collector(source, known_policy()), fragment=None, whole_episodes=False, explore=explore)
        assert bool(fleet.gather(60).actions.all()) is not explore


def test_closing_closes_the_environments() -> None:
    fleet = LocalFleet(collector(AutoresetMode.SAME_STEP), fragment=None, whole_episodes=False)
    fleet.close()
    assert fleet.collector.source.envs.closed


class Placed(gym.Env[Any, Any]):
    """Shows which environment it is: of which collecting process, and where in it."""

    observation_space = gym.spaces.Box(0, 9, (2,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, config: EnvContext):
        self.place = np.array([config.worker_index, config.vector_index], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.place, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.place, float(self.place[0]), True, False, {}


@pytest.mark.parametrize(("runners", "workers"), [(0, [0, 0]), (2, [1, 1, 2, 2])])
def test_environments_are_told_which_they_are(runners: int, workers: list[int]) -> None:
    settings = {"fleet": "serial"} if runners else {}
    settings |= {"num_env_runners": runners, "num_envs_per_env_runner": 2, "train_batch_size": 8}
    settings |= {"evaluation_num_env_runners": runners}
    with closing(PPO(Placed, settings)) as algorithm:
        shown = algorithm.fleet.gather(4).obs[0][0]
        assert algorithm.evaluate(len(workers))["returns"] == workers
    np.testing.assert_array_equal(shown, list(zip(workers, [0, 1] * len(workers), strict=False)))


def test_what_follows_dropped_steps_is_another_lane() -> None:
    """A lane goes on with the observation that it ended with, although fragments that are too old are dropped."""
    settings = {"num_env_runners": 1, "fleet": "serial", "max_requests_in_flight_per_env_runner": 2, "max_lag": 1}
    env = partial(Script, ends=((1000, "terminated"),))
    latest: dict[tuple[int, ...], Any] = {}
    with closing(IMPALA(env, settings, preset="none", rollout_fragment_length=4, train_batch_size=4)) as algorithm:
        for _ in range(4):
            trajectory = algorithm.fleet.gather(4)
            for b, lane in enumerate(map(tuple, trajectory.lanes.tolist())):
                (first, *_, last) = trajectory.obs[0][:, b]
                assert np.array_equal(latest.get(lane, first), first)
                latest[lane] = last
            algorithm.policy.version += 2
        assert algorithm.fleet.metrics()["stale"] > 0
        assert len(latest) == 4
