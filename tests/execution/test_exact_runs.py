"""Runs whose scheduled checkpoints are exact: what lies in the folder, and that what goes on from it is the same."""

from __future__ import annotations

import errno
import functools
import itertools
import json
import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anyspace import DQN, PPO, Algorithm
from anyspace.cli import main
from anyspace.data.growing import Growing
from anyspace.errors import CheckpointError, ConfigError
from anyspace.execution import run_folder
from anyspace.execution.checkpoint import read_checkpoint, read_state, write_checkpoint
from anyspace.execution.log import read_metrics
from anyspace.execution.pieces import pieces_of
from anyspace.execution.resuming import repeated_steps, resume_point
from anyspace.execution.run import Saving, learn
from anyspace.execution.run_files import (
    keep_checkpoint,
    remove_run,
    run_folder_of,
    steps_on_disk,
)
from tests.support.counts import Counts, ran, saved
from tests.support.processes import ended, kill_all, start, wait_for

LSTM: dict[str, Any] = {"fcnet_hiddens": [4], "use_lstm": True, "lstm_cell_size": 4, "max_seq_len": 4}
SETTINGS: dict[str, tuple[type[Algorithm[Any]], dict[str, Any]]] = {
    "ppo": (
        PPO,
        {"train_batch_size": 32, "minibatch_size": 16, "num_epochs": 1, "observation_filter": "MeanStdFilter"},
    ),
    "dqn": (
        DQN,
        {
            "train_batch_size": 2,
            "min_sample_timesteps_per_iteration": 32,
            "num_steps_sampled_before_learning_starts": 20,
            "replay_capacity": 150,
            "training_intensity": 1.0,
        },
    ),
}
SHARED: dict[str, Any] = {"model": LSTM, "checkpoint_every": 64, "exact_resume": True, "keep": 2, "seed": 5}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_curves: None) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    kill_all()


# ------------------------------------------------------------------------------------------- the folder


def test_scheduled_checkpoints_are_exact_and_cut_episodes(folder: Path) -> None:
    counts = Counts()
    ran(counts, folder / "run", 100, every=30, exact=True, keep=2)
    assert counts.restarts == [30, 60, 90]
    assert (saved(folder / "run/exact"), saved(folder / "run")) == (90, 100)
    assert [path.name for path in sorted((folder / "run/checkpoints").iterdir())] == ["000000000060", "000000000090"]
    assert [saved(path) for path in sorted((folder / "run/checkpoints").iterdir())] == [60, 90]
    assert (
        run_folder_of(folder / "run/exact") == run_folder_of(folder / "run/checkpoints/000000000060") == folder / "run"
    )


def test_without_the_key_nothing_is_cut_and_the_latest_stay(folder: Path) -> None:
    counts = Counts()
    ran(counts, folder / "run", 100, every=30, keep=2)
    assert counts.restarts == []
    assert not (folder / "run/exact").exists()
    assert [saved(path) for path in sorted((folder / "run/checkpoints").iterdir())] == [60, 90]
    ran(Counts(), folder / "none", 100, every=30)
    assert not (folder / "none/checkpoints").exists()


def test_checkpoints_by_time_and_of_the_best_cut_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(run_folder.time, "monotonic", lambda: now[0])

    def pass_time(iteration: int) -> None:
        now[0] += 50.0

    counts = Counts(range(100), on_train=pass_time)
    ran(counts, folder / "run", 100, every=70, exact=True)
    assert counts.restarts == [70]


def test_a_run_goes_on_from_the_exact_one_and_says_what_is_repeated(folder: Path) -> None:
    ran(Counts(), folder / "runs" / "a", 80, every=30, exact=True)
    run = Path("runs/a")
    assert resume_point(run) == resume_point(Path("last")) == run / "exact"
    assert resume_point(run, latest=True) == run
    assert resume_point(run / "checkpoint") == run / "checkpoint"
    assert (repeated_steps(run / "exact"), repeated_steps(run / "checkpoint")) == (20, 0)
    ran(Counts(), folder / "plain", 80, every=30)
    assert resume_point(folder / "plain") == folder / "plain"
    # An earlier state than the exact one would destroy it.
    earlier = Counts(start=30)
    earlier.run_folder = run.resolve()
    with pytest.raises(ConfigError, match=r"the run in .* has 80 steps; going on there from 30 would destroy"):
        ran(earlier, run, 90)
    later = Counts(start=60)
    ran(later, run.resolve(), 130, every=30, exact=True)
    assert (saved(run / "exact"), later.restarts) == (120, [90, 120])
    assert [int(row["timesteps_total"]) for row in read_metrics(run / "metrics.csv")] == [*range(10, 131, 10)]


def test_going_on_from_an_earlier_one_removes_later_ones(folder: Path) -> None:
    run = folder / "run"
    ran(Counts(), run, 100, every=20, exact=True, keep=5)
    earlier = Counts(start=40)
    earlier.run_folder = run.resolve()
    learn(earlier, 50, run, True, Saving(20, 5, True), progress=False)
    assert [saved(path) for path in sorted((run / "checkpoints").iterdir())] == [20, 40]
    assert steps_on_disk(run / "exact") is None


def test_an_exact_one_that_the_run_has_left_behind_goes(folder: Path) -> None:
    """Else --resume would go back to it, over all that was learnt since."""
    run = folder / "run"
    ran(Counts(), run, 100, every=30, exact=True)
    assert resume_point(run) == run / "exact"
    ran(Counts(start=100), run, 110, every=30, exact=True)  # from the latest, or a second learn() in one process
    assert (resume_point(run), saved(run), (run / "exact").exists()) == (run, 110, False)
    ran(Counts(start=110), run, 150, every=30, exact=True)
    assert (saved(run / "exact"), saved(run)) == (140, 150)
    # It goes on from the exact one, but learns what came since in another way.
    with pytest.raises(ConfigError, match=r"has 150 steps; going on there from 140 would destroy"):
        ran(Counts(start=140), run, 160)
    assert (saved(run / "exact"), saved(run)) == (140, 150)
    again = Counts(start=140)
    again.run_folder = run.resolve()
    learn(again, 1000, run, True, Saving(30), progress=False)
    assert (resume_point(run), saved(run)) == (run, 1000)


def test_an_exact_one_at_the_latest_steps_stays_for_exact_runs_alone(folder: Path) -> None:
    for exact in (True, False):
        run = folder / f"run-{exact}"
        ran(Counts(), run, 90, every=30, exact=True)
        assert saved(run / "exact") == saved(run) == 90
        ran(Counts(start=90), run, 100, every=30, exact=exact)
        assert resume_point(run) == (run / "exact" if exact else run)


def test_the_line_after_a_failure_names_the_checkpoint_that_is_gone_on_from(folder: Path) -> None:
    def fail(iteration: int) -> None:
        if iteration == 3:
            raise RuntimeError

    run = folder / "run"
    ran(Counts(), run, 100, every=30, exact=True)
    with pytest.raises(RuntimeError) as caught:
        ran(Counts(start=100, on_train=fail), run, 200, every=30, exact=True)
    assert re.search(r"saved at 120 steps, after its last whole iteration\. Go on with", caught.value.__notes__[0])


def test_what_is_later_than_the_exact_one_is_not_destroyed_from_another(folder: Path) -> None:
    """Only a run that goes on from the exact checkpoint itself learns the same again."""
    run = folder / "run"
    ran(Counts(), run, 120, every=50, exact=True)
    assert (saved(run / "exact"), saved(run)) == (100, 120)
    with pytest.raises(ConfigError, match=r"has 120 steps; going on there from 110 would destroy"):
        ran(Counts(start=110), run, 200, every=50, exact=True)
    ran(Counts(start=100), run, 200, every=50, exact=True)
    assert (saved(run / "exact"), saved(run)) == (200, 200)


def test_no_run_under_runs(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"--resume last goes on with the run under .*runs that was"):
        resume_point(Path("last"))


def test_the_last_run_may_be_one_of_several_seeds(folder: Path) -> None:
    for number, run in enumerate(("one", "three/seed-0", "three/seed-1")):
        state = folder / "runs" / run / "checkpoint" / "state.json"
        state.parent.mkdir(parents=True)
        state.write_text("{}")
        os.utime(state, (number, number))
    assert resume_point(Path("last")) == Path("runs/three/seed-1")


TINY = ("--train-batch-size", "32", "--minibatch-size", "32", "--num-epochs", "1", "--model.fcnet-hiddens", "4")
EXACT = ("--exact-resume", "--checkpoint-every", "64", "--keep", "1", "--seed", "1", "--preset", "none")
QUIET = ("--no-progress", "--evaluate", "0")


def steps_of_run(run: Path) -> tuple[int, int]:
    return steps_on_disk(run / "exact") or 0, steps_on_disk(run / "checkpoint") or 0


def test_the_command_line_goes_on_from_the_last_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "CartPole-v1", "--steps", "96", *TINY, *EXACT, *QUIET]) == 0
    (run,) = (folder / "runs").iterdir()
    exact, latest = steps_of_run(run)
    assert 64 <= exact < 96 <= latest
    assert main(["train", "--resume", "last", *QUIET]) == 2
    assert f"the run already has {latest} steps" in capsys.readouterr().err
    assert main(["train", "--resume", "last", "--steps", "160", *QUIET]) == 0
    out = " ".join(capsys.readouterr().out.split())
    again = f"{latest - exact} steps since the latest exact checkpoint are taken again, as they were;"
    assert f"{again} `--resume-latest last` goes on without them" in out
    assert f"at {exact} steps" in out
    exact, latest = steps_of_run(run)
    assert 128 <= exact < 160 <= latest
    assert [path.name for path in (run / "checkpoints").iterdir()] == [f"{exact:012d}"]
    assert main(["train", "--resume-latest", "last", "--steps", str(latest + 1), *QUIET]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"at {latest} steps" in out
    assert "taken again" not in out
    rows = read_metrics(run / "metrics.csv")
    assert [int(row["training_iteration"]) for row in rows] == [*range(1, len(rows) + 1)]
    assert main(["train", "--resume", "last", "--resume-latest", "last"]) == 2
    assert "give either --resume or --resume-latest" in capsys.readouterr().err


# ------------------------------------------------------------------------------- only what is new is written


def test_an_exact_checkpoint_writes_only_what_is_new(folder: Path) -> None:
    kind, settings = SETTINGS["dqn"]
    algorithm: Any = kind("CartPole-v1", {**SHARED, **settings, "model": {"fcnet_hiddens": [4]}}, preset="none")
    files: list[set[str]] = []
    for _ in range(3):
        algorithm.train()
        algorithm.save("saved")
        state = read_state("saved")
        (pieces,) = pieces_of(Path("saved"), state).values()
        files.append({piece.file.name for piece in pieces})
        assert files[-1] == {file.name for file in Path("saved").glob("piece-*")}, "what no one names is removed"
    assert [len(names) for names in files] == [1, 2, 3]
    assert all(before < after for before, after in itertools.pairwise(files))
    # Elsewhere the files are shared; where the earlier ones are gone, all is written anew.
    algorithm.save("elsewhere")
    (file,) = (Path("elsewhere") / name for name in files[0])
    assert file.stat().st_nlink == 2
    for piece in [*Path("saved").glob("piece-*"), *Path("elsewhere").glob("piece-*")]:
        piece.unlink()
    with pytest.raises(CheckpointError, match=r"saved is not whole: piece-.*, which its state.json names, is missing"):
        Algorithm.load("saved")
    algorithm.save("anew")
    assert len([*Path("anew").glob("piece-*")]) == 1
    loaded: Any = Algorithm.load("anew")
    assert len(loaded.replay) == len(algorithm.replay)
    algorithm.close()


def test_what_has_made_room_is_no_longer_kept(folder: Path) -> None:
    kind, settings = SETTINGS["dqn"]
    settings = {**SHARED, **settings, "replay_capacity": 100, "model": {"fcnet_hiddens": [4]}}
    algorithm = kind("CartPole-v1", {**settings, "training_intensity": 0.1}, preset="none")
    sizes = []
    for _ in range(12):
        algorithm.train()
        algorithm.save("saved")
        sizes.append(sum(file.stat().st_size for file in Path("saved").iterdir()))
    assert max(sizes[5:]) < 1.3 * min(sizes[5:])
    assert len([*Path("saved").glob("piece-*")]) <= 5
    algorithm.close()


def test_replay_in_checkpoints_is_in_the_latest_and_not_in_the_best(folder: Path) -> None:
    kind, settings = SETTINGS["dqn"]
    more = {"store_buffer_in_checkpoints": True, "seed": 1, "model": {"fcnet_hiddens": [4]}, "checkpoint_every": 64}
    with closing(kind("CartPole-v1", {**settings, **more, "keep": 1}, preset="none")) as algorithm:
        algorithm.learn(128, out="run", progress=False)
        size = len(algorithm.replay)  # type: ignore[attr-defined]
    sizes = []
    for name in ("checkpoint", "checkpoints/000000000128", "best"):
        with closing(Algorithm.load(f"run/{name}")) as loaded:
            sizes.append(len(loaded.replay))  # type: ignore[attr-defined]
            loaded.train()
    assert sizes == [size, size, 0]


def test_a_run_that_fails_amid_an_iteration_keeps_its_replay(folder: Path) -> None:
    """It may hold steps that came after the last whole iteration; these are good to learn from, too."""
    kind, settings = SETTINGS["dqn"]
    more = {"store_buffer_in_checkpoints": True, "seed": 1, "model": {"fcnet_hiddens": [4]}}
    with closing(kind("CartPole-v1", {**settings, **more}, preset="none")) as algorithm:
        algorithm.learn(64, out="run", progress=False)
        before, own = len(algorithm.replay), algorithm.updates  # type: ignore[attr-defined]

        def updates(policy: Any, trajectory: Any) -> Any:
            result = yield from own(policy, trajectory)
            if len(algorithm.replay) > before + 68:  # type: ignore[attr-defined]
                raise RuntimeError("amid an iteration")
            return result

        algorithm._training.updates = updates  # type: ignore[attr-defined]
        with pytest.raises(RuntimeError, match="amid an iteration"):
            algorithm.learn(160, out="run", progress=False)
        size = len(algorithm.replay)  # type: ignore[attr-defined]
    assert size > before + 68
    with closing(Algorithm.load("run")) as loaded:
        assert (loaded.timesteps_total, len(loaded.replay)) == (128, size)  # type: ignore[attr-defined]
        loaded.train()
        assert loaded.timesteps_total == 160


@pytest.mark.parametrize("wrong", ["../piece-0.safetensors", "/etc/passwd", 7, {"a": 1}, ["x"]])
def test_pieces_lie_in_the_checkpoints_own_folder(folder: Path, wrong: Any) -> None:
    with pytest.raises(CheckpointError, match="is not whole"):
        pieces_of(folder, {"pieces": {"replay": [[wrong, [1]]]}})


# -------------------------------------------------------------------------------------------- copies


PIECE = f"piece-{'0' * 32}.safetensors"


def with_a_piece(folder: Path, number: int) -> None:
    """Write a checkpoint of some steps with a file of a growing part."""
    steps = {"counters": {"counters": {"timesteps_total": number}}}
    write_checkpoint(folder, {"steps": number, "parts": steps, "shared": None}, {"x": np.full(3, number)})
    (folder / PIECE).write_bytes(b"piece" * 100)
    state = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps({**state, "pieces": {"replay": [[PIECE, [number]]]}}))


class Killed(BaseException):
    """Nothing may catch this: the process is gone."""


def without_links(*_: Any) -> None:
    raise OSError(errno.EPERM, "this file system has no links")


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize(("links", "call"), [(True, call) for call in range(5)] + [(False, call) for call in range(7)])
def test_a_kill_amid_a_copy_leaves_nothing_that_counts_or_stays(
    folder: Path, links: bool, call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = folder / "run"
    for number in (30, 60):
        with_a_piece(run / "exact", number)
        keep_checkpoint(run, "exact", 2)
    if not links:
        monkeypatch.setattr(os, "link", without_links)
    with_a_piece(run / "exact", 90)
    with pytest.MonkeyPatch.context() as patch:
        killed = kill_at(patch, call)
        with suppress(Killed):
            keep_checkpoint(run, "exact", 2)
    half_made = run / "checkpoints/000000000090"
    assert killed()
    if (half_made / "state.json").exists():
        assert (half_made / PIECE).read_bytes() == b"piece" * 100
        assert read_checkpoint(half_made)[0]["steps"] == 90
    else:
        assert saved(run / "checkpoints/000000000030") == 30, "a half-made one does not take the room of a whole one"
    with_a_piece(run / "exact", 120)
    keep_checkpoint(run, "exact", 3)
    whole = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert all((run / "checkpoints" / name / "state.json").exists() for name in whole), "half-made ones go"
    assert not [name for name in names(run) if ".partial" in name]
    remove_run(run)
    assert names(run) == []


def kill_at(patch: pytest.MonkeyPatch, call: int) -> Callable[[], bool]:
    """Raise what stands for a kill at the end of one of the calls that touch the disk; a copy is half done then."""
    count = -1

    def counted(original: Any, spoils: bool) -> Any:
        def wrapped(*args: Any, **keywords: Any) -> Any:
            nonlocal count
            count += 1
            result = original(*args, **keywords)
            if count == call:
                if spoils:
                    Path(args[1]).write_bytes(b"pie")
                raise Killed
            return result

        return wrapped

    patch.setattr(os, "link", counted(os.link, spoils=False)) if os.link is not without_links else None
    patch.setattr(shutil, "copyfile", counted(shutil.copyfile, spoils=True))
    for name in ("mkdir", "write_bytes", "replace"):
        patch.setattr(Path, name, counted(getattr(Path, name), spoils=False))
    return lambda: count >= call


def test_a_copy_on_a_full_disk_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = folder / "run"
    with_a_piece(run / "exact", 30)
    monkeypatch.setattr(os, "link", without_links)
    own = shutil.copyfile

    def full(file: Path, target: Path) -> None:
        own(file, target)
        if file.name == PIECE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        with pytest.raises(OSError, match="No space left"):
            keep_checkpoint(run, "exact", 2)
    assert names(run / "checkpoints") == []
    keep_checkpoint(run, "exact", 2)
    assert names(run / "checkpoints/000000000030") == names(run / "exact")


def test_a_checkpoint_that_is_not_whole_is_not_kept_and_the_run_goes_on(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Losing(Counts):
        def completed(self, snapshot: Any, *, exact: bool) -> Any:
            state, tensors, growth = super().completed(snapshot, exact=exact)
            return {**state, "pieces": {"replay": [[PIECE, [1]]]}} if exact else state, tensors, growth

    ran(Losing(), folder / "run", 100, every=30, exact=True, keep=2)
    assert re.search(rf"cannot be written \(.*is not whole: {PIECE}.*is missing.* Training goes on", caplog.text)
    assert saved(folder / "run") == 100


# ----------------------------------------------------------------------------------- killed, in new processes


def trained(name: str, run: str, steps: int) -> int:
    """Train to a number of steps, from the latest exact checkpoint if there is one; one at the goal stays as it is."""
    kind, settings = SETTINGS[name]
    try:
        algorithm = Algorithm.load(f"{run}/exact")
    except CheckpointError:
        algorithm = kind("CartPole-v1", {**SHARED, **settings}, preset="none")
    if algorithm.timesteps_total < steps:
        algorithm.learn(steps, out=run, overwrite=algorithm.timesteps_total == 0, progress=False)
    algorithm.close()
    return 0


def content(checkpoint: Path) -> tuple[Any, Any]:
    state, tensors = read_checkpoint(checkpoint)
    del state["parts"]["counters"]["counters"]["time_total_s"]
    with closing(Algorithm.load(checkpoint)) as algorithm:
        growing = {name: [*part.since(None)] for name, part in algorithm.parts().items() if isinstance(part, Growing)}
    return state["parts"], {**tensors, **growing}


def require_same_runs(one: Path, other: Path) -> None:
    first, second = content(one / "exact"), content(other / "exact")
    assert first[0] == second[0]
    np.testing.assert_equal(first[1], second[1])
    rows = [read_metrics(run / "metrics.csv") for run in (one, other)]
    times = ("time_total_s", "time_this_iter_s", "time_collect_s", "steps_per_s")
    kept = [[{key: value for key, value in row.items() if key not in times} for row in part] for part in rows]
    assert kept[0] == kept[1]


def check_kills(folder: Path, name: str, count: int) -> None:
    """A run that is killed again and again ends as one that is not; some whole checkpoint always loads."""
    goal = 64 * (count + 1)
    whole = start(trained, name, "whole", goal, folder=folder)
    assert ended(whole, 600) == 0, (folder / "log").read_text()
    seed = time.time_ns()
    print(f"kills of seed {seed}")  # shown where it fails
    draw, run, before = random.Random(seed), folder / "run", -1
    for number in range(count):
        process = start(trained, name, "run", goal, folder=folder)
        wait_for(
            functools.partial(is_beyond, run / "exact" if number % 2 == 0 else run / "checkpoint", before), process
        )
        time.sleep(draw.uniform(0.0, 0.1))
        process.kill()
        assert ended(process) in (-signal.SIGKILL, 0), (folder / "log").read_text()
        exact = steps_on_disk(run / "exact") or 0
        assert exact >= before
        before = min(exact, goal - 64)
        Algorithm.load(run).close()
        if exact:
            Algorithm.load(run / "exact").close()
    if (steps_on_disk(run / "checkpoint") or 0) < goal or (steps_on_disk(run / "exact") or 0) < goal - 64:
        last = start(trained, name, "run", goal, folder=folder)
        assert ended(last, 600) == 0, (folder / "log").read_text()
    require_same_runs(folder / "whole", run)


def is_beyond(checkpoint: Path, steps: int) -> bool:
    found = steps_on_disk(checkpoint)
    return found is not None and found > steps


@pytest.mark.parametrize(("name", "count"), [("ppo", 1), ("dqn", 2)])
def test_a_killed_run_ends_as_one_that_never_stopped(folder: Path, name: str, count: int) -> None:
    check_kills(folder, name, count)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_that_is_killed_50_times_ends_as_one_that_never_stopped(folder: Path, name: str) -> None:
    check_kills(folder, name, 50)
