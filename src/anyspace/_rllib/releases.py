"""Paths and names of RLlib's releases before 2.40."""

from __future__ import annotations

DEFAULTS = "anyspace._rllib.defaults"
_ALGORITHMS = "anyspace._rllib.algorithms"
_METRICS = "anyspace._rllib.metric_names"

MOVED = {
    "agents": "algorithms",
    "agents.callbacks": "algorithms.callbacks",
    "agents.trainer": "algorithms.algorithm",
    "agents.dqn.distributional_q_tf_model": "algorithms.dqn.distributional_q_tf_model",
    "agents.dqn.dqn_torch_model": "algorithms.dqn.dqn_torch_model",
    "agents.marwil.bc": "algorithms.bc",
    "agents.ppo.appo": "algorithms.appo",
    "agents.sac.sac_tf_model": "algorithms.sac.sac_tf_model",
    "agents.sac.sac_torch_model": "algorithms.sac.sac_torch_model",
    "env.atari_wrappers": "env.wrappers.atari_wrappers",
    "env.dm_control_wrapper": "env.wrappers.dm_control_wrapper",
    "env.dm_env_wrapper": "env.wrappers.dm_env_wrapper",
    "env.group_agents_wrapper": "env.wrappers.group_agents_wrapper",
    "env.pettingzoo_env": "env.wrappers.pettingzoo_env",
    "models.extra_spaces": "utils.spaces.simplex",
    "models.tf.fcnet_v2": "models.tf.fcnet",
    "models.tf.visionnet_v2": "models.tf.visionnet",
    "utils.space_utils": "utils.spaces.space_utils",
    "utils.tf_ops": "utils.tf_utils",
    "utils.torch_ops": "utils.torch_utils",
    "utils.types": "utils.typing",
}
"""Old path -> path in 2.40 with the same names."""

_CONSTANTS = (
    "ENV_RUNNER_RESULTS EPISODE_LEN_MEAN EPISODE_RETURN_MAX EPISODE_RETURN_MEAN EPISODE_RETURN_MIN EVALUATION_RESULTS"
    " LEARNER_INFO LEARNER_RESULTS LEARNER_STATS_KEY NUM_AGENT_STEPS_SAMPLED NUM_AGENT_STEPS_TRAINED"
    " NUM_ENV_STEPS_SAMPLED NUM_ENV_STEPS_SAMPLED_LIFETIME NUM_ENV_STEPS_TRAINED NUM_EPISODES NUM_EPISODES_LIFETIME"
)

MORE: dict[str, dict[str, str]] = {
    "agents.a3c": {_ALGORITHMS: "A2C A2CTrainer=A2C"},
    "agents.a3c.a2c": {_ALGORITHMS: "A2C A2CTrainer=A2C", DEFAULTS: "DEFAULT_CONFIG=A2C_DEFAULT_CONFIG"},
    "agents.a3c.a3c": {},
    "agents.dqn": {
        _ALGORITHMS: "DQN DQNTrainer=DQN",
        DEFAULTS: "DEFAULT_CONFIG=DQN_DEFAULT_CONFIG",
    },
    "agents.marwil": {
        _ALGORITHMS: "BC BCTrainer=BC MARWIL MARWILTrainer=MARWIL",
        DEFAULTS: "DEFAULT_CONFIG=MARWIL_DEFAULT_CONFIG",
    },
    "agents.ppo": {
        _ALGORITHMS: "APPO APPOTrainer=APPO PPO PPOTrainer=PPO",
        DEFAULTS: "DEFAULT_CONFIG=PPO_DEFAULT_CONFIG",
    },
    "agents.registry": {DEFAULTS: "get_agent_class=get_algorithm_class get_trainer_class=get_algorithm_class"},
    "agents.trainer": {DEFAULTS: "COMMON_CONFIG with_common_config"},
    "algorithms.registry": {DEFAULTS: "get_algorithm_class get_trainer_class=get_algorithm_class"},
    "utils.metrics": {_METRICS: _CONSTANTS},
    "utils.metrics.learner_info": {_METRICS: "LEARNER_INFO LEARNER_RESULTS LEARNER_STATS_KEY"},
}
"""Path -> module of anyspace -> names in it, beside those that the path has in 2.40."""

DEPRECATED = frozenset(
    (
        *("buffer_size", "collect_metrics_timeout", "evaluation_num_episodes", "horizon", "input_evaluation"),
        *("learning_starts", "metrics_smoothing_episodes", "min_iter_time_s", "min_sample_timesteps_per_reporting"),
        *("min_time_s_per_reporting", "min_train_timesteps_per_reporting", "monitor", "prioritized_replay_alpha"),
        *("prioritized_replay_beta", "prioritized_replay_eps", "replay_batch_size", "replay_sequence_length"),
        *("simple_optimizer", "soft_horizon", "timesteps_per_iteration", "vf_share_layers"),
    )
)
"""Keys, but for flags, that some release has at -1 in its defaults, because their place has been another one since."""
