"""Every key of a configuration has an effect, or is refused with the reason."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from gymnasium import spaces

from anyspace import PPO, SAC
from anyspace.algorithms.ppo import PPOConfig
from anyspace.algorithms.settings import chosen
from anyspace.config import paths
from anyspace.errors import ConfigError
from anyspace.models import ModelConfig
from tests.support.hashes import CHOICES, LISTS, PICTURE, VECTOR, Sampled, sampled
from tests.support.keys import fingerprint, nested, trained

TESTS = Path(__file__).parent.parent

DISCRETE = spaces.Discrete(3)
CHOOSING = sampled(VECTOR, DISCRETE)
STEERING = sampled(VECTOR, spaces.Box(-3.0, 1.0, (2,)))
INDEX = sampled(spaces.Discrete(5), DISCRETE)
LOOKING = sampled(PICTURE, DISCRETE)
SETS = sampled(LISTS, DISCRETE)
PARTS = sampled(VECTOR, CHOICES)

SETTINGS: dict[str, Any] = {
    "seed": 1,
    "num_envs_per_env_runner": 2,
    "train_batch_size": 24,
    "minibatch_size": 12,
    "num_epochs": 2,
    "lr": 1e-2,
    "model.fcnet_hiddens": [4],
}
LSTM = {"model.use_lstm": True, "model.lstm_cell_size": 4, "model.max_seq_len": 5}
ATTENTION = {
    "model.use_attention": True,
    "model.max_seq_len": 5,
    "model.attention_dim": 4,
    "model.attention_head_dim": 4,
    "model.attention_memory_inference": 3,
    "model.attention_memory_training": 3,
}
WHOLE = {"batch_mode": "complete_episodes"}
EMBEDDED = {"model.parametric_actions": "learned", "model.action_embedding_dim": 4}


def scaled(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    return gym.wrappers.TransformReward(env, lambda reward: 3 * reward + 1)


def short(steps: int = 0) -> gym.Env[Any, Any]:
    env = Sampled(VECTOR, DISCRETE)
    return gym.wrappers.TimeLimit(env, steps) if steps else env


def initialiser(prefix: str, context: dict[str, Any], env: Any = CHOOSING) -> dict[str, Any]:
    """Return the effects of an initialiser and of its arguments."""
    return {
        prefix: (env, context, None, "ones"),
        f"{prefix}_config": (env, {**context, prefix: "constant"}, {"val": 0.1}, {"val": 0.2}),
    }


EFFECTS: dict[str, tuple[Callable[[], gym.Env[Any, Any]], dict[str, Any], Any, Any]] = {
    "observation_filter": (CHOOSING, {}, "NoFilter", "MeanStdFilter"),
    "preprocessor_pref": (INDEX, {}, "deepmind", None),
    "_disable_preprocessor_api": (INDEX, {}, False, True),
    "scale_images": (LOOKING, {}, True, False),
    "normalize_actions": (STEERING, {}, True, False),
    "clip_actions": (STEERING, {"normalize_actions": False}, True, False),
    "env_config": (short, {}, {"steps": 2}, {"steps": 3}),
    "wrappers": (CHOOSING, {}, [], [scaled]),
    "num_envs_per_env_runner": (CHOOSING, {}, 1, 3),
    "rollout_fragment_length": (CHOOSING, {}, 3, 6),
    "gamma": (CHOOSING, {}, 0.5, 0.99),
    "lr": (CHOOSING, {}, 1e-3, 1e-2),
    "lr_schedule": (CHOOSING, {}, None, [(0, 0.0), (48, 1e-2)]),
    "grad_clip": (CHOOSING, {}, None, 0.01),
    "adam_epsilon": (CHOOSING, {}, 1e-8, 1.0),
    "clip_rewards": (CHOOSING, {}, 0.5, 1.0),
    "normalize_rewards": (CHOOSING, {}, True, False),
    "seed": (CHOOSING, {}, 1, 2),
    "return_window": (CHOOSING, {}, 1, 100),
    "evaluate_every": (CHOOSING, {"evaluation_episodes": 1}, None, 1),
    "evaluation_episodes": (CHOOSING, {"evaluate_every": 1}, 1, 2),
    "batch_mode": (CHOOSING, {}, "truncate_episodes", "complete_episodes"),
    "train_batch_size": (CHOOSING, {}, 24, 36),
    "num_epochs": (CHOOSING, {}, 1, 2),
    "minibatch_size": (CHOOSING, {}, 6, 12),
    "lambda_": (CHOOSING, {}, 0.1, 1.0),
    "use_critic": (CHOOSING, {**WHOLE, "use_gae": False}, True, False),
    "clip_param": (CHOOSING, {}, 0.01, 0.5),
    "vf_clip_param": (CHOOSING, {}, None, 0.1),
    "vf_loss_coeff": (CHOOSING, {"grad_clip": 0.01}, 0.1, 1.0),
    "entropy_coeff": (CHOOSING, {}, 0.0, 0.5),
    "entropy_coeff_schedule": (CHOOSING, {}, None, [(0, 1.0), (48, 0.0)]),
    "use_kl_loss": (CHOOSING, {}, True, False),
    "kl_coeff": (CHOOSING, {}, 0.0, 5.0),
    "kl_target": (CHOOSING, {}, 1e-6, 10.0),
    "model.fcnet_hiddens": (CHOOSING, {}, [4], [5]),
    "model.fcnet_activation": (CHOOSING, {}, "tanh", "relu"),
    "model.conv_filters": (LOOKING, {}, [(4, 4, 2), (4, 9, 9)], [(5, 4, 2), (4, 9, 9)]),
    "model.conv_activation": (LOOKING, {}, "relu", "tanh"),
    "model.post_fcnet_hiddens": (CHOOSING, {}, [], [3]),
    "model.post_fcnet_activation": (SETS, {"model.post_fcnet_hiddens": [3]}, "relu", "tanh"),
    "model.free_log_std": (STEERING, {}, False, True),
    "model.log_std_clip_param": (STEERING, {}, 1e-3, 20.0),
    "model.no_final_linear": (CHOOSING, {}, False, True),
    "model.vf_share_layers": (CHOOSING, {}, False, True),
    "model.use_lstm": (CHOOSING, {}, False, True),
    "model.use_gru": (CHOOSING, {}, False, True),
    "model.max_seq_len": (CHOOSING, LSTM, 2, 20),
    "model.lstm_cell_size": (CHOOSING, LSTM, 3, 4),
    "model.lstm_use_prev_action": (CHOOSING, LSTM, False, True),
    "model.lstm_use_prev_reward": (CHOOSING, LSTM, False, True),
    "model.use_attention": (CHOOSING, {}, False, True),
    "model.attention_num_transformer_units": (CHOOSING, ATTENTION, 1, 2),
    "model.attention_dim": (CHOOSING, ATTENTION, 4, 6),
    "model.attention_num_heads": (CHOOSING, ATTENTION, 1, 2),
    "model.attention_head_dim": (CHOOSING, ATTENTION, 4, 6),
    "model.attention_memory_inference": (CHOOSING, ATTENTION, 1, 5),
    "model.attention_memory_training": (CHOOSING, ATTENTION, 1, 5),
    "model.attention_position_wise_mlp_dim": (CHOOSING, ATTENTION, 3, 4),
    "model.attention_init_gru_gate_bias": (CHOOSING, ATTENTION, 0.0, 2.0),
    "model.attention_use_n_prev_actions": (CHOOSING, ATTENTION, 0, 1),
    "model.attention_use_n_prev_rewards": (CHOOSING, ATTENTION, 0, 1),
    "model.custom_action_dist": (STEERING, {}, None, "Beta"),
    "model._disable_preprocessor_api": (INDEX, {}, False, True),
    "model.autoregressive_actions": (PARTS, {}, False, True),
    "model.parametric_actions": (CHOOSING, {}, None, "learned"),
    "model.action_embedding_dim": (CHOOSING, EMBEDDED, 3, 4),
    **initialiser("model.fcnet_weights_initializer", {}),
    **initialiser("model.fcnet_bias_initializer", {}),
    **initialiser("model.conv_kernel_initializer", {}, LOOKING),
    **initialiser("model.conv_bias_initializer", {}, LOOKING),
    **initialiser("model.post_fcnet_weights_initializer", {"model.post_fcnet_hiddens": [3]}, SETS),
    **initialiser("model.post_fcnet_bias_initializer", {"model.post_fcnet_hiddens": [3]}, SETS),
    **initialiser("model.lstm_weights_initializer", LSTM),
    **initialiser("model.lstm_bias_initializer", LSTM),
}
"""By key: an environment, what is set beside the key, and two values that make a difference."""

SHOWN_BY = {
    "device": "models/torch/test_runtime.py",
    "max_len": "spaces/kinds/test_bounded.py",
    "action_mask_key": "data/test_masks.py",
    "vectorization": "data/test_vector.py",
    "stop_return": "algorithms/test_algorithm.py",
    "checkpoint_every": "execution/test_run_processes.py",
    "keep": "execution/test_exact_runs.py",
    "exact_resume": "algorithms/test_exact_resume.py",
    "env_timeout_s": "data/test_processes.py",
    "explore": "algorithms/test_on_policy.py",
    "use_gae": "algorithms/test_actor_critic.py",
    "output": "execution/test_file_fleet.py",
    "output_max_file_size": "execution/test_file_fleet.py",
    "ignore": "spaces/kinds/test_ignored.py",
    "out_of_bounds": "policy/test_policy.py",
    "collect_infos": "data/test_infos.py",
    "evaluation_max_episode_steps": "execution/test_evaluate.py",
    "_disable_action_flattening": "policy/test_history.py",
    "model.mask_as_feature": "policy/test_masking.py",
    "model._time_major": "models/torch/test_recurrent.py",
    "model.framestack": "data/test_atari.py",
    "model.dim": "data/test_atari.py",
    "model.grayscale": "data/test_atari.py",
    "model.zero_mean": "data/test_atari.py",
    "model.custom_model": "models/test_custom_models.py",
    "model.custom_model_config": "models/test_catalog.py",
    "model.always_check_shapes": "policy/test_check.py",
    "framework": "frameworks/test_tf_learner.py",
    "model._disable_action_flattening": "policy/test_history.py",
    "model.action_embedding_key": "models/torch/test_parametric.py",
    **dict.fromkeys(
        [
            *("num_env_runners", "fleet", "max_requests_in_flight_per_env_runner", "broadcast_interval", "max_lag"),
            *("evaluation_num_env_runners", "evaluation_parallel_to_training"),
        ],
        "algorithms/test_scaling.py",
    ),
    **dict.fromkeys(
        [
            *(
                "min_env_runners",
                "sample_order",
                "sample_timeout_s",
                "restart_failed_env_runners",
                "num_cpus_per_env_runner",
            ),
            *("num_gpus_per_env_runner", "custom_resources_per_env_runner", "ray_address", "ray_runtime_env"),
        ],
        "algorithms/test_ray_keys.py",
    ),
}
"""Keys whose effect shows elsewhere than in what is learnt, and the tests of it."""

REFUSED: dict[str, tuple[Any, str]] = {
    "exploration_config": ({"type": "Random"}, "learns from samples of its own distribution"),
    "model.custom_preprocessor": ("mine", "put a gymnasium wrapper around the environment"),
    "model.encoder_latent_dim": (8, "it belonged to another kind of model"),
    "model.lstm_use_prev_action_reward": (True, "it is deprecated; use `lstm_use_prev_action`"),
    "model._use_default_native_models": (True, "it is deprecated and has no effect"),
    **{
        f"model.conv_transpose_{part}_initializer{suffix}": (value, "no transposed convolutions are built here")
        for part in ("kernel", "bias")
        for suffix, value in (("", "zeros"), ("_config", {"gain": 1.0}))
    },
}
"""Keys that have one value alone, another one, and why it is refused."""


def test_every_key_is_here_once() -> None:
    found = [*EFFECTS, *SHOWN_BY, *REFUSED]
    assert len(found) == len({*found})
    assert {*found} == {*paths(PPOConfig())} - {"model"}


@pytest.mark.parametrize("key", EFFECTS)
def test_a_key_has_an_effect(key: str) -> None:
    env, context, *values = EFFECTS[key]
    first, second = (fingerprint(PPO, env, {**SETTINGS, **context, key: value}) for value in values)
    assert first != second


def test_equal_settings_leave_the_same_behind() -> None:
    assert trained(PPO, CHOOSING, SETTINGS, 2) == trained(PPO, CHOOSING, SETTINGS, 2)


@pytest.mark.parametrize("key", SHOWN_BY)
def test_other_effects_have_tests(key: str) -> None:
    assert re.search(rf"\b{key.rpartition('.')[2]}\b", (TESTS / SHOWN_BY[key]).read_text())


@pytest.mark.parametrize("key", REFUSED)
def test_a_key_without_effect_is_refused_by_name(key: str) -> None:
    value, reason = REFUSED[key]
    with pytest.raises(ConfigError, match=rf"config key `{re.escape(key)}` is .*{re.escape(reason)}"):
        PPO(CHOOSING, nested({key: value}), preset="none")


IDLE = {
    "lstm_cell_size": (8, {"use_attention": True}, {"use_lstm": True}, "`use_lstm` and `use_gru` are False"),
    "lstm_bias_initializer": ("zeros", {}, {"use_gru": True}, "`use_lstm` and `use_gru` are False"),
    "attention_dim": (8, {"use_lstm": True}, {"use_attention": True}, "`use_attention` is False"),
    "max_seq_len": (8, {}, {"use_attention": True}, "there is no memory, which alone learns by sequences"),
    "_time_major": (True, {}, {"use_lstm": True}, "there is no memory"),
    "action_embedding_dim": (8, {"parametric_actions": "given"}, {"parametric_actions": "learned"}, "no learned embed"),
    "action_embedding_key": ("all", {}, {"parametric_actions": "given"}, "`parametric_actions` is None"),
}
"""Keys of the model with a value, other keys beside which they have no effect, some beside which they do, and why."""


@pytest.mark.parametrize("key", IDLE)
def test_a_key_of_the_model_has_no_effect_without_another(key: str) -> None:
    value, without, beside, reason = IDLE[key]
    expected = rf"config key `model.{key}` is {value!r}, but it has no effect: .*{re.escape(reason)}"
    with pytest.raises(ConfigError, match=expected):
        chosen(PPO, CHOOSING, {"model": {key: value, **without}}, "none", {})
    for more in (beside, {"custom_model": "mine"}):
        chosen(PPO, CHOOSING, {"model": {key: value, **more}}, "none", {})
    chosen(PPO, CHOOSING, {"model": {key: getattr(ModelConfig(), key), **without}}, "none", {})


def test_a_key_that_one_of_several_networks_reads_has_an_effect() -> None:
    memory = {"use_lstm": True}
    sizes: dict[str, Any] = {"model": {"lstm_cell_size": 8}}
    chosen(SAC, STEERING, {**sizes, "policy_model_config": memory, "q_model_config": memory}, "none", {})
    with pytest.raises(ConfigError, match=r"`model.lstm_cell_size` is 8, but it has no effect"):
        chosen(SAC, STEERING, sizes, "none", {})


@pytest.mark.parametrize(
    ("key", "value", "idle", "used"),
    [
        ("grayscale", True, "deepmind", "rllib"),
        ("zero_mean", False, None, "rllib"),
        ("framestack", False, "rllib", "deepmind"),
        ("dim", 42, None, "rllib"),
    ],
)
def test_keys_of_atari_are_for_its_ways(key: str, value: Any, idle: str | None, used: str) -> None:
    changed = {"model": {key: value}}
    with pytest.raises(ConfigError, match=rf"`model.{key}` is .* no effect: it is for Atari with `preprocessor_pref`"):
        chosen(PPO, CHOOSING, {**changed, "preprocessor_pref": idle}, "none", {})
    chosen(PPO, CHOOSING, {**changed, "preprocessor_pref": used}, "none", {})
