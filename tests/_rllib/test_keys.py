"""Keys of RLlib's training scripts, and what they are here."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from anyspace import APPO, BC, DQN, IMPALA, MARWIL, PPO, SAC, Algorithm
from anyspace._rllib.keys import translated, with_effect, with_rhythm
from anyspace.algorithms.settings import overridden
from anyspace.errors import ConfigError
from anyspace.models import ModelConfig
from anyspace.rllib.algorithms import dqn
from anyspace.rllib.algorithms.ppo import PPOConfig

Kind = type[Algorithm[Any]]


@pytest.mark.parametrize(
    "given",
    [
        lambda: PPOConfig().framework("tf2").offline_data(input_="dataset"),
        lambda: PPOConfig().training(framework="tf2", input_="dataset"),
        lambda: PPOConfig().update_from_dict({"framework": "tf2", "input": "dataset"}).environment(env_config=None),
    ],
)
def test_keys_mean_the_same_whichever_method_takes_them(given: Any) -> None:
    found = {"framework": "tf", "input": "dataset"}
    assert translated(PPO.config_class, given().to_dict()) == found
    config = PPOConfig()
    for key, value in given().to_dict().items():
        config[key] = value
    assert translated(PPO.config_class, config.to_dict()) == found


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (IMPALA, {"vtrace": True, "minibatch_buffer_size": 1, "_separate_vf_optimizer": False, "_lr_vf": 0.1}),
        (IMPALA, {"replay_buffer_num_slots": 0, "after_train_step": None, "grad_clip_by": "global_norm"}),
        (IMPALA, {"timeout_s_sampler_manager": 0.0, "num_multi_gpu_loader_threads": 4}),
        (APPO, {"lambda": 1.0, "use_gae": True, "use_critic": True}),
        (PPO, {"enable_rl_module_and_learner": False, "rl_module_spec": None, "enable_connectors": True}),
        (PPO, {"input": "sampler", "horizon": None, "render_env": False, "multiagent": {}, "num_gpus": 0}),
        (PPO, {"min_sample_timesteps_per_iteration": 0, "output_compress_columns": ["obs"]}),
        (DQN, {"batch_mode": "complete_episodes", "before_learn_on_batch": None, "postprocess_inputs": False}),
        (SAC, {"use_state_preprocessor": False, "_use_beta_distribution": False, "optimization": None}),
        (MARWIL, {"postprocess_inputs": True, "input_config": {}, "shuffle_buffer_size": 0}),
        (MARWIL, {"off_policy_estimation_methods": {}, "input_evaluation": ["is", "wis"]}),
        (BC, {"postprocess_inputs": False}),
        (PPO, {"multiagent": {"policies": {}, "policy_mapping_fn": None}, "vf_share_layers": False}),
        (PPO, {"memory": 0, "object_store_memory": 0, "min_iter_time_s": 1, "eager": False, "worker_cls": None}),
        (DQN, {"soft_q": False, "softmax_temp": 1.0, "parameter_noise": False, "schedule_max_timesteps": 100}),
        (DQN, {"worker_side_prioritization": False, "replay_sequence_length": None}),
        (DQN, {"final_prioritized_replay_beta": 0.4, "prioritized_replay_beta_annealing_timesteps": 20_000}),
        (SAC, {"_deterministic_loss": False, "replay_mode": "independent", "output_config": None}),
        (IMPALA, {"num_data_loader_buffers": 1, "num_parallel_data_loaders": 1}),
        (PPO, {"evaluation_config": {"explore": False, "env_config": {}, "render_env": False, "input": "sampler"}}),
        (PPO, {"evaluation_config": {"num_envs_per_worker": 1, "num_envs_per_env_runner": 1}}),
        (PPO, {"evaluation_force_reset_envs_before_iteration": True, "custom_evaluation_function": None}),
        (PPO, {"metrics_episode_collection_timeout_s": 60.0, "evaluation_sample_timeout_s": 180.0, "is_atari": False}),
        (PPO, {"enable_tf1_exec_eagerly": False, "torch_compile_learner_what_to_compile": "forward_train"}),
        (PPO, {"torch_ddp_kwargs": {}, "keep_per_episode_custom_metrics": False, "count_steps_by": "agent_steps"}),
        (PPO, {"vf_share_layers": -1, "horizon": -1, "soft_horizon": -1, "metrics_smoothing_episodes": -1}),
        (DQN, {"prioritized_replay": -1, "buffer_size": -1, "replay_buffer_config": {"prioritized_replay": -1}}),
    ],
)
def test_keys_that_say_what_happens_anyway_are_left_out(kind: Kind, given: dict[str, Any]) -> None:
    assert translated(kind.config_class, given) == {}


@pytest.mark.parametrize(
    ("kind", "given", "found"),
    [
        (
            DQN,
            {"learning_starts": 5, "buffer_size": 50},
            {"num_steps_sampled_before_learning_starts": 5, "replay_capacity": 50},
        ),
        (DQN, {"timesteps_per_iteration": 20}, {"min_sample_timesteps_per_iteration": 20}),
        (
            DQN,
            {"exploration_fraction": 0.5, "exploration_final_eps": 0.1, "schedule_max_timesteps": 1000},
            {"exploration_config": {"type": "EpsilonGreedy", "final_epsilon": 0.1, "epsilon_timesteps": 500}},
        ),
        (
            DQN,
            {
                "model": {"use_lstm": True},
                "replay_buffer_config": {"type": "a.ReplayBuffer", "storage_unit": "sequences"},
            },
            {"model": {"use_lstm": True}, "prioritized_replay": False},
        ),
        (SAC, {"Q_model": {"hidden_layer_sizes": [8]}}, {"q_model_config": {"fcnet_hiddens": [8]}}),
        (SAC, {"policy_model": {"hidden_activation": "tanh"}}, {"policy_model_config": {"fcnet_activation": "tanh"}}),
        (PPO, {"lr": [[0, 1e-3], [100, 1e-4]]}, {"lr_schedule": [[0, 1e-3], [100, 1e-4]]}),
        (PPO, {"lr": None, "learner_class": None, "recreate_failed_workers": False, "num_cpus_per_learner": 1}, {}),
        (PPO, {"sample_batch_size": 50}, {"rollout_fragment_length": 50}),
        (PPO, {"vf_share_layers": True}, {"model": {"vf_share_layers": True}}),
        (PPO, {"use_pytorch": False}, {"framework": "tf"}),
        (PPO, {"use_pytorch": True, "framework": "tfe"}, {"framework": "tf"}),
        (
            PPO,
            {"model": {"custom_options": {"a": 1}, "state_shape": None}},
            {"model": {"custom_model_config": {"a": 1}}},
        ),
        (IMPALA, {"max_sample_requests_in_flight_per_worker": 3}, {"max_requests_in_flight_per_env_runner": 3}),
        (PPO, {"evaluation_config": {"num_workers": 2, "lr": 1}, "lr": 1}, {"evaluation_num_env_runners": 2, "lr": 1}),
    ],
)
def test_keys_of_releases_before_two(kind: Kind, given: dict[str, Any], found: dict[str, Any]) -> None:
    assert translated(kind.config_class, given) == found


def test_what_evaluation_is_to_change_is_refused() -> None:
    given = {"evaluation_config": PPOConfig.overrides(explore=True)}
    assert translated(PPO.config_class, given) == given
    with pytest.raises(ConfigError, match=r"`evaluation_config`\. Evaluation plays .* evaluate\(explore=True\)"):
        overridden(PPO.config_class(), given)


@pytest.mark.parametrize(
    ("kind", "given", "reason"),
    [
        (PPO, {"keep_per_episode_custom_metrics": True}, "has the mean, smallest and largest value"),
        (PPO, {"custom_evaluation_function": print}, "between iterations"),
        (PPO, {"num_workers": -1}, "`num_env_runners` is -1"),
        (PPO, {"lr": -1}, "`lr` is -1"),
        (PPO, {"lrr": -1}, "unknown config key `lrr`. Did you mean 'lr'"),
        (PPO, {"train_batch_size_per_learner": -1}, "`train_batch_size_per_learner`"),
        (PPO, {"observation_space": 3}, "It is the environment's: leave it out"),
        (IMPALA, {"vtrace": False}, "V-trace is what IMPALA and APPO always go by"),
        (IMPALA, {"minibatch_buffer_size": 2}, "learnt from by itself"),
        (IMPALA, {"_separate_vf_optimizer": True, "_lr_vf": 0.1}, "moved by one optimiser"),
        (PPO, {"enable_rl_module_and_learner": True}, "RLlib's old API stack"),
        (PPO, {"enable_env_runner_and_connector_v2": True}, "RLlib's old API stack"),
        (PPO, {"_enable_learner_api": True}, "RLlib's old API stack"),
        (PPO, {"_enable_rl_module_api": True}, "RLlib's old API stack"),
        (PPO, {"_enable_new_api_stack": True}, "RLlib's old API stack"),
        (PPO, {"rl_module_spec": object()}, "RLlib's old API stack"),
        (PPO, {"input": "recorded"}, "MARWIL and BC learn from recorded"),
        (PPO, {"grad_clip_by": "value"}, "the norm of all gradients together"),
        (DQN, {"before_learn_on_batch": print}, "in `updates`"),
        (MARWIL, {"postprocess_inputs": False}, "wherever `beta` is above 0"),
        (MARWIL, {"shuffle_buffer_size": 100}, "the steps of `train_batch_size` are shuffled"),
        (MARWIL, {"off_policy_estimation_methods": {"is": {}}}, "`evaluate_every` plays"),
        (MARWIL, {"input_": lambda ioctx: None}, "`input_` is a function that makes a reader"),
        (SAC, {"optimization": {"lr": 0.1}}, "`optimization.lr` is not taken"),
        (SAC, {"optimization": 0.1}, "Its rates are `actor_lr`, `critic_lr` and `alpha_lr` here"),
        (DQN, {"replay_buffer_config": {"replay_mode": "lockstep"}}, "replay_mode` is not taken"),
        (DQN, {"replay_buffer_config": {"type": "ReservoirBuffer"}}, "type` is 'ReservoirBuffer', but the replay here"),
        (DQN, {"replay_buffer_config": {"type": dict}}, "type` is <class 'dict'>, but the replay here keeps"),
        (DQN, {"replay_buffer_config": {"storage_unit": "sequences"}}, "storage_unit` is not taken: steps are kept"),
        (DQN, {"replay_buffer_config": {"replay_sequence_length": 8}}, "sequences have `model.max_seq_len` steps"),
    ],
)
def test_values_that_mean_something_else_are_refused(kind: Kind, given: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        overridden(kind.config_class(), translated(kind.config_class, given)).validate()


def test_keys_of_sac_have_their_names_here() -> None:
    rates = {"actor_learning_rate": 1e-3, "critic_learning_rate": 2e-3, "entropy_learning_rate": 3e-3}
    given = {"optimization": rates, "_use_beta_distribution": True, "model": {"fcnet_hiddens": [4]}}
    assert translated(SAC.config_class, given) == {
        **{"actor_lr": 1e-3, "critic_lr": 2e-3, "alpha_lr": 3e-3},
        "model": {"custom_action_dist": "Beta", "fcnet_hiddens": [4]},
    }
    whole = translated(SAC.config_class, {"_use_beta_distribution": True, "model": ModelConfig(fcnet_hiddens=[4])})
    assert whole == {"model": ModelConfig(fcnet_hiddens=[4], custom_action_dist="Beta")}


def test_a_replay_buffer_is_read() -> None:
    buffer = {"type": "PrioritizedEpisodeReplayBuffer", "capacity": 5000, "alpha": 0.5, "beta": 0.3}
    buffer |= {"replay_sequence_length": 1, "replay_mode": "independent", "worker_side_prioritization": False}
    buffer |= {"learning_starts": 7, "replay_burn_in": 3, "prioritized_replay_eps": 0.1}
    assert translated(DQN.config_class, {"replay_buffer_config": buffer}) == {
        **{"prioritized_replay": True, "replay_capacity": 5000, "replay_burn_in": 3},
        **{"prioritized_replay_alpha": 0.5, "prioritized_replay_beta": 0.3, "prioritized_replay_eps": 0.1},
        "num_steps_sampled_before_learning_starts": 7,
    }
    even = {"replay_buffer_config": {"type": "MultiAgentReplayBuffer", "prioritized_replay_alpha": 0.6}}
    assert translated(DQN.config_class, even)["prioritized_replay"] is False


@pytest.mark.parametrize(
    ("given", "fragment", "intensity"),
    [
        ({}, 1, None),
        ({"rollout_fragment_length": 4}, 4, 8.0),
        ({"num_envs_per_worker": 8, "num_workers": 2}, 1, 2.0),
        ({"n_step": 3, "train_batch_size": 30, "training_intensity": None}, 3, 10.0),
        ({"rollout_fragment_length": 4, "training_intensity": 2.0}, 4, 2.0),
        ({"rollout_fragment_length": 4, "model": {"use_lstm": True, "max_seq_len": 5}}, 4, 40.0),
    ],
)
def test_old_scripts_keep_their_gradient_step_for_each_round(
    given: dict[str, Any], fragment: int, intensity: float | None
) -> None:
    settings = overridden(DQN.config_class(), with_rhythm(DQN.config_class, given))
    assert (settings.rollout_fragment_length, settings.training_intensity) == (fragment, intensity)


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({"kl_coeff": 0.0, "kl_target": 0.02}, {"kl_coeff": 0.0}),
        ({"use_gae": False, "lambda": 0.9}, {"use_gae": False}),
        ({"model": {"use_lstm": False, "max_seq_len": 50}}, {"model": {"use_lstm": False}}),
        ({"model": {"max_seq_len": 20}}, {"model": {"max_seq_len": 20}}),
    ],
)
def test_keys_without_an_effect_are_left_out_of_old_scripts(
    given: dict[str, Any], left: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    assert with_effect(PPO.config_class, given) == left
    assert ("leave no effect to" in caplog.text) == (given != left)


def test_an_old_script_takes_one_gradient_step_for_each_round() -> None:
    config = dqn.DQNConfig().environment("CartPole-v1").rollouts(rollout_fragment_length=7, num_envs_per_worker=7)
    config.training(train_batch_size=1, model={"fcnet_hiddens": [4]}, hiddens=[4], min_sample_timesteps_per_iteration=1)
    config.training(replay_buffer_config={"learning_starts": 0})
    with closing(config.build()) as algo:
        results = [algo.train() for _ in range(3)]
    rounds = [(result["learner"]["gradient_steps"], result["timesteps_total"] // (7 * 7)) for result in results]
    assert rounds[0] == (1, 1)
    assert all(steps == due for steps, due in rounds)
    # A preset has a rhythm of its own.
    with closing(dqn.DQN("CartPole-v1", {"n_step": 3}, preset="CartPole-v1")) as algo:
        assert algo.config.rollout_fragment_length != 3


def test_an_evaluation_plays_a_number_of_episodes() -> None:
    with pytest.raises(ConfigError, match="evaluation_duration: an evaluation plays a number of episodes here"):
        translated(PPO.config_class, {"evaluation_duration": "auto"})


def test_the_rows_of_a_gradient_step_are_not_those_of_a_batch() -> None:
    with pytest.raises(ConfigError, match=r"`mini_batch_size_per_learner`.*called `minibatch_size` here"):
        PPO("CartPole-v1", {"mini_batch_size_per_learner": 64})
