"""Files of the old stack that import much beside its base classes (tests/rllib_files): they load and train."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, Tuple

from anyspace import Algorithm
from anyspace.errors import ConfigError, EnvironmentSetupError
from anyspace.models import catalog
from anyspace.rllib.algorithms.ppo import PPO
from anyspace.rllib.models import ModelCatalog
from anyspace.rllib.utils.spaces.repeated import Repeated
from tests.rllib_files.count_preprocessor import Counted, plain_features
from tests.rllib_files.gated_memory import TorchGatedModel
from tests.rllib_files.house_env import House, TwoAgentHouse, make_shaky
from tests.rllib_files.nested_dist import TorchCautiousActions, by_hand

SMALL: dict[str, Any] = {"train_batch_size": 64, "minibatch_size": 32, "num_epochs": 1, "seed": 0}


def trained(env: Any, config: dict[str, Any]) -> dict[str, Any]:
    with closing(PPO(env=env, config={**SMALL, **config})) as algorithm:
        return algorithm.train()["learner"]


@pytest.mark.parametrize("time_major", [False, True])
def test_a_gated_memory_in_an_environment_by_its_dotted_name(time_major, tmp_path):
    model = {"custom_model": TorchGatedModel, "max_seq_len": 5, "_time_major": time_major}
    model["custom_model_config"] = {"cell_size": 8}
    env = "tests.rllib_files.house_env.House"
    config = {**SMALL, "model": model, "env_config": {"rooms": 3}, "num_envs_per_env_runner": 2}
    with closing(PPO(env=env, config=config)) as algorithm:
        result = algorithm.train()["learner"]
        assert np.isfinite(result["policy_loss"])
        assert result["model"]["smooth"] > 0
        saved = algorithm.save(tmp_path)
    # What is saved names the module and the class apart, as every other way to name code does.
    with closing(Algorithm.load(saved, env=House, config={"model": {"custom_model": TorchGatedModel}})) as loaded:
        assert loaded.policy.observation_space["room"] == Discrete(3)


def test_a_dotted_name_that_is_none_explains_itself():
    with pytest.raises(EnvironmentSetupError, match=r"'tests\.rllib_files\.house_env:Houses' cannot be imported"):
        PPO(env="tests.rllib_files.house_env.Houses")
    with pytest.raises(NotImplementedError, match=r"TwoAgentHouse .*several agents"):
        PPO(env=TwoAgentHouse)
    with pytest.raises(EnvironmentSetupError, match="two rooms"):
        PPO(env=House, config={"env_config": {"rooms": 1}})


def test_an_environment_that_fails_now_and_then(caplog):
    result = trained(make_shaky, {"env_config": {"rooms": 3}, "train_batch_size": 128})
    assert np.isfinite(result["policy_loss"])
    assert "its episode is truncated" in caplog.text


class Things(gym.Env):
    """Observes a list of things."""

    observation_space = Dict(
        {"rest": Dict({"a": Discrete(3), "b": Box(-1, 1, (2,))}), "things": Repeated(Discrete(4), 5)}
    )
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._seen(), {}

    def step(self, action):
        self.t += 1
        return self._seen(), 1.0, False, self.t == 6, {}

    def _seen(self):
        things = self.np_random.integers(4, size=self.np_random.integers(1, 6))
        return {"rest": {"a": int(things[0] % 3), "b": np.float32([0.5, -0.5])}, "things": list(map(int, things))}


def test_a_preprocessor_of_ones_own_in_a_wrapper():
    seen = Counted(Things()).reset(seed=0)[0]
    assert seen.shape == (4 + 3 + 2,)
    assert seen[:4].sum() == pytest.approx(1)
    assert np.isfinite(trained(Things, {"wrappers": [Counted]})["policy_loss"])
    rest = gym.wrappers.TransformObservation(Things(), lambda obs: obs["rest"], Things.observation_space["rest"])
    ours, by_hand_too = plain_features(rest, {"a": 2, "b": np.float32([0.5, -0.5])})
    np.testing.assert_array_equal(ours, [0, 0, 1, 0.5, -0.5])
    np.testing.assert_array_equal(ours, by_hand_too)


def test_preprocessors_cannot_be_registered():
    with pytest.raises(ConfigError, match=r"'counts' cannot be registered.*wrappers"):
        ModelCatalog.register_custom_preprocessor("counts", Counted)


ACTIONS = Dict({"move": Box(-1, 1, (2,)), "say": Tuple([Discrete(3), Discrete(2)])})


class Talker(gym.Env):
    """Takes nested actions."""

    observation_space, action_space = Box(-1, 1, (3,)), ACTIONS

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        assert ACTIONS.contains(action)
        self.t += 1
        return self.observation_space.sample(), 1.0, False, self.t == 8, {}


def test_a_distribution_that_looks_into_its_children(monkeypatch):
    monkeypatch.setattr(catalog.action_dists, "_registered", {})
    ModelCatalog.register_custom_action_dist(action_dist_name="cautious", action_dist_class=TorchCautiousActions)
    result = trained(Talker, {"model": {"custom_action_dist": "cautious"}, "entropy_coeff": 0.01})
    assert result["ratio_error"] < 1e-5
    dist, ends = by_hand(ACTIONS, np.random.default_rng(0).normal(size=(4, 9)).astype(np.float32))
    assert ends.tolist() == [4, 7, 9]
    assert dist.input_lens == [4, 3, 2]
    actions = dist.sample()
    leaves = [actions["move"], *actions["say"]]
    assert all(isinstance(leaf, torch.Tensor) for leaf in leaves)
    torch.testing.assert_close(dist.logp(leaves), dist.logp(actions))
    flat = torch.cat([leaf.reshape(4, -1).float() for leaf in leaves], dim=1)
    torch.testing.assert_close(dist.logp(flat), dist.logp(actions))
    columns = [leaves[0], leaves[1][:, None], leaves[2][:, None]]
    torch.testing.assert_close(dist.logp(columns), dist.logp(actions))
    torch.testing.assert_close(dist.sampled_action_logp(), dist.logp(actions))


def test_nested_actions_by_the_key_at_the_top():
    config = {"_disable_action_flattening": True, "model": {"use_lstm": True, "lstm_use_prev_action": True}}
    with closing(PPO(env=Talker, config={**SMALL, **config})) as algorithm:
        assert algorithm.config.model._disable_action_flattening
        assert np.isfinite(algorithm.train()["learner"]["policy_loss"])
