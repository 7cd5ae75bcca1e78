"""What to write in place of methods and attributes of RLlib's objects that there are not."""

from __future__ import annotations

_ONE_POLICY = "There is one policy, get_policy(), which trains."
_SAVED = "algo.save(path) writes a checkpoint, of which the class's from_checkpoint(path) builds the algorithm again."
_EXPORT = (
    "algo.policy.export('policy.onnx') writes a file for other programs, as `anyspace export RUN policy.onnx` does."
)
_DEFAULTS = "PPOConfig() shows the defaults, and PPO(env=..., config={...}) takes other values."
_DERIVE = "Derive a class from the algorithm, and override its `losses`, `updates` or `setup`."
_STATE = f"Weights are taken and set by get_weights and set_weights. {_SAVED}"
_REPLAY = "DQN and SAC have a replay buffer as `replay`."
_LEARNS = "algo.train() collects and learns. " + _DERIVE

ALGORITHM = {
    **dict.fromkeys(("export_policy_model", "export_model"), _EXPORT),
    **dict.fromkeys(("export_policy_checkpoint", "save_checkpoint", "save_to_path"), _SAVED),
    **dict.fromkeys(("load_checkpoint", "restore_from_path"), "restore(path) goes on from what save(path) wrote."),
    **dict.fromkeys(("import_model", "import_policy_model_from_h5"), "load_weights(path) reads those of a checkpoint."),
    **dict.fromkeys(("get_config", "get_default_config", "_default_config", "merge_algorithm_configs"), _DEFAULTS),
    **dict.fromkeys(("reset_config", "validate_config", "merge_trainer_configs"), _DEFAULTS),
    **dict.fromkeys(("add_policy", "remove_policy", "add_module", "remove_module"), _ONE_POLICY),
    **dict.fromkeys(
        ("with_updates", "get_default_policy_class", "_policy_class", "training_step", "execution_plan"), _DERIVE
    ),
    **dict.fromkeys(("get_state", "set_state", "from_state"), _STATE),
    **dict.fromkeys(("evaluation_workers", "eval_env_runner_group"), "algo.evaluate() plays episodes of their own."),
    **dict.fromkeys(("env_runner", "env_creator"), "algo.workers.foreach_env(func) reaches the environments."),
    **dict.fromkeys(
        ("logdir", "log_result"), "learn(steps, out='runs/mine') writes what results hold into that folder."
    ),
    "local_replay_buffer": _REPLAY,
    "learner_group": "algo.policy.model is the network, and algo.learner moves its weights.",
    "_counters": "Results count: result['timesteps_total'], result['episodes_total'].",
    "cleanup": "It is called stop() here.",
}
"""Attributes of an algorithm, and of its class."""

POLICY = {
    **dict.fromkeys(("export_checkpoint", "get_state", "set_state", "from_checkpoint", "from_state"), _STATE),
    **dict.fromkeys(("export_model", "import_model_from_h5"), _EXPORT),
    **dict.fromkeys(
        (
            *("learn_on_batch", "learn_on_loaded_batch", "load_batch_into_buffer", "compute_gradients"),
            *("apply_gradients", "postprocess_trajectory", "loss", "stats_fn", "extra_grad_process", "optimizer"),
        ),
        _LEARNS,
    ),
    **dict.fromkeys(
        ("compute_log_likelihoods", "extra_action_out", "action_distribution_fn"),
        "evaluate_actions(obs, actions) gives log-probabilities and values, get_distribution(obs) the distribution.",
    ),
    "compute_actions_from_input_dict": "compute_actions(input_dict['obs'], state) takes the observations.",
    **dict.fromkeys(
        ("q_model", "compute_q_values"), "`model.q_values(features)` are those of what model(...) returns."
    ),
    "target_model": "DQN and SAC have it as `algo.target.model`.",
    **dict.fromkeys(("framework", "device"), "`config.framework` is the framework, `runtime.device` the device."),
    **dict.fromkeys(
        ("lr", "cur_lr", "entropy_coeff", "kl_coeff", "global_timestep", "num_grad_updates"),
        "Results have it: algo.train()['learner'], and algo.timesteps_total counts the steps.",
    ),
    "get_session": "There are no graphs of TensorFlow 1.",
}
"""Attributes of a policy."""

_ENV = "foreach_env(func) reaches the environments."
_COLLECTS = "algo.train() collects; anyspace.data.collector has what does."

WORKERS = {
    **dict.fromkeys(("env", "async_env", "env_context", "foreach_env_with_context", "env_creator"), _ENV),
    **dict.fromkeys(("sample", "sample_with_count", "sampler", "input_reader", "output_writer"), _COLLECTS),
    **dict.fromkeys(("learn_on_batch", "apply_gradients", "compute_gradients"), _LEARNS),
    **dict.fromkeys(("filters", "sync_filters", "get_filters", "observation_filter"), "It is algo.policy.filter here."),
    "preprocessors": "It is algo.policy.preprocessor here.",
    **dict.fromkeys(("get_weights", "set_weights", "sync_weights"), "algo.get_weights and algo.set_weights do that."),
    **dict.fromkeys(
        ("remote_workers", "num_remote_workers", "num_healthy_remote_workers", "foreach_worker_with_id"),
        "Other processes are of algo.fleet, and algo.config.num_env_runners counts them.",
    ),
    **dict.fromkeys(("config", "policy_config"), "It is algo.config here."),
    **dict.fromkeys(("add_policy", "remove_policy", "policies_to_train", "for_policy"), _ONE_POLICY),
    **dict.fromkeys(("get_state", "set_state", "save", "restore"), _SAVED),
    "get_metrics": "algo.train() returns them.",
}
"""Attributes of what steps the environments."""

_IN_INFO = "The numbers of the last step's info are there, last_info_for(): let the environment put it into the `info`."

EPISODE = {
    "agent_rewards": "There is one agent: `total_reward` is the sum of its rewards.",
    "media": "RecordVideo(every), a callback of learn(), films the policy; `anyspace record RUN` films a run.",
    **dict.fromkeys(
        (
            *("last_observation_for", "last_raw_obs_for", "last_action_for", "last_reward_for", "prev_action_for"),
            *("prev_reward_for", "rnn_state_for", "last_pi_info_for", "last_extra_action_outs_for", "batch_builder"),
            *("last_terminated_for", "last_truncated_for", "last_done_for", "env_id", "worker", "soft_reset"),
        ),
        _IN_INFO,
    ),
    **dict.fromkeys(("policy_for", "policy_map", "policy_mapping_fn"), "`policies['default_policy']` is the policy."),
    "get_agents": "There is one agent.",
}
"""Attributes of an episode that a callback is told of."""

_VIEWS = "A model gets the views that it declares: `view_requirements`."

SAMPLE_BATCH = {
    "as_multi_agent": "There is one agent: hand over the batch itself.",
    "compress": "Columns stay arrays; JsonWriter(path, compress_columns=['obs']) packs those of a file.",
    "get_single_step_input_dict": "policy.compute_single_action(obs, state) makes what a model is given.",
    **dict.fromkeys(("accessed_keys", "added_keys", "deleted_keys", "intercepted_values"), _VIEWS),
}
"""Attributes of a batch."""

OFFLINE = {
    "read_all_files": "next() reads without end; what is learnt from all files alike, BC(input='DIR') reads by itself.",
    "default_sampler_input": "Steps that are taken and recorded ones are mixed by input={'sampler': 0.5, 'DIR': 0.5}.",
}
"""Attributes of readers, and of their context."""
