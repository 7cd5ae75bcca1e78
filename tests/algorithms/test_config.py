from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from anyspace import A2C, APPO, BC, DQN, IMPALA, MARWIL, PPO, SAC, Algorithm
from anyspace.algorithms.presets import Preset
from anyspace.algorithms.settings import chosen
from anyspace.errors import ConfigError


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("learning_rate", "`lr`"),
        ("gae_lambda", "`lambda_`"),
        ("num_gpus", "`device`"),
        ("horizon", "TimeLimit"),
        ("log_level", "logger 'anyspace'"),
        ("lrr", "Did you mean 'lr'"),
        ("zzzz", r"Arguments of the environment stand in `env_config`: \{'zzzz': 1\}\. docs/configuration\.md lists"),
        ("preset", r"PPO\(env, preset='none'\)"),
    ],
)
def test_keys_of_other_libraries_are_explained(key: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown config key `{key}`.*{hint}"):
        PPO("CartPole-v1", {key: 1}, preset="none")


IDLE: list[tuple[type[Algorithm[Any]], str, Any, dict[str, Any], dict[str, Any]]] = [
    (IMPALA, "decay", 0.5, {}, {"opt": "rmsprop"}),
    (APPO, "momentum", 0.5, {}, {"opt": "rmsprop"}),
    (IMPALA, "epsilon", 0.5, {}, {"opt": "rmsprop"}),
    (IMPALA, "adam_epsilon", 0.5, {"opt": "rmsprop"}, {}),
    (APPO, "replay_buffer_num_slots", 7, {}, {"replay_proportion": 0.5}),
    (IMPALA, "store_buffer_in_checkpoints", True, {}, {"replay_proportion": 0.5}),
    (SAC, "prioritized_replay_alpha", 0.1, {}, {"prioritized_replay": True}),
    (DQN, "prioritized_replay_beta", 0.1, {"prioritized_replay": False}, {}),
    (SAC, "prioritized_replay_eps", 0.1, {}, {"prioritized_replay": True}),
    (DQN, "v_min", -5.0, {}, {"num_atoms": 3}),
    (DQN, "v_max", 5.0, {}, {"num_atoms": 3}),
    (DQN, "td_error_loss_fn", "mse", {"num_atoms": 3}, {}),
    (DQN, "sigma0", 0.1, {}, {"noisy": True}),
    (SAC, "target_entropy", 0.1, {"alpha_lr": 0.0}, {}),
    (PPO, "lambda_", 0.5, {"use_gae": False}, {}),
    (A2C, "lambda_", 0.5, {"use_critic": False}, {}),
    (MARWIL, "vf_coeff", 0.5, {"beta": 0.0}, {}),
    (BC, "moving_average_sqd_adv_norm_start", 5.0, {}, {}),
    (PPO, "kl_target", 0.02, {"kl_coeff": 0.0}, {"kl_coeff": 0.1}),
    (PPO, "kl_coeff", 0.5, {"use_kl_loss": False}, {}),
    (APPO, "kl_target", 0.02, {"use_kl_loss": False}, {}),
    (PPO, "vf_loss_coeff", 2.0, {"use_critic": False}, {}),
    (A2C, "vf_loss_coeff", 2.0, {"use_critic": False}, {}),
    (PPO, "vf_clip_param", 2.0, {"use_critic": False}, {}),
    (PPO, "vf_clip_param", 2.0, {"vf_loss_coeff": 0.0}, {}),
    (A2C, "microbatch_size", 33, {"num_envs_per_env_runner": 3}, {"num_envs_per_env_runner": 5}),
    (BC, "gamma", 0.5, {}, {}),
    (BC, "normalize_rewards", True, {}, {}),
    (MARWIL, "clip_rewards", 1.0, {"beta": 0.0}, {}),
    (MARWIL, "rollout_fragment_length", 5, {"input": "steps"}, {"input": {"steps": 0.5, "sampler": 0.5}}),
    (MARWIL, "explore", False, {"input": "minari:steps"}, {}),
    (MARWIL, "unpack_input", True, {}, {"input": "steps"}),
    (BC, "input_max_bad_lines", 5, {"input": "minari:steps"}, {"input": ["steps"]}),
    (DQN, "categorical_distribution_temperature", 0.5, {}, {"exploration_config": {"type": "SoftQ"}}),
    (SAC, "lr", 0.5, {"actor_lr": 0.1, "critic_lr": 0.1, "alpha_lr": 0.1}, {"actor_lr": 0.1, "critic_lr": 0.1}),
    (SAC, "lr_schedule", [(0.0, 0.1)], {"actor_lr": 0.1, "critic_lr": 0.1, "alpha_lr": 0.0}, {}),
    (PPO, "output_max_file_size", 100, {}, {"output": "steps"}),
]


@pytest.mark.parametrize(("kind", "key", "value", "without", "within"), IDLE)
def test_keys_that_would_have_no_effect_are_refused_where_somebody_gives_them(
    kind: type[Algorithm[Any]], key: str, value: Any, without: dict[str, Any], within: dict[str, Any]
) -> None:
    shared = {"input": "sampler"} if kind in (MARWIL, BC) else {}
    default = getattr(kind.config_class(), key)
    said = rf"config key `{key}` is {re.escape(repr(value))}, but it has no effect: .*\. Leave it out"
    with pytest.raises(ConfigError, match=said):
        chosen(kind, "CartPole-v1", {**shared, **without, key: value}, "none", {})
    # Presets are free, and so is whoever spells a default out.
    preset = Preset("mine", {**shared, **without, key: value})
    assert getattr(chosen(kind, "CartPole-v1", {}, preset, {}).settings, key) == value
    assert (
        getattr(chosen(kind, "CartPole-v1", {**shared, **without, key: default}, "none", {}).settings, key) == default
    )
    if within or without:
        chosen(kind, "CartPole-v1", {**shared, **within, key: value}, "none", {})


def test_settings_are_no_dict() -> None:
    settings = PPO.config_class()
    with pytest.raises(TypeError, match=r"PPOConfig\['num_workers'\]: settings are attributes, config.num_env_runners"):
        settings["num_workers"]
    with pytest.raises(TypeError, match=r"PPOConfig\['fcnet_hiddens'\]: It is `config.model.fcnet_hiddens` here"):
        settings["fcnet_hiddens"]
    with pytest.raises(TypeError, match=r"PPOConfig\['nothing'\]: .* `nothing` is none of them"):
        settings["nothing"]
    with pytest.raises(TypeError, match=r"ModelConfig\['use_lstm'\]: settings are attributes"):
        settings.model["use_lstm"]
    for read in (list, dict, lambda config: "lr" in config):
        with pytest.raises(TypeError, match=r"PPOConfig is no dict: settings are attributes, config.lr; vars"):
            read(settings)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("num_workers", "It is `config.num_env_runners` here"),
        ("use_lstm", "It is `config.model.use_lstm` here"),
        ("multiagent", "There is one policy"),
        ("env", "The environment is no setting"),
        ("get", "Settings are attributes"),
        ("training", "RLlib's builder is PPOConfig of anyspace.rllib.algorithms.ppo"),
    ],
)
def test_names_of_other_libraries_settings_are_explained(name: str, answer: str) -> None:
    settings = copy.deepcopy(PPO.config_class())
    with pytest.raises(AttributeError, match=answer):
        getattr(settings, name)
    assert getattr(settings, name, None) is None
