"""What to write in place of the words of other command lines: RL Baselines3 Zoo's and RLlib's."""

from __future__ import annotations

from collections.abc import Sequence

from anyspace.errors import ConfigError

COMMANDS = {
    **dict.fromkeys(("enjoy", "play", "rollout", "test", "watch"), "`anyspace evaluate RUN --render` plays a run."),
    **dict.fromkeys(("optimize", "optuna", "search", "tune"), "`anyspace sweep ENV` searches for settings."),
    **dict.fromkeys(("film", "render", "video"), "`anyspace record RUN` films a run."),
    **dict.fromkeys(("continue", "learn", "resume", "run"), "`anyspace train ENV` trains, --resume RUN goes on."),
    **dict.fromkeys(("benchmark", "profile"), "`anyspace bench ENV` shows what takes the time."),
    "help": "`anyspace COMMAND --help` lists the flags of a command.",
    **dict.fromkeys(("-V", "version"), "It is `anyspace --version`."),
}
"""Commands."""

_STEPS = "It is --steps N here, all of a run's."
_OUT = "It is --out DIR here, the run folder."
_FILE_OR_OUT = (
    "RLlib's experiment file is --config FILE.toml here, Stable-Baselines3 Zoo's log folder --out DIR."
    " docs/porting.md shows a YAML and its TOML."
)
_TRAINED = "--resume RUN trains a run on; --weights-from RUN starts a new one from its weights."
_KEYS = "Each key is a flag of its own, such as --lr 1e-3 or --model.fcnet-hiddens 64 64."
_SWEEP = "`anyspace sweep ENV --trials N` tries values of the keys."
_FILE = "It is --config FILE.toml here, which holds keys and values."

FLAGS = {
    **dict.fromkeys(("-n", "--n-timesteps", "--timesteps", "--max-steps"), _STEPS),
    "-f": _FILE_OR_OUT,
    **dict.fromkeys(("--log-folder", "--folder", "--experiment-name"), _OUT),
    "--run": "It is --algo NAME here, such as --algo ppo.",
    "--num-samples": f"--seeds N trains so many runs, with a seed each. {_SWEEP}",
    "--checkpoint-at-end": "A run folder always holds its last checkpoint, and its best; leave it out.",
    **dict.fromkeys(("--torch", "--eager", "--tf2"), "It is --framework torch, jax or tf here."),
    **dict.fromkeys(("-v", "-vv", "--verbose"), "Progress is shown, and the run folder holds the numbers."),
    **dict.fromkeys(
        (
            "--ray-num-cpus",
            "--ray-num-gpus",
            "--ray-num-nodes",
            "--ray-ui",
            "--local-mode",
            "--num-cpus",
        ),
        "There is no cluster to start: --num-env-runners N is how many processes collect.",
    ),
    **dict.fromkeys(("-i", "--trained-agent"), _TRAINED),
    **dict.fromkeys(("-params", "--hyperparams"), _KEYS),
    **dict.fromkeys(("-optimize", "--optimize-hyperparameters", "--n-trials"), _SWEEP),
    **dict.fromkeys(("-conf", "--conf-file", "--yaml-file", "--config-file"), _FILE),
    "--gpu": "It is --device cuda here.",
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
    **dict.fromkeys(("apex", "apex_dqn", "simple_q", "simpleq", "rainbow"), "DQN is the nearest: --algo dqn."),
    "r2d2": "DQN takes a memory: --algo dqn --model.use-lstm.",
    "a3c": "A2C is the nearest: --algo a2c.",
    **dict.fromkeys(("cql", "crr"), "MARWIL is the nearest: --algo marwil."),
    **dict.fromkeys(("ddppo", "es", "ars"), "PPO is the nearest: --algo ppo."),
    "trpo": "PPO is the nearest: --algo ppo.",
    **dict.fromkeys(("ppo_lstm", "recurrent_ppo"), "PPO takes a memory: --algo ppo --model.use-lstm."),
}
"""Names of algorithms."""


_FILES = ("-f", "-conf", "--config", "--config-file", "--conf-file", "--yaml-file")
"""Flags of files with settings."""


def require_no_yaml(words: Sequence[str]) -> None:
    """Raise :class:`ConfigError` where a file of YAML is named: an experiment of RLlib, or settings of the Zoo.

    It stands alone, or behind a flag of such files; an algorithm may take one by a key of its own.
    """
    for before, word in zip(["", *words], words, strict=False):
        flag, _, file = word.rpartition("=")
        flag = flag or before
        if file.lower().endswith((".yaml", ".yml")) and (flag in _FILES or not flag.startswith("-")):
            toml = f"{file.rpartition('.')[0]}.toml"
            raise ConfigError(f"{file}: experiments are TOML here. {_EXPERIMENT.format(toml=toml)}")
    if words[:1] == ["file"]:
        raise ConfigError(f"train file: experiments are TOML here. {_EXPERIMENT.format(toml='FILE.toml')}")


_EXPERIMENT = """Of RLlib's `run`, `env`, `stop` and `config` make {toml}, such as

env = "CartPole-v1"
algo = "ppo"
preset = "none"
steps = 100_000
stop_return = 150
num_env_runners = 2

[model]
fcnet_hiddens = [64, 64]

and give it: anyspace train --config {toml}. docs/porting.md shows a YAML and its TOML."""
