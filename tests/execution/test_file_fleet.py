"""Fleets of recorded steps: read, mixed, written."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anyspace import BC, DQN, MARWIL, PPO
from anyspace.data.offline.columns import ColumnReader
from anyspace.data.offline.json_writer import JsonWriter
from anyspace.errors import ConfigError
from anyspace.execution.file_fleet import FileFleet, MixedFleet, require_shares
from tests.data.offline.test_columns import columns, policy
from tests.support.environments import Script


class Columns:
    """Gives the columns that it was told, over and over."""

    def __init__(self, *given: dict[str, Any]):
        self.given, self.restarts, self.turn = given, [], 0

    def next(self):
        self.turn += 1
        return f"turn {self.turn}", self.given[(self.turn - 1) % len(self.given)]

    def restart(self, seed):
        self.restarts.append(seed)

    def metrics(self):
        return {"bad_lines": 2.0}


def fleet_of(*given: dict[str, Any]) -> tuple[FileFleet, Columns]:
    acting, source = policy(), Columns(*given)
    return FileFleet(acting, source, ColumnReader(acting)), source


def test_whole_lines_are_gathered_until_there_are_enough_steps():
    fleet, source = fleet_of(columns(4), columns(3, rewards=[7.0] * 3))
    assert source.turn == 1  # so that what does not fit is found before training
    assert fleet.gather(4).rewards[:, 0].tolist() == [1, 2, 3, 4]
    assert fleet.gather(5).rewards[:, 0].tolist() == [7, 7, 7, 1, 2, 3, 4]
    fleet.restart(5)
    assert source.restarts == [5]
    assert fleet.metrics() == {"bad_lines": 2.0}
    fleet.close()


def test_lines_without_a_whole_step_are_passed_over():
    lonely = columns(1, new_obs=None)
    fleet, _ = fleet_of(lonely, columns(2))
    assert fleet.gather(1).num_steps == 2
    with pytest.raises(ConfigError, match="1000 lines in a row hold no step"):
        fleet_of(lonely)


def test_fleets_are_drawn_by_their_shares():
    one, two = fleet_of(columns(2))[0], fleet_of(columns(2, rewards=[7.0, 7.0]))[0]
    mixed = MixedFleet({"a": one, "b": two}, {"b": 0.25, "a": 0.75}, seed=3)
    drawn = [mixed.gather(2).rewards[0, 0] for _ in range(400)]
    assert 0.68 < np.mean(np.array(drawn) == 1.0) < 0.82
    metrics = mixed.metrics()
    assert metrics["drawn/a"] + metrics["drawn/b"] == 400
    assert metrics["drawn/a"] == drawn.count(1.0)
    assert metrics["bad_lines"] == 4
    mixed.gather(2)
    metrics = mixed.metrics()
    assert metrics["drawn/a"] + metrics["drawn/b"] == 1, "those since the last call"
    mixed.restart(3)
    assert [mixed.gather(2).rewards[0, 0] for _ in range(400)] == drawn


@pytest.mark.parametrize(
    "shares", [{}, {"a": 0.5}, {"a": 1.2, "b": -0.2}, {"a": 0.6, "b": 0.6}, {"a": float("nan"), "b": 0.5}]
)
def test_shares_that_are_no_probabilities_are_refused(shares):
    with pytest.raises(ConfigError, match="sum to 1"):
        require_shares(shares)


def test_shares_may_be_rounded():
    require_shares({"a": 0.1, "b": 0.2, "c": 0.7})
    require_shares({str(number): 1 / 3 for number in range(3)})


def test_a_run_is_written_on_the_way(tmp_path):
    settings = {
        "vectorization": "native",
        "train_batch_size": 40,
        "minibatch_size": 40,
        "num_epochs": 1,
        "seed": 1,
        "model": {"fcnet_hiddens": [4]},
    }
    with closing(PPO("CartPole-v1", preset="none", output=str(tmp_path), output_max_file_size=2000, **settings)) as one:
        one.train()
        one.train()
    with closing(PPO("CartPole-v1", preset="none", **settings)) as other:
        # Writing changes nothing in the run.
        other.train()
        other.train()
        for mine, theirs in zip(one.policy.weights().values(), other.policy.weights().values(), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    files = sorted(file for file in tmp_path.iterdir() if file.name.startswith("output-"))
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert len(files) > 1
    steps = [len(line["rewards"]) for line in lines]
    assert 70 < sum(steps) == one.timesteps_total <= 80  # one is spent on each reset
    assert all(line["t"][0] == 0 for line in lines)
    assert all(line["terminateds"][-1] for line in lines[:-1])
    with closing(MARWIL(input=str(tmp_path), output=str(tmp_path / "again"), train_batch_size=sum(steps))) as copied:
        copied.train()
    with closing(BC(input=str(tmp_path / "again"), train_batch_size=sum(steps))) as reading:
        assert reading.fleet.gather(sum(steps)).num_steps == sum(steps)


def test_two_runs_of_other_spaces_do_not_share_a_folder(tmp_path):
    settings = {"preset": "none", "train_batch_size": 8, "minibatch_size": 8, "num_epochs": 1, "output": str(tmp_path)}
    with closing(PPO("CartPole-v1", **settings)) as one, closing(PPO("Pendulum-v1", **settings)) as other:
        one.train()
        with pytest.raises(ConfigError, match=r"spaces\.json: the observation space"):
            other.train()


def test_the_end_of_a_run_and_closing_write_what_is_left(tmp_path):
    settings = {"preset": "none", "output": str(tmp_path), "num_steps_sampled_before_learning_starts": 100}
    env = partial(Script, ends=((100, "terminated"),))
    algo = DQN(env, min_sample_timesteps_per_iteration=3, **settings)
    with closing(algo):
        algo.train()
        with pytest.raises(ConfigError, match=r"holds no file .* yet: close\(\) the algorithm"):
            BC(input=str(tmp_path))
        algo.learn(6, progress=False)
        assert [line["t"] for line in lines_of(tmp_path)] == [[0, 1, 2, 3, 4, 5]]
        algo.train()
    assert [line["t"] for line in lines_of(tmp_path)] == [[0, 1, 2, 3, 4, 5], [6, 7, 8]]


def test_recorded_steps_in_between_cut_no_episode(tmp_path):
    env = partial(Script, ends=((5, "terminated"),))
    with closing(PPO(env, preset="none", output=str(tmp_path / "a"), train_batch_size=8, minibatch_size=8)) as algo:
        algo.fleet.gather(8)
    mixed = {str(tmp_path / "a"): 0.5, "sampler": 0.5}
    with closing(MARWIL(env, preset="none", seed=0, input=mixed, output=str(tmp_path / "b"))) as algo:
        for _ in range(30):
            algo.fleet.gather(3)
        lines = lines_of(tmp_path / "b")
        live = [line for line in lines if len(line["rewards"]) == 5]
        assert len(live) > 5
        assert all(line["terminateds"][-1] for line in live)
        assert {tuple(line["t"]) for line in lines} == {(0, 1, 2, 3, 4), (0, 1, 2)}


def test_a_program_that_ends_without_closing_writes_what_is_left(tmp_path):
    code = """
import sys
from anyspace import PPO
algo = PPO("CartPole-v1", preset="none", output=sys.argv[1], seed=0)
algo.fleet.gather(3)
raise KeyboardInterrupt
"""
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert run.stderr.splitlines()[-1] == "KeyboardInterrupt"
    assert [line["t"] for line in lines_of(tmp_path)] == [[0, 1, 2]]


def test_a_full_disk_ends_no_training(tmp_path, monkeypatch, caplog):
    """One warning until there is room again; the lines in between are missing, and what is there is whole."""
    settings = {"num_steps_sampled_before_learning_starts": 100, "min_sample_timesteps_per_iteration": 10}
    env = partial(Script, ends=((5, "terminated"),))
    with closing(DQN(env, preset="none", seed=0, output=str(tmp_path), **settings)) as algo:
        algo.train()

        def full(writer: JsonWriter, columns: dict[str, Any]) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        caplog.clear()
        for _ in range(2):
            with monkeypatch.context() as patch:
                patch.setattr(JsonWriter, "write", full)
                algo.train()
                algo.train()
            algo.train()
    texts = [text for text in caplog.messages if "cannot be written" in text]
    assert len(texts) == 2
    assert all("No space left on device). Training goes on" in text for text in texts)
    episodes = [line["obs"]['obs["where"]'][0][1] for line in lines_of(tmp_path)]
    assert episodes == [0, 1, 6, 7, 12, 13]
    assert all(len(line["rewards"]) == len(line["obs"]['obs["where"]']) == 5 for line in lines_of(tmp_path))


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in folder.glob("output-*") for line in file.read_text().splitlines()]
