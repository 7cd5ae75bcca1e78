"""Whose a run folder is: what is refused, what is overwritten, and what is left alone."""

from __future__ import annotations

import json
import os
import signal
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from anyspace import PPO, Algorithm, Callback
from anyspace.errors import CheckpointError, ConfigError, EnvironmentSetupError, NonFiniteError
from anyspace.execution import run_files
from anyspace.execution.checkpoint import find_checkpoint, read_checkpoint, resume_command
from anyspace.execution.fleet import LocalFleet
from anyspace.execution.log import read_metrics
from anyspace.execution.run import Saving, learn
from anyspace.execution.run_files import remembered_options, run_folder_of, steps_of
from anyspace.execution.run_folder import RunFolder
from anyspace.execution.torch_learner import TorchLearner
from tests.support.counts import Counts, ran, saved
from tests.support.environments import Drawn

pytestmark = pytest.mark.usefixtures("without_curves")


def fresh(algorithm: Counts, folder: Path, steps: int = 60, *, overwrite: bool = False) -> dict[str, Any]:
    """Train an algorithm that has nothing to do with what lies in the folder."""
    return learn(algorithm, steps, folder, overwrite=overwrite, saving=Saving(1000), progress=False)


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


# ------------------------------------------------------------------------------------------------ the name


def test_a_new_folder_is_never_one_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "strftime", lambda *_: "20261128-010347")
    folders = [RunFolder.create("my_envs:Cart Pole-ppo-s1") for _ in range(3)]
    assert [str(folder.path) for folder in folders] == [
        "runs/my_envs-Cart-Pole-ppo-s1-20261128-010347",
        "runs/my_envs-Cart-Pole-ppo-s1-20261128-010347-2",
        "runs/my_envs-Cart-Pole-ppo-s1-20261128-010347-3",
    ]
    for folder in folders:
        folder.release()
    assert list((tmp_path / "runs").iterdir()) == [], "nothing was begun, so nothing is left"
    with RunFolder.create("x" * 300) as long:
        assert len(long.path.name) < 200


# ------------------------------------------------------------------------------------------- what is refused


def test_a_folder_with_a_run_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "my run"
    fresh(Counts(), folder)
    before = content(folder)
    algorithm = Counts()
    with pytest.raises(ConfigError) as caught:
        fresh(algorithm, folder)
    assert str(caught.value) == (
        f"{folder} already holds a run (Counts on Steps-v0, 60 steps). Go on with `anyspace train --resume '{folder}'`"
        f" (in Python: Algorithm.load('{folder}')), choose another --out (`out` in Python), or replace the run with"
        " --overwrite (`overwrite=True` in Python)."
    )
    assert algorithm.iterations == 0
    assert content(folder) == before


def test_the_best_is_what_was_evaluated_beside_training(tmp_path: Path) -> None:
    def play(iteration: int) -> None:
        algorithm.evaluates_beside = 2 <= iteration < 5  # and the result comes in the fifth

    algorithm = Counts([0, 0, 0, 0, 5, 3, 6], on_train=play)
    ran(algorithm, tmp_path / "run", 60)
    assert (saved(tmp_path / "run" / "best"), saved(tmp_path / "run")) == (20, 60)
    ran(algorithm, tmp_path / "run", 70)
    assert saved(tmp_path / "run" / "best") == 70


def test_a_run_of_which_only_the_best_is_left_is_refused(tmp_path: Path) -> None:
    fresh(Counts([5, 1]), tmp_path)
    (tmp_path / "checkpoint").rename(tmp_path.parent / "elsewhere")
    with pytest.raises(ConfigError, match=rf"\(Counts on Steps-v0, 10 steps\).* --resume {tmp_path}/best`"):
        fresh(Counts(), tmp_path)
    with pytest.raises(CheckpointError, match=rf"train on from it with\n  anyspace train --resume {tmp_path}/best$"):
        find_checkpoint(tmp_path)


def test_a_run_without_a_checkpoint_is_refused_for_its_metrics(tmp_path: Path) -> None:
    fresh(Counts(), tmp_path)
    for name in ("checkpoint", "best"):
        (tmp_path / name / "state.json").write_text("damaged")
    with pytest.raises(ConfigError, match=r"already holds a run \(Counts on Steps-v0, no checkpoint\)"):
        fresh(Counts(), tmp_path)


def test_a_run_that_was_killed_before_it_began_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "run.lock").write_text("process 1 on elsewhere")
    run_files.write_json(tmp_path / "config.json", Counts().description())
    run_files.write_json(tmp_path / "run.json", {"steps": 60})
    assert fresh(Counts(), tmp_path)["timesteps_total"] == 60


def test_a_run_that_failed_in_its_first_iteration_is_in_nobodys_way(tmp_path: Path) -> None:
    class Fails(Counts):
        needs_trust = True

        def train(self) -> dict[str, Any]:
            raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            fresh(Fails(), tmp_path)
    assert saved(tmp_path) == 0
    assert fresh(Counts(), tmp_path)["timesteps_total"] == 60


def test_the_command_to_go_on_says_that_the_run_is_trusted(tmp_path: Path) -> None:
    class NamesCode(Counts):
        needs_trust = True

    fresh(NamesCode(), tmp_path)
    with pytest.raises(ConfigError, match=rf"Go on with `anyspace train --resume {tmp_path} --trust`"):
        fresh(NamesCode(), tmp_path)


def test_a_run_of_code_that_nobody_can_import_goes_on_in_python(tmp_path: Path) -> None:
    def stop(algorithm: Any, result: Any) -> None:
        if algorithm.timesteps_total == 32:
            raise ZeroDivisionError

    class Mine(Drawn):
        pass

    settings = {"train_batch_size": 16, "minibatch_size": 16, "num_epochs": 1, "model": {"fcnet_hiddens": [2]}}
    algorithm = PPO(Mine, settings, preset="none")
    line = f"Algorithm.load({str(tmp_path)!r}, env=Mine).learn(64, out={str(tmp_path)!r})"
    with pytest.raises(ZeroDivisionError) as caught:
        algorithm.learn(64, out=tmp_path, callback=stop, progress=False)
    assert caught.value.__notes__[-1].endswith(f"Go on with\n  {line}")
    with pytest.raises(ConfigError) as refused:
        PPO(Mine, settings, preset="none").learn(64, out=tmp_path, progress=False)
    assert f"Go on with `{line}`, choose another" in str(refused.value)
    assert eval(line, {"Algorithm": Algorithm, "Mine": Mine})["timesteps_total"] == 64


def test_an_algorithm_goes_on_in_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = Counts()
    fresh(algorithm, tmp_path / "run", 30)
    monkeypatch.chdir(tmp_path)
    fresh(algorithm, Path("run"), 60)
    assert saved(tmp_path / "run") == 60
    with pytest.raises(ConfigError, match="already holds a run"):
        fresh(Counts(start=60), Path("run"), 90)


@pytest.mark.parametrize("when", ["before the first iteration", "in the first iteration"])
def test_a_run_that_goes_on_changes_nothing_before_its_first_iteration_is_over(tmp_path: Path, when: str) -> None:
    """What it goes on with may not work, and then it is the earlier run that somebody goes on with."""

    class Other(Counts):
        needs_trust = True

        def description(self) -> dict[str, Any]:
            return {"algorithm": "Counts", "env": "Other-v0"}

        def train(self) -> dict[str, Any]:
            raise ZeroDivisionError

    class Stops(Callback):
        def on_start(self, algorithm: Any) -> None:
            if when.startswith("before"):
                os.kill(os.getpid(), signal.SIGINT)

    ran(Counts([5, 1]), tmp_path, 60, every=20, keep=2, exact=True)
    before = content(tmp_path)
    with pytest.raises((ZeroDivisionError, KeyboardInterrupt)) as caught:
        ran(Other(start=60), tmp_path, 100, callback=Stops())
    told = "".join([*getattr(caught.value, "__notes__", ()), str(caught.value)])
    expected = f"No iteration was over, so {tmp_path} is as it was before. Go on with\n"
    assert f"{expected}  anyspace train --resume {tmp_path}" in told
    assert "--trust" not in told
    assert content(tmp_path) == before


def test_a_run_does_not_go_on_beside_a_damaged_table(tmp_path: Path) -> None:
    ran(Counts(), tmp_path, 30)
    (tmp_path / "metrics.csv").write_bytes(b"\xff\xfe")
    before = content(tmp_path)
    algorithm = Counts(start=30)
    with pytest.raises(ConfigError, match=r"metrics\.csv is damaged .* or move it away; a run that goes on"):
        ran(algorithm, tmp_path, 60)
    assert (algorithm.iterations, content(tmp_path)) == (0, before)
    (tmp_path / "metrics.csv").unlink()
    ran(algorithm, tmp_path, 60)
    assert len(read_metrics(tmp_path / "metrics.csv")) == 3


def test_an_environment_may_change_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    fresh(Counts(range(9), on_train=lambda iteration: os.chdir(tmp_path / "elsewhere")), Path("run"))
    assert saved(tmp_path / "run") == saved(tmp_path / "run" / "best") == 60
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert not (tmp_path / "run" / "run.lock").exists()


def test_an_algorithm_that_was_overtaken_is_refused(tmp_path: Path) -> None:
    """Another process went on with the run: what it learnt is not thrown away."""
    algorithm = Counts()
    fresh(algorithm, tmp_path, 30)
    ran(Counts(start=30), tmp_path, 80)
    with pytest.raises(ConfigError) as caught:
        fresh(algorithm, tmp_path, 100)
    assert str(caught.value) == (
        f"the run in {tmp_path} has 80 steps; going on there from 30 would destroy what it learnt since. Choose another"
        " --out (`out` in Python), or go on from the earlier state with --overwrite (`overwrite=True` in Python)."
    )
    assert saved(tmp_path) == 80
    fresh(algorithm, tmp_path, 50, overwrite=True)
    assert saved(tmp_path) == 50


def test_a_checkpoint_of_save_is_no_folder_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"is a checkpoint that save\(\) wrote, and no folder for a run"):
        fresh(Counts(), tmp_path, overwrite=True)


@pytest.mark.parametrize("name", ["config.json", "metrics.csv", "learning_curve.png", "checkpoint/weights.bin"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_files_that_no_run_wrote_are_never_overwritten(tmp_path: Path, name: str, overwrite: bool) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text('{"mine": 1}')
    with pytest.raises(
        ConfigError, match=rf"holds {name.partition('/')[0]}, which no run wrote and one would overwrite"
    ):
        fresh(Counts(), tmp_path, overwrite=overwrite)
    assert content(tmp_path) == {name: b'{"mine": 1}'}


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    """A job's log, say, lies in the folder already; a run may begin beside it, and be overwritten beside it."""
    mine = {"slurm-1.out": b"job 1", "notes/plan.md": b"plan", "events.out.tfevents.1.mine": b"other"}
    for name, text in mine.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text)
    fresh(Counts(), tmp_path)
    (tmp_path / "checkpoint" / "mine.partial").write_bytes(b"x")
    assert content(tmp_path).items() >= mine.items()
    fresh(Counts(), tmp_path, 20, overwrite=True)
    del mine["events.out.tfevents.1.mine"]
    assert content(tmp_path).items() >= {**mine, "checkpoint/mine.partial": b"x"}.items()


def test_overwriting_leaves_nothing_of_the_old_run(tmp_path: Path) -> None:
    fresh(Counts(range(100)), tmp_path, 200)
    (tmp_path / "videos").mkdir()
    drafts = [".metrics.0a1b2c3d.partial.csv", ".report.0a1b2c3d.partial.html", "videos/.step-9.0a1b2c3d.partial.gif"]
    drafts += ["metrics.partial", "learning_curve.partial", "videos/.step-9.partial.gif"]  # of 0.1
    for name in ("report.html", "videos/step-000000200.mp4", "videos/mine.mp4", *drafts):
        (tmp_path / name).touch()
    fresh(Counts([5, 4, 3, 2, 1]), tmp_path, 20, overwrite=True)
    assert [path.name for path in (tmp_path / "videos").iterdir()] == ["mine.mp4"]
    assert not (tmp_path / "report.html").exists()
    assert not [*tmp_path.rglob("*.partial*")], "drafts that kills have left"
    assert (saved(tmp_path), saved(tmp_path / "best")) == (20, 10)
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 3
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 1
    assert remembered_options(tmp_path)["steps"] == 20


def test_films_of_steps_that_a_run_takes_anew_are_removed(tmp_path: Path) -> None:
    fresh(Counts(), tmp_path, 40)
    (tmp_path / "videos").mkdir()
    for steps in (20, 30):
        (tmp_path / "videos" / f"step-{steps:09d}.gif").touch()
    with RunFolder.claim(tmp_path, goes_on_at=20, overwrite=True) as folder:
        learn(Counts(start=20), 40, folder, overwrite=True, saving=Saving(1000), progress=False)
    assert [path.name for path in (tmp_path / "videos").iterdir()] == ["step-000000020.gif"]


def test_overwriting_begins_when_the_new_run_does(tmp_path: Path) -> None:
    """Whatever is wrong with the new run is found out while the old one is still there."""
    fresh(Counts(), tmp_path)
    before = content(tmp_path)
    with RunFolder.claim(tmp_path, overwrite=True):
        assert saved(tmp_path) == 60
    assert content(tmp_path) == before


# ------------------------------------------------------------------------------------------------ what is there


def test_files_have_the_mode_that_the_user_asks_for(tmp_path: Path) -> None:
    for mask, file_mode, folder_mode in ((0o022, 0o644, 0o755), (0o027, 0o640, 0o750)):
        before = os.umask(mask)
        try:
            fresh(Counts(), tmp_path / oct(mask))
        finally:
            os.umask(before)
        for path in (tmp_path / oct(mask)).rglob("*"):
            assert stat.S_IMODE(path.stat().st_mode) == (folder_mode if path.is_dir() else file_mode), path


def test_what_was_asked_for_is_remembered(tmp_path: Path) -> None:
    with RunFolder.claim(tmp_path) as folder:
        folder.options |= {"evaluate": 3, "video_every": 5}
        learn(Counts(), 60, folder, overwrite=False, saving=Saving(1000), progress=False)
    assert remembered_options(tmp_path) == {"steps": 60, "evaluate": 3, "progress": False, "video_every": 5}
    ran(Counts(start=60), tmp_path, 90)
    assert remembered_options(tmp_path) == {"steps": 90, "evaluate": 3, "progress": False, "video_every": 5}
    (tmp_path / "run.json").write_text(json.dumps({"steps": "many", "evaluate": True, "progress": 1, "other": 2}))
    assert remembered_options(tmp_path) == {}
    (tmp_path / "run.json").write_text("[")
    assert remembered_options(tmp_path) == {}


def test_the_run_of_a_checkpoint(tmp_path: Path) -> None:
    fresh(Counts(), tmp_path / "run")
    for path in ("run", "run/checkpoint", "run/best"):
        assert run_folder_of(tmp_path / path) == tmp_path / "run"
    (tmp_path / "alone" / "best").mkdir(parents=True)
    (tmp_path / "alone" / "state.json").write_text("{}")
    assert run_folder_of(tmp_path / "alone") is None


@pytest.mark.parametrize(
    ("state", "steps"),
    [
        ({"parts": {"counters": {"counters": {"timesteps_total": 7}}}}, 7),
        ({"counters": {"timesteps_total": 8}}, 8),
        ({"parts": [], "counters": {"timesteps_total": 8}}, None),
        ({"counters": {"timesteps_total": "8"}}, None),
        ({}, None),
    ],
)
def test_the_steps_of_a_state(state: dict[str, Any], steps: int | None) -> None:
    assert steps_of(state) == steps


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("runs/x", "anyspace train --resume runs/x"),
        ("my run", "anyspace train --resume 'my run'"),
        ("it's $5", "anyspace train --resume 'it'\"'\"'s $5'"),
        ("-x", "anyspace train --resume ./-x"),
    ],
)
def test_the_command_to_resume_can_be_pasted(path: str, command: str) -> None:
    assert resume_command(Path(path)) == command


# ----------------------------------------------------------------------------------------------- the real thing


SETTINGS: dict[str, Any] = {
    "train_batch_size": 32,
    "minibatch_size": 16,
    "num_epochs": 1,
    "model": {"fcnet_hiddens": [4]},
    "seed": 3,
    "observation_filter": "MeanStdFilter",
}


def test_save_does_not_write_among_the_files_of_a_run(tmp_path: Path) -> None:
    algorithm = PPO("CartPole-v1", SETTINGS, preset="none")
    algorithm.learn(32, out=tmp_path / "run", progress=False)
    with pytest.raises(ConfigError, match=rf"save into another one, such as {tmp_path / 'run' / 'final'}"):
        algorithm.save(tmp_path / "run")
    algorithm.save(tmp_path / "run" / "final")
    algorithm.close()
    loaded = Algorithm.load(tmp_path / "run" / "final")
    with pytest.raises(ConfigError, match="already holds a run"):
        loaded.learn(64, out=tmp_path / "run", progress=False)
    loaded = Algorithm.load(tmp_path / "run")
    loaded.learn(loaded.timesteps_total + 32, out=tmp_path / "run", progress=False)
    loaded.close()
    with pytest.raises(ConfigError, match="already has"):
        loaded.learn(32)


def test_a_slip_in_what_a_run_goes_on_with_does_it_no_harm(tmp_path: Path) -> None:
    algorithm = PPO("CartPole-v1", SETTINGS, preset="none")
    algorithm.learn(32, out=tmp_path, progress=False)
    algorithm.close()
    before = content(tmp_path)
    with pytest.raises(CheckpointError):
        Algorithm.load(tmp_path, env="Acrobot-v1")
    slips = ({"env_config": {"nope": 1}}, {"lr": 1e30, "num_epochs": 9})
    went_on = f"No iteration was over, so {tmp_path} is as it was before. Go on with"
    for slip, error, notes in zip(slips, (EnvironmentSetupError, NonFiniteError), ([], [went_on]), strict=True):
        slipped = Algorithm.load(tmp_path, **slip)
        with pytest.raises(error) as caught:
            slipped.learn(64, out=tmp_path, progress=False)
        slipped.close()
        assert [note.partition("\n")[0] for note in getattr(caught.value, "__notes__", ())][-1:] == notes
        assert content(tmp_path) == before


@pytest.mark.parametrize("fails", ["the environment", "the loss"])
def test_what_is_saved_is_the_state_after_the_last_whole_iteration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    """Random sources, moments of the optimiser and statistics included, wherever in the next iteration it fails."""
    reference = PPO("CartPole-v1", SETTINGS, preset="none")
    for _ in range(3):
        reference.train()
    _, expected = reference.snapshot()
    reference.close()

    algorithm = PPO("CartPole-v1", SETTINGS, preset="none")
    calls = 0

    def failing(original: Any, last: int) -> Any:
        def call(*args: Any, **keywords: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == last:
                raise RuntimeError("no more")
            return original(*args, **keywords)

        return call

    if fails == "the environment":
        assert isinstance(algorithm.fleet, LocalFleet)
        source = algorithm.fleet.collector.source
        monkeypatch.setattr(source, "step", failing(source.step, 32 * 3 + 20))
    else:
        assert isinstance(algorithm.learner, TorchLearner)
        monkeypatch.setattr(algorithm.learner, "losses", failing(algorithm.learner.losses, 2 * 3 + 2))
    with pytest.raises(RuntimeError, match="no more"):
        algorithm.learn(1000, out=tmp_path, progress=False)
    algorithm.close()
    state, tensors = read_checkpoint(tmp_path)
    assert state["parts"]["counters"]["counters"]["training_iteration"] == 3
    assert tensors.keys() == expected.keys()
    for name, value in expected.items():
        assert (tensors[name] == value).all(), name
