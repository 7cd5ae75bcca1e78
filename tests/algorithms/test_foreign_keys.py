from __future__ import annotations

import ast
import re
from typing import Any

import pytest
from gymnasium.spaces import Box, Discrete

from anyspace import BC, PPO
from anyspace.algorithms import ALGORITHMS
from anyspace.algorithms.foreign_keys import FOREIGN_KEYS
from anyspace.algorithms.layers import overridden
from anyspace.config import paths
from anyspace.errors import ConfigError

CONFIGS = {name: kind.config_class() for name, kind in ALGORITHMS.items()}
EVERY_KEY = {path for config in CONFIGS.values() for path in paths(config)}

STABLE_BASELINES = (
    "policy policy_kwargs net_arch activation_fn ortho_init features_extractor_class learning_rate n_steps batch_size"
    " n_epochs gae_lambda clip_range clip_range_vf normalize_advantage ent_coef vf_coef max_grad_norm target_kl use_sde"
    " sde_sample_freq stats_window_size tensorboard_log verbose total_timesteps callback progress_bar eval_freq"
    " n_eval_episodes n_envs env_kwargs vec_env_cls norm_obs norm_reward buffer_size learning_starts"
    " replay_buffer_class replay_buffer_kwargs n_sampled_goal goal_selection_strategy optimize_memory_usage"
    " handle_timeout_termination rollout_buffer_class rollout_buffer_kwargs action_noise use_rms_prop rms_prop_eps"
    " use_sde_at_warmup use_expln full_std policy_delay target_policy_noise target_noise_clip n_quantiles n_critics"
    " squash_output top_quantiles_to_drop_per_net lstm_hidden_size n_lstm_layers shared_lstm enable_critic_lstm"
    " lstm_kwargs monitor_dir monitor_kwargs start_index n_stack clip_obs norm_obs_keys _init_setup_model"
    " monitor_wrapper custom_objects print_system_info force_reset log_interval tb_log_name reset_num_timesteps"
    " eval_env create_eval_env best_model_save_path log_path eval_log_path callback_on_new_best reward_threshold"
    " save_path name_prefix deterministic use_masking noptepochs lam timesteps_per_batch act_fun cnn_extractor"
    " param_noise layers nminibatches cliprange vec_env_kwargs save_vecnormalize save_replay_buffer"
    " clip_param_schedule final_epsilon epsilon_timesteps initial_epsilon supported_action_spaces"
)
RLLIB = (
    "callbacks evaluation_interval evaluation_duration evaluation_config sample_async num_aggregation_workers"
    " num_gpus num_learners log_level disable_env_checking create_env_on_driver remote_worker_envs"
    " horizon observation_space action_space multiagent policies policy_mapping_fn"
    " metrics_num_episodes_for_smoothing min_sample_timesteps_per_iteration enable_rl_module_and_learner"
    " train_batch_size_per_learner simple_optimizer shuffle_sequences compress_observations render_env model_config"
    " ignore_worker_failures replay_buffer_config stop checkpoint_freq output_config"
)


@pytest.mark.parametrize("key", [*STABLE_BASELINES.split(), *RLLIB.split()])
def test_the_usual_words_of_other_libraries_are_explained(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PPO("CartPole-v1", {key: 1}, preset="none")
    message = str(caught.value)
    assert message.startswith(f"unknown config key `{key}`. ")
    assert "Did you mean" not in message
    assert "Known keys" not in message


def test_no_explained_key_is_a_key_of_every_algorithm() -> None:
    shared = set.intersection(*({path.rpartition(".")[2] for path in paths(config)} for config in CONFIGS.values()))
    assert not shared & FOREIGN_KEYS.keys()


TEXTS = [text for found in FOREIGN_KEYS.values() for text in ([found] if isinstance(found, str) else found)]


def test_what_is_said_of_foreign_keys_is_true() -> None:
    """Every key that an explanation names some algorithm has, and it takes every value that is shown."""
    shown = [(text, found) for text in TEXTS for found in re.findall(r"\{([a-z_.]+)(?:=(.*?))?\}[^}]", text)]
    assert len(shown) > 80
    for text, (path, value) in shown:
        named = {key for key, _ in re.findall(r"\{([a-z_.]+)(?:=(.*?))?\}[^}]", text)}
        config = next(one for one in CONFIGS.values() if named <= {*paths(one)})
        if value and "My" not in value:
            key: object = ast.literal_eval(value + "}" * (value.count("{") - value.count("}")))
            for name in reversed(path.split(".")):
                key = {name: key}
            assert isinstance(key, dict)
            overridden(config, key)


@pytest.mark.parametrize("name", CONFIGS)
def test_no_algorithm_is_told_of_keys_that_it_does_not_have(name: str) -> None:
    config = CONFIGS[name]
    known = {*paths(config)}
    for key in FOREIGN_KEYS.keys() - known:
        with pytest.raises(ConfigError) as caught:
            overridden(config, {key: 1})
        named = re.findall(r"`([a-z_]+)(?:=[^`]*)?`", str(caught.value).partition(". ")[2])
        assert {one for one in named if one in EVERY_KEY} <= known, (key, str(caught.value))


@pytest.mark.parametrize(
    ("name", "key", "expected"),
    [
        ("DQN", "buffer_size", "It is called `replay_capacity` here."),
        ("SAC", "learning_starts", "It is called `num_steps_sampled_before_learning_starts` here."),
        ("DQN", "train_freq", "`training_intensity` says"),
        ("APPO", "target_update_interval", "It is called `target_network_update_freq` here"),
        ("PPO", "buffer_size", "this one learns from the steps it has just collected"),
        ("BC", "buffer_size", "this one learns from the steps of `input`"),
        ("PPO", "norm_adv", "are always standardised"),
        ("A2C", "norm_adv", "PPO alone standardises advantages"),
        ("SAC", "ent_coef", "from `initial_alpha` on"),
        ("DQN", "clip_range", "Nothing of this algorithm is like it"),
        ("APPO", "use_gae", "V-trace takes the place of GAE"),
        ("APPO", "target_update_frequency", "It is called `target_network_update_freq` here"),
        ("PG", "use_critic", "Nothing of this algorithm is like it"),
        ("DQN", "batch_mode", "are kept in time"),
        ("BC", "batch_mode", "are taken whole"),
        ("SAC", "optimization", "`actor_lr`, `critic_lr` and `alpha_lr`"),
        ("SAC", "_use_beta_distribution", "custom_action_dist"),
        ("SAC", "use_state_preprocessor", "always go through a preprocessor"),
        ("PPO", "capture_video", "callback=RecordVideo(10_000)"),
        ("PPO", "learning_rate", "`lr_schedule='linear'`, down to 0, or the values at some steps"),
        ("PPO", "clip_range_vf", "For clip_range_vf=None write `vf_clip_param=None`."),
        ("PPO", "norm_reward", "It is `normalize_rewards=True` here."),
        ("DQN", "norm_reward", "`clip_rewards=1.0` clips them instead."),
        ("SAC", "entropy_coeff", "a key of A2C, APPO, IMPALA and PPO. Entropy's worth is adapted from `initial_alpha`"),
        ("SAC", "action_noise", "`exploration_config={'type': 'OrnsteinUhlenbeckNoise'}` here"),
        ("DQN", "action_noise", "Noise is for actions that are numbers"),
        ("PPO", "action_noise", "samples of the policy's own distribution here; `entropy_coeff`"),
        ("DQN", "param_noise", "`exploration_config={'type': 'ParameterNoise'}`"),
        ("DQN", "n_quantiles", "`num_atoms` atoms here, between `v_min` and `v_max`"),
        ("SAC", "n_critics", "`twin_q=False` leaves one"),
        ("IMPALA", "use_rms_prop", "It is `opt='rmsprop'` here, with `decay`, `momentum` and `epsilon`."),
        ("A2C", "rms_prop_eps", "The optimiser is Adam, whose stabiliser is `adam_epsilon`"),
        ("SAC", "replay_buffer_class", "Hindsight (HER) is not offered."),
        ("DQN", "save_replay_buffer", "`store_buffer_in_checkpoints=True`"),
        ("DQN", "final_epsilon", "It is in `exploration_config` here"),
        ("SAC", "exploration_fraction", "`target_entropy` keeps them varied"),
        ("PPO", "replay_capacity", "a key of DQN and SAC. It is for algorithms that learn from a replay buffer"),
        ("BC", "training_intensity", "a key of DQN and SAC. It is for algorithms that learn from a replay buffer"),
        ("PPO", "prioritized_replay", "a key of DQN and SAC."),
        ("PPO", "beta", "a key of BC and MARWIL. Nothing of this algorithm is like it"),
        ("PPO", "n_step", "a key of DQN and SAC. Returns of all lengths are weighed by `lambda_` here."),
        ("PPO", "tau", "a key of APPO, DQN and SAC. It is for algorithms with a target network"),
        ("PPO", "noisy", "a key of DQN. Actions are samples"),
        ("PPO", "double_q", "a key of DQN. Nothing of this algorithm is like it"),
        ("DQN", "sgd_minibatch_size", "A gradient step learns from all rows of `train_batch_size`."),
        ("MARWIL", "vf_loss_coeff", "It is called `vf_coeff` here."),
    ],
)
def test_a_foreign_key_is_explained_by_what_the_algorithm_has(name: str, key: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(expected)):
        overridden(CONFIGS[name], {key: 1})


@pytest.mark.parametrize("name", CONFIGS)
def test_keys_of_other_algorithms_are_never_taken_for_something_else(name: str) -> None:
    for key in {path for path in EVERY_KEY if "." not in path} - {*paths(CONFIGS[name])}:
        with pytest.raises(ConfigError, match=rf"^unknown config key `{key}`\. It is a key of [A-Z]"):
            overridden(CONFIGS[name], {key: 1})


def test_explanations_are_sentences() -> None:
    assert [text for text in TEXTS if not re.fullmatch(r"([A-Z{]|learn|evaluate).*[.)]", text)] == []


def test_spaces_of_recorded_steps_are_written_beside_them() -> None:
    spaces: Any = {"observation_space": Box(-1, 1, (2,)), "action_space": Discrete(2)}
    with pytest.raises(ConfigError, match=r"write_spaces\(folder, observation_space, action_space\)"):
        BC(input="steps", **spaces)
    with pytest.raises(ConfigError, match=r"It is the environment's: leave it out. A wrapper changes it"):
        PPO("CartPole-v1", **spaces)
