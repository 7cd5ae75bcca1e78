"""What names of other libraries are called here, or what to do instead: attributes, arguments, classes, functions."""

from __future__ import annotations

from anyspace.homes import HOMES

_INFOS = (
    "Environments may be in other processes. Put a number into the `info` of a step: it is reported as env/NAME, and as"
    " episode/NAME."
)
_TO_LOG = "A callback puts numbers into the `result` of `on_iteration`, and they are logged with the others."
_OUT = "learn(steps, out='runs/mine') writes TensorBoard's files and metrics.csv into that folder."
_ENV = (
    "`env_spec` says what the environment is, and env_spec.make() makes another one like it, for you to step. One of"
    " your own to train on is given to load(path, env=...)."
)
_REPLAY = "`store_buffer_in_checkpoints=True` and `exact_resume=True` let checkpoints hold the replay buffer."
_NETWORK = "`policy.model` is the network; in PyTorch printing it shows its modules."

ALGORITHM = {
    "num_timesteps": "It is called `timesteps_total` here.",
    "iteration": "It is called `training_iteration` here.",
    **dict.fromkeys(("env", "get_env", "set_env"), _ENV),
    "get_attr": _INFOS,
    **dict.fromkeys(("set_attr", "env_method"), 'call_envs("set_level", 3) calls a method of every environment.'),
    "n_envs": "It is `config.num_envs` here.",
    "get_vec_normalize_env": "`policy.filter` has the statistics of observations, `rewards` those of rewards.",
    "get_parameters": "It is called `get_weights()` here.",
    **dict.fromkeys(
        ("set_parameters", "load_parameters"),
        "`set_weights(weights)` takes what `get_weights()` returned, `load_weights(path)` reads a checkpoint.",
    ),
    "logger": _TO_LOG,
    **dict.fromkeys(("set_logger", "tensorboard_log"), _OUT),
    "verbose": "learn(steps, progress=False) shows nothing.",
    "observation_space": "It is `policy.observation_space` here.",
    "action_space": "It is `policy.env_action_space` here.",
    "device": "It is `policy.runtime.device` here; the configuration key is `device`.",
    "set_random_seed": "The seed is given when an algorithm is built: PPO(env, seed=0).",
    **dict.fromkeys(("ep_info_buffer", "ep_success_buffer"), "`counters.latest.episodes` holds the latest episodes."),
    **dict.fromkeys(("rollout_buffer", "collect_rollouts"), "`fleet` collects, and train() learns from it at once."),
    "replay_buffer": "DQN and SAC have it as `replay`.",
    **dict.fromkeys(("save_replay_buffer", "load_replay_buffer"), _REPLAY),
    "exploration_rate": "DQN has it as `policy.exploration.epsilon`.",
    **dict.fromkeys(("q_net", "actor", "critic"), _NETWORK),
    **dict.fromkeys(
        ("critic_target", "q_net_target", "target_network", "target_model"), "DQN and SAC have it as `target.model`."
    ),
    "stop": "close() closes the environments.",
    "export": "It is a method of the policy here: policy.export('policy.onnx').",
    "optimizer": "learner.state() returns what the optimisers keep, by name; `config.lr` is the learning rate.",
    **dict.fromkeys(
        ("state_dict", "load_state_dict", "parameters", "named_parameters"),
        "get_weights() returns all weights by name, and set_weights(weights) takes them over; `policy.model` is the"
        " network, in PyTorch a module.",
    ),
    "log_ent_coef": "SAC has it in `policy.model.log_alphas`.",
    "model": _NETWORK,
    "get_module": _NETWORK,
    "evaluate_policy": "evaluate(episodes=10) plays episodes and returns their statistics.",
    "action_probability": "policy.get_distribution(obs) gives the distribution of actions.",
    "pretrain": "BC learns from recorded steps: BC(input='DIR'); then load_weights(path).",
    "get_policy": "It is the attribute `policy` here.",
    "compute_action": "It is called `compute_single_action` here.",
    **dict.fromkeys(
        ("restore", "from_checkpoint"), "load(path), a method of the class, returns the algorithm of a checkpoint."
    ),
    **dict.fromkeys(("workers", "env_runner_group"), "It is called `fleet` here."),
}
"""Attributes of an algorithm; keys of the configuration are explained beside these."""

_ACT = (
    "policy.compute_single_action(obs) takes one observation, policy.compute_actions(obs) several; actions are"
    " deterministic unless `explore=True` is given."
)
_WEIGHTS = "weights() returns all by name, and load_weights(weights) takes them over; the network is `model`."
_MODULES = "It is a module of `model`, the network; printing it shows them."

POLICY = {
    "from_checkpoint": "Policy.load(path) returns the policy of a checkpoint, which algorithm.save(path) wrote.",
    "predict": _ACT,
    "action_dist": "get_distribution(obs) gives the distribution of actions.",
    "extract_features": "The layers before the heads are modules of `model`, the network; printing it shows them.",
    "obs_to_tensor": "model_inputs(encode(obs)) is what the model is given for stacked observations.",
    **dict.fromkeys(
        ("state_dict", "load_state_dict", "parameters", "get_weights", "set_weights", "get_parameters"), _WEIGHTS
    ),
    "save": "The algorithm saves: algorithm.save(path), which Policy.load(path) reads; export(path) writes ONNX.",
    "optimizer": (
        "algorithm.learner.state() returns what the optimisers keep, by name; the learning rate is"
        " `algorithm.config.lr`."
    ),
    **dict.fromkeys(
        (
            "action_net",
            "value_net",
            "mlp_extractor",
            "features_extractor",
            "log_std",
            "q_net",
            "actor",
            "critic",
        ),
        _MODULES,
    ),
    **dict.fromkeys(
        ("to", "device"),
        "`runtime.device` is where it computes. Another one is chosen by load(path, config={'device': 'cpu'}), or"
        " PPO.load(path, device='cpu').",
    ),
    **dict.fromkeys(
        ("scale_action", "unscale_action"),
        "`to_env` makes the environment's actions of raw ones; what compute_actions returns is made so already.",
    ),
}
"""Attributes of a policy."""

_BEST_ACTION = "deterministic_sample() gives the likeliest action, of a Gaussian its mean."

DISTRIBUTION = {
    "distribution": "It is the distribution itself.",
    **dict.fromkeys(("mode", "mean", "get_actions"), _BEST_ACTION),
    "log_prob": "It is called logp(actions) here.",
    "rsample": "path_sample() draws with the gradient along the sample.",
    **dict.fromkeys(
        ("probs", "logits", "log_probs"),
        "option_log_probs() lists the log-probabilities of the options [N, n], choice by choice.",
    ),
    **dict.fromkeys(("stddev", "variance", "scale", "loc"), "`inputs` has the parameters [N, ...]."),
    **dict.fromkeys(("dist", "cats"), "The classes of anyspace.rllib.models.torch.torch_action_dist have it."),
}
"""Attributes of distributions; some kinds here have some of them."""

_ITS_ALGORITHM = "The algorithm is handed to each method of a callback:"

CALLBACK = {
    "num_timesteps": f"{_ITS_ALGORITHM} algorithm.timesteps_total.",
    "n_calls": f"{_ITS_ALGORITHM} algorithm.training_iteration.",
    "model": f"{_ITS_ALGORITHM} on_iteration(self, algorithm, result).",
    "logger": "Put numbers into the `result` of on_iteration: they are logged with the others.",
    **dict.fromkeys(
        ("locals", "globals"), "What training has come to is in the `algorithm` and the `result` of on_iteration."
    ),
    **dict.fromkeys(("training_env", "eval_env"), f"{_ITS_ALGORITHM} algorithm.env_spec; algorithm.evaluate() plays."),
    "verbose": "learn(steps, progress=False) shows nothing; keep what your own callback goes by on itself.",
    "parent": "Several callbacks are a list: learn(steps, callback=[one, another]).",
}
"""Attributes of a callback."""

CALLBACK_METHODS = {
    **dict.fromkeys(
        ("_on_step", "on_step", "_on_rollout_end", "on_rollout_end", "_on_rollout_start", "on_rollout_start"),
        "on_iteration",
    ),
    **dict.fromkeys(("_on_training_start", "on_training_start", "_init_callback", "init_callback"), "on_start"),
    **dict.fromkeys(("_on_training_end", "on_training_end"), "on_end"),
    **dict.fromkeys(("on_algorithm_init", "on_train_begin", "on_train_start"), "on_start"),
    **dict.fromkeys(("on_train_result", "on_epoch_end"), "on_iteration"),
    **dict.fromkeys(("on_episode_end", "on_episode_start"), "on_episode"),
    **dict.fromkeys(("on_evaluate_end", "on_evaluate_start"), "on_evaluation"),
    "on_train_end": "on_end",
}
"""Methods of a callback -> the method of :class:`anyspace.Callback` that is called then."""

CALLBACK_CLASSES = {
    "BaseCallback": "Derive the class from anyspace.Callback, and override on_iteration(self, algorithm, result).",
    "CallbackList": "Several callbacks are a list: learn(steps, callback=[one, another]).",
    "CheckpointCallback": "PPO(env, checkpoint_every=10_000).learn(steps, out='runs/mine') saves by itself.",
    "ConvertCallback": "Give the function itself: f(algorithm, result), which returns False to end the run.",
    "EvalCallback": (
        "PPO(env, evaluate_every=10_000, evaluation_episodes=10).learn(steps, out='runs/mine') evaluates by itself; the"
        " best checkpoint is runs/mine/best."
    ),
    "EveryNTimesteps": "Count algorithm.timesteps_total in on_iteration(self, algorithm, result).",
    "LogEveryNTimesteps": "Every iteration is logged: learn(steps, out='runs/mine').",
    "ProgressBarCallback": "learn(steps, progress=True), which is the default, shows progress.",
    "StopTrainingOnMaxEpisodes": "Count them in on_episode, and return False from on_iteration.",
    "StopTrainingOnNoModelImprovement": (
        "anyspace.execution.callbacks.StopWithoutImprovement(patience=50_000) counts environment steps."
    ),
    "StopTrainingOnRewardThreshold": "PPO(env, stop_return=475) ends the run there.",
    "WandbCallback": "Take anyspace.execution.callbacks.WeightsAndBiases(project='mine').",
}
"""Classes of callbacks."""

RESULT = dict.fromkeys(
    (
        *("predict", "learn", "train", "save", "load", "evaluate", "policy", "close", "compute_single_action"),
        *("compute_actions", "get_env", "set_env", "env", "logger", "num_timesteps", "timesteps_total", "export"),
    ),
    "learn() returns the numbers of the last iteration, and not the algorithm: `algorithm = PPO(env)`, then"
    " `algorithm.learn(...)`, then go on with `algorithm`.",
)
"""Attributes of what training returns."""

SETTINGS = {
    **dict.fromkeys(
        ("get", "to_dict", "keys", "items", "values", "copy", "update"),
        "Settings are attributes: algorithm.config.lr; vars(algorithm.config) is a dict of all.",
    ),
    **dict.fromkeys(
        (
            *("build", "build_algo", "environment", "training", "rollouts", "env_runners", "evaluation", "exploration"),
            *("callbacks", "debugging", "reporting", "checkpointing", "resources", "fault_tolerance", "offline_data"),
            *("multi_agent", "learners", "rl_module", "api_stack"),
        ),
        "RLlib's builder is PPOConfig of anyspace.rllib.algorithms.ppo, and likewise of the others. Here keys are given"
        " at once: PPO('CartPole-v1', lr=1e-3).",
    ),
    "env": "The environment is no setting: `algorithm.policy` has its spaces, and print(algorithm) names it.",
    "framework_str": "It is `config.framework` here.",
    "is_multi_agent": "There is one agent.",
}
"""Attributes of an algorithm's configuration, which other libraries have, some of them as a dict."""

_SAC = "SAC is the nearest."
_PPO = "PPO is the nearest."
_VECTOR = (
    "Give the environment itself, PPO('CartPole-v1', num_envs_per_env_runner=8): vectorization='sync' is a loop,"
    " 'async' a process for each environment."
)
_NORMALIZE = (
    "In place of VecNormalize: PPO(env, observation_filter='MeanStdFilter', normalize_rewards=True), and checkpoints"
    " hold it."
)
_STACK = "In place of VecFrameStack: PPO(env, wrappers=[anyspace.data.atari.FrameStack])."
_RECURRENT = "PPO(env, model={'use_lstm': True}) does that; DQN and SAC take it, too."
_POLICIES = "The network follows from the spaces: leave it out, PPO(env)."

MODULE = {
    **{name: f"It is elsewhere: from {home} import {name}" for name, home in HOMES.items()},
    **dict.fromkeys(("TD3", "DDPG", "TQC", "CrossQ"), _SAC),
    "QRDQN": "DQN(env, num_atoms=51) is the nearest.",
    **dict.fromkeys(("PPO2", "PPO1", "TRPO", "ARS", "ACER", "ACKTR"), _PPO),
    "MaskablePPO": "PPO takes masks: from a method action_masks() of the environment, an observation's key, or infos.",
    "RecurrentPPO": _RECURRENT,
    "GAIL": "BC and MARWIL learn from recorded steps.",
    **dict.fromkeys(("HER", "HerReplayBuffer"), "Nothing here relabels goals."),
    "ReplayBuffer": "DQN and SAC have one: `replay_capacity` and `prioritized_replay` say of which kind.",
    "evaluate_policy": "algorithm.evaluate(episodes=10) plays episodes and returns a dict of their statistics.",
    **dict.fromkeys(("make_vec_env", "DummyVecEnv", "SubprocVecEnv", "VecEnv"), _VECTOR),
    "VecNormalize": _NORMALIZE,
    "VecFrameStack": _STACK,
    **dict.fromkeys(("Monitor", "VecMonitor"), "Episodes are watched without it; leave it out."),
    "tune": (
        "Ray's tune has no place here: register_env is of anyspace, one run is algo.learn(steps, out='runs/mine'), and"
        " a search `anyspace sweep`."
    ),
    **CALLBACK_CLASSES,
    **dict.fromkeys(("MlpPolicy", "CnnPolicy", "MultiInputPolicy"), _POLICIES),
    **dict.fromkeys(("MlpLstmPolicy", "CnnLstmPolicy", "MultiInputLstmPolicy"), _RECURRENT),
}
"""What other libraries' packages have, or another module of this one."""

VECTOR_ENVIRONMENTS = {"VecNormalize": _NORMALIZE, "VecFrameStack": _STACK}
"""Vector environments of Stable-Baselines3 that do more than step several environments."""

ARGUMENTS: dict[str, dict[str, str]] = {
    "acting": {
        **dict.fromkeys(("action_mask", "action_masks"), "the mask is called `mask`"),
        "prev_action": "the state that the previous call returned holds the previous action",
        "full_fetch": "`policy.evaluate_actions` gives values and log-probabilities, `get_distribution` logits",
        "deterministic": "actions are deterministic unless `explore=True` is given",
        "episode_start": "of episodes that begin anew give `state.restarted(rows)`",
    },
    "predict()": {
        **dict.fromkeys(("mask", "masks", "action_mask"), "the mask is called `action_masks`"),
        **dict.fromkeys(("obs", "observations"), "it is called `observation`"),
        "states": "it is called `state`",
        **dict.fromkeys(("episode_starts", "dones"), "it is called `episode_start`"),
        "explore": "actions are sampled unless `deterministic=True` is given",
    },
    "train()": dict.fromkeys(
        ("out", "callback", "callbacks", "progress", "steps", "total_steps", "total_timesteps"),
        "train() runs one iteration; learn(steps, out='runs/mine', callback=...) runs many",
    ),
    "learn()": {
        "log_interval": "every iteration is logged, into `out`",
        **dict.fromkeys(("tb_log_name", "tensorboard_log"), "`out='runs/mine'` is the folder of TensorBoard's files"),
        "reset_num_timesteps": "`total_timesteps` always goes on counting, and a new algorithm begins at 0",
        **dict.fromkeys(("progress_bar", "verbose"), "it is called `progress`"),
        "eval_env": "`evaluate_every`, a key of the constructor, plays separate environments of the same kind",
        "eval_freq": "it is the key `evaluate_every` of the constructor, in environment steps",
        "n_eval_episodes": "it is the key `evaluation_episodes` of the constructor",
        "eval_log_path": "`out='runs/mine'` is the folder of all that is written; the best checkpoint is in `best`",
        "use_masking": "masks are used where the environment gives them",
        "stop_return": "it is a key of the constructor: PPO(env, stop_return=475)",
        "callbacks": "it is called `callback`",
    },
    "evaluate()": {
        "n_eval_episodes": "it is called `episodes`",
        "deterministic": "actions are deterministic unless `explore=True` is given",
        "return_episode_rewards": 'what it returns has them under "returns", and the lengths under "lengths"',
        **dict.fromkeys(
            ("env", "eval_env"), "it plays the environment of training; another one is given to load(path, env=...)"
        ),
        "use_masking": "masks are used where the environment gives them",
        "duration_fn": "`episodes` says how many are played",
    },
    "save()": dict.fromkeys(
        ("exclude", "include"), "a checkpoint holds what training goes on from; export(path) writes the policy alone"
    ),
    "load()": {},
    "compute_single_action()": {
        "input_dict": "give the observation that it holds, compute_single_action(input_dict['obs'], state)",
    },
    "from_checkpoint()": dict.fromkeys(
        ("policy_ids", "policy_mapping_fn", "policies_to_train"), "there is one policy; leave it out"
    ),
    "check_env()": {
        "warn": "what it returns lists errors and warnings as `findings`",
        "skip_render_check": "it does not render",
    },
}
"""Arguments, by the function that is called."""

CALLS = {
    "train()": "it runs one iteration and takes nothing; learn(steps) runs until there are so many steps",
    "learn()": "all but the number of steps is named, as learn(100_000, callback=...)",
    "evaluate()": "it takes how many `episodes`; another environment is given to load(path, env=...)",
    "save()": "it takes the path alone",
    "compute_single_action()": "all but the observation, the state and what came with the previous step is named",
    "from_checkpoint()": "all but the path is named, as from_checkpoint(path, callbacks=MyCallbacks)",
    "load()": "all but the path is named, as load(path, env=...)",
    "check_env()": "all but the environment is named; what it returns lists errors and warnings as `findings`",
}
"""How a function is called, for those who give too much without a name or leave out what has to be named."""

POLICIES = frozenset(
    (
        *("MlpPolicy", "CnnPolicy", "MultiInputPolicy", "LinearPolicy", "LnMlpPolicy", "LnCnnPolicy"),
        *("MlpLstmPolicy", "CnnLstmPolicy", "MultiInputLstmPolicy", "MlpLnLstmPolicy", "CnnLnLstmPolicy"),
    )
)
"""The names of Stable-Baselines3's policies."""
