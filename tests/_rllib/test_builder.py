"""RLlib's builder of configurations as a thing to read, change in place, copy and check."""

from __future__ import annotations

import copy
import pickle
from contextlib import closing
from typing import Any

import pytest

from anyspace.errors import ConfigError
from anyspace.rllib.algorithms import ppo
from anyspace.rllib.algorithms.algorithm_config import AlgorithmConfig
from anyspace.rllib.algorithms.callbacks import DefaultCallbacks
from anyspace.rllib.algorithms.dqn import DQNConfig
from anyspace.rllib.algorithms.ppo import PPOConfig
from anyspace.rllib.algorithms.sac import SACConfig


def test_defaults_that_are_changed_in_place_count() -> None:
    config = PPOConfig()
    config.model["custom_model_config"]["depth"] = 3
    config.model["fcnet_hiddens"].append(7)
    config.custom_resources_per_worker["room"] = 1.0
    found = {"model": {"custom_model_config": {"depth": 3}, "fcnet_hiddens": [256, 256, 7]}}
    assert config.to_dict() == {**found, "custom_resources_per_env_runner": {"room": 1.0}}
    for other in (config.copy(), copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert other.to_dict() == config.to_dict()
        other.model["fcnet_hiddens"].append(8)
        assert config.model["fcnet_hiddens"] == [256, 256, 7]
    heads = DQNConfig()
    heads.hiddens.append(9)
    assert heads.to_dict() == {"hiddens": [256, 9]}
    with closing(heads.environment("CartPole-v1").build()) as algo:
        assert algo.config.hiddens == [256, 9]
    assert PPOConfig().to_dict() == {}
    assert PPOConfig().model["fcnet_hiddens"] == [256, 256]


def test_keys_within_keys_can_be_iterated_over_and_copied() -> None:
    model = PPOConfig().training(model={"use_lstm": True}).model
    assert dict(model) == model.copy() == {**model} == dict(model.items())
    assert (model["use_lstm"], model["max_seq_len"], len(model) > 50) == (True, 20, True)
    assert PPOConfig().training(model={"use_lstm": False}).to_dict() == {"model": {"use_lstm": False}}
    config = PPOConfig().training(model={"use_lstm": True})
    config.model = {"max_seq_len": 5}
    assert config.to_dict() == {"model": {"max_seq_len": 5}}
    with pytest.raises(KeyError, match="`q_model_config` was given no `fcnet_hiddens`, which is up to `model`"):
        SACConfig().q_model_config["fcnet_hiddens"]


def test_validate_checks_the_keys_that_were_given() -> None:
    PPOConfig().environment("CartPole-v1").training(sgd_minibatch_size=8, log_level="WARN").validate()
    for keys, message in (
        ({"lr": -1}, "`lr` is -1"),
        ({"nonsense": 3}, "unknown config key `nonsense`"),
        ({"vtrace": False}, "V-trace is what IMPALA"),
    ):
        with pytest.raises(ConfigError, match=message):
            PPOConfig().training(**keys).validate()
    with pytest.raises(ConfigError, match="names the algorithm"):
        AlgorithmConfig().validate()


@pytest.mark.parametrize("name", ["steps_per_iteration", "rows_per_step", "without_effect", "networks"])
def test_methods_of_settings_are_no_keys(name: str) -> None:
    assert name not in PPOConfig()
    with pytest.raises(AttributeError, match=f"PPOConfig has no key `{name}`"):
        getattr(PPOConfig(), name)


def test_a_builder_is_read_as_a_dict() -> None:
    config = PPOConfig().training(lr=1e-3, num_sgd_iter=2, model={"use_lstm": True})
    assert "lr" in config
    assert "num_sgd_iter" in config
    assert "no_such_key" not in config
    assert 0 not in config
    assert [*config] == [*config.keys()]
    assert {*config} == {"lr", "num_epochs", "model"}
    assert dict(config.items()) == {**config}
    assert 1e-3 in config.values()
    with closing(ppo.PPO("CartPole-v1", {**config, "train_batch_size": 64})) as algo:
        assert (algo.config.lr, algo.config.minibatch_size, algo.config.model.use_lstm) == (1e-3, 64, True)
    with pytest.raises(KeyError, match=r"`gamma` was not: config\['gamma'\] reads it"):
        config.to_dict()["gamma"]


def test_builders_are_told_apart_and_are_never_nothing() -> None:
    one, other = PPOConfig(), PPOConfig()
    assert one
    assert one != other
    assert {one: 1, other: 2}[one] == 1


def test_keys_that_no_configuration_has_are_read_at_what_they_mean_here() -> None:
    config = PPOConfig()
    assert (config.num_gpus, config.evaluation_interval, config.evaluation_duration_unit) == (0, None, "episodes")
    assert (config.horizon, config.input_, config.evaluation_config) == (None, "sampler", {})
    assert (config.env, config.framework_str, config.callbacks_class) == (None, "torch", DefaultCallbacks)
    assert config.framework("jax").framework_str == "jax"
    assert DQNConfig().training(buffer_size=7).replay_capacity == 7
    assert AlgorithmConfig().gamma == 0.99
    for name, message in (
        ("freeze", "leave it out"),
        ("pop", r"read config\[key\]"),
        ("log_level", "logging.getLogger"),
        ("buffer_size", "learn from a replay buffer"),
    ):
        with pytest.raises(AttributeError, match=message):
            getattr(config, name)


def test_the_replay_buffer_is_changed_in_place() -> None:
    config = DQNConfig()
    assert config.replay_buffer_config["capacity"] == 50_000
    changed: Any = config.replay_buffer_config.update({"capacity": 100, "prioritized_replay_alpha": 0.5})
    config.training(replay_buffer_config=changed).training(replay_buffer_config={"prioritized_replay_beta": 0.5})
    config.training(num_steps_sampled_before_learning_starts=50)
    with closing(config.environment("CartPole-v1").build()) as algo:
        found = algo.config
        assert (found.replay_capacity, found.prioritized_replay_alpha, found.prioritized_replay_beta) == (100, 0.5, 0.5)
    assert SACConfig().replay_buffer_config["type"] == "MultiAgentReplayBuffer"


def test_arguments_of_the_builder_s_methods() -> None:
    config = AlgorithmConfig(algo_class="PPO").training(train_batch_size=64, model={"fcnet_hiddens": [4]})
    with closing(config.copy(copy_frozen=False).build("CartPole-v1", None)) as algo:
        assert type(algo) is ppo.PPO
    with pytest.raises(ConfigError, match=r"build\(logger_creator=...\): algorithms log by algo.learn"):
        config.build("CartPole-v1", logger_creator=print)
    with pytest.raises(ConfigError, match="there is no algorithm 'PPOO'"):
        AlgorithmConfig(algo_class="PPOO")


def test_one_agent_may_be_said() -> None:
    config = PPOConfig().multi_agent(policies={}, count_steps_by="env_steps", policy_mapping_fn=None)
    assert config.multi_agent(policies={"default_policy"}).to_dict() == {}
    with pytest.raises(
        ConfigError, match=r"multi_agent\(policies=, observation_fn=\): there is one policy. Several agents"
    ):
        PPOConfig().multi_agent(policies={"one", "two"}, observation_fn=print)
