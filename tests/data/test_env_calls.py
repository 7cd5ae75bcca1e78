"""Methods of environments that are called while training goes on, wherever the environments are."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from anyspace import A2C, PPO
from anyspace.data.env_calls import EnvCall, EnvCalls
from anyspace.data.environments import EnvSpec
from anyspace.data.sources import make_source
from anyspace.errors import ConfigError, EnvironmentSetupError


class Level(gym.Env[Any, Any]):
    """Pays its level for each of two steps."""

    observation_space = gym.spaces.Box(-1, 1, (1,))
    action_space = gym.spaces.Discrete(2)
    level = 1.0
    fails = False

    def set_level(self, level: float, more: float = 0.0) -> None:
        self.level = level + more

    def fail(self) -> None:
        self.fails = True

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        if self.fails:
            raise ZeroDivisionError
        return np.zeros(1, np.float32), self.level, self.t == 2, False, {}


class Doubled(gym.Wrapper[Any, Any, Any, Any]):
    """Multiplies rewards, by a number that may be set."""

    factor = 2.0

    def set_factor(self, factor: float) -> None:
        self.factor = factor

    def step(self, action: Any) -> Any:
        obs, reward, *rest = self.env.step(action)
        return obs, self.factor * float(reward), *rest


class Levels(VectorEnv[Any, Any, Any]):
    """Two levels that are stepped at once."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012
    num_envs = 2
    single_observation_space, single_action_space = Level.observation_space, Level.action_space
    observation_space = gym.vector.utils.batch_space(single_observation_space, 2)
    action_space = gym.vector.utils.batch_space(single_action_space, 2)
    level = 1.0

    def set_level(self, level: float) -> None:
        self.level = level

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        return np.zeros((2, 1), np.float32), {}

    def step(self, actions: Any) -> Any:
        nobody = np.zeros(2, np.bool_)
        return np.zeros((2, 1), np.float32), np.full(2, self.level), nobody, nobody, {}


SETTINGS: dict[str, Any] = {
    "preset": "none",
    "seed": 0,
    "train_batch_size": 8,
    "num_envs_per_env_runner": 2,
    "model": {"fcnet_hiddens": [2]},
}


def rewards(algorithm: Any) -> set[float]:
    return set(np.unique(algorithm.fleet.gather(8).rewards).tolist())


PLACES: list[Any] = [
    pytest.param(lambda: (Level, {"vectorization": "sync"}), id="sync"),
    pytest.param(lambda: (Level, {"vectorization": "async"}), id="async"),
    pytest.param(lambda: (Level, {"fleet": "serial", "num_env_runners": 2}), id="workers"),
    pytest.param(lambda: (Level, {"fleet": "serial", "num_env_runners": 2, "vectorization": "async"}), id="both"),
    pytest.param(lambda: (SyncVectorEnv([Level] * 2), {}), id="given-sync"),
    pytest.param(lambda: (AsyncVectorEnv([Level] * 2), {}), id="given-async"),
    pytest.param(lambda: (Levels(), {}), id="given-native"),
]


@pytest.mark.parametrize("place", PLACES)
def test_every_environment_is_called_wherever_it_is(place: Any) -> None:
    env, more = place()
    with closing(A2C(env, **SETTINGS, **more)) as algorithm:
        before = rewards(algorithm)
        algorithm.call_envs("set_level", 5.0)
        first, second = rewards(algorithm), rewards(algorithm)
    # Where a vector environment spends a step on resets, the reward of that step is 0.
    assert [one - {0.0} for one in (before, first, second)] == [{1.0}, {5.0}, {5.0}]


def test_a_call_before_training_and_one_before_close_reach_environments_that_begin_later() -> None:
    with closing(A2C(Level, **SETTINGS)) as algorithm:
        algorithm.call_envs("set_level", 2.0, 1.0)
        assert rewards(algorithm) == {3.0}
        algorithm.close()
        assert rewards(algorithm) == {3.0}
        assert algorithm.evaluate(1)["episode_return_mean"] == 2.0, "evaluation plays environments as they are made"


def test_wrappers_are_called_and_what_lies_beneath_them() -> None:
    with closing(A2C(Level, wrappers=[Doubled], **SETTINGS)) as algorithm:
        algorithm.call_envs("set_factor", 3.0)
        algorithm.call_envs("set_level", 4.0)
        assert rewards(algorithm) == {12.0}


def test_processes_that_begin_anew_are_told_again() -> None:
    with closing(make_source(EnvSpec(Level), 2, "async")) as source:
        source.reset(0)
        source.call("set_level", (7.0,))
        source.envs.unwrapped.call("call", "fail", ())  # type: ignore[attr-defined]
        with pytest.raises(ZeroDivisionError):
            source.step(np.zeros(2, np.int64))
        source.call("set_level", (9.0,))  # while nothing runs
        source.reset()
        assert source.step(np.zeros(2, np.int64)).rewards.tolist() == [9.0, 9.0]


def test_the_latest_call_of_each_method_counts_and_the_order_is_that_of_the_calls() -> None:
    calls = EnvCalls()
    for method, number in (("a", 1), ("b", 2), ("a", 3)):
        calls.add(method, (number,))
    assert list(calls) == [EnvCall(2, "b", (2,)), EnvCall(3, "a", (3,))]


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            "set_levle",
            r"environment 0: call_envs\('set_levle'\): Level has no method of this name. Did you mean 'set_level'\?",
        ),
        ("level", r"environment 0: call_envs\('level'\): Level\.level is 1\.0 .* Give Level a method that sets it"),
    ],
)
@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_what_is_no_method_is_refused(method: str, message: str, vectorization: str) -> None:
    with closing(A2C(Level, **SETTINGS, vectorization=vectorization)) as algorithm:
        with pytest.raises(EnvironmentSetupError, match=message):
            algorithm.call_envs(method, 2)
        assert rewards(algorithm) == {1.0}, "a call that failed is not made again"


@pytest.mark.parametrize("method", ["reset", "step", "close", "_private"])
def test_methods_that_training_calls_itself_are_refused(method: str) -> None:
    with closing(PPO(Level, **SETTINGS)) as algorithm, pytest.raises(ConfigError, match="methods of your own"):
        algorithm.call_envs(method)


def test_workers_that_take_the_place_of_others_are_told_again() -> None:
    with closing(A2C(Level, **SETTINGS, fleet="serial", num_env_runners=2)) as algorithm:
        algorithm.call_envs("set_level", 5.0)
        assert rewards(algorithm) == {5.0}
        dispatcher = algorithm.fleet._dispatcher  # type: ignore[attr-defined]
        dispatcher._replace(dispatcher._slots[0], "for this test")
        assert rewards(algorithm) == {5.0}
