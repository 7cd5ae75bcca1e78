"""What keys of other libraries are called here, or what to do instead."""

from __future__ import annotations

from anyspace.hints import Foreign

_NO_USE = "Nothing here depends on it; leave it out."
_ONE_PROCESS = "One process learns, and collects unless {num_env_runners} says otherwise; leave it out."
_OLD_STACK = "There is one kind of models and environments here, RLlib's old API stack; leave it out."
_EPSILON = (
    "It is in {exploration_config} here, with the names `initial_epsilon`, `final_epsilon` and `epsilon_timesteps`"
    " (environment steps, as {num_steps_sampled_before_learning_starts} counts them, no fraction).",
    "Actions are samples of the policy's own distribution here; {entropy_coeff} keeps them varied.",
    "Actions are samples of the policy's own distribution here; leave it out.",
)
_REPLAY = (
    "It is for algorithms that learn from a replay buffer; this one learns from the steps of {input}.",
    "It is for algorithms that learn from a replay buffer; this one learns from the steps it has just collected.",
)
_ADVANTAGES = (
    "Advantages, which go by {lambda_}, are always standardised, before {minibatch_size} cuts the batch; leave it out.",
    "PPO alone standardises advantages; leave it out.",
)
_ROWS = (
    "{minibatch_size} counts the rows of a gradient step, {train_batch_size} the steps of an iteration.",
    "It is called {train_batch_size} here.",
)
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
_CALLBACK = (
    "It is an argument of learn(): a function f(algorithm, result), or an object of a subclass of anyspace.Callback; on"
    " the command line --callback."
)
_GAE = "V-trace takes the place of GAE, within {vtrace_clip_rho_threshold}; leave it out."
_ESTIMATES = "Returns are not estimated from recorded steps; {evaluate_every} plays episodes in an environment."
_AFTER_BATCHES = "Derive an algorithm, and do it in `updates`, which yields the batches; leave it out."
_OWN_RATES = "Its rates are {actor_lr}, {critic_lr} and {alpha_lr} here."
_SEVERAL_AGENTS = "Several agents in one environment are out of scope."

_STABLE_BASELINES: dict[str, str | tuple[str, ...]] = {
    "policy": "The network follows from the spaces; its keys are in {model}, such as {model.fcnet_hiddens=[64, 64]}.",
    "policy_kwargs": "The network's keys are in {model}: net_arch, for one, is {model.fcnet_hiddens=[64, 64]}.",
    "net_arch": (
        "It is {model.fcnet_hiddens=[64, 64]} here, for policy and value alike; {model.vf_share_layers=False} gives"
        " the value layers of its own."
    ),
    "activation_fn": "It is {model.fcnet_activation='relu'} here.",
    "ortho_init": "It is {model.fcnet_weights_initializer='orthogonal'} here.",
    "log_std_init": "{model.free_log_std=True} learns one vector of deviations, which starts at 1.",
    "features_extractor_class": "Write a model and give it as {model.custom_model=MyModel}.",
    "features_extractor_kwargs": "A model of your own takes them: {model.custom_model_config={'width': 64}}.",
    "share_features_extractor": "It is {model.vf_share_layers=True} here.",
    "normalize_images": "It is {scale_images} here.",
    "optimizer_class": "The optimiser is Adam; an algorithm of your own may return others in `groups()`.",
    "optimizer_kwargs": "Adam's keys are {lr}, {adam_epsilon} and {grad_clip}.",
    "learning_rate": "It is called {lr} here.",
    "n_steps": (
        "It is called {n_step} here.",
        "It is {train_batch_size} here, which counts the steps of all environments together: n_steps times n_envs.",
    ),
    "batch_size": _ROWS,
    "n_epochs": "It is called {num_epochs} here.",
    "n_envs": "It is called {num_envs_per_env_runner} here.",
    "gae_lambda": "It is called {lambda_} here.",
    "clip_range": "It is called {clip_param} here.",
    "clip_range_vf": "{vf_clip_param} is the nearest: it bounds the squared error of the value, not its change.",
    "normalize_advantage": _ADVANTAGES,
    "ent_coef": (
        "It is called {entropy_coeff} here.",
        "It is adapted from {initial_alpha} on, so that entropy comes to {target_entropy}; {alpha_lr=0.0} keeps it.",
    ),
    "vf_coef": ("It is called {vf_loss_coeff} here.", "It is called {vf_coeff} here."),
    "max_grad_norm": "It is called {grad_clip} here.",
    "target_kl": "Epochs do not end early here; {kl_target} and {kl_coeff} adapt a penalty on the KL divergence.",
    "use_sde": "State-dependent exploration is not offered; {model.free_log_std=True} learns one deviation per action.",
    "sde_sample_freq": "State-dependent exploration is not offered; leave it out.",
    "verbose": "learn(steps, progress=True) shows progress; on the command line --no-progress hides it.",
    "tensorboard_log": (
        "learn(steps, out='runs/mine') writes TensorBoard's files into that folder; on the command line --out."
    ),
    "stats_window_size": "It is called {return_window} here.",
    "total_timesteps": "It is an argument of learn(); on the command line --steps.",
    "callback": _CALLBACK,
    "progress_bar": "It is an argument of learn(steps, progress=True); on the command line --no-progress.",
    "eval_freq": "It is called {evaluate_every} here.",
    "n_eval_episodes": "It is called {evaluation_episodes} here.",
    "save_freq": "It is called {checkpoint_every} here.",
    "env_kwargs": "It is called {env_config} here.",
    "wrapper_class": "It is {wrappers=[MyWrapper]} here.",
    "vec_env_cls": "It is {vectorization} here: 'sync' is a loop, 'async' a process for each environment.",
    "norm_obs": "It is {observation_filter='MeanStdFilter'} here.",
    "norm_reward": "It is {normalize_rewards=True} here.",
    "clip_reward": "It is {clip_rewards} here.",
    "buffer_size": (
        "It is called {replay_capacity} here.",
        "{replay_proportion} learns from earlier batches again, of which {replay_buffer_num_slots} are kept.",
        *_REPLAY,
    ),
    "learning_starts": ("It is called {num_steps_sampled_before_learning_starts} here.", *_REPLAY),
    "gradient_steps": (
        "{training_intensity} says it here, as steps learnt from for each step taken: gradient_steps times"
        " {train_batch_size} over train_freq.",
        *_REPLAY,
    ),
    "train_freq": (
        "{training_intensity} says how much is learnt from for each step taken, {rollout_fragment_length} how many"
        " steps of each environment are taken at a time.",
        *_REPLAY,
    ),
    "target_update_interval": ("It is called {target_network_update_freq} here, in environment steps.", *_REPLAY),
    "tau": _REPLAY,
    **dict.fromkeys(("exploration_fraction", "exploration_initial_eps", "exploration_final_eps"), _EPSILON),
}
_RLLIB: dict[str, str | tuple[str, ...]] = {
    "callbacks": _CALLBACK,
    "epsilon": _EPSILON,
    "model_config": "It is called {model} here.",
    "num_workers_per_learner": _ONE_PROCESS,
    "sample_async": "{max_requests_in_flight_per_env_runner=2} lets workers go on while the learner learns.",
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
    "observation_space": "It is the environment's; a wrapper changes it: {wrappers=[MyWrapper]}.",
    "action_space": "It is the environment's; a wrapper changes it: {wrappers=[MyWrapper]}.",
    "render_env": "evaluate(render=True) shows episodes; on the command line `anyspace evaluate RUN --render`.",
    "num_gpus": "{device} says where a policy computes: 'auto', 'cpu', 'cuda' or 'mps'.",
    "num_gpus_per_learner": "{device} says where a policy computes: 'auto', 'cpu', 'cuda' or 'mps'.",
    "replay_buffer_config": (
        "Its keys stand beside the others here: {replay_capacity}, {prioritized_replay}, {prioritized_replay_alpha},"
        " {prioritized_replay_beta}, {prioritized_replay_eps}.",
        *_REPLAY,
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
    "input_config": ("{input} says all of a source; leave it out.", _OFFLINE),
    "shuffle_buffer_size": (
        "The files of {input} come in random order, their lines in their own, and the steps of {train_batch_size} are"
        " shuffled.",
        _OFFLINE,
    ),
    **dict.fromkeys(("off_policy_estimation_methods", "input_evaluation"), _ESTIMATES),
    **dict.fromkeys(("before_learn_on_batch", "after_train_step"), _AFTER_BATCHES),
    "target_update_frequency": ("It is called {target_network_update_freq} here, in environment steps.", *_REPLAY),
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
    "target_network_update_freq": _REPLAY,
    "num_steps_sampled_before_learning_starts": _REPLAY,
    "input": _OFFLINE,
    "input_": ("It is called {input} here.", _OFFLINE),
    "output_compress_columns": "Columns are written as plain JSON; leave it out.",
    "output_write_episodes": "Each line holds the steps of one environment, with the numbers of their episodes.",
    "log_level": "Messages go to Python's logger 'anyspace': logging.getLogger('anyspace').setLevel('ERROR').",
    "logger_config": "Messages go to Python's logger 'anyspace', metrics into the run folder: learn(steps, out=...).",
    **dict.fromkeys(("multiagent", "policies", "policy_mapping_fn", "policies_to_train"), _SEVERAL_AGENTS),
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
            "always_attach_evaluation_results",
            "extra_python_environs_for_driver",
            "extra_python_environs_for_worker",
            "export_native_model_files",
            "checkpoint_trainable_policies_only",
            "_disable_execution_plan_api",
            "_disable_initialize_loss_from_dummy_batch",
            "num_envs_per_learner_worker",
            "_tf_policy_handles_more_than_one_loss",
            "keep_per_episode_custom_metrics",
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
            "torch_compile_learner",
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
        _NO_USE,
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
    "norm_adv": _ADVANTAGES,
    "clip_vloss": "{vf_clip_param} bounds the squared error of the value; None switches that off.",
    "anneal_lr": "A schedule says it here: {lr_schedule='linear'}.",
    "cuda": "{device} says where a policy computes: 'auto', 'cpu', 'cuda' or 'mps'.",
    "capture_video": (
        "learn(steps, callback=RecordVideo(10_000), out='runs/mine') films the policy while it learns, on the command"
        " line --video-every; `anyspace record RUN` films one that is trained."
    ),
}

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

FOREIGN_KEYS: Foreign = _CLEAN_RL | _RLLIB | _STABLE_BASELINES | _MISPLACED
"""What to say of keys that other libraries have; ``{lr}`` and ``{lr=1e-3}`` stand for keys, which Python and the
command line spell differently. Of several texts the first counts whose keys the algorithm has."""

WITHOUT_EFFECT = frozenset(key for key, advice in _RLLIB.items() if advice in (_NO_USE, _ONE_PROCESS, _GAE)) | {
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
