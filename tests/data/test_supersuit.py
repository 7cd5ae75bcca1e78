"""SuperSuit's vector environments, by its interface, and the real ones where the packages are installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import VectorEnv

from anyspace import PPO
from anyspace.data.supersuit import adapted
from anyspace.data.vector import VectorSource
from anyspace.errors import EnvironmentSetupError

SMALL = {"train_batch_size": 12, "minibatch_size": 6, "num_epochs": 1, "seed": 0}


class Duel(VectorEnv[Any, Any, Any]):
    """Two agents, games of three steps, as SuperSuit hands them over; ``first`` ends one of them earlier."""

    __module__ = "supersuit.vector.duel"

    def __init__(self, first: int | None = None):
        self.num_envs, self.metadata = 2, {}
        self.observation_space, self.action_space = Box(-9, 9, (1,)), Discrete(2)
        self.first, self.t, self.game = first, 0, 0

    def reset(self, seed: Any = None, options: Any = None) -> Any:
        self.t, self.game = 0, self.game + 1
        return self._obs(), [{}, {}]  # type: ignore[return-value]

    def step(self, actions: Any) -> Any:
        self.t += 1
        infos: list[Any] = [{"t": self.t}, {"t": self.t}]
        ends = np.array([self.t == 3, self.t == 3 or self.t == self.first], np.uint8)
        obs = self._obs()
        if self.t == 3:
            for info, last in zip(infos, self._obs(), strict=True):
                info["terminal_observation"] = last
            obs, _ = self.reset()
        return obs, np.ones(2, np.float32), ends, np.zeros(2, np.uint8), infos

    def _obs(self) -> Any:
        return np.full((2, 1), self.t, np.float32)


def test_last_observations_and_infos_are_those_of_the_game_that_ended() -> None:
    source = VectorSource(Duel())
    assert (source.observation_space, source.action_space, source.num_envs) == (Box(-9, 9, (1,)), Discrete(2), 2)
    source.reset(0)
    steps = [source.step(np.zeros(2, np.int64)) for _ in range(4)]
    assert steps[1].infos["t"].tolist() == [2, 2]
    assert steps[2].terminated.tolist() == [True, True]
    np.testing.assert_array_equal(steps[2].final_obs, [[3], [3]])
    np.testing.assert_array_equal(steps[2].obs, [[0], [0]])
    assert steps[2].infos["final_info"]["t"].tolist() == [3, 3]
    np.testing.assert_array_equal(steps[3].obs, [[1], [1]])


def test_it_trains_and_evaluates() -> None:
    algo = PPO(Duel(), {**SMALL, "num_envs_per_env_runner": 2})
    result = algo.train()
    assert (result["episode_return_mean"], result["episode"]["t"]) == (3.0, 3.0)
    assert algo.evaluate(2)["episode_return_mean"] == 3.0


def test_an_agent_that_is_out_before_the_others_is_refused() -> None:
    with pytest.raises(EnvironmentSetupError, match="step 2, environment 1: its agent's episode ended while those of"):
        PPO(Duel(first=2), {**SMALL, "num_envs_per_env_runner": 2}).train()


def test_other_vector_environments_are_left_as_they_are() -> None:
    class Plain(Duel):
        __module__ = "mine"

    for kind in Plain.__mro__:
        if kind is Duel:
            kind.__module__ = "mine"
    try:
        envs = Plain()
        assert adapted(envs) is envs
    finally:
        Duel.__module__ = "supersuit.vector.duel"


@pytest.mark.filterwarnings("ignore")
def test_the_real_one() -> None:
    supersuit, rps = pytest.importorskip("supersuit"), pytest.importorskip("pettingzoo.classic.rps_v2")
    envs = supersuit.pettingzoo_env_to_vec_env_v1(rps.parallel_env(max_cycles=5))
    envs = supersuit.concat_vec_envs_v1(envs, 2, base_class="gymnasium")
    algo = PPO(envs, {**SMALL, "num_envs_per_env_runner": 4, "train_batch_size": 80, "minibatch_size": 40})
    result = algo.train()
    assert (result["episode_len_mean"], result["episode_return_mean"]) == (5.0, 0.0)
    assert algo.evaluate(4)["episode_len_mean"] == 5.0
    for env in (rps.env(), rps.parallel_env()):
        with pytest.raises(EnvironmentSetupError, match=r"several agents.*supersuit"):
            PPO(env)
