"""What keys of other libraries are called here, or what to do instead."""

from __future__ import annotations

_NO_USE = "Nothing here depends on it; leave it out."
_ONE_PROCESS = "One process learns, and collects unless {num_env_runners} says otherwise; leave it out."
_OLD_STACK = "There is one kind of models and environments here, RLlib's old API stack; leave it out."
_EPSILON = (
    "It is in {exploration_config} here, with the names `initial_epsilon`, `final_epsilon` and `epsilon_timesteps`"
    " (steps, no fraction); {explore=False} takes the most likely action while collecting."
)
_REPLAY = "It is for algorithms that learn from a replay buffer; this one learns from the steps it has just collected."
_OFFLINE = (
    "This algorithm learns from the steps that it has just taken itself; MARWIL and BC learn from recorded ones, as"
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
_SEVERAL_AGENTS = "Several agents in one environment are out of scope."

_STABLE_BASELINES = {
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
        "It is {train_batch_size} here, which counts the steps of all environments together: n_steps times n_envs."
    ),
    "batch_size": "{minibatch_size} counts the rows of a gradient step, {train_batch_size} the steps of an iteration.",
    "n_epochs": "It is called {num_epochs} here.",
    "n_envs": "It is called {num_envs_per_env_runner} here.",
    "gae_lambda": "It is called {lambda_} here.",
    "clip_range": "It is called {clip_param} here.",
    "clip_range_vf": "{vf_clip_param} is the nearest: it bounds the squared error of the value, not its change.",
    "normalize_advantage": "Advantages are always standardised, over the whole batch; leave it out.",
    "ent_coef": "It is called {entropy_coeff} here.",
    "vf_coef": "It is called {vf_loss_coeff} here.",
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
    **dict.fromkeys(
        (
            "buffer_size",
            "learning_starts",
            "gradient_steps",
            "train_freq",
            "tau",
            "target_update_interval",
        ),
        _REPLAY,
    ),
    **dict.fromkeys(("exploration_fraction", "exploration_initial_eps", "exploration_final_eps"), _EPSILON),
}
_RLLIB = {
    "callbacks": _CALLBACK,
    "model_config": "It is called {model} here.",
    "num_workers_per_learner": _ONE_PROCESS,
    "sample_async": "{max_requests_in_flight_per_env_runner=2} lets workers go on while the learner learns.",
    "train_batch_size_per_learner": "It is called {train_batch_size} here.",
    "evaluation_interval": "{evaluate_every} says it here, in environment steps rather than iterations.",
    "evaluation_duration": "It is {evaluation_episodes} here, in episodes.",
    "evaluation_duration_unit": "{evaluation_episodes} counts episodes; leave it out.",
    "evaluation_num_episodes": "It is called {evaluation_episodes} here.",
    "evaluation_config": "Evaluation takes the most likely actions; evaluate(explore=True) samples them.",
    "metrics_num_episodes_for_smoothing": "It is called {return_window} here.",
    "metrics_smoothing_episodes": "It is called {return_window} here.",
    "min_sample_timesteps_per_iteration": "{train_batch_size} counts the steps of an iteration.",
    "timesteps_per_iteration": "{train_batch_size} counts the steps of an iteration.",
    "checkpoint_freq": "{checkpoint_every} says it here, in environment steps rather than iterations.",
    "checkpoint_frequency": "{checkpoint_every} says it here, in environment steps rather than iterations.",
    "stop": "{stop_return=475} ends learn(steps) at a return, `steps` at a number of steps.",
    "local_dir": "learn(steps, out='runs/mine') names the folder; on the command line --out.",
    "storage_path": "learn(steps, out='runs/mine') names the folder; on the command line --out.",
    "remote_worker_envs": "It is {vectorization='async'} here: a process for each environment.",
    "horizon": "Put gymnasium's TimeLimit around the environment: {wrappers}, or gym.make(max_episode_steps=...).",
    "disable_env_checking": "What environments return is always checked; leave it out.",
    "observation_space": "It is the environment's; a wrapper changes it: {wrappers=[MyWrapper]}.",
    "action_space": "It is the environment's; a wrapper changes it: {wrappers=[MyWrapper]}.",
    "render_env": "evaluate(render=True) shows episodes; on the command line `anyspace evaluate RUN --render`.",
    "num_gpus": "{device} says where a policy computes: 'auto', 'cpu', 'cuda' or 'mps'.",
    "num_gpus_per_learner": "{device} says where a policy computes: 'auto', 'cpu', 'cuda' or 'mps'.",
    "replay_buffer_config": _REPLAY,
    "minibatch_buffer_size": (
        "Each batch takes one gradient step; IMPALA and APPO learn from earlier ones again by `replay_proportion`."
    ),
    "vtrace": "V-trace is what IMPALA and APPO go by; leave it out.",
    **dict.fromkeys(("_separate_vf_optimizer", "_lr_vf"), _ONE_OPTIMISER),
    "target_network_update_freq": _REPLAY,
    "num_steps_sampled_before_learning_starts": _REPLAY,
    "input": _OFFLINE,
    "input_": _OFFLINE,
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
            "learner_queue_size",
            "learner_queue_timeout",
            "num_multi_gpu_tower_stacks",
            "num_aggregation_workers",
        ),
        _ONE_PROCESS,
    ),
    **dict.fromkeys(
        (
            "enable_connectors",
            "enable_rl_module_and_learner",
            "enable_env_runner_and_connector_v2",
            "_enable_learner_api",
            "_enable_rl_module_api",
            "rl_module_spec",
        ),
        _OLD_STACK,
    ),
    **dict.fromkeys(
        (
            "shuffle_sequences",
            "simple_optimizer",
            "compress_observations",
            "sample_collector",
            "synchronize_filters",
            "eager_tracing",
            "tf_session_args",
            "min_time_s_per_iteration",
            "target_worker_clipping",
            "vtrace_drop_last_ts",
        ),
        _NO_USE,
    ),
}
_CLEAN_RL = {
    "num_envs": "It is called {num_envs_per_env_runner} here.",
    "num_steps": (
        "It is {train_batch_size} here, which counts the steps of all environments together: num_steps times num_envs."
    ),
    "num_minibatches": "{minibatch_size} counts the rows of a gradient step; the batch has {train_batch_size} rows.",
    "update_epochs": "It is called {num_epochs} here.",
    "clip_coef": "It is called {clip_param} here.",
    "norm_adv": "Advantages are always standardised, over the whole batch; leave it out.",
    "clip_vloss": "{vf_clip_param} bounds the squared error of the value; None switches that off.",
    "anneal_lr": "A schedule says it here: {lr_schedule=[[0, 3e-4], [1_000_000, 0.0]]}.",
    "cuda": "{device} says where a policy computes: 'auto', 'cpu', 'cuda' or 'mps'.",
    "capture_video": "Videos are not built; wrappers of Gymnasium write them: {wrappers=[MyRecorder]}.",
}

_MISPLACED = {
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

FOREIGN_KEYS: dict[str, str] = _CLEAN_RL | _RLLIB | _STABLE_BASELINES | _MISPLACED
"""What to say of keys that other libraries have; ``{lr}`` and ``{lr=1e-3}`` stand for keys, which Python and the
command line spell differently."""

WITHOUT_EFFECT = frozenset(key for key, advice in _RLLIB.items() if advice in (_NO_USE, _ONE_PROCESS, _OLD_STACK)) | {
    "log_level",
    "logger_config",
    "disable_env_checking",
    "vtrace",
}
"""Keys of RLlib that a ported configuration can do without."""
