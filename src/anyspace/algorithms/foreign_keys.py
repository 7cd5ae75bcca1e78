"""What keys of other libraries, and of other algorithms, are called here, or what to do instead."""

from __future__ import annotations

from anyspace.algorithms.stable_baselines_keys import (
    ADVANTAGES,
    CALLBACK,
    EPSILON,
    NO_USE,
    REPLAY,
    STABLE_BASELINES,
)
from anyspace.hints import Foreign

_ONE_PROCESS = "One process learns, and collects unless {num_env_runners} says otherwise; leave it out."
_OLD_STACK = "There is one kind of models and environments here, RLlib's old API stack; leave it out."
_STEPS_OF_ITERATIONS = (
    "It is called {min_sample_timesteps_per_iteration} here.",
    "{train_batch_size} counts the steps of an iteration.",
)
_OFFLINE = (
    "This algorithm learns from the steps that it has taken itself; MARWIL and BC learn from recorded ones, as"
    " BC(input='DIR'), or on the command line --algo bc --input DIR."
)
_ONE_OPTIMISER = (
    "Policy and value are moved by one optimiser. Derive an algorithm with two `groups` and losses, and let a model say"
    " by `group_of` which of its parameters are the value's."
)
_GAE = "V-trace takes the place of GAE, within {vtrace_clip_rho_threshold}; leave it out."
_ESTIMATES = "Returns are not estimated from recorded steps; {evaluate_every} plays episodes in an environment."
_AFTER_BATCHES = "Derive an algorithm, and do it in `updates`, which yields the batches; leave it out."
_OWN_RATES = "Its rates are {actor_lr}, {critic_lr} and {alpha_lr} here."
_SEVERAL_AGENTS = (
    "There is one policy. Several agents in one environment are out of scope, unless they share it, by SuperSuit's"
    " pettingzoo_env_to_vec_env_v1; of others give one agent's view as a gymnasium.Env."
)

_RLLIB: dict[str, str | tuple[str, ...]] = {
    "callbacks": CALLBACK,
    "epsilon": EPSILON,
    "model_config": "It is called {model} here.",
    "num_workers_per_learner": _ONE_PROCESS,
    "sample_async": "{max_requests_in_flight_per_env_runner=2} lets workers go on while the learner learns.",
    "mini_batch_size_per_learner": (
        "It is called {minibatch_size} here.",
        "A gradient step learns from all rows of {train_batch_size}.",
    ),
    "train_batch_size_per_learner": "It is called {train_batch_size} here.",
    "evaluation_interval": "{evaluate_every} says it here, in environment steps rather than iterations.",
    "evaluation_duration": "It is {evaluation_episodes} here, in episodes.",
    "evaluation_duration_unit": "{evaluation_episodes} counts episodes; leave it out.",
    "evaluation_num_episodes": "It is called {evaluation_episodes} here.",
    "evaluation_config": "Evaluation plays the environment of training and takes the most likely actions;"
    " evaluate(explore=True) samples them. To play another environment, load the run with it: load(path, env=...).",
    "metrics_num_episodes_for_smoothing": "It is called {return_window} here.",
    "metrics_smoothing_episodes": "It is called {return_window} here.",
    "min_sample_timesteps_per_iteration": _STEPS_OF_ITERATIONS,
    "timesteps_per_iteration": _STEPS_OF_ITERATIONS,
    "checkpoint_freq": "{checkpoint_every} says it here, in environment steps rather than iterations.",
    "checkpoint_frequency": "{checkpoint_every} says it here, in environment steps rather than iterations.",
    "preset": "It is no key, but an argument where a run begins: PPO(env, preset='none'). One that is loaded keeps its"
    " settings.",
    "stop": "{stop_return=475} ends learn(steps) at a return, `steps` at a number of steps.",
    "local_dir": "learn(steps, out='runs/mine') names the folder; on the command line --out.",
    "storage_path": "learn(steps, out='runs/mine') names the folder; on the command line --out.",
    "remote_worker_envs": "It is {vectorization='async'} here: a process for each environment.",
    "horizon": "Put gymnasium's TimeLimit around the environment: {wrappers}, or gym.make(max_episode_steps=...).",
    **dict.fromkeys(
        ("no_done_at_end", "soft_horizon"),
        "An episode that a limit of time cut is `truncated`, which gymnasium's TimeLimit says: {wrappers}.",
    ),
    "use_pytorch": "It is {framework='torch'} here, which is the default.",
    "disable_env_checking": "What environments return is always checked; leave it out.",
    **dict.fromkeys(
        ("observation_space", "action_space"),
        (
            "The folder of {input} says of which spaces its steps are, where there is no environment: write it once by"
            " anyspace.data.offline.write_spaces(folder, observation_space, action_space).",
            "It is the environment's: leave it out. A wrapper changes it: {wrappers=[MyWrapper]}.",
        ),
    ),
    "render_env": "evaluate(render=True) shows episodes; on the command line `anyspace evaluate RUN --render`.",
    "num_gpus": "{device} says where a policy computes: 'auto', 'cpu', 'cuda' or 'mps'.",
    "num_gpus_per_learner": "{device} says where a policy computes: 'auto', 'cpu', 'cuda' or 'mps'.",
    "replay_buffer_config": (
        "Its keys stand beside the others here: {replay_capacity}, {prioritized_replay}, {prioritized_replay_alpha},"
        " {prioritized_replay_beta}, {prioritized_replay_eps}.",
        *REPLAY,
    ),
    "minibatch_buffer_size": (
        "Each batch is learnt from by itself; {replay_proportion} learns from earlier ones again.",
        "IMPALA and APPO alone learn from earlier batches again; leave it out.",
    ),
    "vtrace": "V-trace is what IMPALA and APPO always go by, and nothing else does; leave it out.",
    **dict.fromkeys(("lambda_", "use_gae", "use_critic"), _GAE),
    "batch_mode": (
        "{replay_capacity} steps are kept in time, wherever fragments end; leave it out.",
        "Lines and episodes of {input} are taken whole; leave it out.",
    ),
    **dict.fromkeys(("optimization", "optimization_config"), _OWN_RATES),
    "_use_beta_distribution": "It is {model.custom_action_dist='Beta'} here.",
    "use_state_preprocessor": "Observations always go through a preprocessor; leave it out.",
    "postprocess_inputs": "Steps that are read get advantages wherever {beta} is above 0; leave it out.",
    "output_config": "{output} names the folder, and {output_max_file_size} bounds a file; leave it out.",
    "input_config": ("{input} says all of a source; leave it out.", _OFFLINE),
    "shuffle_buffer_size": (
        "The files of {input} come in random order, their lines in their own, and the steps of {train_batch_size} are"
        " shuffled.",
        _OFFLINE,
    ),
    **dict.fromkeys(("off_policy_estimation_methods", "input_evaluation"), _ESTIMATES),
    **dict.fromkeys(("before_learn_on_batch", "after_train_step"), _AFTER_BATCHES),
    "target_update_frequency": ("It is called {target_network_update_freq} here, in environment steps.", *REPLAY),
    "grad_clip_by": "{grad_clip} limits the norm of all gradients together; leave it out.",
    "replay_sequence_length": (
        "Models with memory learn from sequences of {model.max_seq_len} steps, after {replay_burn_in} that fill the"
        " memory.",
        "Models with memory learn from sequences of at most {model.max_seq_len} steps.",
    ),
    "replay_zero_init_states": "Sequences begin with the states that they were acted on; leave it out.",
    **dict.fromkeys(
        ("use_worker_filter_stats", "update_worker_filter_stats"),
        "Statistics of all workers are always merged, and all workers get them; leave it out.",
    ),
    **dict.fromkeys(("_separate_vf_optimizer", "_lr_vf"), _ONE_OPTIMISER),
    "input_": ("It is called {input} here.", _OFFLINE),
    "output_compress_columns": "Columns are written as plain JSON; leave it out.",
    "output_write_episodes": "Each line holds the steps of one environment, with the numbers of their episodes.",
    "logger_creator": "learn(steps, out='runs/mine') logs into a folder; leave it out.",
    "log_level": "Messages go to Python's logger 'anyspace': logging.getLogger('anyspace').setLevel('ERROR').",
    "logger_config": "Messages go to Python's logger 'anyspace', metrics into the run folder: learn(steps, out=...).",
    **dict.fromkeys(("multiagent", "policies", "policy_mapping_fn", "policies_to_train"), _SEVERAL_AGENTS),
    "keep_per_episode_custom_metrics": "Of each number `custom_metrics` has the mean, smallest and largest value; an"
    " on_episode_end that keeps `episode.custom_metrics` has those of every episode. Leave it out.",
    "custom_evaluation_function": "{evaluate_every} plays {evaluation_episodes}; call a function of your own between"
    " iterations, in a loop over train().",
    "is_atari": "{preprocessor_pref} says how Atari's pictures are treated; what is Atari is seen by itself.",
    "evaluation_force_reset_envs_before_iteration": "An evaluation begins with episodes of its own; leave it out.",
    **dict.fromkeys(
        (
            "create_env_on_driver",
            "create_local_env_runner",
            "num_learners",
            "remote_env_batch_wait_ms",
            "ignore_worker_failures",
            "memory",
            "memory_per_worker",
            "object_store_memory",
            "object_store_memory_per_worker",
            "num_data_loader_buffers",
            "num_parallel_data_loaders",
            "worker_cls",
            "learner_queue_size",
            "learner_queue_timeout",
            "num_multi_gpu_tower_stacks",
            "num_aggregation_workers",
            "timeout_s_sampler_manager",
            "timeout_s_aggregator_manager",
            "num_gpu_loader_threads",
            "num_multi_gpu_loader_threads",
            "max_requests_in_flight_per_aggregator_worker",
            "create_env_on_local_worker",
            "num_cpus_for_driver",
            "num_cpus_for_local_worker",
            "num_learner_workers",
            "num_gpus_per_learner_worker",
            "num_cpus_per_learner_worker",
            "placement_strategy",
            "log_sys_usage",
            "restart_failed_sub_environments",
            "auto_wrap_old_gym_envs",
            "eager_max_retraces",
            "log_gradients",
            "collect_metrics_timeout",
            "metrics_episode_collection_timeout_s",
            "evaluation_sample_timeout_s",
            "always_attach_evaluation_results",
            "extra_python_environs_for_driver",
            "extra_python_environs_for_worker",
            "export_native_model_files",
            "checkpoint_trainable_policies_only",
            "_disable_execution_plan_api",
            "_disable_initialize_loss_from_dummy_batch",
            "num_envs_per_learner_worker",
            "_tf_policy_handles_more_than_one_loss",
            "max_num_worker_restarts",
            "validate_workers_after_construction",
            "num_consecutive_worker_failures_tolerance",
            "delay_between_worker_restarts_s",
            "worker_health_probe_timeout_s",
            "worker_restore_timeout_s",
            "validate_env_runners_after_construction",
            "ignore_env_runner_failures",
            "max_num_env_runner_restarts",
            "delay_between_env_runner_restarts_s",
            "num_consecutive_env_runner_failures_tolerance",
            "env_runner_health_probe_timeout_s",
            "env_runner_restore_timeout_s",
            "num_cpus_for_main_process",
            "num_cpus_per_learner",
            "max_requests_in_flight_per_learner",
            "local_gpu_idx",
            "merge_env_runner_states",
            "broadcast_env_runner_states",
        ),
        _ONE_PROCESS,
    ),
    **dict.fromkeys(
        (
            "enable_connectors",
            "env_to_module_connector",
            "module_to_env_connector",
            "learner_connector",
            "learner_class",
            "algorithm_config_overrides_per_module",
            "episodes_to_numpy",
            "episode_lookback_horizon",
            "enable_rl_module_and_learner",
            "enable_env_runner_and_connector_v2",
            "_enable_new_api_stack",
            "_enable_learner_api",
            "_enable_rl_module_api",
            "rl_module_spec",
        ),
        _OLD_STACK,
    ),
    **dict.fromkeys(
        (
            "shuffle_sequences",
            "shuffle_batch_per_epoch",
            "torch_compile_worker",
            "torch_compile_worker_dynamo_backend",
            "torch_compile_worker_dynamo_mode",
            "torch_compile_learner",
            "torch_compile_learner_what_to_compile",
            "torch_compile_learner_dynamo_backend",
            "torch_compile_learner_dynamo_mode",
            "torch_ddp_kwargs",
            "enable_tf1_exec_eagerly",
            "ope_split_batch_by_episode",
            "simple_optimizer",
            "compress_observations",
            "sample_collector",
            "synchronize_filters",
            "sync_filters_on_rollout_workers_timeout_s",
            "eager_tracing",
            "tf_session_args",
            "min_time_s_per_iteration",
            "min_time_s_per_reporting",
            "min_iter_time_s",
            "min_train_timesteps_per_reporting",
            "eager",
            "no_eager_on_workers",
            "local_tf_session_args",
            "schedule_max_timesteps",
            "softmax_temp",
            "final_prioritized_replay_beta",
            "prioritized_replay_beta_annealing_timesteps",
            "sampler_perf_stats_ema_coef",
            "target_worker_clipping",
            "vtrace_drop_last_ts",
        ),
        NO_USE,
    ),
}
_CLEAN_RL: dict[str, str | tuple[str, ...]] = {
    "num_envs": "It is called {num_envs_per_env_runner} here.",
    "num_steps": (
        "It is {train_batch_size} here, which counts the steps of all environments together: num_steps times num_envs."
    ),
    "num_minibatches": (
        "{minibatch_size} counts the rows of a gradient step; the batch has {train_batch_size} rows.",
        "{microbatch_size} counts the rows whose gradients are computed at a time; one step takes their sum.",
    ),
    "update_epochs": "It is called {num_epochs} here.",
    "clip_coef": "It is called {clip_param} here.",
    "norm_adv": ADVANTAGES,
    "clip_vloss": "{vf_clip_param} bounds the squared error of the value; None switches that off.",
    "anneal_lr": "A schedule says it here: {lr_schedule='linear'}.",
    "cuda": "{device} says where a policy computes: 'auto', 'cpu', 'cuda' or 'mps'.",
    "capture_video": (
        "learn(steps, callback=RecordVideo(10_000), out='runs/mine') films the policy while it learns, on the command"
        " line --video-every; `anyspace record RUN` films one that is trained."
    ),
}

_OURS: dict[str, str | tuple[str, ...]] = {
    **dict.fromkeys(
        (
            *("replay_capacity", "replay_burn_in", "training_intensity", "num_steps_sampled_before_learning_starts"),
            *("prioritized_replay", "prioritized_replay_alpha", "prioritized_replay_beta", "prioritized_replay_eps"),
            "store_buffer_in_checkpoints",
        ),
        REPLAY,
    ),
    **dict.fromkeys(
        ("tau", "target_network_update_freq"), "It is for algorithms with a target network, which this one has not."
    ),
    **dict.fromkeys(("input", "unpack_input", "input_max_bad_lines", "actions_in_input_normalized"), _OFFLINE),
    "n_step": (
        "Returns of all lengths are weighed by {lambda_} here.",
        "Returns of all lengths are weighed by V-trace here, within {vtrace_clip_rho_threshold}.",
    ),
    "noisy": EPSILON,
    "hiddens": "The layers of all networks are {model.fcnet_hiddens=[64, 64]}.",
    **dict.fromkeys(("q_model_config", "policy_model_config"), "The network's keys are in {model}."),
    **dict.fromkeys(("actor_lr", "critic_lr", "alpha_lr"), "{lr} is the rate of all weights."),
    **dict.fromkeys(("initial_alpha", "target_entropy"), "{entropy_coeff} says what entropy is worth."),
    **dict.fromkeys(
        ("entropy_coeff", "entropy_coeff_schedule"),
        "Entropy's worth is adapted from {initial_alpha} on, so that entropy comes to {target_entropy}; {alpha_lr=0.0}"
        " keeps it.",
    ),
    "vf_loss_coeff": "It is called {vf_coeff} here.",
    "vf_coeff": "It is called {vf_loss_coeff} here.",
    "minibatch_size": "A gradient step learns from all rows of {train_batch_size}.",
    "microbatch_size": "{minibatch_size} counts the rows of a gradient step.",
    "num_epochs": (
        "{training_intensity} says how much is learnt from for each step taken.",
        "Each batch is learnt from once; leave it out.",
    ),
    **dict.fromkeys(("opt", "decay", "momentum"), "The optimiser is Adam, with {lr}, {adam_epsilon} and {grad_clip}."),
}
"""Keys of some of the algorithms here, for the others."""

_MISPLACED: dict[str, str | tuple[str, ...]] = {
    "render_mode": "It is an argument of the environment: {env_config={'render_mode': 'rgb_array'}}.",
    "max_episode_steps": "It is an argument of the environment: {env_config={'max_episode_steps': 500}}.",
    "out": "It is an argument of learn(steps, out='runs/mine').",
    "steps": "The steps are an argument of learn(steps).",
    "total_steps": "The steps are an argument of learn(steps); on the command line --steps.",
    "progress": "It is an argument of learn(steps, progress=True).",
    **dict.fromkeys(
        ("environment", "env_id", "env_name"),
        "The environment comes first, PPO('CartPole-v1', ...), or as env=...; on the command line after `train`.",
    ),
}
"""Keys of our own and of Gymnasium that belong elsewhere."""

FOREIGN_KEYS: Foreign = _OURS | _CLEAN_RL | _RLLIB | STABLE_BASELINES | _MISPLACED
"""What to say of keys that other libraries have; ``{lr}`` and ``{lr=1e-3}`` stand for keys, which Python and the
command line spell differently. Of several texts the first counts whose keys the algorithm has."""

WITHOUT_EFFECT = frozenset(key for key, advice in _RLLIB.items() if advice in (NO_USE, _ONE_PROCESS, _GAE)) | {
    "log_level",
    "logger_config",
    "disable_env_checking",
    "enable_connectors",
    "batch_mode",
    "use_state_preprocessor",
    "output_compress_columns",
    "_lr_vf",
}
"""Keys of RLlib that a ported configuration can do without, whatever they say."""
