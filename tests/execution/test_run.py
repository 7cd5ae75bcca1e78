"""A run from its first step to its last, interrupted and failing on the way."""

from __future__ import annotations

import errno
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anyspace import PPO, Algorithm
from anyspace.errors import CheckpointError, ConfigError, NonFiniteError
from anyspace.execution import checkpoint as checkpoint_module
from anyspace.execution import log as log_module
from anyspace.execution import run_folder as run_module
from anyspace.execution.checkpoint import read_checkpoint
from anyspace.execution.curves import draw_learning_curve
from anyspace.execution.log import read_metrics
from anyspace.execution.run import last_step
from anyspace.execution.run_files import settings_of
from anyspace.execution.run_folder import RunFolder
from anyspace.version import __version__
from tests.support.counts import Counts, ran, saved

pytestmark = pytest.mark.usefixtures("without_curves")


def test_a_checkpoint_that_could_not_be_written_keeps_no_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = run_module.write_checkpoint

    def full(folder: Path, state: dict[str, Any], *content: Any) -> None:
        if state["steps"] == 10:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(folder, state, *content)

    monkeypatch.setattr(run_module, "write_checkpoint", full)
    ran(Counts(), tmp_path, steps=30, every=10, keep=3)
    assert sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir()) == [20, 30]


class Homeless(Counts):
    """Has no environment."""

    @property
    def fleet(self) -> None:
        raise ConfigError("there is no environment")

    @fleet.setter
    def fleet(self, fleet: None) -> None:
        pass


def test_where_nobody_can_collect_no_run_begins(tmp_path: Path) -> None:
    ran(Counts(), tmp_path / "old", steps=10)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for folder in ("old", "new"):
        with pytest.raises(ConfigError, match="there is no environment") as caught:
            ran(Homeless(start=10), tmp_path / folder, steps=20)
        assert not hasattr(caught.value, "__notes__"), "what went on would fail again"
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert not (tmp_path / "new").exists()


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Every checkpoint that is written: its folder's name, and the steps that it holds."""
    found: list[tuple[str, int]] = []
    write = run_module.write_checkpoint

    def noted(folder: Path, state: dict[str, Any], tensors: Any, growth: Any = None) -> None:
        found.append((folder.name, state["steps"]))
        write(folder, state, tensors, growth)

    monkeypatch.setattr(run_module, "write_checkpoint", noted)
    return found


def test_it_ends_with_the_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "draw_learning_curve", draw_learning_curve)
    algorithm = Counts()
    assert ran(algorithm, tmp_path / "a" / "run", 95)["timesteps_total"] == 100
    assert algorithm.iterations == 10
    folder = tmp_path / "a" / "run"
    assert saved(folder) == 100
    assert [row["timesteps_total"] for row in read_metrics(folder / "metrics.csv")] == [
        str(n) for n in range(10, 101, 10)
    ]
    described = json.loads((folder / "config.json").read_text())
    assert settings_of(described) == algorithm.description()
    assert described["command"] is None
    assert datetime.fromisoformat(described["started"]).tzinfo is not None
    assert described["versions"].items() >= {"anyspace": __version__, "numpy": np.__version__}.items()
    assert json.loads((folder / "run.json").read_text()) == {"steps": 95, "progress": False, "needs_trust": False}
    assert (folder / "learning_curve.png").stat().st_size > 1000
    assert len(list(folder.glob("events.out.tfevents.*"))) == 1


def test_a_run_that_is_there_already_has_nothing_to_do(tmp_path: Path) -> None:
    algorithm = Counts(start=1_000_000)
    with pytest.raises(
        ConfigError,
        match=r"already has 1,000,000 steps; give learn\(\) a `total_steps` above that .* or `total_timesteps`,",
    ):
        ran(algorithm, tmp_path / "run", 1_000_000)
    assert algorithm.iterations == 0
    assert list(tmp_path.iterdir()) == []
    algorithm.mean, algorithm.stop_at = 7, 5
    with pytest.raises(ConfigError, match="has reached `stop_return` already, after 1,000,000 steps"):
        ran(algorithm, None, 2_000_000)


@pytest.mark.parametrize("more", [0, -5])
def test_no_steps_from_now_on_are_refused_by_the_name_of_the_argument(more: int) -> None:
    with pytest.raises(ConfigError, match=rf"at least 1 as `total_timesteps`, which count from now on: {more} came"):
        last_step(100, None, more)
    assert last_step(100, None, 1) == 101


def test_it_ends_with_the_return(tmp_path: Path) -> None:
    assert ran(Counts([1, 2, 7, 3], stop_at=5), tmp_path)["timesteps_total"] == 30
    assert saved(tmp_path) == 30


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert ran(Counts(), None, 30)["timesteps_total"] == 30
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_are_written_every_so_often(tmp_path: Path, writes: list[tuple[str, int]]) -> None:
    ran(Counts([0.0]), tmp_path, 100, every=25)
    assert [steps for name, steps in writes if name == "checkpoint"] == [0, 30, 60, 90, 100]
    writes.clear()
    ran(Counts(start=1000), tmp_path, 1060, every=25)
    assert [steps for name, steps in writes if name == "checkpoint"] == [1010, 1030, 1060]


def test_a_checkpoint_is_written_after_a_minute(
    tmp_path: Path, writes: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves the ones that are written every so many steps where they are."""
    now = [0.0]
    monkeypatch.setattr(run_module.time, "monotonic", lambda: now[0])

    def pass_time(iteration: int) -> None:
        now[0] += 25.0

    ran(Counts(on_train=pass_time), tmp_path, 100, every=50)
    assert [steps for name, steps in writes if name == "checkpoint"] == [0, 30, 50, 80, 100]


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


def test_a_best_is_as_it_was_when_it_was_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    expected = {name: value.copy() for name, value in algorithm.snapshot()[1].items()}
    with RunFolder.claim(tmp_path) as folder:
        folder.begin(algorithm, 1000, progress=False)
        algorithm.counters.is_best = True
        folder.add(algorithm, {"timesteps_total": 32})
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
    assert str(caught.value) == (
        "stopped. The run is saved at 30 steps, after its last whole iteration. Go on with\n"
        f"  anyspace train --resume {tmp_path}"
    )
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
    with pytest.raises(
        KeyboardInterrupt, match=r"^stopped. The algorithm has 20 steps and no run folder: save\(path\)"
    ):
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

    save = checkpoint_module.save

    def interrupted_write(tensors: dict[str, Any]) -> bytes:
        if tensors["steps"] == 40:
            interrupt()
            interrupt()
        return save(tensors)

    monkeypatch.setattr("anyspace.execution.checkpoint.save", interrupted_write)
    with pytest.raises(KeyboardInterrupt, match="at once"):
        ran(Counts(start=20), tmp_path, 40)
    assert saved(tmp_path) == 30


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


def test_a_failing_iteration_leaves_the_checkpoint_of_the_one_before(tmp_path: Path) -> None:
    error = NonFiniteError("iteration 5: the loss is nan")
    folder = tmp_path / "my run"
    with pytest.raises(NonFiniteError) as caught:
        ran(Counts([1, 2, 3, 0], on_train=fail_at(5, error)), folder)
    assert caught.value is error
    assert error.__notes__ == [
        "The run is saved at 40 steps, after its last whole iteration. Go on with\n"
        f"  anyspace train --resume '{folder}'"
    ]
    assert (saved(folder), saved(folder / "best")) == (40, 30)
    assert len(read_metrics(folder / "metrics.csv")) == 4
    assert (folder / "learning_curve.png").exists()
    assert not (folder / "run.lock").exists()


def test_a_run_that_fails_at_once_can_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        ran(Counts(on_train=fail_at(1, KeyError("x"))), tmp_path)
    assert saved(tmp_path) == 0
    assert ran(Counts(), tmp_path, 20)["timesteps_total"] == 20


def test_a_failure_after_the_first_signal_is_the_stop(tmp_path: Path) -> None:
    """Environments in other processes get the signal as well, and fail for it."""

    def on_train(iteration: int) -> None:
        if iteration == 3:
            interrupt()
            raise EOFError("a worker is gone")

    with pytest.raises(KeyboardInterrupt, match=r"^stopped\. The run is saved at 20 steps") as caught:
        ran(Counts(on_train=on_train), tmp_path)
    assert isinstance(caught.value.__cause__, EOFError)
    assert saved(tmp_path) == 20


def test_a_large_state_is_copied_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is saved is never half of an iteration, even where the state after the last one was not copied."""
    now, computed = [0.0], [0.0]
    monkeypatch.setattr(run_module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(run_module.time, "thread_time", lambda: computed[0])
    copies = []

    class Large(Counts):
        def copy_state(self) -> Any:
            computed[0] += 0.02
            copies.append(self.timesteps_total)
            return super().copy_state()

    def on_train(iteration: int) -> None:
        now[0] += 0.9
        if iteration == 9:
            raise KeyError("x")

    algorithm = Large(on_train=on_train)
    algorithm.highest = 1  # a best state would be copied as well
    with pytest.raises(KeyError):
        ran(algorithm, tmp_path, every=50)
    assert copies == [0, 30, 50, 80]
    assert saved(tmp_path) == 80


def test_a_failure_is_not_hidden_by_another_on_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("a curve without a length")

    monkeypatch.setattr(run_module, "draw_learning_curve", broken)
    with pytest.raises(NonFiniteError, match="the loss is nan") as caught:
        ran(Counts([1, 2], on_train=fail_at(3, NonFiniteError("the loss is nan"))), tmp_path)
    assert caught.value.__notes__[1:] == [
        f"(closing {tmp_path} failed as well: ZeroDivisionError('a curve without a length'))"
    ]
    assert saved(tmp_path) == 20


# ---------------------------------------------------------------------------------------------- a full disk


class Disk:
    """A disk that can be full: every write of a checkpoint, a table or an event file then raises ENOSPC."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.is_full = False
        for owner, name in ((Path, "write_bytes"), (Path, "write_text"), (log_module, "_append")):
            monkeypatch.setattr(owner, name, self.checked(getattr(owner, name)))

    def checked(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def checked_write(*args: Any, **keywords: Any) -> Any:
            if self.is_full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(*args, **keywords)

        return checked_write


def test_a_full_disk_ends_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file has one warning a spell, writing is tried again, and no row of the metrics is missing at the end."""
    now = [0.0]
    monkeypatch.setattr(run_module.time, "monotonic", lambda: now[0])
    disk, kept, warned = Disk(monkeypatch), [], []

    def on_train(iteration: int) -> None:
        now[0] += run_module.RETRY_INTERVAL * 0.4
        kept.append(saved(tmp_path))
        disk.is_full = iteration in (6, 7, 12, 13)
        monkeypatch.setattr(run_module._LOG, "warning", lambda text: warned.append((iteration, text)))

    ran(Counts(range(100), on_train=on_train), tmp_path, 160, every=60)
    spell = "cannot be written (No space left on device). Training goes on, and writing is tried again"
    assert warned == [
        (iteration, f"{tmp_path}: the {what} {spell}{until}.")
        for iteration, steps in ((6, 0), (12, 90))
        for what, until in (
            ("metrics", ""),
            ("best checkpoint", ""),
            ("latest checkpoint", f"; until then it is that of {steps} steps"),
        )
    ]
    assert kept == [0] * 9 + [90] * 6 + [150]
    assert saved(tmp_path) == saved(tmp_path / "best") == 160
    rows = [int(row["timesteps_total"]) for row in read_metrics(tmp_path / "metrics.csv")]
    assert rows == [*range(10, 161, 10)]
    assert not list(tmp_path.rglob("*.partial*"))


def test_a_disk_that_stays_full_is_an_error_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(monkeypatch)

    def on_train(iteration: int) -> None:
        disk.is_full = iteration >= 4

    with pytest.raises(CheckpointError) as caught:
        ran(Counts(on_train=on_train), tmp_path, 60, every=20)
    assert [text.removeprefix(f"{tmp_path}: the ") for text in caplog.messages] == [
        "metrics cannot be written (No space left on device). Training goes on, and writing is tried again.",
        "latest checkpoint cannot be written (No space left on device). Training goes on, and writing is tried again;"
        " until then it is that of 20 steps.",
    ]
    assert str(caught.value) == (
        "The checkpoint of 60 steps cannot be written (No space left on device). The one of 20 steps is whole: make"
        f" room on the disk, and go on from there with\n  anyspace train --resume {tmp_path}"
    )
    assert saved(tmp_path) == 20


def test_a_failure_on_a_full_disk_says_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)

    def on_train(iteration: int) -> None:
        if iteration == 4:
            disk.is_full = True
            raise KeyError("x")

    with pytest.raises(KeyError) as caught:
        ran(Counts(on_train=on_train), tmp_path, every=20)
    assert "The checkpoint of 30 steps cannot be written" in caught.value.__notes__[0]
    assert "The one of 20 steps is whole" in caught.value.__notes__[0]


def test_a_full_disk_is_refused_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Disk(monkeypatch).is_full = True
    algorithm = Counts()
    with pytest.raises(
        ConfigError, match=r"cannot write a run into .*: No space left on device\. Choose another --out"
    ):
        ran(algorithm, tmp_path / "run")
    assert algorithm.iterations == 0


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
