"""``anyspace bench``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from anyspace import DQN
from anyspace.execution.speed import measure
from tests.cli.support import TINY, run

LATE = ("--num-steps-sampled-before-learning-starts", "100000")


def test_what_takes_the_time(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    words = [word for word in TINY if word != "--no-progress"]
    status, out, err = run(capsys, "bench", "toys:Slow", "--seconds", "0.05", "--json", *words)
    assert status == 0, err
    speed = json.loads(out)
    parts = [speed[name] for name in ("environment", "acting", "learning")]
    assert sum(part["share"] for part in parts) == pytest.approx(1)
    assert sum(part["seconds"] for part in parts) == pytest.approx(speed["seconds"])
    # Each of its steps sleeps for 2 ms.
    assert parts[0]["microseconds_per_step"] > 2000
    assert speed["steps"] == 16 * speed["iterations"]
    assert speed["has_learnt"]


def test_what_is_measured_is_as_it_was_and_may_begin_to_learn() -> None:
    late = {"num_steps_sampled_before_learning_starts": 65, "min_sample_timesteps_per_iteration": 64}
    algorithm = DQN("CartPole-v1", {**late, "train_batch_size": 8, "seed": 0}, preset="none")
    envs = algorithm.fleet.collector.source.envs  # type: ignore[attr-defined]
    speed = measure(algorithm, 1e-6)  # the first iteration, which is not measured, does not learn; the second one does
    assert speed.has_learnt
    assert algorithm.fleet.collector.source.envs is envs  # type: ignore[attr-defined]
    algorithm.close()


def test_learning_may_not_have_begun(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    status, out, err = run(capsys, "bench", "CartPole-v1", "--algo", "dqn", "--seconds", "0.01", *LATE)
    assert status == 0, err
    assert "DQN on CartPole-v1, preset CartPole-v1, torch on cpu, " in out
    assert "steps/s: " in out
    assert "learning had not begun: give more --seconds" in out


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["CartPole-v1", "--seconds", "0"], "error: --seconds is 0, but it must be a finite number above 0."),
        (["CartPole-v7"], "error: "),
        (["CartPole-v1", "--algo", "bc"], "error: "),
    ],
)
def test_wrong_input(capsys: pytest.CaptureFixture[str], folder: Path, words: list[str], error: str) -> None:
    status, _, err = run(capsys, "bench", *words)
    assert (status, err.startswith(error)) == (2, True), err


def test_nothing_is_measured_without_an_environment(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert run(capsys, "train", "toys:Drawn", "--steps", "32", "--output", "steps", "--evaluate", "0", *TINY)[0] == 0
    words = ["--algo", "bc", "--input", "steps", "--train-batch-size", "8", "--seconds", "0.01"]
    status, _, err = run(capsys, "bench", *words)
    assert status == 2
    assert "what takes the time is measured where this process steps the environments itself" in err
