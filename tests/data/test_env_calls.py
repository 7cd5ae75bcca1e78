"""Methods of environments that are called while training goes on, wherever the environments are."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper

from anyspace import A2C, BC, PPO
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
        source.call("fail", ())
        with pytest.raises(ZeroDivisionError):
            source.step(np.zeros(2, np.int64))
        source.call("set_level", (9.0,))  # while nothing runs
        source.envs.unwrapped._told.pop("fail")  # type: ignore[attr-defined]
        source.reset()
        assert source.step(np.zeros(2, np.int64)).rewards.tolist() == [9.0, 9.0]


def test_the_latest_call_of_each_method_counts_and_the_order_is_that_of_the_calls() -> None:
    calls = EnvCalls()
    for method, number in (("a", 1), ("b", 2), ("a", 3)):
        calls.add(method, (number,))
    assert list(calls) == [EnvCall(2, "b", (2,)), EnvCall(3, "a", (3,))]
    calls.forget(3)
    assert list(calls) == [EnvCall(1, "a", (1,)), EnvCall(2, "b", (2,))], "of a call that failed, the one before counts"
    calls.forget(2)
    assert list(calls) == [EnvCall(1, "a", (1,))]


class Reborn(Level):
    """Can be called only after a reset."""

    def use(self) -> None:
        self.t += 0


def test_a_call_that_fails_for_environments_made_anew_is_not_made_again() -> None:
    with closing(A2C(Reborn, **SETTINGS, vectorization="async")) as algorithm:
        rewards(algorithm)
        algorithm.call_envs("use")
        algorithm.fleet.collector.source.call("fail", ())  # type: ignore[attr-defined]
        with pytest.raises(ZeroDivisionError):
            rewards(algorithm)
        for _ in ("use", "fail"):  # both are told to the new environments, of which neither can be used
            with pytest.raises((EnvironmentSetupError, ZeroDivisionError)):
                rewards(algorithm)
        algorithm.close()
        with pytest.raises(EnvironmentSetupError, match=r"call_envs\('use'\): AttributeError"):
            rewards(algorithm)
        assert rewards(algorithm) == {1.0}


WORKERS: dict[str, Any] = {"fleet": "serial", "num_env_runners": 2}
WRONG: list[Any] = [
    ("set_levle", (2,), r"call_envs\('set_levle'\): Level has no method of this name. Did you mean 'set_level'\?"),
    ("level", (2,), r"call_envs\('level'\): Level\.level is 3\.0 .* Give Level a method that sets it"),
    ("set_level", (), r"call_envs\('set_level'\): TypeError: .*missing 1 required positional argument"),
    ("set_level", (1, 2, 3), r"call_envs\('set_level'\): TypeError: .*takes from 2 to 3"),
]


def collect_told(algorithm: Any, method: str, arguments: Any) -> None:
    """Call a method and collect, for the error of workers comes then."""
    algorithm.call_envs(method, *arguments)
    algorithm.fleet.gather(8)


@pytest.mark.parametrize(("method", "arguments", "message"), WRONG)
@pytest.mark.parametrize("more", [{"vectorization": "sync"}, {"vectorization": "async"}, WORKERS], ids=str)
def test_a_call_that_fails_is_told_and_not_made_again(
    method: str, arguments: Any, message: str, more: dict[str, Any]
) -> None:
    with closing(A2C(Level, **SETTINGS, **more)) as algorithm:
        algorithm.call_envs("set_level", 3)
        assert rewards(algorithm) == {3.0}
        with pytest.raises(EnvironmentSetupError, match=f"environment 0: {message}"):
            collect_told(algorithm, method, arguments)
        assert rewards(algorithm) == {3.0}
        algorithm.close()
        assert rewards(algorithm) == {3.0}
        algorithm.call_envs("set_level", 4)
        assert rewards(algorithm) == {4.0}


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("reset", (), "Gymnasium's own methods are called by training. Call a method of your own"),
        ("step_wait", (), "Gymnasium's own methods"),
        ("_private", (), "the name is private"),
        (3, (), r"takes the name of a method, such as 'set_level', not 3"),
        ("set_level", (lambda: 0,), "cannot be copied by pickle"),
    ],
)
def test_what_cannot_be_called_is_refused(method: Any, arguments: Any, message: str) -> None:
    with closing(PPO(Level, **SETTINGS)) as algorithm, pytest.raises(ConfigError, match=message):
        algorithm.call_envs(method, *arguments)


def test_arguments_are_copied() -> None:
    level = np.array(3.0)
    with closing(A2C(Level, **SETTINGS, **WORKERS)) as algorithm:
        algorithm.call_envs("set_level", level)
        level += 6
        assert rewards(algorithm) == {3.0}


def test_where_no_environment_is_stepped_nothing_can_be_called(tmp_path: Path) -> None:
    A2C(Level, **SETTINGS, output=str(tmp_path)).train()
    with (
        closing(BC(input=str(tmp_path), seed=0)) as offline,
        pytest.raises(ConfigError, match="no environment is step"),
    ):
        offline.call_envs("set_level", 3)
    exact = A2C(Level, **SETTINGS, exact_resume=True)
    with closing(exact), pytest.raises(ConfigError, match="checkpoints do not hold what environments were told"):
        exact.call_envs("set_level", 3)


def test_workers_that_take_the_place_of_others_are_told_again() -> None:
    with closing(A2C(Level, **SETTINGS, **WORKERS)) as algorithm:
        algorithm.call_envs("set_level", 5.0)
        assert rewards(algorithm) == {5.0}
        dispatcher = algorithm.fleet._dispatcher  # type: ignore[attr-defined]
        dispatcher._replace(dispatcher._slots[0], "for this test")
        assert rewards(algorithm) == {5.0}


class Sleeps(Level):
    def sleep(self) -> None:
        time.sleep(60)


def test_a_method_that_hangs_is_named() -> None:
    settings = {**SETTINGS, "vectorization": "async", "env_timeout_s": 0.5}
    with closing(A2C(Sleeps, **settings)) as algorithm:
        rewards(algorithm)
        with pytest.raises(EnvironmentSetupError, match=r"environment \d: call_envs\('sleep'\) has not returned"):
            algorithm.call_envs("sleep")
        assert rewards(algorithm) == {1.0}


class TwoAtOnce(VectorWrapper):
    def set_both(self, level: float) -> None:
        for env in self.env.envs:  # type: ignore[attr-defined]
            env.unwrapped.set_level(level)


def test_wrappers_of_vector_environments_are_called() -> None:
    with closing(A2C(TwoAtOnce(SyncVectorEnv([Level] * 2)), **SETTINGS)) as algorithm:
        algorithm.call_envs("set_both", 6.0)
        assert rewards(algorithm) - {0.0} == {6.0}
