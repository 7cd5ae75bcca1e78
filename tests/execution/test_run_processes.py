"""Runs in real processes: started together, stopped, killed, and failing."""

from __future__ import annotations

import contextlib
import functools
import logging.handlers
import os
import random
import resource
import shlex
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anyspace import PPO, Algorithm
from anyspace.cli import main
from anyspace.errors import CheckpointError
from anyspace.execution.checkpoint import read_checkpoint, read_state
from anyspace.execution.log import read_metrics
from anyspace.execution.run import Saving, learn
from anyspace.execution.run_files import remembered_options, steps_of
from tests.support.counts import Counts
from tests.support.processes import command, ended, kill_all, start, wait_for

TINY = ("--train-batch-size", "32", "--minibatch-size", "32", "--num-epochs", "1", "--model.fcnet-hiddens", "4")
FLAGS = (*TINY, "--preset", "none", "--no-progress", "--evaluate", "0", "--seed", "7")
SETTINGS: dict[str, Any] = {
    "train_batch_size": 32,
    "minibatch_size": 32,
    "num_epochs": 1,
    "model": {"fcnet_hiddens": [4]},
    "checkpoint_every": 32,
}

ENVIRONMENT = """
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym

class Cart(gym.Wrapper):
    def __init__(self):
        super().__init__(gym.make("CartPole-v1"))
        self.steps = 0

    def step(self, action):
        self.steps += 1
        if Path("slow").exists():
            time.sleep(0.002)
        if Path("broken").exists() and self.steps == 100:
            raise RuntimeError("the simulator lost its licence")
        return super().step(action)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "process_envs.py").write_text(ENVIRONMENT)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    kill_all()


def rows(run: Path) -> list[int]:
    file = run / "metrics.csv"
    return [int(row["timesteps_total"]) for row in read_metrics(file)] if file.exists() else []


def saved(run: Path) -> int:
    steps = steps_of(read_checkpoint(run)[0])
    assert steps is not None
    return steps


def whole(run: Path) -> int:
    """The steps of a run whose checkpoint is that of its last row, and whose rows have every iteration once."""
    steps, iterations = rows(run), [int(row["training_iteration"]) for row in read_metrics(run / "metrics.csv")]
    assert iterations == [*range(1, len(steps) + 1)]
    assert steps == sorted(set(steps))
    assert saved(run) == steps[-1]
    return steps[-1]


def in_the_same_second(*words: str) -> int:
    time.strftime = lambda *_: "20261128-010346"  # type: ignore[assignment]
    return main(words)


def test_runs_that_start_together_have_folders_of_their_own(folder: Path) -> None:
    words = ("train", "CartPole-v1", "--steps", "64", *FLAGS)
    runs = [start(in_the_same_second, *words, folder=folder, log=f"log{number}") for number in range(3)]
    assert [ended(run) for run in runs] == [0, 0, 0], (folder / "log0").read_text()
    name = "CartPole-v1-ppo-s7-20261128-010346"
    assert sorted(run.name for run in (folder / "runs").iterdir()) == [name, f"{name}-2", f"{name}-3"]
    for run in (folder / "runs").iterdir():
        assert whole(run) >= 64


def test_a_terminated_run_goes_on_to_its_goal_with_the_line_that_it_prints(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "slow").touch()
    run = folder / "my run"
    process = command("train", "process_envs:Cart", "--steps", "512", "--out", "my run", *FLAGS, folder=folder)
    wait_for(lambda: len(rows(run)) >= 2, process)
    assert main(["train", "--resume", "my run"]) == 2, "two writers of one run"
    assert f"my run is being written by process {process.pid} on " in capsys.readouterr().err
    assert main(["train", "CartPole-v1", "--out", "my run", "--overwrite"]) == 2
    assert "is being written by process" in capsys.readouterr().err

    os.kill(process.pid or 0, signal.SIGTERM)
    assert ended(process) == 128 + signal.SIGTERM
    log = (folder / "log").read_text()
    line = log.splitlines()[-1]
    assert line == "  anyspace train --resume 'my run' --trust", log
    before = whole(run)
    assert before < 512
    assert f"stopped. The run is saved at {before} steps" in log
    assert remembered_options(run) == {"steps": 512, "progress": False, "evaluate": 0}
    assert (run / "learning_curve.png").exists()

    (folder / "slow").unlink()
    assert main(shlex.split(line)[1:]) == 0
    out, _ = capsys.readouterr()
    after = whole(run)
    assert after >= 512
    assert f"trained {after - before} steps in" in out
    assert f"({after} in all)" in out

    assert main(shlex.split(line)[1:]) == 2
    assert f"error: the run already has {after} steps; give --steps N to train further" in capsys.readouterr().err
    assert main([*shlex.split(line)[1:], "--steps", str(after + 1)]) == 0
    assert remembered_options(run)["steps"] == after + 1 <= whole(run)


def test_a_run_whose_environment_raises_is_saved(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "broken").touch()
    process = command("train", "process_envs:Cart", "--steps", "512", "--out", "run", *FLAGS, folder=folder)
    assert ended(process) == 1
    log = (folder / "log").read_text()
    assert "RuntimeError: the simulator lost its licence" in log
    assert (
        "The run is saved at 96 steps, after its last whole iteration. Go on with\n  anyspace train --resume run" in log
    )
    assert (saved(folder / "run"), rows(folder / "run")) == (96, [32, 64, 96])


def gone_on(checkpoint: str) -> int:
    """Train in the folder ``run``, in a group of processes of its own, from a checkpoint if there is one."""
    os.setpgrp()
    try:
        algorithm = Algorithm.load(checkpoint)
    except CheckpointError:
        algorithm = PPO("CartPole-v1", SETTINGS)
    algorithm.learn(10**9, out="run", progress=False)
    return 0


def running(group: int) -> list[str]:
    """The processes of a group that have not ended, by what the kernel says of them."""
    stats = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            stats.append(file.read_text())
    states = [stat.rpartition(")")[2].split() for stat in stats]
    return [stat for stat, state in zip(stats, states, strict=True) if int(state[2]) == group and state[0] != "Z"]


def test_a_group_of_processes_is_terminated_together(folder: Path) -> None:
    """As a job scheduler does it: the processes of the environments, forked in the run, get the signal as well."""
    start_from = PPO("CartPole-v1", SETTINGS, num_envs_per_env_runner=2, vectorization="async")
    start_from.save(folder / "start")
    start_from.close()
    run = folder / "run"
    process = start(gone_on, "start", folder=folder)
    wait_for(lambda: len(rows(run)) >= 2, process)
    assert process.pid is not None
    assert len(running(process.pid)) >= 3
    os.killpg(process.pid, signal.SIGTERM)
    assert ended(process) == 128 + signal.SIGTERM, (folder / "log").read_text()
    whole(run)
    until = time.monotonic() + 30
    while running(process.pid):
        assert time.monotonic() < until, "a process of an environment is left"
        time.sleep(0.01)


def check_kills(folder: Path, count: int) -> None:
    """Kill a run by ``kill -9`` again and again, every second time soon after its first iterations."""
    draw, steps, run = random.Random(), 0, folder / "run"
    for number in range(count):
        process = start(gone_on, "run", folder=folder)
        wait_for((run / "run.lock").exists, process)
        if number % 2 == 0:
            wait_for(functools.partial(is_beyond, run, steps), process)
        seconds = draw.uniform(0.0, 0.1)
        time.sleep(seconds)
        process.kill()
        assert ended(process) == -signal.SIGKILL, (folder / "log").read_text()
        now = saved(run)
        assert now >= steps, f"killed after {seconds} s"
        steps = now
    resumed = Algorithm.load(run)
    resumed.learn(resumed.timesteps_total + 64, out=run, progress=False)
    resumed.close()
    assert whole(run) >= steps + 64


def is_beyond(run: Path, steps: int) -> bool:
    """Whether the checkpoint, read while it may be replaced, has more steps than that."""
    try:
        return (steps_of(read_state(run)) or 0) > steps
    except CheckpointError:
        return False


def test_a_kill_in_5_random_moments_leaves_a_whole_checkpoint(folder: Path) -> None:
    check_kills(folder, 5)


@pytest.mark.fuzz
def test_a_kill_in_20_random_moments_leaves_a_whole_checkpoint(folder: Path) -> None:
    check_kills(folder, 20)


def limited() -> int:
    """Train where no file may grow beyond 100 bytes for a while, as a quota has it."""
    kept = []

    def on_train(iteration: int) -> None:
        kept.append(steps_of(read_state("run")))
        if iteration in (3, 9):
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100 if iteration == 3 else hard, hard))

    told = logging.handlers.BufferingHandler(100)
    logging.getLogger("anyspace").addHandler(told)
    learn(Counts(on_train=on_train), 120, "run", overwrite=False, saving=Saving(20), progress=False)
    assert kept == [0, 0, 20, 20, 20, 20, 20, 20, 20, 20, 100, 100]
    assert [record.getMessage() for record in told.buffer] == [
        "run: the metrics cannot be written (File too large). Training goes on, and writing is tried again.",
        "run: the latest checkpoint cannot be written (File too large). Training goes on, and writing is tried again;"
        " until then it is that of 20 steps.",
    ]
    return 0


def test_a_run_goes_on_while_no_file_may_grow(folder: Path) -> None:
    process = start(limited, folder=folder)
    assert ended(process) == 0, (folder / "log").read_text()
    assert saved(folder / "run") == 120
    assert rows(folder / "run") == [*range(10, 121, 10)]
