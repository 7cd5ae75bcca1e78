"""Data sets of Minari, made here by its own collector."""

from __future__ import annotations

from contextlib import closing

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Tuple

from anyspace import BC, MARWIL
from anyspace.data.offline.minari_episodes import MinariEpisodes
from anyspace.errors import ConfigError

minari = pytest.importorskip("minari")


class Task(gym.Env):
    """Episodes of 4 and 6 steps, of which the shorter ones end for good."""

    observation_space = Dict({"where": Box(-9, 9, (2,)), "kind": Discrete(3, start=2)})
    action_space = Tuple((Discrete(2, start=1), Box(-2, 6, (1,))))

    def __init__(self):
        self.episode = -1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.t = self.episode + 1, 0
        return self._seen(), {}

    def step(self, action):
        self.t += 1
        ended = self.episode % 2 == 0 and self.t == 4
        return self._seen(), float(self.t), ended, self.t == 6, {}

    def _seen(self):
        return {"where": np.full(2, self.t, np.float32), "kind": 2 + self.t % 3}


@pytest.fixture
def name(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    env = minari.DataCollector(Task())
    env.action_space.seed(1)
    for _ in range(3):
        env.reset(seed=1)
        over = False
        while not over:
            *_, terminated, truncated, _ = env.step(env.action_space.sample())
            over = terminated or truncated
    env.create_dataset("task/random-v0", algorithm_name="random")
    env.close()
    return "task/random-v0"


@pytest.mark.filterwarnings("ignore")
def test_episodes_are_read_in_random_order_without_end(name):
    source = MinariEpisodes(name, seed=1)
    assert source.spaces == (Task.observation_space, Task.action_space)
    found = [source.next() for _ in range(6)]
    assert {place for place, _ in found} == {f"minari:{name}, episode {number}" for number in range(3)}
    lengths = [len(columns["rewards"]) for _, columns in found]
    assert sorted(lengths[:3]) == sorted(lengths[3:]) == [4, 4, 6]
    for _, columns in found:
        np.testing.assert_array_equal(columns["obs"]["where"][1:], columns["new_obs"]["where"][:-1])
        assert columns["terminateds"][-1] == (len(columns["rewards"]) == 4)
    source.restart(1)
    assert source.next()[0] == found[0][0]


@pytest.mark.filterwarnings("ignore")
def test_algorithms_learn_from_them_without_an_environment(name):
    for kind in (BC, MARWIL):
        with closing(
            kind(input=f"minari:{name}", train_batch_size=10, model={"fcnet_hiddens": [4]}, seed=1)
        ) as algorithm:
            trajectory = algorithm.fleet.gather(14)
            first, second = trajectory.actions
            assert {*first.ravel().tolist()} <= {0, 1}
            assert np.abs(second).max() <= 1
            assert algorithm.train()["timesteps_this_iter"] >= 10


@pytest.mark.filterwarnings("ignore")
def test_a_data_set_that_is_not_there_is_named(name):
    with pytest.raises(ConfigError, match="no data set 'task/none-v0' of Minari on this machine"):
        MinariEpisodes("task/none-v0")
    with pytest.raises(
        ConfigError, match=r"which has task/random-v0\. Did you mean 'task/random-v0'\? `minari download`"
    ):
        MinariEpisodes("task/randon-v0")
