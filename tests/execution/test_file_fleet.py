"""Fleets of recorded steps: read, mixed, written."""

from __future__ import annotations

import errno
import json
import os
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from anyspace import BC, MARWIL, PPO
from anyspace.data.offline.columns import ColumnReader
from anyspace.errors import ConfigError
from anyspace.execution.file_fleet import FileFleet, MixedFleet, require_shares
from tests.data.offline.test_columns import columns, policy


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
    assert len(files) == 2
    steps = [len(line["rewards"]) for line in lines]
    assert all(36 < count <= 40 for count in steps)  # one is spent on each reset
    assert lines[1]["t"][0] in (0, lines[0]["t"][-1] + 1)
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


def test_a_full_disk_ends_no_training(tmp_path, monkeypatch, caplog):
    """One warning until there is room again; the steps in between are missing, and what is there is whole."""
    settings = {"rollout_fragment_length": 8, "num_envs_per_env_runner": 1, "train_batch_size": 8, "minibatch_size": 8}
    with closing(PPO("CartPole-v1", preset="none", seed=0, output=str(tmp_path), **settings)) as algo:
        algo.train()

        def full(columns: dict[str, Any]) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        caplog.clear()
        for _ in range(2):
            with monkeypatch.context() as patch:
                patch.setattr(algo.fleet._writer._writer, "write", full)
                algo.train()
                algo.train()
            algo.train()
    texts = [text for text in caplog.messages if "cannot be written" in text]
    assert len(texts) == 2
    assert all("No space left on device). Training goes on" in text for text in texts)
    lines = [json.loads(line) for file in tmp_path.glob("output-*") for line in file.read_text().splitlines()]
    assert len(lines) == 3
    assert all(
        len(line["rewards"]) == len(line["obs"]) >= 7 for line in lines
    )  # a reset may take one of the eight steps
