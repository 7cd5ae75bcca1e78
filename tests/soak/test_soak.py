"""Long runs: memory, open files and checkpoints on disk stay what they are. ``make soak``, SOAK_MINUTES=60."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from anyspace import APPO, DQN, IMPALA, PPO, Algorithm
from anyspace.execution.log import read_metrics
from tests.support.usage import handles, memory, size

MINUTES = float(os.environ.get("SOAK_MINUTES", "60"))
"""For all runs together."""
MEASURED = 40
"""How often each run is measured."""

LIFE = 120.0
"""Seconds after which a worker's process is killed: with two of them, one a minute."""
BACK = 10.0
"""Seconds within which another one is in its place."""


class Mortal(gym.Wrapper[Any, Any, Any, Any]):
    """An environment whose process is killed when its time is over."""

    def __init__(self) -> None:
        super().__init__(gym.make("CartPole-v1"))
        self._made = time.monotonic()

    def step(self, action: Any) -> Any:
        if time.monotonic() - self._made > LIFE:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(action)


LSTM = {"fcnet_hiddens": [16], "use_lstm": True, "lstm_cell_size": 16, "max_seq_len": 8}
RUNS: dict[str, tuple[type[Algorithm[Any]], Any, dict[str, Any]]] = {
    "ppo, processes, filter, evaluation": (
        PPO,
        "Acrobot-v1",
        {
            "vectorization": "async",
            "num_envs_per_env_runner": 2,
            "train_batch_size": 512,
            "minibatch_size": 256,
            "num_epochs": 2,
            "observation_filter": "MeanStdFilter",
            "normalize_rewards": True,
            "evaluate_every": 8192,
            "evaluation_episodes": 1,
            "model": {"fcnet_hiddens": [16]},
        },
    ),
    "dqn, lstm, exact": (
        DQN,
        "CartPole-v1",
        {
            "num_envs_per_env_runner": 4,
            "rollout_fragment_length": 4,
            "training_intensity": 2.0,
            "train_batch_size": 8,
            "replay_capacity": 1000,
            "num_steps_sampled_before_learning_starts": 200,
            "min_sample_timesteps_per_iteration": 200,
            "exact_resume": True,
            "model": LSTM,
        },
    ),
    "appo, lstm, earlier batches, exact": (
        APPO,
        "CartPole-v1",
        {
            "num_envs_per_env_runner": 4,
            "train_batch_size": 400,
            "replay_proportion": 1.0,
            "replay_buffer_num_slots": 5,
            "exact_resume": True,
            "model": LSTM,
        },
    ),
    "impala, workers on ray, one killed a minute": (
        IMPALA,
        Mortal,
        {
            "num_env_runners": 2,
            "num_cpus_per_env_runner": 0.5,
            "num_envs_per_env_runner": 4,
            "train_batch_size": 500,
            "rollout_fragment_length": 50,
            "model": {"fcnet_hiddens": [16]},
        },
    ),
}


class Measures:
    """Measures a run as it goes, and ends it when its time is over."""

    def __init__(self, folder: Path, seconds: float):
        self._folder, self._seconds, self._began = folder, seconds, time.monotonic()
        self.found: list[tuple[float, float, float, float]] = []

    def __call__(self, algorithm: Algorithm[Any], result: dict[str, Any]) -> bool:
        passed = time.monotonic() - self._began
        if passed >= len(self.found) * self._seconds / MEASURED:
            folders = [self._folder / name for name in ("checkpoint", "exact", "best", "checkpoints")]
            row = memory(), float(handles()), size(*folders), size(self._folder) - size(*folders)
            self.found.append(row)
            mib, files, disk, log = row
            print(
                f"{passed / 60:6.1f} min {algorithm.timesteps_total:10,} steps  memory {mib:7.1f} MiB"
                f"  files {files:3.0f}  checkpoints {disk:6.2f} MiB  log {log:6.2f} MiB"
            )
        return passed < self._seconds or len(self.found) < 8


@pytest.mark.soak
@pytest.mark.skipif("SOAK_MINUTES" not in os.environ, reason="takes SOAK_MINUTES minutes; `make soak` sets them")
@pytest.mark.parametrize("name", RUNS)
def test_nothing_grows(name: str, tmp_path: Path) -> None:
    kind, env, settings = RUNS[name]
    print(f"\n{name}, {MINUTES / len(RUNS):.1f} minutes")
    measures = Measures(tmp_path / "run", 60 * MINUTES / len(RUNS))
    more = {"checkpoint_every": 1000, "keep": 2, "seed": 0}
    with closing(kind(env, {**settings, **more}, preset="none")) as algorithm:
        algorithm.learn(10**12, out=tmp_path / "run", callback=measures, progress=False)
    if env is Mortal:
        restarts = sum(float(row["fleet/restarts"]) for row in read_metrics(tmp_path / "run" / "metrics.csv"))
        assert restarts >= 2 * (60 * MINUTES / len(RUNS) // (LIFE + BACK) - 1)
    quarter = len(measures.found) // 4
    allowed = (("memory", 1.05, 2.0), ("open files", 1.0, 0.0), ("checkpoints", 1.25, 2.0))  # files, or MiB
    for (what, factor, slack), column in zip(allowed, zip(*measures.found, strict=True), strict=False):
        early, late = column[quarter : 2 * quarter], column[-quarter:]
        assert max(late) <= factor * max(early) + slack, f"{what} grew from {max(early):.1f} to {max(late):.1f}"
