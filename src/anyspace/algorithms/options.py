"""The configuration keys as types of keyword arguments: checkers and editors know ``PPO(env, lr=3e-4)``.

Made of the configurations by ``python -m tests.support.options --write``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypedDict

from anyspace.models.config import ActivationSpec, FilterSpec, InitializerSpec, ModelConfig


class ModelOptions(TypedDict, total=False):
    """Keys of :class:`ModelConfig`."""

    fcnet_hiddens: list[int]
    fcnet_activation: ActivationSpec | None
    fcnet_weights_initializer: InitializerSpec | None
    fcnet_weights_initializer_config: dict[str, Any] | None
    fcnet_bias_initializer: InitializerSpec | None
    fcnet_bias_initializer_config: dict[str, Any] | None
    conv_filters: list[FilterSpec] | None
    conv_activation: ActivationSpec | None
    conv_kernel_initializer: InitializerSpec | None
    conv_kernel_initializer_config: dict[str, Any] | None
    conv_bias_initializer: InitializerSpec | None
    conv_bias_initializer_config: dict[str, Any] | None
    conv_transpose_kernel_initializer: str | None
    conv_transpose_kernel_initializer_config: dict[str, Any] | None
    conv_transpose_bias_initializer: str | None
    conv_transpose_bias_initializer_config: dict[str, Any] | None
    post_fcnet_hiddens: list[int]
    post_fcnet_activation: ActivationSpec | None
    post_fcnet_weights_initializer: InitializerSpec | None
    post_fcnet_weights_initializer_config: dict[str, Any] | None
    post_fcnet_bias_initializer: InitializerSpec | None
    post_fcnet_bias_initializer_config: dict[str, Any] | None
    free_log_std: bool
    log_std_clip_param: float
    no_final_linear: bool
    vf_share_layers: bool
    use_lstm: bool
    max_seq_len: int
    lstm_cell_size: int
    lstm_use_prev_action: bool
    lstm_use_prev_reward: bool
    lstm_weights_initializer: InitializerSpec | None
    lstm_weights_initializer_config: dict[str, Any] | None
    lstm_bias_initializer: InitializerSpec | None
    lstm_bias_initializer_config: dict[str, Any] | None
    _time_major: bool
    use_attention: bool
    attention_num_transformer_units: int
    attention_dim: int
    attention_num_heads: int
    attention_head_dim: int
    attention_memory_inference: int
    attention_memory_training: int
    attention_position_wise_mlp_dim: int
    attention_init_gru_gate_bias: float
    attention_use_n_prev_actions: int
    attention_use_n_prev_rewards: int
    framestack: bool
    dim: int
    grayscale: bool
    zero_mean: bool
    custom_model: str | type | None
    custom_model_config: dict[str, Any]
    custom_action_dist: str | type | None
    custom_preprocessor: str | None
    encoder_latent_dim: int | None
    always_check_shapes: bool
    lstm_use_prev_action_reward: bool | int
    _use_default_native_models: bool | int
    _disable_preprocessor_api: bool
    _disable_action_flattening: bool
    autoregressive_actions: bool
    use_gru: bool
    parametric_actions: Literal["given", "learned"] | None
    action_embedding_key: str
    action_embedding_dim: int
    mask_as_feature: bool


class PolicyOptions(TypedDict, total=False):
    """Keys of :class:`PolicyConfig`."""

    framework: Literal["torch", "tf", "jax"]
    device: Literal["auto", "cpu", "cuda", "mps"]
    model: ModelOptions | ModelConfig | Mapping[str, Any]
    observation_filter: str
    preprocessor_pref: Literal["deepmind", "rllib"] | None
    _disable_preprocessor_api: bool
    _disable_action_flattening: bool
    scale_images: Literal["auto"] | bool
    max_len: int | dict[str, int] | None
    ignore: list[str]
    out_of_bounds: Literal["warn", "clip", "error"]
    action_mask_key: str | None
    normalize_actions: bool
    clip_actions: bool
    explore: bool
    exploration_config: dict[str, Any]


class ScaleOptions(PolicyOptions, total=False):
    """Keys of :class:`ScaleConfig`."""

    num_env_runners: int
    min_env_runners: int | None
    num_envs_per_env_runner: int
    fleet: Literal["auto", "serial", "ray"]
    max_requests_in_flight_per_env_runner: int | Literal["auto"]
    sample_order: Literal["workers", "ready"]
    broadcast_interval: int
    max_lag: int | None
    sample_timeout_s: float
    restart_failed_env_runners: bool
    num_cpus_per_env_runner: float
    num_gpus_per_env_runner: float
    custom_resources_per_env_runner: dict[str, float]
    evaluation_num_env_runners: int
    evaluation_parallel_to_training: bool
    ray_address: str | None
    ray_runtime_env: dict[str, Any]


class AlgorithmOptions(ScaleOptions, total=False):
    """Keys of :class:`AlgorithmConfig`."""

    env_config: dict[str, Any]
    wrappers: list[str | Callable[..., Any]]
    vectorization: Literal["auto", "native", "sync", "async"]
    collect_infos: list[str]
    rollout_fragment_length: int | Literal["auto"]
    gamma: float
    lr: float
    lr_schedule: list[tuple[float, float]] | Literal["linear"] | None
    grad_clip: float | None
    adam_epsilon: float
    clip_rewards: bool | float | None
    normalize_rewards: bool
    seed: int | None
    return_window: int
    stop_return: float | None
    evaluate_every: int | None
    evaluation_episodes: int
    evaluation_max_episode_steps: int | Literal["auto"] | None
    checkpoint_every: int
    keep: int
    exact_resume: bool
    env_timeout_s: float | None
    output: str | None
    output_max_file_size: int


class OnPolicyOptions(AlgorithmOptions, total=False):
    """Keys of :class:`OnPolicyConfig`."""

    batch_mode: Literal["truncate_episodes", "complete_episodes"]
    train_batch_size: int


class ActorCriticOptions(OnPolicyOptions, total=False):
    """Keys of :class:`ActorCriticConfig`."""

    vf_loss_coeff: float
    entropy_coeff: float
    entropy_coeff_schedule: list[tuple[float, float]] | Literal["linear"] | None


class SmallBatchOptions(ActorCriticOptions, total=False):
    """Keys of :class:`SmallBatchConfig`."""

    min_sample_timesteps_per_iteration: int


class GAEOptions(ActorCriticOptions, total=False):
    """Keys of :class:`GAEConfig`."""

    use_gae: bool
    lambda_: float
    use_critic: bool


class A2COptions(GAEOptions, SmallBatchOptions, total=False):
    """Keys of :class:`A2CConfig`."""

    microbatch_size: int | None


class ClippedOptions(ActorCriticOptions, total=False):
    """Keys of :class:`ClippedConfig`."""

    clip_param: float
    use_kl_loss: bool
    kl_coeff: float
    kl_target: float


class IMPALAOptions(SmallBatchOptions, total=False):
    """Keys of :class:`IMPALAConfig`."""

    vtrace_clip_rho_threshold: float
    vtrace_clip_pg_rho_threshold: float
    opt: Literal["adam", "rmsprop"]
    decay: float
    momentum: float
    epsilon: float
    num_epochs: int
    replay_proportion: float
    replay_buffer_num_slots: int
    store_buffer_in_checkpoints: bool


class APPOOptions(IMPALAOptions, ClippedOptions, total=False):
    """Keys of :class:`APPOConfig`."""

    target_network_update_freq: int
    tau: float


class OfflineOptions(AlgorithmOptions, total=False):
    """Keys of :class:`OfflineConfig`."""

    input: str | os.PathLike[str] | list[str | os.PathLike[str]] | dict[str, float] | None
    actions_in_input_normalized: bool
    unpack_input: bool
    input_max_bad_lines: int
    train_batch_size: int
    minibatch_size: int | None
    num_epochs: int


class MARWILOptions(OfflineOptions, total=False):
    """Keys of :class:`MARWILConfig`."""

    beta: float
    bc_logstd_coeff: float
    vf_coeff: float
    moving_average_sqd_adv_norm_update_rate: float
    moving_average_sqd_adv_norm_start: float


class BCOptions(MARWILOptions, total=False):
    """Keys of :class:`BCConfig`."""


class OffPolicyOptions(AlgorithmOptions, total=False):
    """Keys of :class:`OffPolicyConfig`."""

    train_batch_size: int
    min_sample_timesteps_per_iteration: int
    num_steps_sampled_before_learning_starts: int
    training_intensity: float | None
    n_step: int
    target_network_update_freq: int
    tau: float
    replay_capacity: int
    prioritized_replay: bool
    prioritized_replay_alpha: float
    prioritized_replay_beta: float
    prioritized_replay_eps: float
    replay_burn_in: int
    store_buffer_in_checkpoints: bool


class DQNOptions(OffPolicyOptions, total=False):
    """Keys of :class:`DQNConfig`."""

    double_q: bool
    dueling: bool
    hiddens: list[int]
    num_atoms: int
    v_min: float
    v_max: float
    noisy: bool
    sigma0: float
    td_error_loss_fn: Literal["huber", "mse"]
    categorical_distribution_temperature: float


class PGOptions(OnPolicyOptions, total=False):
    """Keys of :class:`PGConfig`."""

    vf_loss_coeff: float


class PPOOptions(GAEOptions, ClippedOptions, total=False):
    """Keys of :class:`PPOConfig`."""

    num_epochs: int
    minibatch_size: int | None
    vf_clip_param: float | None


class SACOptions(OffPolicyOptions, total=False):
    """Keys of :class:`SACConfig`."""

    policy_model_config: dict[str, Any]
    q_model_config: dict[str, Any]
    twin_q: bool
    initial_alpha: float
    target_entropy: float | dict[str, float] | Literal["auto"] | None
    td_error_loss_fn: Literal["huber", "mse"]
    actor_lr: float | None
    critic_lr: float | None
    alpha_lr: float | None
