from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import shlex
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from gymnasium.wrappers import TimeLimit

import anyspace
from anyspace import DQN, PPO, cli
from anyspace import config as configs
from anyspace.algorithms import Algorithm
from anyspace.algorithms.dqn import DQNConfig
from anyspace.algorithms.foreign_keys import FOREIGN_KEYS
from anyspace.algorithms.ppo import PPOConfig
from anyspace.cli import main, other_words
from anyspace.cli.config_file import OWN
from anyspace.cli.flags import StartingPoint, algorithm_of, parse
from anyspace.cli.look import BenchFlags, InspectFlags
from anyspace.cli.sweep import SweepFlags
from anyspace.cli.train import TrainFlags
from anyspace.cli.values import _from_json, as_flag
from anyspace.config import spell
from anyspace.errors import ConfigError
from anyspace.execution import run_folder
from anyspace.execution.checkpoint import read_state
from anyspace.execution.curves import draw_learning_curve
from anyspace.execution.run_files import steps_of
from tests.cli.support import run

KEY_WITH_VALUE = re.compile(r"\{([a-z_.]+)=([^{}]*|\{[^{}]*\})\}")
"""A key with a value in an explanation of another library's key."""

TINY = ["--train-batch-size", "64", "--minibatch-size", "32", "--num-epochs", "1", "--seed", "0", "--no-progress"]

ENVIRONMENT = """
import sys

import gymnasium as gym
import numpy as np

class Nested(gym.Env):
    observation_space = gym.spaces.Dict(a=gym.spaces.Discrete(3), b=gym.spaces.Box(-1, 1, (2,)))
    action_space = gym.spaces.Tuple([gym.spaces.Discrete(2), gym.spaces.Box(0, 5, (1,))])
    broken = False

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        self.t += 1
        if self.broken and self.t == 3:
            return helper_that_fails()
        return self.observation_space.sample(), 1.0, self.t == 6, False, {}

class Broken(Nested):
    broken = True

class Quits(Nested):
    played = 0

    def step(self, action):
        self.played += 1
        if self.played > 100:
            sys.exit()
        return super().step(action)

class Lists(Nested):
    observation_space = gym.spaces.Dict(a=gym.spaces.Discrete(3), items=gym.spaces.Sequence(gym.spaces.Discrete(2)))

class Sentences(gym.Space):
    def __init__(self):
        super().__init__(dtype=str)

    def sample(self, mask=None, probability=None):
        return "go home"

    def contains(self, x):
        return isinstance(x, str)

class Told(Nested):
    def __init__(self):
        self.observation_space = gym.spaces.Dict(a=gym.spaces.Discrete(3), mission=Sentences())

class Endless(Nested):
    def step(self, action):
        return self.observation_space.sample(), 1.0, False, False, {}

def limited(env):
    return gym.wrappers.TimeLimit(env, 20)

def helper_that_fails():
    raise RuntimeError("the simulator lost its licence")
"""

ALGORITHMS = """
from anyspace import PPO, Algorithm, Callback
from anyspace.algorithms.on_policy import OnPolicyConfig, gae, training_rows

class A2C(Algorithm):
    '''One gradient step on each batch.'''

    config_class = OnPolicyConfig

    def updates(self, policy, trajectory):
        yield training_rows(policy, trajectory, gae(gamma=self.config.gamma, lambda_=1.0))
        return {"mine": 3.0}

    def losses(self, policy, batch):
        now = policy.evaluate(batch, training=True)
        loss = -batch.mean(now.distribution.logp(batch["actions"]) * batch["advantages"])
        return {"policy": loss + batch.mean((now.values - batch["value_targets"]) ** 2)}, {}

def counted(algorithm, result):
    result["calls"] = result["training_iteration"]

class FailsAtOnce(Callback):
    def on_iteration(self, algorithm, result):
        raise RuntimeError("as I was told")

class Waits(A2C):
    def updates(self, policy, trajectory):
        return {"waited": 1}
        yield

class MyPPO(PPO):
    pass

class NoLosses(Algorithm):
    config_class = OnPolicyConfig

    def updates(self, policy, trajectory):
        yield None

class NoConfig(A2C):
    config_class = None
"""


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_curves: None) -> None:
    """Run commands in a folder with environments and algorithms."""
    (tmp_path / "cli_envs.py").write_text(ENVIRONMENT)
    (tmp_path / "cli_algorithms.py").write_text(ALGORITHMS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def test_train_evaluate_resume(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_folder, "draw_learning_curve", draw_learning_curve)
    status, out, err = run(
        capsys, "train", "CartPole-v1", "--steps", "200", "--out", "run", *TINY, "--model.fcnet-hiddens", "8"
    )
    assert status == 0, err
    assert "preset: CartPole-v1 (--preset none leaves it out)" in out
    assert "num_envs_per_env_runner = 8" in out
    assert "train_batch_size = " not in out, "it was given"
    assert "evaluation: mean return" in out
    assert "run folder: run" in out
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"checkpoint", "best", "config.json", "metrics.csv", "learning_curve.png"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert (tmp_path / "run" / "learning_curve.png").stat().st_size > 1000
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["env"] == "CartPole-v1"
    assert config["preset"] == "CartPole-v1"
    assert "starts from the preset" not in err, "it is printed already"
    assert config["config"]["model"]["fcnet_hiddens"] == [8]
    assert config["config"]["train_batch_size"] == 64

    status, out, _ = run(capsys, "evaluate", "run", "--episodes", "3")
    assert status == 0
    assert re.search(r"policy: run after \d+ steps\n", out)
    assert "over 3 episodes" in out

    status, _, err = run(capsys, "train", "--resume", "run", "--steps", "999", "--weights-from", "run")
    assert (status, "leave --weights-from out" in err) == (2, True)

    asked = [
        json.loads(run(capsys, "evaluate", "run", "--episodes", "3", "--json", "--seed", seed)[1]) for seed in "778"
    ]
    assert asked[0] == asked[1] != asked[2]
    assert asked[0]["returns"] == asked[0]["lengths"]
    assert sum(asked[0]["returns"]) / 3 == pytest.approx(asked[0]["episode_return_mean"])

    steps_before = json.loads((tmp_path / "run" / "checkpoint" / "state.json").read_text())["parts"]["counters"][
        "counters"
    ]["timesteps_total"]
    status, out, err = run(
        capsys, "train", "--resume", "run", "--steps", str(steps_before + 100), "--lr", "0.5", "--no-progress"
    )
    assert status == 0, err
    assert f"Resuming run at {steps_before:,} steps" in out
    state = json.loads((tmp_path / "run" / "checkpoint" / "state.json").read_text())
    assert state["parts"]["counters"]["counters"]["timesteps_total"] >= steps_before + 100
    assert state["config"]["lr"] == 0.5
    assert state["config"]["train_batch_size"] == 64, "the stored configuration is kept"
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert len(rows) - 1 == state["parts"]["counters"]["counters"]["training_iteration"], (
        "metrics go on in the same file"
    )


def test_the_preset_goes_by_the_memory_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    for flags, lr in ([], "0.001"), (["--model.use-attention", "--model.attention-dim", "4"], "0.0003"):
        status, out, err = run(capsys, "inspect", "cli_envs:Nested", *flags)
        assert status == 0, err
        assert f"  lr = {lr}" in out.splitlines()


def test_train_takes_a_class_by_path_and_the_general_preset(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "train", "cli_envs:Nested", "--steps", "100", *TINY, "--evaluate", "0")
    assert status == 0, err
    assert "preset: discrete" in out
    assert "run folder: runs/cli_envs-Nested-ppo-" in out


def test_an_environment_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "check", "cli_envs:Nested", "--steps", "5e1")
    assert status == 0
    assert "cli_envs:Nested: 50 steps with random actions, 8 episodes of 6 to 6 steps and returns of 6 to 6" in out
    status, out, _ = run(capsys, "check", "cli_envs:Nested", "--max-len", '{"obs[\\"a\\"]": 3}')
    assert status == 1
    assert "'obs[\"a\"]' is no place of a Sequence or Graph" in out.replace("\n", " ")
    status, out, _ = run(capsys, "check", "cli_envs:Broken", "--steps", "20")
    assert status == 1
    assert "step 3: RuntimeError: the simulator lost its licence, in helper_that_fails() at cli_envs.py line" in out


def test_runs_are_drawn(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for seed in ("1", "2"):
        words = [*TINY, "--steps", "64", "--seed", seed, "--evaluate", "0", "--out", f"drawn{seed}"]
        assert run(capsys, "train", "cli_envs:Nested", *words)[0] == 0
    status, out, err = run(capsys, "plot", "drawn1", "drawn2", "--out", "both.svg")
    assert status == 0, err
    assert out.startswith("PPO on cli_envs:Nested (2 seeds): 6, 6 to 6 at ")
    assert Path("both.svg").is_file()
    assert run(capsys, "plot", "cli_envs.py")[0] == 2
    assert run(capsys, "plot", "drawn1", "--out", "new/both.bmp")[0] == 2
    assert not Path("new").exists()


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version")[:2] == (0, f"anyspace {anyspace.__version__}\n")


@pytest.mark.parametrize(("word", "steps"), [("64", 64), ("6.4e1", 64), ("1e5", 100_000), ("1_000", 1000)])
def test_whole_numbers_may_be_spelt_shortly(word: str, steps: int) -> None:
    words = ["CartPole-v1", "--steps", word, "--replay-capacity", word]
    flags = parse(TrainFlags, "train", words, StartingPoint(DQN, DQNConfig()))
    assert (flags.own.steps, flags.config.replay_capacity) == (steps, steps)  # type: ignore[attr-defined]


@pytest.mark.parametrize("words", [["--lambda", "0.5"], ["--lambda=0.5"], ["--lambda_=0.5"]], ids=" ".join)
def test_lambda_is_a_flag_by_either_spelling(words: list[str]) -> None:
    flags = parse(TrainFlags, "train", ["CartPole-v1", *words], StartingPoint(PPO, PPOConfig()))
    assert (flags.config.lambda_, flags.changes()) == (0.5, {"lambda_": 0.5})  # type: ignore[attr-defined]


def test_an_unknown_framework_is_refused_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(capsys, "train", "CartPole-v1", "--framework", "mxnet")
    assert stop.value.code == 2
    assert "'torch', 'tf', 'jax'" in " ".join(capsys.readouterr().err.split())


def test_other_numbers_are_no_steps(capsys: pytest.CaptureFixture[str]) -> None:
    for word in ("1.5", "inf", "many"):
        with pytest.raises(SystemExit) as stop:
            run(capsys, "train", "CartPole-v1", "--steps", word)
        assert stop.value.code == 2
        assert word in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["train", "CartPole-v1", "--out", ""], "--out: it is empty, and names no file or folder"),
        (["train", "--resume="], "--resume: it is empty, and names no file or folder"),
        (["plot", "run", ""], "RUN [RUN ...]: it is empty, and names no file or folder"),
        (["record", "run", "--out", ""], "--out: it is empty, and names no file or folder"),
        (["train", "CartPole-v1", "--steps", "10k"], "--steps: '10k' is no whole number, such as 20000, 20_000 or 2e4"),
        (["train", "CartPole-v1", "--seed", "one"], "--seed: 'one' is no whole number, such as 20000, 20_000 or 2e4"),
        (["train", "CartPole-v1", "--grad-clip", "x"], "--grad-clip: 'x' is no number, such as 0.001 or 1e-3"),
        (["train", "CartPole-v1", "--seeds", "x"], "Train so many runs one after the other"),
    ],
)
def test_a_word_that_is_no_value_is_told_in_plain_words(
    capsys: pytest.CaptureFixture[str], words: list[str], error: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        run(capsys, *words)
    told = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert (stop.value.code, error in told, "NoneType" in told) == (2, True, False), told


def test_none_is_a_value_where_a_flag_may_be_left_open() -> None:
    words = ["CartPole-v1", "--grad-clip", "None", "--seed", "None", "--out", "None"]
    flags = parse(TrainFlags, "train", words, StartingPoint(PPO, PPOConfig(grad_clip=0.5, seed=1)))
    assert (flags.config.grad_clip, flags.config.seed, flags.own.out) == (None, None, None)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are other there")
@pytest.mark.parametrize("words", [["list"], ["train", "--help"], ["inspect", "CartPole-v1"]])
def test_whoever_reads_the_output_may_stop(words: list[str]) -> None:
    command = subprocess.Popen(
        [sys.executable, "-m", "anyspace", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert command.stdout is not None
    assert command.stderr is not None
    command.stdout.close()
    with command.stderr as errors:
        assert errors.read() == ""
    assert command.wait() == 1


def test_callbacks_go_by_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "cli_envs:Nested", *TINY, "--steps", "64", "--evaluate", "0", "--out", "called"]
    status, _, err = run(capsys, *command, "--callback", "cli_algorithms:counted", "cli_algorithms:FailsAtOnce")
    assert status != 0
    assert "as I was told" in err
    assert "anyspace train --resume called --callback cli_algorithms:counted cli_algorithms:FailsAtOnce --trust" in err
    status, _, err = run(capsys, *command, "--overwrite", "--callback", "cli_algorithms:counted")
    assert status == 0, err
    header, row, *_ = Path("called/metrics.csv").read_text().splitlines()
    assert dict(zip(header.split(","), row.split(","), strict=True))["calls"] == "1"
    status, _, err = run(capsys, *command, "--overwrite", "--callback", "cli_algorithms:no_such_thing")
    assert status == 2
    assert "no_such_thing" in err
    assert Path("called/metrics.csv").read_text().startswith(header), "the run that was there is still there"


def test_a_run_that_goes_on_remembers_its_callbacks(capsys: pytest.CaptureFixture[str]) -> None:
    """They are code that a file names: it takes a word to call them."""
    command = ["train", "cli_envs:Nested", *TINY, "--steps", "64", "--evaluate", "0", "--out", "told"]
    assert run(capsys, *command, "--callback", "cli_algorithms:counted")[0] == 0
    status, out, err = run(capsys, "train", "cli_envs:Nested", "--resume", "told", "--steps", "128")
    assert status == 0, err
    assert "The run was begun with --callback cli_algorithms:counted, which is left out now" in out
    assert "play again: anyspace evaluate told --trust" in out
    status, _, err = run(capsys, "train", "cli_envs:Nested", "--resume", "told", "--steps", "192", "--trust")
    assert status == 0, err
    with Path("told/metrics.csv").open() as file:
        calls = [row["calls"] for row in csv.DictReader(file)]
    assert [call != "" for call in calls] == [True, False, True]


def test_the_seeds_that_are_left_can_be_trained(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "cli_envs:Nested", *TINY, "--steps", "64", "--evaluate", "0", "--out", "several"]
    fails = ["--callback", "cli_algorithms:FailsAtOnce"]
    status, _, err = run(capsys, *command, "--seeds", "3", "--seed", "5", *fails)
    assert status != 0
    line = next(one for one in err.splitlines() if "--seeds 2" in one)
    words = shlex.split(line)
    assert (words[0], words[-6:]) == ("anyspace", ["--seed", "6", "--seeds", "2", "--out", "several"])
    status, out, err = run(capsys, *[word for word in words[1:] if word not in fails])
    assert status == 0, err
    assert "over 2 seeds" in out
    assert sorted(path.name for path in Path("several").iterdir()) == ["seed-5", "seed-6", "seed-7"]


def test_a_part_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "cli_envs:Told", *TINY, "--steps", "64", "--evaluate", "1", "--out", "told"]
    status, _, err = run(capsys, *command)
    assert status == 2
    assert """ignore=['obs["mission"]']    (on the command line: --ignore 'obs["mission"]')""" in err
    assert run(capsys, *command, "--ignore", 'obs["mission"]')[0] == 0
    assert json.loads(Path("told/config.json").read_text())["config"]["ignore"] == ['obs["mission"]']
    status, out, _ = run(capsys, "evaluate", "told", "--episodes", "2")
    assert status == 0
    assert "over 2 episodes of 6.0 steps" in out
    status, out, _ = run(capsys, "inspect", "cli_envs:Told", "--ignore", 'obs["mission"]')
    assert status == 0
    assert 'obs["mission"] is left out' in out


def test_episodes_without_an_end_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    limit = ["--evaluation-max-episode-steps", "30", "--evaluate", "2", "--out", "endless"]
    status, out, _ = run(capsys, "train", "cli_envs:Endless", *TINY, "--steps", "64", *limit)
    assert status == 0
    assert "over 2 episodes of 30.0 steps, 2 of which were cut before their ends" in out


def test_an_interrupted_evaluation_names_the_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Algorithm, "evaluate", interrupted)
    status, _, err = run(capsys, "train", "cli_envs:Nested", *TINY, "--steps", "64", "--out", "stopped")
    assert status == 130
    assert err.strip() == "stopped while evaluating; the run is saved in stopped"


@pytest.mark.parametrize("max_len", ["60", '{"obs[\\"items\\"]": 60}'], ids=["for all", "by place"])
def test_a_longest_length_goes_into_the_checkpoint(capsys: pytest.CaptureFixture[str], max_len: str) -> None:
    flags = [*TINY, "--model.fcnet-hiddens", "8", "--evaluate", "1", "--out", "lists", "--max-len", max_len]
    assert run(capsys, "train", "cli_envs:Lists", "--steps", "64", *flags)[0] == 0
    for command in (["evaluate", "lists", "--episodes", "1"], ["train", "--resume", "lists", "--steps", "128", *TINY]):
        status, _, err = run(capsys, *command)
        assert status == 0, err


@pytest.mark.parametrize(
    ("name", "shown"),
    [("Beta", "Beta"), ("anyspace.distributions:SquashedGaussian", "SquashedGaussian"), ("None", "DiagGaussian")],
)
def test_a_class_is_given_by_name(capsys: pytest.CaptureFixture[str], name: str, shown: str) -> None:
    flags = ["--model.custom-action-dist", name, "--model.fcnet-activation", "None", "--entropy-coeff", "0"]
    status, out, err = run(capsys, "inspect", "cli_envs:Nested", *flags)
    assert status == 0, err
    assert f"action[1]  {shown}" in out
    assert "Tanh" not in out


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("orthogonal", "orthogonal"),
        ("torch.nn.init:ones_", {"import": "torch.nn.init:ones_"}),
        ("None", None),
    ],
)
def test_initialisers_by_name_filters_as_json(capsys: pytest.CaptureFixture[str], name: str, stored: object) -> None:
    filters = ["--model.conv-filters", "[[16, [4, 4], 2], [32, 4, 2]]"]
    flags = ["--model.fcnet-weights-initializer", name, *filters, "--model.fcnet-hiddens", "8", "--evaluate", "0"]
    status, _, err = run(capsys, "train", "CartPole-v1", "--steps", "64", "--out", "run", *TINY, *flags)
    assert status == 0, err
    model = json.loads(Path("run/config.json").read_text())["config"]["model"]
    assert model["fcnet_weights_initializer"] == stored
    assert Algorithm.load("run").config.model.conv_filters == [(16, (4, 4), 2), (32, 4, 2)]
    status, _, err = run(capsys, "inspect", "CartPole-v1", "--model.fcnet-weights-initializer", "orthogonl")
    assert status == 2
    assert "Did you mean 'orthogonal'?" in err


def test_a_folder_with_a_run_is_refused_before_anything_is_built(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    size = ["--model.fcnet-hiddens", "8", "--evaluate", "0"]
    assert run(capsys, "train", "CartPole-v1", "--steps", "64", "--out", "run", *TINY, *size)[0] == 0
    before = sorted(Path("run").rglob("*"))
    with monkeypatch.context() as patch:
        patch.setattr("anyspace.data.environments.EnvSpec.make", None)
        patch.setattr("anyspace.cli.train.parse", None)
        status, out, err = run(capsys, "train", "cli_envs:Nested", "--out", "run", *TINY)
        assert (status, out) == (2, "")
        assert re.match(r"error: run already holds a run \(PPO on CartPole-v1, \d+ steps\)", err)
        assert "anyspace train --resume run" in err
        assert "--overwrite" in err
        Path("file").write_text("x")
        status, out, err = run(capsys, "train", "cli_envs:Nested", "--out", "file/run", *TINY)
        assert (status, out) == (2, "")
        assert "cannot write a run into file/run: file is a file" in err
    assert sorted(Path("run").rglob("*")) == before
    flags = ["--steps", "100", "--out", "run", "--overwrite", *TINY, *size]
    assert run(capsys, "train", "cli_envs:Nested", "--gamma", "7", *flags)[0] == 2
    assert json.loads(Path("run/config.json").read_text())["env"] == "CartPole-v1", "nothing was wrong with the old run"
    status, _, err = run(capsys, "train", "cli_envs:Nested", *flags)
    assert status == 0, err
    assert json.loads(Path("run/config.json").read_text())["env"] == "cli_envs:Nested"


def test_a_run_that_cannot_be_built_leaves_no_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for place in ([], ["--out", "new"]):
        assert run(capsys, "train", "CartPole-v1", "--gamma", "7", *TINY, *place)[0] == 2
    assert not (tmp_path / "new").exists()
    assert list(tmp_path.glob("runs/*")) == []


def test_going_on_from_the_best_does_not_destroy_the_latest(capsys: pytest.CaptureFixture[str]) -> None:
    flags = [*TINY, "--model.fcnet-hiddens", "8", "--evaluate", "0"]
    assert run(capsys, "train", "cli_envs:Nested", "--steps", "64", "--out", "run", *flags)[0] == 0
    best = Path("run/best/state.json")
    state = json.loads(best.read_text())
    state["parts"]["counters"]["counters"]["timesteps_total"] = 40
    best.write_text(json.dumps(state))
    status, _, err = run(capsys, "train", "--resume", "run/best", "--steps", "100")
    assert status == 2
    assert "the run in run has 64 steps; going on there from 40 would destroy what it learnt since" in err
    status, out, err = run(capsys, "train", "--resume", "run/best", "--steps", "100", "--out", "other")
    assert status == 0, err
    assert "Resuming other at 40 steps" in out
    assert json.loads(Path("run/config.json").read_text())["seed"] == 0


def test_going_on_from_a_saved_checkpoint_makes_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    algorithm = PPO("CartPole-v1", train_batch_size=64, minibatch_size=32, model={"fcnet_hiddens": [8]}, seed=5)
    algorithm.save("saved")
    algorithm.close()
    status, out, err = run(capsys, "train", "--resume", "saved", "--steps", "64", "--no-progress", "--evaluate", "0")
    assert status == 0, err
    assert "run folder: runs/CartPole-v1-ppo-s5-" in out
    assert sorted(path.suffix for path in Path("saved").iterdir()) == [".json", ".safetensors"]


def test_the_last_lines_say_what_was_reached(capsys: pytest.CaptureFixture[str]) -> None:
    flags = [*TINY, "--model.fcnet-hiddens", "8", "--evaluate", "0", "--preset", "none"]
    _, out, _ = run(capsys, "train", "cli_envs:Nested", "--steps", "64", "--out", "a", "--stop-return", "7", *flags)
    assert re.search(r"trained 64 steps in \S+ s: mean return 6.0 over the latest 10 episodes\n", out)
    assert "goal not reached: stop_return (7) counts once 100 episodes have ended; 10 have\n" in out
    more = ["--return-window", "20", "--stop-return", "6", "--steps", "640"]
    _, out, _ = run(capsys, "train", "--resume", "a", *more)
    assert re.search(r"trained 64 steps in \S+ s \(128 in all\): mean return 6.0 over the latest 20 episodes\n", out)
    assert "goal reached: the mean return over the latest 20 episodes is 6 (stop_return is 6)\n" in out
    status, _, err = run(capsys, "train", "--resume", "a")
    assert status == 2
    assert "the mean return has reached `stop_return` already, after 128 steps" in err
    short = ["--steps", "4", "--train-batch-size", "4", "--minibatch-size", "4", *flags[4:]]
    _, out, _ = run(capsys, "train", "CartPole-v1", *short)
    assert re.search(r"trained 4 steps in \S+ s: no episode has ended yet\n", out)


def test_ctrl_c_in_the_last_evaluation(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PPO, "evaluate", interrupted)
    flags = [*TINY, "--model.fcnet-hiddens", "8", "--out", "run"]
    status, _, err = run(capsys, "train", "CartPole-v1", "--steps", "64", *flags)
    assert status == 130
    assert err.strip() == "stopped while evaluating; the run is saved in run"


def test_warm_start(capsys: pytest.CaptureFixture[str]) -> None:
    size = ["--model.fcnet-hiddens", "8", "--evaluate", "0"]
    assert run(capsys, "train", "CartPole-v1", "--steps", "64", "--out", "a", *TINY, *size)[0] == 0
    assert run(capsys, "train", "CartPole-v1", "--steps", "64", "--weights-from", "a", *TINY, *size)[0] == 0
    status, _, err = run(capsys, "train", "Pendulum-v1", "--steps", "64", "--weights-from", "a", *TINY)
    assert status == 2
    assert "weights carry over between equal spaces only" in err


def test_inspect_shows_the_pipeline(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "inspect", "cli_envs:Nested", "--model.fcnet-hiddens", "8")
    assert status == 0, err
    for expected in (
        'obs["a"]  Discrete(3)  ->  one-hot, 3 values',
        'obs["b"]',
        "normalised by its running mean and deviation",
        "flat: 5 float32 values",
        "FullyConnectedNetwork",
        "weight (8, 5)",
        "MultiActionDistribution",
        "action[1]  Box(0.0, 5.0, (1,), float32)  <-  scaled from [-1, 1] to the bounds, clipped",
        "one dummy step of everything",
    ):
        assert expected in out, out


def test_inspect_keeps_the_environments_of_a_preset(capsys: pytest.CaptureFixture[str]) -> None:
    for words, steps in (((), 16), (("--train-batch-size", "64"), 4)):  # two steps of each of eight, or of two
        status, out, err = run(capsys, "inspect", "CartPole-v1", "--model.fcnet-hiddens", "8", *words)
        assert (status, f"collected {steps} steps" in out) == (0, True), (out, err)


def test_an_algorithm_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    algo = ["--algo", "cli_algorithms:A2C"]
    flags = [*algo, "--train-batch-size", "32", "--model.fcnet-hiddens", "8", "--no-progress"]
    status, out, err = run(capsys, "train", "CartPole-v1", "--steps", "64", *flags, "--evaluate", "1")
    assert status == 0, err
    assert "preset: none, for the algorithm has none" in out
    assert "run folder: runs/CartPole-v1-a2c-" in out
    (folder,) = Path("runs").iterdir()
    assert "learner/mine" in (folder / "metrics.csv").read_text()
    status, out, err = run(capsys, "evaluate", str(folder), "--episodes", "1", *algo)
    assert status == 0, err
    assert "over 1 episode " in out
    resume = ["--resume", str(folder), *algo, "--steps", "128", "--no-progress", "--evaluate", "0"]
    status, out, err = run(capsys, "train", *resume)
    assert status == 0, err
    assert "Resuming" in out
    status, out, err = run(capsys, "inspect", "CartPole-v1", *flags[:-1])
    assert status == 0, err
    assert "A2C on CartPole-v1" in out


def test_a_sub_class_starts_from_the_presets_of_its_parent(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "inspect", "CartPole-v1", "--algo", "cli_algorithms:MyPPO")
    assert status == 0, err
    assert out.startswith("preset: CartPole-v1")


def test_an_iteration_without_gradient_steps_is_inspected(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "inspect", "CartPole-v1", "--algo", "cli_algorithms:Waits")
    assert status == 0, err
    assert "took no gradient step" in out


def test_without_an_environment_recorded_steps_are_inspected(capsys: pytest.CaptureFixture[str]) -> None:
    with closing(PPO("CartPole-v1", train_batch_size=16, minibatch_size=16, num_epochs=1, output="steps")) as algorithm:
        algorithm.train()
    status, out, err = run(capsys, "inspect", "--algo", "bc", "--input", "steps", "--preset", "none")
    assert (status, out.partition("\n")[0]) == (0, "BC"), (out, err)


def test_a_batch_size_alone_is_enough(capsys: pytest.CaptureFixture[str]) -> None:
    """The preset's minibatches are larger than this batch, and nobody asked for them."""
    flags = ["--train-batch-size", "64", "--no-progress", "--evaluate", "0", "--out", "run"]
    status, _, err = run(capsys, "train", "CartPole-v1", "--steps", "64", *flags)
    assert status == 0, err
    config = json.loads(Path("run/config.json").read_text())["config"]
    assert (config["train_batch_size"], config["minibatch_size"]) == (64, 64)
    for command in ("train", "inspect"):
        status, _, err = run(capsys, command, "CartPole-v1", "--train-batch-size", "64", "--minibatch-size", "128")
        assert status == 2
        assert "config key `minibatch_size` is 128" in err


def test_a_preset_s_entropy_bonus_gives_way(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--model.custom-action-dist", "SquashedGaussian"]
    for command in (["inspect"], ["train", "--steps", "32", "--evaluate", "0", "--out", "run", *TINY]):
        assert run(capsys, command[0], "cli_envs:Nested", *command[1:], *flags)[0] == 0
        status, _, err = run(capsys, "inspect", "cli_envs:Nested", *flags, "--entropy-coeff", "0.01")
        assert status == 2
        assert "defines no entropy()" in err


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "list")
    assert status == 0
    assert "ppo" in out
    assert "CartPole-v1" in out
    assert "Proximal Policy" in out
    assert "discrete" in out.partition(" bc ")[2].partition(" dqn ")[0]  # BC has the presets of MARWIL


def test_overview_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    overview = run(capsys)[1]
    assert {line.split()[1] for line in overview.splitlines() if line.startswith("  anyspace ")} == {*cli._commands()}
    assert overview.endswith("Begin with: anyspace train CartPole-v1\n")
    with pytest.raises(SystemExit) as exit_:
        main(["train", "CartPole-v1", "--help"])
    assert exit_.value.code == 0
    out = capsys.readouterr().out
    assert "--model.fcnet-hiddens" in out
    assert "How far the probability ratio may move" in out


@pytest.mark.parametrize("kind", [TrainFlags, SweepFlags, InspectFlags, BenchFlags])
def test_help_names_the_flags_that_a_file_may_hold(kind: type) -> None:
    documents, own = configs.documents(kind), {field.name for field in dataclasses.fields(kind)}
    assert {name for name in OWN if re.search(rf"\b{name}\b", documents["config"])} == own & {*OWN}
    assert ("--resume" in documents["trust"]) == ("resume" in own)


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--help"],
        ["train", "--steps", "5", "--help"],
        ["inspect", "--algo", "ppo", "-h"],
        ["inspect", "--gama", "1", "--help"],
    ],
)
def test_help_needs_no_environment(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 0
    out, err = capsys.readouterr()
    assert "--gamma" in out
    assert "(default: None)" not in out.split("A Gymnasium id")[1].split("options")[0]
    assert err == ""


def test_help_shows_the_defaults_of_the_preset(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--lr", "0.5", "CartPole-v1", "--help"])
    out = capsys.readouterr().out
    assert out.startswith("preset: CartPole-v1")
    assert "(default: 8)" in out.split("--num-envs-per-env-runner INT")[1][:400]


def test_resuming_builds_the_algorithm_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    size = ["--model.fcnet-hiddens", "8", "--evaluate", "0"]
    assert run(capsys, "train", "CartPole-v1", "--steps", "64", "--out", "run", *TINY, *size)[0] == 0
    loaded = []
    load = Algorithm.load
    monkeypatch.setattr(
        Algorithm, "load", lambda *given, **settings: loaded.append(settings) or load(*given, **settings)
    )
    flags = ["--resume", "run", "--steps", "128", "--lr", "0.5", "--no-progress", "--evaluate", "0"]
    status, _, err = run(capsys, "train", *flags)
    assert status == 0, err
    assert loaded == [{"env": None, "config": {"lr": 0.5}, "trust": False}]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["trian", "CartPole-v1"], "Did you mean 'train'?"),
        (["train"], "give an environment"),
        (["train", "CartPole-v11"], "CartPole-v1"),
        (["train", "CartPole-v1", "--algo", "pop"], "Did you mean 'ppo'?"),
        (["train", "CartPole-v1", "--preset", "CartPole"], "Did you mean 'CartPole-v1'"),
        (["train", "CartPole-v1", "--gamma", "1.5"], "config key `gamma` is 1.5, but a discount lies in [0, 1]"),
        (["train", "CartPole-v1", "--model.encoder-latent-dim", "8"], "it belonged to another kind of model"),
        (["train", "CartPole-v1", "--model.use-lstm", "--model.use-attention"], "Only one of `use_lstm`"),
        (["train", "cli_envs:Lists"], "max_len"),
        (["train", "cli_envs:Nowhere"], "cannot be imported"),
        (["train", "CartPole-v1", "--algo", "cli_algorithms:NoLosses"], "NoLosses has no losses(): an algorithm says"),
        (["train", "CartPole-v1", "--algo", "cli_algorithms:NoConfig"], "NoConfig does not say what its configuration"),
        (["train", "CartPole-v1", "--algo", "cli_algorithms:Nothing"], "cannot be imported"),
        (["train", "CartPole-v1", "--algo", "cli_envs:Nested"], "is no class derived from anyspace.Algorithm"),
        (["train", "CartPole-v1", "--policy-kwargs", "x"], "is `--model.fcnet-hiddens 64 64`."),
        (
            ["train", "CartPole-v1", "--learning_rate=1"],
            "there is no flag --learning_rate. It is called `--lr` here, one",
        ),
        (["train", "CartPole-v1", "--use-lstm"], "It belongs under `model`: `--model.use-lstm`."),
        (["inspect", "CartPole-v1", "--model.no-explore"], "It belongs beside `model`: `--explore`."),
        (["train", "--model.use-lstm", "yes", "CartPole-v1"], "`--model.no-use-lstm` off."),
        (["train", "CartPole-v1", "--no-explore=False"], "--no-explore takes no value: `--explore` by itself"),
        (["train", "CartPole-v1", "--overwrite", "True"], "--overwrite takes no value"),
        (["train", "CartPole-v1", "--total-timesteps", "9"], "on the command line --steps"),
        (["train", "CartPole-v1", "-n", "300"], "there is no flag -n. It is --steps N here"),
        (["train", "CartPole-v1", "--n_timesteps=300"], "there is no flag --n_timesteps. It is --steps N here"),
        (["train", "CartPole-v1", "-f", "logs", "-i", "a.zip"], "there is no flag -i. --resume RUN trains a run on"),
        (
            ["train", "-f", "logs"],
            "RLlib's experiment file is --config FILE.toml here, Stable-Baselines3 Zoo's log folder",
        ),
        (["train", "-f", "exp.yaml"], "exp.yaml: experiments are TOML here."),
        (["train", "exp.yml"], "and give it: anyspace train --config exp.toml."),
        (["train", "file", "exp.yaml"], "exp.yaml: experiments are TOML here."),
        (["train", "file", "exp.py"], "train file: experiments are TOML here."),
        (["sweep", "--config=exp.yaml"], "exp.yaml: experiments are TOML here."),
        (["train", "--config-file", "exp.json"], "there is no flag --config-file. It is --config FILE.toml here"),
        (["train", "--run", "PPO", "--env", "CartPole-v1"], "there is no flag --run. It is --algo NAME here"),
        (["train", "--run", "PPO", "--env", "CartPole-v1"], "the environment is named without a flag"),
        (["train", "CartPole-v1", "--framework", "tf2"], "--framework tf2: it is --framework tf here."),
        (["train", "CartPole-v1", "--framework=tfe"], "--framework tfe: it is --framework tf here."),
        (["train", "CartPole-v1", "--vec-env", "dummy"], "It is --vectorization sync or async here."),
        (["train", "CartPole-v1", "--hyperparams", "lr:1"], "Each key is a flag of its own"),
        (["enjoy", "--algo", "ppo"], "there is no command 'enjoy'. `anyspace evaluate RUN --render` plays a run."),
        (["tune"], "there is no command 'tune'. `anyspace sweep ENV` searches for settings."),
        (["help", "train"], "`anyspace COMMAND --help` lists the flags of a command."),
        (["train", "CartPole-v1", "--num-workers", "2"], "It is called `--num-env-runners` here."),
        (["train", "CartPole-v1", "--timesteps", "9"], "there is no flag --timesteps. It is --steps N here"),
        (["train", "CartPole-v1", "--algo", ""], "there is no algorithm ''."),
        (["train", "CartPole-v1", "--preset", ""], "there is no preset ''"),
        (["train", "CartPole-v1", "--output", ""], "config key `output` is '', but it is the name of a folder"),
        (["check", "CartPole-v1", "--seed", "-1"], "--seed is -1, but it must be at least 0."),
        (["export", "run", "f.onnx", "--rows", "0"], "--rows is 0, but it must be at least 1."),
        (["train", "Shopkeeper-v0"], "no environment is known as 'Shopkeeper-v0'. Give"),
        (["train", "--resume", "nothing"], "no checkpoint at nothing"),
        (["evaluate", "nothing"], "no checkpoint at nothing"),
        (["export", "run", "f.onnx", "--episodes", "0", "--env", "CartPole-v1"], "--episodes 0 makes no environment"),
        (["export", "run", "f.onnx", "--episodes", "-1"], "--episodes is -1, but it must be at least 0."),
        (["train", "CartPole-v1", "--evaluate", "-1"], "--evaluate is -1, but it must be at least 0."),
        (["train", "CartPole-v1", "--video-every", "0"], "--video-every is 0, but it must be at least 1."),
    ],
)
def test_wrong_input_is_one_clear_error(
    capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    status, _, err = run(capsys, *arguments)
    assert status == 2
    assert expected in err
    assert "Traceback" not in err


@pytest.mark.parametrize("name", other_words.ALGORITHMS)
def test_algorithms_of_others_are_answered_with_flags_that_there_are(name: str) -> None:
    with pytest.raises(ConfigError, match=f"there is no algorithm '{name}'. ") as caught:
        algorithm_of(name)
    words = re.findall(r"--algo [a-z0-9]+(?: --[^ ,]+(?: [0-9]+)?)*", str(caught.value))[0].rstrip(".").split()
    kind = algorithm_of(words[1])
    parse(InspectFlags, "inspect", ["CartPole-v1", *words[2:]], StartingPoint(kind, kind.config_class()))


def test_all_flags_of_other_libraries_are_named_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "train", "CartPole-v1", "--learning-rate", "1", "--replay-capacity=5", "--n-epochs=4")
    assert status == 2
    lines = [" ".join(line.split()) for line in err.replace("error: ", "").split("there is no flag ")[1:]]
    assert [line.partition(". ")[0] for line in lines] == ["--learning-rate", "--replay-capacity", "--n-epochs"]
    assert "It is a key of DQN and SAC." in lines[1]


def test_flags_that_explanations_show_are_taken() -> None:
    texts = " ".join(map(str, FOREIGN_KEYS.values()))
    found = dict(re.findall(KEY_WITH_VALUE, texts))
    shown = {path: value for path, value in found.items() if path in configs.paths(PPOConfig())}
    del shown["model.custom_model"]  # It would be imported.
    assert len(shown) > 10
    words = [word for path, value in shown.items() for word in shlex.split(as_flag(path, value).strip("`"))]
    config = parse(InspectFlags, "inspect", ["CartPole-v1", *words], StartingPoint(PPO, PPOConfig())).config
    assert config.model.fcnet_hiddens == [64, 64]
    assert config.lr_schedule in ("linear", [(0.0, 3e-4), (1e5, 1e-5)])


def test_a_list_that_is_no_json_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["inspect", "CartPole-v1", "--model.fcnet-hiddens", "[64, none]"])
    words = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert "'[64, none]' is not JSON" in words
    assert "The key takes list[int]." in words


@pytest.mark.parametrize("word", ["max_episode_steps=20,mode=fast", "{'max_episode_steps': 20, 'mode': 'fast'}"])
def test_what_json_a_word_may_mean_is_shown(word: str) -> None:
    with pytest.raises(ValueError, match=r"""takes dict.*, such as '\{"max_episode_steps": 20, "mode": "fast"\}'\.$"""):
        _from_json(dict[str, int | str], [word])


@pytest.mark.parametrize(
    ("hint", "word"),
    [
        (dict[str, Any], "size=[4,4]"),
        (dict[str, Any], "name='a b'"),
        (dict[str, Any], "http://x:80"),
        (dict[str, Any], "{'a': {1, 2}}"),
        (dict[str, Any], "{'a': 1"),
        (dict[str, int], "mode=fast"),
        (list[int], "[a=1]"),
        (list[tuple[float, float]], "0=1e-3"),
    ],
)
def test_what_may_mean_something_else_is_not_shown(hint: Any, word: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"The key takes {spell(hint)}.") + "$"):
        _from_json(hint, [word])


@pytest.mark.parametrize("words", [["64", "32"], ["64,32"], ["64,", "32"], ["[64, 32]"]])
def test_lists_are_words_or_one_word(words: list[str]) -> None:
    words = ["CartPole-v1", "--model.fcnet-hiddens", *words, "--collect-infos", '["a, b", "c"]', "--ignore", 'obs["x"]']
    config = parse(InspectFlags, "inspect", words, StartingPoint(PPO, PPOConfig())).config
    assert config.model.fcnet_hiddens == [64, 32]
    assert (config.collect_infos, config.ignore) == (["a, b", "c"], ['obs["x"]'])


@pytest.mark.parametrize("words", [["a.b:C", "wr:disc"], ['["a.b:C", "wr:disc"]']])
def test_wrappers_are_names_or_json(words: list[str]) -> None:
    start = StartingPoint(PPO, PPOConfig(wrappers=[TimeLimit]))
    assert parse(InspectFlags, "inspect", ["CartPole-v1", "--wrappers", *words], start).config.wrappers == [
        "a.b:C",
        "wr:disc",
    ]
    assert parse(InspectFlags, "inspect", ["CartPole-v1"], start).config.wrappers == [TimeLimit]


def test_commands_take_wrappers(capsys: pytest.CaptureFixture[str]) -> None:
    limited = ("cli_envs:Endless", "--wrappers", "cli_envs:limited")
    status, out, _ = run(capsys, "check", *limited, "--steps", "60")
    assert status == 0
    assert "no episode has ended" not in out
    assert run(capsys, "inspect", *limited)[0] == 0


@pytest.mark.parametrize(
    ("words", "schedule"),
    [
        ("linear", "linear"),
        ("None", None),
        ("0 1e-3 100_000 0", [(0.0, 1e-3), (1e5, 0.0)]),
        ("'[[0, 1e-3], [1e5, 0]]'", [(0.0, 1e-3), (1e5, 0.0)]),
    ],
)
def test_schedules_are_names_numbers_or_pairs(words: str, schedule: object) -> None:
    given = ["CartPole-v1", "--lr-schedule", *shlex.split(words)]
    config = parse(InspectFlags, "inspect", given, StartingPoint(PPO, PPOConfig())).config
    assert config.lr_schedule == schedule


@pytest.mark.parametrize("words", [["linera"], ["0", "1e-3", "5"], ["1e-3"], ["[1, 2]"], ["[[0, 1e-3]"]])
def test_what_is_no_schedule_is_refused(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["train", "CartPole-v1", "--lr-schedule", *words])
    assert exit_.value.code == 2
    assert "is no schedule; write linear, or" in " ".join(capsys.readouterr().err.split())


def test_an_environment_takes_no_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--env", "CartPole-v1"]) == 2
    assert "named without a flag, right after the command: CartPole-v1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "nearest"), [("--gama", "--gamma"), ("--model.fcnet-hidden", "--model.fcnet-hiddens")]
)
def test_a_wrong_flag_names_the_nearest(capsys: pytest.CaptureFixture[str], flag: str, nearest: str) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["train", "CartPole-v1", flag, "3"])
    assert exit_.value.code == 2
    assert nearest in capsys.readouterr().err


@pytest.mark.parametrize("value", ['"x"', "2.5", "[1]", '{"obs": "a"}'])
def test_json_of_another_type_is_refused(capsys: pytest.CaptureFixture[str], value: str) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["inspect", "cli_envs:Lists", "--max-len", value])
    assert exit_.value.code == 2
    assert "is not what the key takes: int or dict[str, int] or None" in capsys.readouterr().err


def test_an_environment_that_raises_shows_its_own_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "train", "cli_envs:Broken", "--steps", "100", *TINY)
    assert status == 1
    assert "RuntimeError: the simulator lost its licence" in err
    assert "helper_that_fails" in err
    assert "at step 3" in err
    assert "site-packages/anyspace" not in err
    assert "collector.py" not in err


@pytest.mark.parametrize("fleet", [(), ("--num-env-runners", "2", "--fleet", "serial")])
def test_an_environment_that_ends_the_program_ends_its_run(
    capsys: pytest.CaptureFixture[str], fleet: tuple[str, ...]
) -> None:
    status, _, err = run(capsys, "train", "cli_envs:Quits", "--steps", "10000", "--out", "run", *TINY, *fleet)
    assert status == 1
    assert "sys.exit()\n" in err
    assert "Quits.step() ended the program (sys.exit())" in err
    assert "anyspace train --resume run" in err
    assert "The run is saved at" in err
    assert (steps_of(read_state(Path("run"))) or 0) > 0


def test_the_check_tells_of_an_environment_that_ends_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "check", "cli_envs:Quits")
    assert status == 1
    assert "Quits.step() ended the program (sys.exit())" in " ".join(out.split())


def test_output_that_has_nowhere_to_go_goes_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """`anyspace list >&-`."""
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert [main(["list"]), main(["--version"]), main(["nothing"])] == [0, 0, 2]
    assert sys.stdout is sys.stderr is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("words", [["list"], ["--version"], ["check", "cli_envs:Nested"]], ids=" ".join)
@pytest.mark.parametrize("is_buffered", [True, False])
def test_output_that_cannot_be_written_is_told_in_a_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], is_buffered: bool
) -> None:
    with io.TextIOWrapper(
        open("/dev/full", "wb"), write_through=not is_buffered, line_buffering=not is_buffered
    ) as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(words) == 1
    assert capsys.readouterr().err == (
        "error: the output cannot be written (No space left on device); make room on the disk, or send it elsewhere.\n"
    )


def test_ctrl_c_while_commands_are_imported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_commands", interrupted)
    assert run(capsys, "list") == (130, "", "stopped\n")
    monkeypatch.setattr(cli, "_run", lambda name, words: interrupted())
    assert run(capsys, "list") == (130, "", "stopped\n")


def test_module_entry_point() -> None:
    done = subprocess.run([sys.executable, "-m", "anyspace", "list"], capture_output=True, text=True, check=True)
    assert "ppo" in done.stdout
    assert subprocess.run([sys.executable, "-m", "anyspace", "nothing"], capture_output=True).returncode == 2


def test_the_overview_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'tyro', 'gymnasium'} & {*sys.modules}"
    code = f"import sys; from anyspace.cli import main; main(['--help']); print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_modules_of_the_current_folder_are_found(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(Path.cwd()))])
    assert run(capsys, "inspect", "cli_envs:Nested", "--model.fcnet-hiddens", "8")[0] == 0
    assert sys.path.count(str(Path.cwd())) == 1
