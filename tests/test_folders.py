"""The current folder, where it is there no more and where environments change it."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from anyspace import BC, PPO
from anyspace.cli import main
from anyspace.errors import ConfigError
from anyspace.folders import current_folder, going_back

SMALL: dict[str, Any] = {"train_batch_size": 8, "minibatch_size": 8, "num_envs_per_env_runner": 1, "num_epochs": 1}


def test_the_way_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with suppress(ValueError), going_back():
        os.chdir("/")
        raise ValueError
    assert current_folder() == Path.cwd() == tmp_path


def test_a_removed_folder_stands_in_nobodys_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(PPO("CartPole-v1", SMALL)) as algorithm:
        algorithm.train()  # MKL itself ends a process that first uses it in such a folder
        algorithm.save(tmp_path / "saved")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gone").mkdir()
    os.chdir("gone")
    (tmp_path / "gone").rmdir()
    assert current_folder() == Path()
    for made in (PPO("CartPole-v1", SMALL), PPO.load(tmp_path / "saved")):
        with closing(made) as algorithm:
            assert algorithm.train()["timesteps_this_iter"] == 8
    with pytest.raises(ConfigError, match="no file matches 'steps'"):
        BC(input="steps")
    assert main(["list"]) == 0
