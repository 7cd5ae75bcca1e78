from __future__ import annotations

import ast
import re

import pytest

from anyspace import PPO
from anyspace.algorithms import ALGORITHMS
from anyspace.algorithms.foreign_keys import FOREIGN_KEYS
from anyspace.algorithms.settings import overridden
from anyspace.config import paths
from anyspace.errors import ConfigError

CONFIGS = {name: kind.config_class() for name, kind in ALGORITHMS.items()}
EVERY_KEY = {path for config in CONFIGS.values() for path in paths(config)}

STABLE_BASELINES = (
    "policy policy_kwargs net_arch activation_fn ortho_init features_extractor_class learning_rate n_steps batch_size"
    " n_epochs gae_lambda clip_range clip_range_vf normalize_advantage ent_coef vf_coef max_grad_norm target_kl use_sde"
    " sde_sample_freq stats_window_size tensorboard_log verbose total_timesteps callback progress_bar eval_freq"
    " n_eval_episodes n_envs env_kwargs vec_env_cls norm_obs norm_reward buffer_size learning_starts"
)
RLLIB = (
    "callbacks evaluation_interval evaluation_duration evaluation_config sample_async num_aggregation_workers"
    " num_gpus num_learners log_level disable_env_checking create_env_on_driver remote_worker_envs"
    " horizon observation_space action_space multiagent policies policy_mapping_fn"
    " metrics_num_episodes_for_smoothing min_sample_timesteps_per_iteration enable_rl_module_and_learner"
    " train_batch_size_per_learner simple_optimizer shuffle_sequences compress_observations render_env model_config"
    " ignore_worker_failures replay_buffer_config stop checkpoint_freq"
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
    ],
)
def test_a_foreign_key_is_explained_by_what_the_algorithm_has(name: str, key: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(expected)):
        overridden(CONFIGS[name], {key: 1})


def test_explanations_are_sentences() -> None:
    assert [text for text in TEXTS if not re.fullmatch(r"([A-Z{]|learn|evaluate).*[.)]", text)] == []
