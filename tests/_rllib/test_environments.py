"""Contexts and wrappers of environments, and environments of dm_env."""

from __future__ import annotations

import logging
import sys
from types import ModuleType, SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

from anyspace._rllib import environments
from anyspace._rllib.environments import (
    DMCEnv,
    DMEnv,
    FrameStackTrajectoryView,
    MonitorEnv,
    ResetOnExceptionWrapper,
    TaskSettableEnv,
    TooManyResetAttemptsException,
    get_wrapper_by_cls,
    is_atari,
    wrap_atari_for_new_api_stack,
)
from anyspace.data.env_context import EnvContext
from anyspace.errors import EnvironmentSetupError


class Pictures(gym.Env):
    observation_space, action_space = Box(0, 255, (4, 4, 1), np.uint8), Discrete(2)
    broken: tuple[str, ...] = ()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if "reset" in self.broken:
            raise RuntimeError("reset")
        self.t = 0
        return np.zeros((4, 4, 1), np.uint8), {}

    def step(self, action):
        if "step" in self.broken:
            raise RuntimeError("step")
        self.t += 1
        return np.full((4, 4, 1), self.t, np.uint8), 0.5 * self.t, self.t == 3, False, {}


def test_contexts():
    context = EnvContext({"size": 5}, 2, num_workers=3)
    copy = context.copy_with_overrides(worker_index=0, env_config={"size": 6})
    assert (copy["size"], copy.worker_index, copy.num_workers, context["size"]) == (6, 0, 3, 5)
    assert context.copy_with_overrides(remote=True) == context
    context.set_defaults({"size": 9, "name": "x"})
    assert context == {"size": 5, "name": "x"}
    assert str(context).endswith("worker=2/3, vector_idx=0, remote=False}")


def test_tasks_are_the_environments_own():
    class Bare(TaskSettableEnv):
        pass

    for method, arguments in (("sample_tasks", (2,)), ("set_task", (1,)), ("get_task", ())):
        with pytest.raises(NotImplementedError, match=rf"Bare must implement {method}\(\)"):
            getattr(Bare(), method)(*arguments)


def test_exceptions_truncate(caplog):
    env = ResetOnExceptionWrapper(Pictures(), max_reset_attempts=2)
    env.reset(seed=0)
    assert env.step(0)[1] == 0.5
    env.unwrapped.broken = ("step",)
    with caplog.at_level(logging.ERROR, logger=environments.__name__):
        obs, reward, terminated, truncated, info = env.step(0)
    assert (obs.sum(), reward, terminated, truncated, info["__terminated__"]) == (0, 0.0, False, True, True)
    assert "its episode is truncated" in caplog.text
    env.unwrapped.broken = ("reset",)
    with pytest.raises(TooManyResetAttemptsException, match="in 2 attempts"):
        env.reset()


def test_monitors_tell_each_episode_once():
    env = MonitorEnv(Pictures())
    for _ in range(2):
        env.reset()
        for _ in range(3):
            env.step(0)
    env.reset()
    assert list(env.next_episode_results()) == [(3.0, 3), (3.0, 3)]
    assert list(env.next_episode_results()) == []
    assert (env.get_episode_rewards(), env.get_episode_lengths(), env.get_total_steps()) == ([3.0] * 2, [3] * 2, 6)


def test_pictures_without_channels():
    env = FrameStackTrajectoryView(Pictures())
    assert env.observation_space == Box(0, 255, (4, 4), np.uint8)
    assert env.reset()[0].shape == (4, 4)
    with pytest.raises(AssertionError, match=r"\[H, W, 1\]"):
        FrameStackTrajectoryView(gym.make("CartPole-v1"))


def test_wrappers_are_found():
    inner = MonitorEnv(Pictures())
    env = gym.wrappers.TimeLimit(inner, 5)
    assert get_wrapper_by_cls(env, MonitorEnv) is inner
    assert get_wrapper_by_cls(env, Pictures) is inner.env
    assert get_wrapper_by_cls(env, gym.wrappers.NormalizeReward) is None


def test_atari_by_id_and_the_newer_wrappers():
    pytest.importorskip("ale_py")
    assert is_atari("ALE/Pong-v5")
    assert not is_atari("CartPole-v1")
    with gym.make("ALE/Breakout-v5", frameskip=1) as env:
        assert is_atari(env)
        wrapped = wrap_atari_for_new_api_stack(env, dim=32, framestack=3)
        obs, _ = wrapped.reset(seed=0)
        assert obs.shape == wrapped.observation_space.shape == (32, 32, 3)
        assert -1 <= obs.min() < obs.max() <= 1
        assert wrap_atari_for_new_api_stack(env, frameskip=1).observation_space.shape == (64, 64, 1)


# ------------------------------------------------------------------------------------------------ dm_env


class Step(SimpleNamespace):
    def last(self):
        return self.ends


class Task:
    """An environment with dm_env's methods; it ends in the third step."""

    def __init__(self, discount=1.0):
        self.discount, self.taken = discount, []
        self.physics = SimpleNamespace(
            render=lambda height, width, camera_id: np.full((height, width, 3), 255, np.uint8)
        )

    def action_spec(self):
        return SimpleNamespace(
            shape=(2,), dtype=np.float64, minimum=np.array([-2.0, 0.0]), maximum=np.array([2.0, 4.0])
        )

    def observation_spec(self):
        return {
            "place": SimpleNamespace(shape=(2,), dtype=np.float64),
            "room": SimpleNamespace(shape=(), dtype=np.int64, num_values=5),
        }

    def reset(self):
        self.t = 0
        return Step(observation=self._seen(), reward=None, discount=None, ends=False)

    def step(self, action):
        self.t += 1
        self.taken.append(action)
        ends = self.t == 3
        return Step(observation=self._seen(), reward=0.5, discount=self.discount if ends else 1.0, ends=ends)

    def _render(self, height, width, camera_id):
        return np.full((height, width, 3), 255, np.uint8)

    def _seen(self):
        return {"place": np.array([self.t, 0.5]), "room": self.t}


def test_specs_are_spaces():
    env = DMEnv(Task())
    assert env.action_space == Box(np.array([-2.0, 0.0]), np.array([2.0, 4.0]), dtype=np.float64)
    place = Box(-np.inf, np.inf, (2,), np.float64)
    assert env.observation_space == Dict({"place": place, "room": Discrete(5)})
    assert env.observation_space.contains({**env.reset(seed=0)[0], "room": 0})


@pytest.mark.parametrize(("discount", "ends"), [(1.0, (False, True)), (0.0, (True, False)), (None, (False, True))])
def test_an_end_with_a_discount_is_a_truncation(discount, ends):
    env = DMEnv(Task(discount))
    env.reset()
    results = [env.step(np.zeros(2)) for _ in range(3)]
    assert [result[2:4] for result in results] == [(False, False), (False, False), ends]
    assert results[0][1] == 0.5


class RandomTask(Task):
    """Its episodes begin where its source says."""

    def __init__(self, place):
        super().__init__()
        self.source = np.random.RandomState()
        if place == "random_state":
            self.random_state = self.source
        elif place == "task":
            self.task = SimpleNamespace(random=self.source)

    def _seen(self):
        return {"place": self.source.uniform(size=2), "room": 0}


@pytest.mark.parametrize("place", ["random_state", "task"])
def test_a_seed_gives_the_same_episode_again(place):
    begins = [DMEnv(RandomTask(place)).reset(seed=seed)[0]["place"].tolist() for seed in (2**40, 2**40, 0)]
    assert begins[0] == begins[1] != begins[2]


def test_a_seed_without_a_source_is_warned_of_once(caplog):
    env = DMEnv(RandomTask(None))
    env.reset()
    assert not caplog.records
    env.reset(seed=0)
    env.reset(seed=1)
    assert [record.message for record in caplog.records] == [
        "DMEnv: RandomTask has neither `random_state` nor `task.random`, NumPy's RandomState, so that its episodes do"
        " not depend on the seed. Give it one."
    ]


def test_a_seed_reaches_the_tasks_of_the_suite(suite, monkeypatch):
    monkeypatch.setattr(sys.modules["dm_control.suite"], "load", lambda **arguments: RandomTask("task"))
    begins = [DMCEnv("cartpole", "swingup").reset(seed=seed)[0].tolist() for seed in (1, 1, 2)]
    assert begins[0] == begins[1] != begins[2]


@pytest.fixture
def suite(monkeypatch):
    module = ModuleType("dm_control.suite")
    module.load = lambda **arguments: Task()
    package = ModuleType("dm_control")
    package.suite = module
    monkeypatch.setitem(sys.modules, "dm_control", package)
    monkeypatch.setitem(sys.modules, "dm_control.suite", module)


def test_tasks_of_the_suite(suite):
    env = DMCEnv("cartpole", "swingup", frame_skip=2)
    assert env.action_space == Box(-1, 1, (2,))
    obs, _ = env.reset(seed=0)
    np.testing.assert_array_equal(obs, np.float32([0, 0.5, 0]))
    obs, reward, terminated, truncated, _ = env.step(np.array([1.0, 0.0]))
    assert (reward, terminated, truncated) == (1.0, False, False)
    np.testing.assert_array_equal(env._env.taken[0], [2.0, 2.0])
    assert env.step(np.zeros(2))[1:4] == (0.5, False, True)


@pytest.mark.parametrize(
    ("options", "shape", "dtype", "value"),
    [
        ({}, (3, 8, 6), np.float32, 0.5),
        ({"channels_first": False}, (8, 6, 3), np.float32, 0.5),
        ({"preprocess": False}, (3, 8, 6), np.uint8, 255),
    ],
)
def test_pictures_of_the_suite(suite, options, shape, dtype, value):
    env = DMCEnv("cartpole", "swingup", from_pixels=True, height=8, width=6, **options)
    obs, _ = env.reset()
    assert (obs.shape, obs.dtype) == (shape, dtype)
    assert (obs == value).all()
    assert env.observation_space.contains(obs)


def test_the_suite_may_be_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "dm_control", None)
    with pytest.raises(EnvironmentSetupError, match="pip install dm_control"):
        DMCEnv("cartpole", "swingup")
