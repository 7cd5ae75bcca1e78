"""Every script of benchmarks/ can be imported, and measures this library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

from anyspace import check_env
from anyspace.algorithms import ALGORITHMS
from anyspace.config import merge
from anyspace.models.config import completed

FOLDER = Path(__file__).parents[1] / "benchmarks"


def test_all_can_be_imported() -> None:
    script = "import " + ", ".join(sorted(file.stem for file in FOLDER.glob("*.py")))
    paths = os.pathsep.join([str(FOLDER.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, "-c", script], cwd=FOLDER, env={**os.environ, "PYTHONPATH": paths})
    assert done.returncode == 0


@pytest.mark.parametrize(
    "words", [["algorithms.py", "--ours", "a2c", "torch", "80", "1"], ["bare_jax.py", "dqn-8", "16", "1"]], ids=" ".join
)
def test_one_measurement_is_a_line_of_json(words: list[str]) -> None:
    done = subprocess.run([sys.executable, *words], check=True, cwd=FOLDER, capture_output=True, text=True)
    assert json.loads(done.stdout.splitlines()[-1])["rate"] > 0


def test_the_hall_keeps_its_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    import hall

    for kind in (hall.Flat, hall.Nested):
        found = check_env(kind, steps=200)
        assert not found.findings
        assert found.masks


def test_the_network_for_atari_is_that_of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    import atari_ppo

    spaces = gym.spaces.Box(0, 255, (84, 84, 4), np.uint8), gym.spaces.Discrete(4)
    model = atari_ppo.nature_cnn()(*spaces, 4, completed({}), "nature")
    convolutions = 32 * (8 * 8 * 4 + 1) + 64 * (4 * 4 * 32 + 1) + 64 * (3 * 3 * 64 + 1)
    assert sum(one.numel() for one in model.parameters()) == convolutions + 512 * (7 * 7 * 64 + 1) + 513 * 5
    output, _ = model({"obs": torch.zeros(2, 84, 84, 4)}, [], None)
    assert output.shape == (2, 4)
    assert model.value_function().shape == (2,)


def test_settings_of_programs_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    import algorithms
    import bare
    import bare_jax
    import parity

    for contest in algorithms.CONTESTS.values():
        merge(ALGORITHMS[contest.algorithm].config_class(), contest.settings).validate()
        assert contest.bare is None or {contest.bare} <= bare.LOOPS.keys() & bare_jax.LOOPS.keys()
    for task in parity.TASKS.values():
        config = merge(ALGORITHMS[task.algorithm].config_class(), task.ours)
        config.validate()
        rows = {"PPO": 1, "A2C": config.train_batch_size}.get(task.algorithm)
        # Adam moves as far where gradients and its stabiliser are both so many times larger.
        assert rows is None or config.adam_epsilon == pytest.approx(1e-5 * rows)
    assert parity.TASKS["cartpole-ppo"].ours["lr_schedule"] == [[0, 0.001], [100_000, 0.0]]


def test_a_run_that_missed_its_goal_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    from memory_popgym import Run, missed

    run = Run("RepeatPreviousEasy", "gru", 2, 500_000, 501_760, 0.9, 1)
    assert missed([run._replace(mean=0.95), run._replace(memory="none"), run._replace(steps=1_000_000)]) == []
    assert missed([run]) == ["RepeatPreviousEasy with gru, seed 2: 0.9 of 0.95 in 501,760 steps"]
    assert missed([run._replace(memory="gtrxl", steps=1_000_000)]) == []
    assert len(missed([run._replace(memory="gtrxl", mean=0.4, steps=1_000_000)])) == 1
