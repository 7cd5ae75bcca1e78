"""What the keys of Stable-Baselines3 are called here, or what to do instead; see ``foreign_keys.py``."""

from __future__ import annotations

NO_USE = "Nothing here depends on it; leave it out."
EPSILON = (
    "Actions are samples of the policy's own distribution here; {target_entropy} keeps them varied.",
    "It is in {exploration_config} here, with the names `initial_epsilon`, `final_epsilon` and `epsilon_timesteps`"
    " (environment steps, as {num_steps_sampled_before_learning_starts} counts them, no fraction).",
    "Actions are samples of the policy's own distribution here; {entropy_coeff} keeps them varied.",
    "Actions are samples of the policy's own distribution here; leave it out.",
)
REPLAY = (
    "It is for algorithms that learn from a replay buffer; this one learns from the steps of {input}.",
    "It is for algorithms that learn from a replay buffer; this one learns from the steps it has just collected.",
)
ADVANTAGES = (
    "Advantages, which go by {lambda_}, are always standardised, before {minibatch_size} cuts the batch; leave it out.",
    "PPO alone standardises advantages; leave it out.",
)
ROWS = (
    "{minibatch_size} counts the rows of a gradient step, {train_batch_size} the steps of an iteration.",
    "It is called {train_batch_size} here.",
)
CALLBACK = (
    "It is an argument of learn(): a function f(algorithm, result), or an object of a subclass of anyspace.Callback; on"
    " the command line --callback."
)
_RATE = (
    "It is called {lr} here, one number. A schedule is {lr_schedule='linear'}, down to 0, or the values at some steps:"
    " {lr_schedule=[[0, 3e-4], [100_000, 1e-5]]}."
)
_ADAM = "The optimiser is Adam, whose stabiliser is {adam_epsilon}; leave it out."
_BEST = "A run with a folder keeps the state of the highest return in `best`: learn(steps, out='runs/mine')."
_EVALUATION = "Evaluation makes environments like those of training, as often as {evaluate_every} says; leave it out."

STABLE_BASELINES: dict[str, str | tuple[str, ...]] = {
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
    **dict.fromkeys(("learning_rate", "learning_rate_schedule"), _RATE),
    "n_steps": (
        "It is called {n_step} here.",
        "It is {train_batch_size} here, which counts the steps of all environments together: n_steps times n_envs.",
    ),
    "batch_size": ROWS,
    "n_epochs": "It is called {num_epochs} here.",
    "n_envs": "It is called {num_envs_per_env_runner} here.",
    "gae_lambda": "It is called {lambda_} here.",
    "clip_range": "It is called {clip_param} here, one number: it has no schedule.",
    **dict.fromkeys(("clip_range_schedule", "clip_param_schedule"), "{clip_param} is one number: it has no schedule."),
    "clip_range_vf": (
        "{vf_clip_param} is the nearest: it bounds the squared error of the value, not its change. For"
        " clip_range_vf=None write {vf_clip_param=None}."
    ),
    "normalize_advantage": ADVANTAGES,
    "ent_coef": (
        "It is called {entropy_coeff} here.",
        "It is adapted from {initial_alpha} on, so that entropy comes to {target_entropy}; {alpha_lr=0.0} keeps it.",
    ),
    "vf_coef": ("It is called {vf_loss_coeff} here.", "It is called {vf_coeff} here."),
    "max_grad_norm": "It is called {grad_clip} here.",
    "target_kl": "Epochs do not end early here; {kl_target} and {kl_coeff} adapt a penalty on the KL divergence.",
    "use_sde": "State-dependent exploration is not offered; {model.free_log_std=True} learns one deviation per action.",
    **dict.fromkeys(
        ("sde_sample_freq", "use_sde_at_warmup", "use_expln", "full_std"),
        "State-dependent exploration is not offered; leave it out.",
    ),
    "squash_output": "It is {model.custom_action_dist='SquashedGaussian'} here, which SAC takes by itself.",
    "use_rms_prop": ("It is {opt='rmsprop'} here, with {decay}, {momentum} and {epsilon}.", _ADAM),
    "rms_prop_eps": ("It is called {epsilon} here, beside {opt='rmsprop'}.", _ADAM),
    "lstm_hidden_size": "It is {model.lstm_cell_size=256} here, beside {model.use_lstm=True}.",
    "lstm_kwargs": "The keys of {model.use_lstm=True} stand beside it, such as {model.lstm_cell_size=256}.",
    "n_lstm_layers": "{model.use_lstm=True} is one layer; leave it out.",
    **dict.fromkeys(("shared_lstm", "enable_critic_lstm"), "Policy and value share one LSTM here; leave it out."),
    "verbose": "learn(steps, progress=True) shows progress; on the command line --no-progress hides it.",
    "tensorboard_log": (
        "learn(steps, out='runs/mine') writes TensorBoard's files into that folder; on the command line --out."
    ),
    "stats_window_size": "It is called {return_window} here.",
    "total_timesteps": "It is an argument of learn(); on the command line --steps.",
    "callback": CALLBACK,
    "progress_bar": "It is an argument of learn(steps, progress=True); on the command line --no-progress.",
    "eval_freq": "It is called {evaluate_every} here.",
    "n_eval_episodes": "It is called {evaluation_episodes} here.",
    "save_freq": "It is called {checkpoint_every} here.",
    **dict.fromkeys(("save_path", "name_prefix", "tb_log_name"), "learn(steps, out='runs/mine') names the folder."),
    **dict.fromkeys(("best_model_save_path", "log_path", "eval_log_path"), _BEST),
    **dict.fromkeys(("eval_env", "create_eval_env"), _EVALUATION),
    "callback_on_new_best": "A function f(algorithm, result) as learn's `callback` sees evaluations in its result.",
    "reward_threshold": "It is called {stop_return} here.",
    "deterministic": "Evaluation takes the likeliest actions; evaluate(explore=True) samples them.",
    "log_interval": "Every iteration is reported; leave it out.",
    "reset_num_timesteps": "learn(total_timesteps=N) goes on counting; leave it out.",
    "use_masking": "Masks are found: `action_masks()` of an environment, {action_mask_key} of observations and infos.",
    "save_vecnormalize": "Checkpoints hold the statistics of {observation_filter}; leave it out.",
    "save_replay_buffer": ("It is {store_buffer_in_checkpoints=True} here.", *REPLAY),
    "custom_objects": "Keys of load(path, lr=1e-3) take the place of recorded ones; leave it out.",
    "env_kwargs": "It is called {env_config} here.",
    "vec_env_kwargs": "It is {vectorization} here, and nothing else is said of it; leave it out.",
    "n_stack": "It is {wrappers=['anyspace.data.atari:FrameStack']} here, which stacks four observations.",
    **dict.fromkeys(
        ("monitor_dir", "monitor_kwargs", "monitor_wrapper"),
        "Episodes are reported without a wrapper: learn(steps, out='runs/mine') writes them into that folder.",
    ),
    "wrapper_class": "It is {wrappers=[MyWrapper]} here.",
    "vec_env_cls": "It is {vectorization} here: 'sync' is a loop, 'async' a process for each environment.",
    "norm_obs": "It is {observation_filter='MeanStdFilter'} here.",
    "norm_obs_keys": "The filter normalises every number; {ignore} leaves parts of an observation out of everything.",
    "clip_obs": "{observation_filter='ConcurrentMeanStdFilter'} clips to 10 deviations; leave it out.",
    "norm_reward": (
        "Rewards of {replay_capacity} steps would be of many scales; {clip_rewards=1.0} clips them instead.",
        "It is {normalize_rewards=True} here.",
    ),
    "clip_reward": "It is {clip_rewards} here.",
    "buffer_size": (
        "It is called {replay_capacity} here.",
        "{replay_proportion} learns from earlier batches again, of which {replay_buffer_num_slots} are kept.",
        *REPLAY,
    ),
    "learning_starts": ("It is called {num_steps_sampled_before_learning_starts} here.", *REPLAY),
    "gradient_steps": (
        "{training_intensity} says it here, as steps learnt from for each step taken: gradient_steps times"
        " {train_batch_size} over train_freq.",
        *REPLAY,
    ),
    "train_freq": (
        "{training_intensity} says how much is learnt from for each step taken, {rollout_fragment_length} how many"
        " steps of each environment are taken at a time.",
        *REPLAY,
    ),
    "target_update_interval": ("It is called {target_network_update_freq} here, in environment steps.", *REPLAY),
    "replay_buffer_class": (
        "The replay draws evenly, or by errors: {prioritized_replay=True}. Hindsight (HER) is not offered.",
        *REPLAY,
    ),
    "replay_buffer_kwargs": (
        "The keys of the replay stand beside the others: {replay_capacity}, {prioritized_replay}. Hindsight (HER) is"
        " not offered.",
        *REPLAY,
    ),
    **dict.fromkeys(
        ("n_sampled_goal", "goal_selection_strategy", "online_sampling", "her_ratio"),
        ("Hindsight (HER) is not offered; {prioritized_replay=True} draws by errors instead.", *REPLAY),
    ),
    "optimize_memory_usage": (
        "Each of the {replay_capacity} observations is stored once in any case; leave it out.",
        *REPLAY,
    ),
    "handle_timeout_termination": "What follows a step at which a limit of time cut is always valued; leave it out.",
    **dict.fromkeys(
        ("rollout_buffer_class", "rollout_buffer_kwargs"),
        "The steps of {train_batch_size} are kept by themselves; leave it out.",
    ),
    "action_noise": (
        "It is {exploration_config={'type': 'OrnsteinUhlenbeckNoise'}} here, or 'GaussianNoise', beside"
        " {target_entropy}, where SAC samples otherwise.",
        "Noise is for actions that are numbers, and {double_q} is for choices; leave it out.",
        *EPSILON,
    ),
    "param_noise": ("It is {exploration_config={'type': 'ParameterNoise'}} here, beside {replay_capacity}.", *EPSILON),
    "n_quantiles": "Returns have distributions on {num_atoms} atoms here, between {v_min} and {v_max}.",
    "n_critics": "There are two Q networks; {twin_q=False} leaves one.",
    "top_quantiles_to_drop_per_net": "Of two Q networks ({twin_q}) the smaller value counts; leave it out.",
    **dict.fromkeys(
        ("policy_delay", "target_policy_noise", "target_noise_clip"),
        "It is a key of TD3, which is not offered; SAC is the nearest. Leave it out.",
    ),
    **dict.fromkeys(
        (
            *("exploration_fraction", "exploration_initial_eps", "exploration_final_eps"),
            *("initial_epsilon", "final_epsilon", "epsilon_timesteps"),
        ),
        EPSILON,
    ),
    **dict.fromkeys(
        ("_init_setup_model", "supported_action_spaces", "start_index", "print_system_info", "force_reset"), NO_USE
    ),
    # Of Stable Baselines 2.
    "layers": "It is {model.fcnet_hiddens=[64, 64]} here.",
    "act_fun": "It is {model.fcnet_activation='relu'} here.",
    "cnn_extractor": "{model.conv_filters} are the convolutions of pictures; or write {model.custom_model=MyModel}.",
    "noptepochs": "It is called {num_epochs} here.",
    "nminibatches": "{minibatch_size} counts the rows of a gradient step; the batch has {train_batch_size} rows.",
    "cliprange": "It is called {clip_param} here, one number: it has no schedule.",
    "cliprange_vf": "{vf_clip_param} is the nearest: it bounds the squared error of the value, not its change.",
    "lam": "It is called {lambda_} here.",
    "timesteps_per_batch": "It is called {train_batch_size} here.",
}
