"""What to write in place of the words of other libraries' command lines, those of RL Baselines3 Zoo above all."""

from __future__ import annotations

COMMANDS = dict.fromkeys(("enjoy", "rollout"), "`anyspace evaluate RUN --render` plays a run.")
"""Commands."""

_STEPS = "It is --steps N here, all of a run's."
_OUT = "It is --out DIR here, the run folder."
_TRAINED = "--resume RUN trains a run on; --weights-from RUN starts a new one from its weights."
_KEYS = "Each key is a flag of its own, such as --lr 1e-3 or --model.fcnet-hiddens 64 64."
_SWEEP = "`anyspace sweep ENV --trials N` tries values of the keys."
_FILE = "It is --config FILE.toml here, which holds keys and values."

FLAGS = {
    **dict.fromkeys(("-n", "--n-timesteps"), _STEPS),
    **dict.fromkeys(("-f", "--log-folder", "--folder"), _OUT),
    **dict.fromkeys(("-i", "--trained-agent"), _TRAINED),
    **dict.fromkeys(("-params", "--hyperparams"), _KEYS),
    **dict.fromkeys(("-optimize", "--optimize-hyperparameters", "--n-trials"), _SWEEP),
    **dict.fromkeys(("-conf", "--conf-file", "--yaml-file"), _FILE),
    "--vec-env": "It is --vectorization sync or async here.",
    "--eval-episodes": "It is --evaluation-episodes N here.",
    "--track": "Write `track = WeightsAndBiases()` into a module of yours, and name it: --callback my_module:track.",
    "-P": "Progress is shown; --no-progress hides it.",
    "-tb": "The run folder holds TensorBoard's files: --out DIR.",
}
"""Flags of commands that train."""

_SAC = "SAC is the nearest: --algo sac."
ALGORITHMS = {
    **dict.fromkeys(("td3", "ddpg", "tqc", "crossq"), _SAC),
    "qrdqn": "DQN learns distributions of returns, too: --algo dqn --num-atoms 51, between --v-min and --v-max.",
    "maskable_ppo": "PPO takes masks as it is: --algo ppo.",
    "trpo": "PPO is the nearest: --algo ppo.",
    **dict.fromkeys(("ppo_lstm", "recurrent_ppo"), "PPO takes a memory: --algo ppo --model.use-lstm."),
}
"""Names of algorithms."""
