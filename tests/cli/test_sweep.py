"""``anyspace sweep``."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

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
    status, out, err = run(capsys, "sweep", "toys:Drawn", "--trials", "1", "--out", "s", *FEW)
    assert status == 0, err
    assert "(0 trials so far); tries lr, num_epochs, model.fcnet_hiddens" in out
    assert "trial 0: mean return 4 (best so far 4, trial 0)  lr=" in out
    best = tomllib.loads((folder / "s" / "best.toml").read_text())
    assert (best["env"], best["algo"], best["steps"], best["train_batch_size"]) == ("toys:Drawn", "ppo", 16, 16)
    assert 1e-4 <= best["lr"] <= 1e-2
    assert best["model"]["fcnet_hiddens"] in ([4], [4, 4])
    status, out, err = run(capsys, "sweep", "toys:Drawn", "--trials", "1", "--out", "s", *FEW)
    assert (status, "the sweep in s has 1 trials already; give more as --trials N" in err) == (2, True)
    status, out, err = run(capsys, "sweep", "toys:Drawn", "--trials", "2", "--out", "s", *FEW)
    assert "(1 trials so far)" in out
    assert "trial 1: mean return 4" in out
    train = ["train", "--config", "s/best.toml", "--out", "run", "--no-progress", "--evaluate", "0"]
    assert run(capsys, *train)[0] == 0


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--trials", "0"], "error: --trials is 0, but it must be at least 1."),
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
