"""Training takes no more memory the longer it lasts."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from anyspace import DQN, PPO
from tests.support.processes import ended, start
from tests.support.usage import handles, memory

PPO_SETTINGS: dict[str, Any] = {
    "num_envs_per_env_runner": 64,
    "train_batch_size": 4096,
    "minibatch_size": 2048,
    "num_epochs": 1,
    "observation_filter": "MeanStdFilter",
    "normalize_rewards": True,
}
DQN_SETTINGS: dict[str, Any] = {
    "num_envs_per_env_runner": 8,
    "rollout_fragment_length": 4,
    "training_intensity": 0.25,
    "replay_capacity": 2000,
    "exact_resume": True,
    "keep": 2,
}


def measured(name: str, steps: int, out: str | None) -> int:
    """Train; write down memory and open files at a fifth of the steps, and at the end."""
    kind: Any = {"ppo": PPO, "dqn": DQN}[name]
    settings = {"ppo": PPO_SETTINGS, "dqn": DQN_SETTINGS}[name]
    found = []
    settings = {**settings, "model": {"fcnet_hiddens": [8]}, "checkpoint_every": steps // 20, "seed": 0}
    with closing(kind("CartPole-v1", settings, preset="none")) as algorithm:
        for goal in (steps // 5, steps):
            algorithm.learn(goal, out=out, progress=False)
            found.append((memory(), handles()))
    Path("found.json").write_text(json.dumps(found))
    return 0


def check(folder: Path, name: str, steps: int, most: float, out: str | None) -> None:
    process = start(measured, name, steps, out, folder=folder)
    assert ended(process, 3600) == 0, (folder / "log").read_text()
    (early, files_early), (late, files_late) = json.loads((folder / "found.json").read_text())
    print(f"{name}: {early:.1f} MiB after {steps // 5:,} steps, {late:.1f} MiB after {steps:,}")
    assert late - early < most
    assert files_late <= files_early


def test_memory_stays_flat_over_a_tenth_of_a_million_steps(tmp_path: Path) -> None:
    check(tmp_path, "ppo", 100_000, 4.0, None)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", ["ppo", "dqn"])
def test_memory_stays_flat_over_a_million_steps(tmp_path: Path, name: str) -> None:
    """Episodes, metrics and checkpoints of a whole run among them."""
    check(tmp_path, name, 1_000_000, 8.0, "run")
