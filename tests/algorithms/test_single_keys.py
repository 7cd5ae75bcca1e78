"""Every key alone, at the ends of what it may be: it trains, or it is refused for a reason that lies in it alone."""

from __future__ import annotations

import dataclasses
import re
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import nn

from anyspace import PPO
from anyspace.algorithms import presets
from anyspace.algorithms.ppo import PPOConfig
from anyspace.algorithms.presets import Preset
from anyspace.config import paths
from anyspace.errors import AnyspaceError
from anyspace.models import ModelConfig, TorchModelV2

SMALLER = {"train_batch_size": 64, "minibatch_size": 32}
"""By how much these are smaller here than in the real defaults and presets; so nothing takes long."""


@dataclass(frozen=True)
class SmallConfig(PPOConfig):
    """PPO's defaults with small batches and networks; which of two is larger is as it is there."""

    model: ModelConfig = field(
        default_factory=lambda: ModelConfig(fcnet_hiddens=[8, 8], vf_share_layers=False, attention_memory_training=5)
    )
    train_batch_size: int = 62
    minibatch_size: int | None = 4
    num_epochs: int = 1
    evaluation_episodes: int = 1


class SmallPPO(PPO):
    config_class = SmallConfig


class Short(gym.Env[Any, Any]):
    """Episodes of seven steps, whose reward is a number of the action."""

    observation_space = gym.spaces.Box(-1, 1, (3,))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.left = 7
        return np.zeros(3, np.float32), {}

    def step(self, action: Any) -> Any:
        self.left -= 1
        return np.full(3, self.left / 7, np.float32), float(np.sum(action)), self.left == 0, False, {}


class Choosing(Short):
    action_space = gym.spaces.Discrete(2)


class Steering(Short):
    action_space = gym.spaces.Box(-1, 2, (2,))


class Own(TorchModelV2):
    def __init__(
        self, obs_space: Any, action_space: Any, num_outputs: int, model_config: Any, name: str, width: int = 2
    ):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.body, self.head = nn.Linear(3, width), nn.Linear(width, num_outputs)

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        self.features = torch.tanh(self.body(input_dict["obs_flat"]))
        return self.head(self.features), state

    def value_function(self) -> torch.Tensor:
        return self.features.mean(1)


def unit(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    return env


SWITCHES = [field.name for field in dataclasses.fields(PPOConfig) if isinstance(field.default, bool)]
MODEL_SWITCHES = [field.name for field in dataclasses.fields(ModelConfig) if isinstance(field.default, bool)]
INITIALISERS = [key for key in dataclasses.asdict(ModelConfig()) if key.endswith("_initializer")]
VALUES: dict[str, list[Any]] = {
    # What every algorithm has.
    "framework": ["torch", "tf", "jax"],
    "device": ["auto", "cpu"],
    "observation_filter": ["NoFilter", "MeanStdFilter", "ConcurrentMeanStdFilter"],
    "preprocessor_pref": ["deepmind", "rllib", None],
    "max_len": [1, {}, None],
    "action_mask_key": ["", "mask", None],
    "env_config": [{}],
    "wrappers": [[], [unit], [f"{__name__}:unit"]],
    "vectorization": ["auto", "native", "sync"],
    "num_env_runners": [0],
    "min_env_runners": [None, 1],
    "fleet": ["auto", "serial"],
    "max_requests_in_flight_per_env_runner": ["auto", 1, 2],
    "sample_order": ["workers", "ready"],
    "broadcast_interval": [1, 2],
    "max_lag": [None, 1],
    "sample_timeout_s": [60.0, 1e-3],
    "num_cpus_per_env_runner": [1.0, 0.5],
    "num_gpus_per_env_runner": [0.0, 1.0],
    "custom_resources_per_env_runner": [{}, {"camera": 1.0}],
    "evaluation_num_env_runners": [0],
    "ray_address": [None, "auto"],
    "ray_runtime_env": [{}, {"pip": ["x"]}],
    "num_envs_per_env_runner": [1, 3, 40],
    "rollout_fragment_length": [1, 40, "auto"],
    "gamma": [0.0, 1.0],
    "lr": [0.0, 1.0],
    "lr_schedule": [[(0, 0.0)], [(0, 1e-3), (10, 0.0)], "linear", None],
    "grad_clip": [1e-9, 1e9, None],
    "adam_epsilon": [1e-30, 1.0],
    "clip_rewards": [True, False, 1e-3, 0.0, None],
    "seed": [0, 2**31 - 1, 2**63 - 1, None],
    "return_window": [1, 10**6],
    "stop_return": [-1e9, 1e9, None],
    "evaluate_every": [1, 10**9, None],
    "evaluation_episodes": [1, 3],
    "evaluation_max_episode_steps": ["auto", 1, None],
    "exploration_config": [{}, {"type": "StochasticSampling"}],
    "out_of_bounds": ["warn", "clip", "error"],
    "scale_images": ["auto", True, False],
    "collect_infos": [[]],
    "ignore": [[]],
    "checkpoint_every": [1, 10**9],
    "keep": [0, 3],
    "exact_resume": [True, False],
    "env_timeout_s": [1e-3, 1e6, None],
    "output": [None],
    "output_max_file_size": [1, 10**9],
    # What on-policy algorithms and PPO add.
    "batch_mode": ["truncate_episodes", "complete_episodes"],
    "train_batch_size": [1, 2, 3, 100],
    "num_epochs": [1, 9],
    "minibatch_size": [1, 2, 100, None],
    "lambda_": [0.0, 1.0],
    "clip_param": [1e-9, 1e9],
    "vf_clip_param": [1e-9, 1e9, None],
    "vf_loss_coeff": [0.0, 1e3],
    "entropy_coeff": [0.0, 1.0],
    "entropy_coeff_schedule": [[(0, 1.0), (10, 0.0)], "linear", None],
    "kl_coeff": [0.0, 10.0],
    "kl_target": [1e-9, 10.0],
    # The model.
    "model.fcnet_hiddens": [[], [1], [4, 4, 4]],
    "model.fcnet_activation": ["relu", "linear", None, nn.ELU],
    "model.conv_filters": [[[4, 2, 1]], None],
    "model.conv_activation": ["tanh", None],
    "model.post_fcnet_hiddens": [[], [1], [4, 4]],
    "model.post_fcnet_activation": ["tanh", None],
    "model.log_std_clip_param": [1e-3, 1e9],
    "model.max_seq_len": [1, 100],
    "model.lstm_cell_size": [1, 8],
    "model.attention_num_transformer_units": [1, 2],
    "model.attention_dim": [1, 8],
    "model.attention_num_heads": [1, 3],
    "model.attention_head_dim": [1, 8],
    "model.attention_memory_inference": [0, 9],
    "model.attention_memory_training": [0, 9],
    "model.attention_position_wise_mlp_dim": [1, 8],
    "model.attention_init_gru_gate_bias": [-2.0, 0.0],
    "model.attention_use_n_prev_actions": [0, 2],
    "model.attention_use_n_prev_rewards": [0, 2],
    "model.dim": [1, 96],
    "model.custom_model": [Own, f"{__name__}:Own", None],
    "model.custom_model_config": [{}],
    "model.custom_action_dist": ["Beta", "SquashedGaussian", "deterministic", None],
    "model.custom_preprocessor": [None, "mine"],
    "model.encoder_latent_dim": [None, 8],
    "model.lstm_use_prev_action_reward": [-1, False, True],
    "model._use_default_native_models": [-1, False, True],
    "model.parametric_actions": ["given", "learned", None],
    "model.action_embedding_key": ["embeddings"],
    "model.action_embedding_dim": [1, 8],
    **{key: [False, True] for key in SWITCHES},
    **{f"model.{key}": [False, True] for key in MODEL_SWITCHES},
    **{f"model.{key}": [None, "ones", "zeros"] for key in INITIALISERS},
    **{f"model.{key}_config": [None, {}, {"gain": 2.0}] for key in INITIALISERS},
}


CASES = [(key, value) for key, values in VALUES.items() for value in values]

MEETING = {
    "train_batch_size", "minibatch_size", "use_critic", "use_gae", "batch_mode", "num_envs_per_env_runner", "kl_coeff",
    "rollout_fragment_length", "use_kl_loss", "entropy_coeff", "model.free_log_std", "model.custom_action_dist",
    "model.custom_model", "model.autoregressive_actions", "model.use_lstm", "model.use_attention", "observation_filter",
    "_disable_preprocessor_api", "normalize_actions", "evaluate_every",
}  # fmt: skip
"""Keys whose valid values have met with defaults or presets that did not go with them, or could."""


def nested(path: str, value: Any) -> dict[str, Any]:
    outer, _, key = path.rpartition(".")
    return {outer: {key: value}} if outer else {key: value}


def test_every_key_is_tried() -> None:
    assert {*paths(PPOConfig())} - {"model"} == VALUES.keys()


def culprits(message: str) -> set[str]:
    """Return the keys that the first clause of an error names; what follows is advice."""
    clause = re.split(r"; |: |\. ", message)[0]
    names = {path.rpartition(".")[2] for path in paths(PPOConfig())}
    return {word for word in re.findall(r"\w+", clause) if word in names and "_" in word}


def reason_against(env: type[Short], preset: str, settings: dict[str, Any]) -> str | None:
    """Return why an iteration with these settings is refused, or None once it has been taken."""
    try:
        with closing(SmallPPO(env, settings, preset=preset)) as algorithm:
            algorithm.train()
    except AnyspaceError as error:
        return str(error)
    return None


@pytest.fixture(autouse=True)
def _small_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the batches of presets smaller, in proportion."""
    real = presets.named_preset

    def smaller(algorithm: str, name: str, model: ModelConfig | None = None) -> Preset:
        settings = dict(real(algorithm, name, model).settings)
        settings |= {key: settings[key] // divisor for key, divisor in SMALLER.items()}
        return Preset(name, {**settings, "num_epochs": 1})

    monkeypatch.setattr(presets, "named_preset", smaller)


REFUSED = {
    "framework",
    "vectorization",
    "explore",
    "entropy_coeff_schedule",
    "output_max_file_size",
    "min_env_runners",
    "action_mask_key",
    *("fleet", "max_requests_in_flight_per_env_runner", "sample_order", "broadcast_interval", "max_lag"),
    *("sample_timeout_s", "restart_failed_env_runners", "ray_address", "ray_runtime_env", "num_cpus_per_env_runner"),
    *("num_gpus_per_env_runner", "custom_resources_per_env_runner", "evaluation_parallel_to_training"),
    "model.custom_action_dist",
    "model.custom_preprocessor",
    "model.encoder_latent_dim",
    "model.lstm_use_prev_action_reward",
    "model._use_default_native_models",
    "model.parametric_actions",
    "model.autoregressive_actions",
    "model.free_log_std",
    *(f"model.{key}" for key in INITIALISERS if "transpose" in key),
    *(f"model.{key}_config" for key in INITIALISERS),
    *(f"model.{key}" for key in (*ModelConfig().without_effect(), "grayscale", "zero_mean", "framestack", "dim")),
}
"""Keys that some value or some environment does not go with."""


def require_a_good_reason(env: type[Short], preset: str, **settings: Any) -> None:
    """Take an iteration with some keys, or find that the reason against it lies in them alone."""
    layers = [nested(key, value) for key, value in settings.items()]
    merged = {**layers[0], **layers[-1], "model": {**layers[0].get("model", {}), **layers[-1].get("model", {})}}
    reason = reason_against(env, preset, merged)
    if reason is not None:
        assert settings.keys() & REFUSED, reason
        assert culprits(reason) <= {key.rpartition(".")[2] for key in settings}


@pytest.mark.parametrize(("env", "preset"), [(Choosing, "none"), (Steering, "auto")])
@pytest.mark.parametrize(("key", "value"), [case for case in CASES if case[0] in MEETING])
def test_a_key_alone_trains_or_is_refused_for_itself(env: type[Short], preset: str, key: str, value: Any) -> None:
    require_a_good_reason(env, preset, **{key: value})


@pytest.mark.fuzz
@pytest.mark.parametrize("preset", ["none", "auto"])
@pytest.mark.parametrize("env", [Choosing, Steering])
@pytest.mark.parametrize(("key", "value"), CASES)
def test_every_key_alone_trains_or_is_refused_for_itself(env: type[Short], preset: str, key: str, value: Any) -> None:
    require_a_good_reason(env, preset, **{key: value})
