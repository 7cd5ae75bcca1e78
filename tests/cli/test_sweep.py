"""``anyspace sweep``."""

from __future__ import annotations

import json
import math
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from anyspace.algorithms import PPO, Algorithm
from anyspace.algorithms.ppo import PPOConfig
from anyspace.algorithms.ranges import Range
from anyspace.cli import sweep
from anyspace.cli.config_file import ConfigFile
from anyspace.cli.flags import StartingPoint
from anyspace.cli.sweep import SweepFlags, _as_toml
from anyspace.errors import NonFiniteError
from anyspace.execution.callbacks import PruneTrial
from tests.cli.support import TINY, run

RANGES = """
lr = { low = 1e-4, high = 1e-2, log = true }
num_epochs = { low = 1, high = 3 }
[model]
fcnet_hiddens = { choices = [[4], [4, 4]] }
"""
FEW = [*TINY[:4], *TINY[9:11], "--steps", "16", "--evaluate", "1", "--ranges", "ranges.toml"]


def test_the_best_is_kept_and_a_sweep_goes_on(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    pytest.importorskip("optuna")
    (folder / "ranges.toml").write_text(RANGES)
    status, out, err = run(capsys, "sweep", "toys:Roaming", "--trials", "1", "--out", "s", *FEW)
    assert status == 0, err
    assert "(0 trials so far); tries lr, num_epochs, model.fcnet_hiddens" in out
    assert "of another sweep" not in out
    assert re.search(r"trial 0 .*mean return +. 4 .*model.fcnet_hiddens . \[4", out, re.DOTALL)
    assert "trial 0: mean return 4 (best so far 4, trial 0)  lr=" in out
    best = tomllib.loads((folder / "s" / "best.toml").read_text())
    assert (best["env"], best["algo"], best["steps"], best["train_batch_size"]) == ("toys:Roaming", "ppo", 16, 16)
    assert 1e-4 <= best["lr"] <= 1e-2
    assert best["model"]["fcnet_hiddens"] in ([4], [4, 4])
    status, out, err = run(capsys, "sweep", "toys:Roaming", "--trials", "1", "--out", "s", *FEW)
    assert (status, "the sweep in s has 1 trials already; give more as --trials N" in err) == (2, True)
    status, out, err = run(capsys, "sweep", "toys:Roaming", "--trials", "2", "--out", "s", *FEW)
    assert "(1 trials so far)" in out
    assert "trial 1: mean return 4" in out
    train = ["train", "--config", "s/best.toml", "--out", "run", "--no-progress", "--evaluate", "0"]
    assert run(capsys, *train)[0] == 0


@pytest.mark.parametrize("line", ["notes", "5", "{}", '{"op_code": 99}'])
def test_a_damaged_journal_is_named(capsys: pytest.CaptureFixture[str], folder: Path, line: str) -> None:
    pytest.importorskip("optuna")
    (folder / "s").mkdir()
    (folder / "s" / "trials.log").write_text(f"{line}\n")
    status, _, err = run(capsys, "sweep", "toys:Drawn", "--trials", "1", "--out", "s", *FEW[:-2])
    assert (status, "error: s/trials.log is damaged (" in err) == (2, True), err


def test_a_seed_decides_what_is_tried(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna")
    (folder / "ranges.toml").write_text("lr = { low = 1e-4, high = 1e-2 }")
    tried: dict[str, list[float]] = {}

    def sought(out: str, seed: str, trials: str) -> list[float]:
        def scores(trial: Any, start: Any, flags: Any, ranges: list[Range]) -> float:
            tried.setdefault(out, []).append(ranges[0].drawn(trial))
            return tried[out][-1]

        monkeypatch.setattr(sweep, "_score", scores)
        words = ["sweep", "toys:Drawn", "--trials", trials, "--seed", seed, "--out", out, *FEW]
        assert run(capsys, *words)[0] == 0
        return tried[out]

    assert sought("halves", "0", "2") == sought("whole", "0", "4")[:2]
    assert sought("halves", "0", "4") == tried["whole"]
    assert len(set(tried["whole"])) == 4
    assert sought("other", "1", "1")[0] != tried["whole"][0]


def test_what_was_found_is_kept_at_once(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep may be killed: the best settings so far lie there before the next trial begins."""
    pytest.importorskip("optuna")
    (folder / "ranges.toml").write_text("lr = { low = 1e-4, high = 1e-2 }")
    kept: list[str] = []

    def scores(trial: Any, start: Any, flags: Any, ranges: list[Range]) -> float:
        ranges[0].drawn(trial)
        file = folder / "s" / "best.toml"
        kept.append(file.read_text().splitlines()[0] if file.exists() else "")
        return [3.0, 5.0, 4.0, 6.0][trial.number]

    monkeypatch.setattr(sweep, "_score", scores)
    assert run(capsys, "sweep", "toys:Drawn", "--trials", "4", "--out", "s", *FEW)[0] == 0
    assert kept == ["", *(f"# Mean return {score} after 16 steps." for score in (3, 5, 5))]


def test_two_processes_share_the_trials(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    optuna = pytest.importorskip("optuna")
    (folder / "ranges.toml").write_text(RANGES)
    words = ["sweep", "toys:Drawn", "--trials", "3", "--out", "s", *FEW]
    scored: list[int] = []

    def scores(trial: Any, *_: object) -> float:
        scored.append(trial.number)
        if len(scored) == 1:  # the other process runs its whole sweep meanwhile, and does not count what runs here
            assert run(capsys, *words)[0] == 0
        return 1.0

    monkeypatch.setattr(sweep, "_score", scores)
    assert run(capsys, *words)[0] == 0
    assert scored == [0, 1, 2, 3]
    # What somebody stopped is no trial.
    monkeypatch.setattr(sweep, "_score", _stopped)
    words[3] = "6"
    status, out, err = run(capsys, *words)
    assert (status, "(4 trials so far)" in out, "go on with\n  anyspace sweep" in err) == (130, True, True)
    monkeypatch.setattr(sweep, "_score", scores)
    status, out, _ = run(capsys, *words)
    assert ("(4 trials so far)" in out, scored[4:]) == (True, [5, 6])
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend("s/trials.log"))
    trials = optuna.load_study(study_name=None, storage=storage).get_trials()
    assert [trial.state.name for trial in trials].count("FAIL") == 1


def _stopped(*_: object) -> float:
    raise KeyboardInterrupt


def test_trials_that_diverge_or_contradict_themselves_count(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    optuna = pytest.importorskip("optuna")
    sampler = optuna.samplers.RandomSampler(seed=0)
    monkeypatch.setattr(optuna.samplers, "TPESampler", lambda seed=None: sampler)
    (folder / "ranges.toml").write_text("minibatch_size = { choices = [8, 32] }")
    few = [*FEW[:2], "--num-epochs", "1", *FEW[4:]]
    status, out, err = run(capsys, "sweep", "toys:Drawn", "--trials", "6", "--out", "s", *few)
    assert status == 0, err
    assert "refused: config key `minibatch_size` is 32" in out, out
    assert ": mean return 4" in out
    (folder / "ranges.toml").write_text("minibatch_size = { choices = [32, 64] }")
    status, _, err = run(capsys, "sweep", "toys:Drawn", "--trials", "6", "--out", "s", *few)
    assert (status, err.startswith("error: no value of the range of `minibatch_size` can be tried: ")) == (2, True), err

    def diverges(self: object, *_: object, **__: object) -> None:
        raise NonFiniteError("the loss is NaN.")

    monkeypatch.setattr(Algorithm, "learn", diverges)
    (folder / "ranges.toml").write_text(RANGES)
    status, out, err = run(capsys, "sweep", "toys:Drawn", "--trials", "2", "--out", "s", *FEW)
    assert (status, out.count("diverged: the loss is NaN.")) == (1, 2), err
    assert "no trial was completed" in err


def test_a_study_is_of_all_that_was_asked(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    pytest.importorskip("optuna")
    (folder / "mine.py").write_text("from anyspace import algorithms\nclass PPO(algorithms.PPO):\n    pass\n")
    (folder / "ranges.toml").write_text("lr = { low = 1e-4, high = 1e-2 }")
    words = [*TINY, "--steps", "16", "--evaluate", "0"]
    assert run(capsys, "train", "toys:Drawn", "--algo", "mine:PPO", "--out", "run", *words)[0] == 0
    few = ["--steps", "16", "--evaluate", "1", "--ranges", "ranges.toml", "--trials", "1", "--out", "s"]
    config = ["--config", "run/config.json", "--trust"]
    assert run(capsys, "sweep", *config, *few)[0] == 0
    best = tomllib.loads((folder / "s" / "best.toml").read_text())
    assert (best["algo"], best["preset"], best["num_epochs"]) == ("mine:PPO", "none", 1)
    # The same again is the same study; a run with other settings is another.
    assert "has 1 trials already" in run(capsys, "sweep", *config, *few)[2]
    described = json.loads((folder / "run" / "config.json").read_text())
    described["config"]["num_epochs"] = 2
    (folder / "run" / "config.json").write_text(json.dumps(described))
    status, out, err = run(capsys, "sweep", *config, *few)
    assert (status, "(0 trials so far)" in out) == (0, True), err
    assert "best.toml holds the best settings of another sweep" in out


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--trials", "0"], "error: --trials is 0, but it must be at least 1."),
        (
            ["--model.custom-model-config", '{"width": null}'],
            "error: config key `model.custom_model_config` is {'width': None}, which a TOML such as best.toml cannot",
        ),
        (["--evaluate", "-1"], "error: --evaluate is -1, but it must be at least 0."),
        (["--algo", "bc", "--input", "steps", "--evaluate", "0"], "error: --evaluate is 0, but recorded steps have no"),
        (["--ranges", "none.toml"], "error: --ranges none.toml cannot be read: No such file or directory."),
        (["--ranges", "wrong.toml"], "error: the ranges name `lrr`, which is no configuration key. Did you mean 'lr'?"),
        (
            ["--ranges", "one.toml", "--lr", "1"],
            "error: there is nothing to try: every key that has a range was given.",
        ),
        (["--ranges", "one.toml"], "error: a sweep needs Optuna"),
    ],
)
def test_wrong_input(
    capsys: pytest.CaptureFixture[str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    error: str,
) -> None:
    (folder / "one.toml").write_text("lr = { low = 1e-4, high = 1e-2 }")
    (folder / "wrong.toml").write_text("lrr = { low = 1e-4, high = 1e-2 }")
    monkeypatch.setitem(sys.modules, "optuna", None)
    status, _, err = run(capsys, "sweep", "toys:Drawn", *words)
    assert (status, err.startswith(error)) == (2, True), err


def test_trials_on_recorded_steps_need_an_environment(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert run(capsys, "train", "toys:Drawn", "--steps", "32", "--evaluate", "0", "--output", "steps", *TINY)[0] == 0
    status, _, err = run(capsys, "sweep", "--algo", "bc", "--input", "steps", "--trials", "1")
    assert (status, "trials are judged by their returns, for which an environment is needed" in err) == (2, True)


def test_a_constant_whose_pairs_are_given_is_not_tried(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "lr.toml").write_text("lr = { low = 1e-4, high = 1e-2, log = true }")
    words = ["--ranges", "lr.toml", "--trials", "1", "--steps", "32", "--lr-schedule", "0", "1e-3", "200", "0"]
    status, _, err = run(capsys, "sweep", "toys:Drawn", *words)
    assert (status, "there is nothing to try" in err) == (2, True), err


def test_what_toml_spells_otherwise_comes_back(tmp_path: Path) -> None:
    given = {
        "grad_clip": math.inf,
        "lr": 1e-7,
        "lr_schedule": None,
        "env_config": {"text": 'say "hé" 😀\n', "deep": [[1, 2.5], {"yes": True}]},
        "model": {"fcnet_hiddens": [4], "conv_filters": None},
    }
    start = StartingPoint(PPO, PPOConfig())
    (tmp_path / "best.toml").write_text(_as_toml(start, SweepFlags(env="CartPole-v1"), given, 1.0), encoding="utf-8")
    read = ConfigFile.read(tmp_path / "best.toml").of(PPOConfig)
    assert read == {"seed": 0, **given}


def test_hopeless_trials_are_pruned() -> None:
    class Trial:
        reported: list[tuple[float, int]] = []  # noqa: RUF012

        def report(self, value: float, step: int) -> None:
            self.reported.append((value, step))

        def should_prune(self) -> bool:
            return len(self.reported) == 2

    class Algorithm:
        timesteps_total = 7

    pruning = PruneTrial(Trial())
    assert pruning.on_iteration(Algorithm(), {"episode_return_mean": 1.5})
    assert pruning.on_iteration(Algorithm(), {"other": 1.0})
    assert not pruning.on_iteration(Algorithm(), {"episode_return_mean": 2.5})
    assert (pruning.pruned, Trial.reported) == (True, [(1.5, 7), (2.5, 7)])
