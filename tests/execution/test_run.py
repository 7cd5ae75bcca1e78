"""A run from its first step to its last, interrupted and failing on the way."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anyspace import PPO, Algorithm
from anyspace.errors import NonFiniteError
from anyspace.execution import run as run_module
from anyspace.execution.checkpoint import read_checkpoint
from anyspace.execution.log import read_metrics
from anyspace.execution.run import RunFolder, run


class Counts:
    """Counts ten steps per iteration, with told mean returns.

    Args:
        returns: the mean return after each iteration, the last one for all that follow.
        stop_at: stop at this return.
        on_train: called with the number of the iteration while it runs.
    """

    def __init__(
        self,
        returns: Sequence[float] = (0.0,),
        stop_at: float = float("inf"),
        on_train: Callable[[int], None] = lambda iteration: None,
        start: int = 0,
    ):
        self.timesteps_total = start
        self.iterations = 0
        self.returns, self.stop_at, self.on_train = returns, stop_at, on_train
        self.highest, self.improved = -float("inf"), False

    def train(self) -> dict[str, Any]:
        self.on_train(self.iterations + 1)
        self.iterations += 1
        self.timesteps_total += 10
        mean = self.returns[min(self.iterations, len(self.returns)) - 1]
        self.improved = mean > self.highest
        self.highest = max(mean, self.highest)
        self.mean = mean
        return {"timesteps_total": self.timesteps_total, "steps_per_s": 5.0, "episode_return_mean": mean}

    def snapshot(self) -> Any:
        return {"steps": self.timesteps_total}, {"steps": np.array(self.timesteps_total)}

    def should_stop(self) -> bool:
        return self.mean >= self.stop_at

    def is_best(self) -> bool:
        return self.improved


def ran(algorithm: Counts, folder: Path | None, steps: int = 100, every: int = 1_000_000) -> dict[str, Any]:
    files = None if folder is None else RunFolder(folder, {"algorithm": "Counts"}, "Counts")
    return run(algorithm, steps, folder=files, checkpoint_every=every, progress=False)


def saved(folder: Path) -> int:
    steps: int = read_checkpoint(folder)[0]["steps"]
    return steps


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Every checkpoint that is written: its folder's name, and the steps that it holds."""
    found: list[tuple[str, int]] = []
    write = run_module.write_checkpoint

    def noted(folder: Path, state: dict[str, Any], tensors: Any) -> None:
        found.append((folder.name, state["steps"]))
        write(folder, state, tensors)

    monkeypatch.setattr(run_module, "write_checkpoint", noted)
    return found


def test_it_ends_with_the_steps(tmp_path: Path) -> None:
    algorithm = Counts()
    assert ran(algorithm, tmp_path / "a" / "run", 95)["timesteps_total"] == 100
    assert algorithm.iterations == 10
    folder = tmp_path / "a" / "run"
    assert saved(folder) == 100
    assert [row["timesteps_total"] for row in read_metrics(folder / "metrics.csv")] == [
        str(n) for n in range(10, 101, 10)
    ]
    assert json.loads((folder / "config.json").read_text()) == {"algorithm": "Counts"}
    assert (folder / "learning_curve.png").stat().st_size > 1000
    assert len(list(folder.glob("events.out.tfevents.*"))) == 1


def test_a_run_that_is_there_already_trains_no_more(tmp_path: Path) -> None:
    algorithm = Counts(start=100)
    assert ran(algorithm, tmp_path, 100) == {}
    assert algorithm.iterations == 0
    assert saved(tmp_path) == 100


def test_it_ends_with_the_return(tmp_path: Path) -> None:
    assert ran(Counts([1, 2, 7, 3], stop_at=5), tmp_path)["timesteps_total"] == 30
    assert saved(tmp_path) == 30


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert ran(Counts(), None, 30)["timesteps_total"] == 30
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_are_written_every_so_often(tmp_path: Path, writes: list[tuple[str, int]]) -> None:
    ran(Counts([0.0]), tmp_path, 100, every=25)
    assert [steps for name, steps in writes if name == "checkpoint"] == [30, 60, 90, 100]
    writes.clear()
    ran(Counts(start=1000), tmp_path, 1060, every=25)
    assert [steps for name, steps in writes if name == "checkpoint"] == [1030, 1060, 1060]


def test_the_best_is_kept(tmp_path: Path) -> None:
    ran(Counts([3, 1, 5, 4, 5, 2]), tmp_path, 60, every=20)
    assert (saved(tmp_path), saved(tmp_path / "best")) == (60, 30)


def test_the_best_survives_a_resumed_run_that_does_worse(tmp_path: Path) -> None:
    ran(Counts([3, 1, 5, 4]), tmp_path, 40)
    worse = Counts([2], start=40)
    worse.highest = 5
    ran(worse, tmp_path, 80)
    assert (saved(tmp_path), saved(tmp_path / "best")) == (80, 30)


def test_a_climbing_best_is_written_now_and_then(
    tmp_path: Path, writes: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(run_module.time, "monotonic", lambda: now[0])

    def pass_time(iteration: int) -> None:
        now[0] += run_module.BEST_INTERVAL * 0.4

    ran(Counts(range(100), on_train=pass_time), tmp_path, 100)
    assert [steps for name, steps in writes if name == "best"] == [30, 60, 90, 100]


def test_a_best_is_as_it_was_when_it_was_best(tmp_path: Path) -> None:
    """It is written later than it was taken: training on must not change it."""
    settings: dict[str, Any] = {"model": {"fcnet_hiddens": [4]}, "observation_filter": "MeanStdFilter", "lr": 0.1}
    algorithm = PPO(
        "CartPole-v1",
        settings,
        train_batch_size=32,
        minibatch_size=32,
        num_epochs=1,
        normalize_rewards=True,
        preset="none",
    )
    algorithm.train()
    folder = RunFolder(tmp_path, {}, "x")
    expected = {name: value.copy() for name, value in algorithm.snapshot()[1].items()}
    folder.keep_best(algorithm)
    algorithm.train()
    folder.close()
    tensors = read_checkpoint(tmp_path / "best")[1]
    for name, value in expected.items():
        np.testing.assert_array_equal(tensors[name], value, err_msg=name)


# --------------------------------------------------------------------------------------------- Ctrl-C


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.001)  # the handler runs between two lines of the main thread


def test_the_first_ctrl_c_saves_after_the_iteration(tmp_path: Path) -> None:
    def on_train(iteration: int) -> None:
        if iteration == 3:
            interrupt()

    handler = signal.getsignal(signal.SIGINT)
    algorithm = Counts(on_train=on_train)
    with pytest.raises(KeyboardInterrupt) as caught:
        ran(algorithm, tmp_path)
    assert str(caught.value) == f"stopped and saved; go on with `--resume {tmp_path}`"
    assert algorithm.iterations == 3
    assert saved(tmp_path) == 30
    assert len(read_metrics(tmp_path / "metrics.csv")) == 3
    assert (tmp_path / "learning_curve.png").exists()
    assert signal.getsignal(signal.SIGINT) is handler


def test_ctrl_c_from_outside(tmp_path: Path) -> None:
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))

    def on_train(iteration: int) -> None:
        if iteration == 1:
            timer.start()
        time.sleep(0.01)

    algorithm = Counts(on_train=on_train)
    try:
        with pytest.raises(KeyboardInterrupt, match="--resume"):
            ran(algorithm, tmp_path, 100_000)
    finally:
        timer.cancel()
    assert saved(tmp_path) == algorithm.timesteps_total == 10 * algorithm.iterations < 100_000


def test_ctrl_c_without_a_folder() -> None:
    with pytest.raises(KeyboardInterrupt, match=r"stopped after an iteration; call save\(path\)"):
        ran(Counts(on_train=lambda iteration: interrupt() if iteration == 2 else None), None)


def test_the_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    reached = []

    def on_train(iteration: int) -> None:
        if iteration == 5:
            interrupt()
            interrupt()
            reached.append(iteration)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="stopped at once; the latest checkpoint is whole"):
        ran(Counts(on_train=on_train), tmp_path, every=20)
    assert reached == []
    assert saved(tmp_path) == 40
    assert len(read_metrics(tmp_path / "metrics.csv")) == 4
    assert signal.getsignal(signal.SIGINT) is handler


def test_the_second_ctrl_c_may_come_while_saving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran(Counts(), tmp_path, 20)

    def interrupted_write(*_: Any) -> None:
        interrupt()
        interrupt()

    monkeypatch.setattr("anyspace.execution.checkpoint.save_file", interrupted_write)
    with pytest.raises(KeyboardInterrupt, match="at once"):
        ran(Counts(start=20), tmp_path, 40)
    assert saved(tmp_path) == 20


def test_a_run_in_another_thread_leaves_ctrl_c_alone(tmp_path: Path) -> None:
    handlers: list[Any] = []
    algorithm = Counts(on_train=lambda iteration: handlers.append(signal.getsignal(signal.SIGINT)))
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(ran(algorithm, tmp_path, 20)))
    handler = signal.getsignal(signal.SIGINT)
    thread.start()
    thread.join()
    assert results[0]["timesteps_total"] == 20
    assert handlers == [handler, handler]


# --------------------------------------------------------------------------------------------- failures


def fail_at(iteration: int, error: Exception) -> Callable[[int], None]:
    def on_train(current: int) -> None:
        if current == iteration:
            raise error

    return on_train


def test_a_failing_iteration_leaves_the_checkpoint_before_it(tmp_path: Path) -> None:
    error = NonFiniteError("iteration 5: the loss is nan")
    with pytest.raises(NonFiniteError) as caught:
        ran(Counts([1, 2, 3, 0], on_train=fail_at(5, error)), tmp_path, every=20)
    assert caught.value is error
    assert not hasattr(error, "__notes__")
    assert (saved(tmp_path), saved(tmp_path / "best")) == (40, 30)
    assert len(read_metrics(tmp_path / "metrics.csv")) == 4
    assert (tmp_path / "learning_curve.png").exists()


def test_a_run_that_fails_at_once_has_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        ran(Counts(on_train=fail_at(1, KeyError("x"))), tmp_path)
    assert not (tmp_path / "checkpoint").exists()
    assert (tmp_path / "config.json").exists()


def test_a_failure_is_not_hidden_by_another_on_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: Any) -> None:
        raise OSError("no space left on device")

    closed: list[bool] = []
    folder = RunFolder(tmp_path, {}, "x")
    monkeypatch.setattr(run_module, "write_checkpoint", no_space)
    monkeypatch.setattr(folder._log, "close", lambda: closed.append(True))
    with pytest.raises(NonFiniteError, match="the loss is nan") as caught:
        run(
            Counts([1, 2], on_train=fail_at(3, NonFiniteError("the loss is nan"))),
            100,
            folder=folder,
            checkpoint_every=1000,
            progress=False,
        )
    assert caught.value.__notes__ == [f"(closing {tmp_path} failed as well: OSError('no space left on device'))"]
    assert closed == [True]


def test_a_failing_checkpoint_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran(Counts(), tmp_path, 20)

    def no_space(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("anyspace.execution.checkpoint.save_file", no_space)
    with pytest.raises(OSError, match="no space left"):
        ran(Counts(start=20), tmp_path, 60, every=20)
    assert saved(tmp_path) == 20


# ----------------------------------------------------------------------------------------- the real thing


def test_an_algorithm_goes_on_where_its_run_stopped(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"train_batch_size": 40, "minibatch_size": 40, "num_epochs": 1, "seed": 0}
    algorithm = PPO("CartPole-v1", settings, model={"fcnet_hiddens": [4]}, preset="none")
    algorithm.learn(80, out=tmp_path, progress=False)
    algorithm.close()
    resumed = Algorithm.load(tmp_path)
    assert resumed.timesteps_total == algorithm.timesteps_total >= 80
    resumed.learn(200, out=tmp_path, progress=False)
    resumed.close()
    steps = [int(row["timesteps_total"]) for row in read_metrics(tmp_path / "metrics.csv")]
    assert steps == sorted(set(steps))
    assert steps[-1] >= 200
    assert [int(row["training_iteration"]) for row in read_metrics(tmp_path / "metrics.csv")] == [
        *range(1, len(steps) + 1)
    ]
