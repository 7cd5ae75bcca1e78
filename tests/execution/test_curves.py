"""Pictures of runs."""

from __future__ import annotations

import errno
import json
import os
import re
import struct
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest

from anyspace.errors import ConfigError
from anyspace.execution.curves import Curve, RunGroup, draw_curves, draw_learning_curve, grouped
from anyspace.execution.log import MetricsLog
from anyspace.execution.web_page import Shown, run_page

# ----------------------------------------------------------------------------------------- the curve of one run


def drawn(folder: Path, *rows: dict[str, Any], title: str = "PPO on CartPole-v1") -> np.ndarray:
    log = MetricsLog(folder)
    for row in rows:
        log.write(row)
    log.close()
    picture = folder / "curve.png"
    draw_learning_curve(folder / "metrics.csv", picture, title)
    head = picture.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", head[16:24]) == (840, 480)
    image: np.ndarray = matplotlib.image.imread(picture)[..., :3]
    return image


def colours(image: np.ndarray, colour: tuple[int, int, int]) -> int:
    """How many points have a colour."""
    return int((abs(image * 255 - colour).max(axis=-1) < 8).sum())


BLUE, ORANGE = (31, 119, 180), (255, 127, 14)


def test_a_curve_of_training_and_one_of_evaluations(tmp_path: Path) -> None:
    rows = [{"timesteps_total": steps, "episode_return_mean": steps**0.5} for steps in range(100, 1000, 100)]
    rows[3]["evaluation"] = {"episode_return_mean": 10.0}
    rows[7]["evaluation"] = {"episode_return_mean": 20.0}
    image = drawn(tmp_path, *rows)
    assert colours(image, BLUE) > 300
    assert colours(image, ORANGE) > 100


def test_only_training(tmp_path: Path) -> None:
    image = drawn(tmp_path, {"timesteps_total": 1}, *({"timesteps_total": n, "episode_return_mean": n} for n in (5, 9)))
    assert colours(image, BLUE) > 300
    assert colours(image, ORANGE) == 0


def test_a_curve_without_any_episode(tmp_path: Path) -> None:
    assert colours(drawn(tmp_path, {"timesteps_total": 10}), BLUE) == 0


def test_a_title_is_no_formula(tmp_path: Path) -> None:
    drawn(tmp_path, {"timesteps_total": 10, "episode_return_mean": 1.0}, title=r"PPO on my$\broken{env$_v1")


def test_a_full_disk_leaves_the_picture_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = MetricsLog(tmp_path)
    log.write({"timesteps_total": 1, "episode_return_mean": 2.0})
    picture = tmp_path / "learning_curve.png"
    picture.write_bytes(b"the picture before")

    def half(file: Path, data: bytes) -> None:
        with file.open("wb") as handle:
            handle.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="No space left"):
        draw_learning_curve(tmp_path / "metrics.csv", picture, "x")
    assert picture.read_bytes() == b"the picture before"
    assert not list(tmp_path.glob("*.partial*"))


# ----------------------------------------------------------------------------------------- several runs


def run_folder(folder: Path, seed: int, values: list[float], *, first: int = 100, **config: Any) -> Path:
    """Write the files of a run whose mean returns these are, a hundred steps apart."""
    folder.mkdir()
    described = {"algorithm": "PPO", "env": "CartPole-v1", "seed": seed, "config": {"seed": seed, **config}}
    (folder / "config.json").write_text(json.dumps(described))
    log = MetricsLog(folder)
    for number, value in enumerate(values):
        log.write({"timesteps_total": first + 100 * number, "episode_return_mean": value, "learner": {"loss": -value}})
    log.close()
    return folder


def test_seeds_are_one_line_with_a_band(tmp_path: Path) -> None:
    runs = [
        run_folder(tmp_path / "a", 1, [0.0, 10.0, 20.0]),
        run_folder(tmp_path / "b", 2, [20.0, 30.0, 40.0, 50.0], first=150),
        run_folder(tmp_path / "c", 1, [7.0], lr=0.5),
    ]
    together, alone = grouped([curve for run in runs if (curve := Curve.read(run, "episode_return_mean"))])
    assert together.label == "PPO on CartPole-v1 (2 seeds)"
    assert alone.label == "PPO on CartPole-v1, lr=0.5"
    steps, mean, low, high = together.band()
    # On lines of a tenth a step: 5 and 20 at 150 steps, where the second begins, 20 and 35 where the first ends.
    assert (steps[0], steps[-1]) == (150, 300)
    np.testing.assert_allclose([mean[0], low[0], high[0]], [12.5, 5, 20])
    np.testing.assert_allclose([mean[-1], low[-1], high[-1]], [27.5, 20, 35])
    assert together.latest == "27.5, 20 to 35 at 300 steps; 1 of 2 runs goes on to 450 steps"
    apart = [(steps.tolist(), values.tolist()) for steps, values in together.apart()]
    assert apart == [([100, 150], [0, 5]), ([300, 350, 450], [35, 40, 50])]
    for group in (alone, RunGroup("", together.curves[:1])):
        assert group.band()[1].tolist() == group.curves[0].values.tolist()
        assert group.apart() == []
    assert alone.latest == "7 at 100 steps"


def test_seeds_that_share_no_step_have_no_band(tmp_path: Path) -> None:
    runs = [run_folder(tmp_path / "a", 1, [1.0, 2.0]), run_folder(tmp_path / "b", 2, [3.0, 4.0], first=500)]
    (group,) = draw_curves(runs, tmp_path / "c.png")
    assert group.latest == "there is no step that all 2 runs cover"
    assert [values.tolist() for _, values in group.apart()] == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize("name", ["curves.png", "curves.svg", "curves.pdf"])
def test_the_ending_says_what_picture_it_is(tmp_path: Path, name: str) -> None:
    runs = [run_folder(tmp_path / str(seed), seed, [float(seed), 10.0, 20.0 + seed]) for seed in range(2)]
    draw_curves(runs, tmp_path / name)
    data = (tmp_path / name).read_bytes()
    assert data.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[name[-3:]])
    if name == "curves.png":
        image = matplotlib.image.imread(tmp_path / name)[..., :3]
        assert colours(image, BLUE) > 300
        light = (np.array(BLUE) * 0.2 + 255 * 0.8).round().astype(int)
        assert colours(image, tuple(light)) > 1000


def test_other_numbers_are_drawn(tmp_path: Path) -> None:
    (group,) = draw_curves([run_folder(tmp_path / "a", 1, [1.0, 2.0])], tmp_path / "loss.png", "learner/loss")
    assert group.curves[0].values.tolist() == [-1.0, -2.0]


def test_what_cannot_be_drawn_is_named(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "a", 1, [1.0, 2.0])
    for runs, picture, metric, message in [
        ([run], "curves.jpeg", "episode_return_mean", "pictures end in .png, .svg, .pdf"),
        ([tmp_path], "curves.png", "episode_return_mean", "is not the folder of a run: there is no metrics.csv in it"),
        ([run], "gone/curves.png", "episode_return_mean", "curves.png cannot be written: No such file or directory"),
        ([run], "curves.png", "learner/lost", "no numbers called 'learner/lost'. Did you mean 'learner/loss'?"),
    ]:
        with pytest.raises(ConfigError, match=re.escape(message)):
            draw_curves(runs, tmp_path / picture, metric)


def test_a_run_without_an_episode_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    endless = run_folder(tmp_path / "endless", 1, [])
    log = MetricsLog(endless)
    log.write({"timesteps_total": 100, "learner": {"loss": 2.0}})
    log.close()
    with pytest.raises(ConfigError, match=r"no episode of .*endless has ended, so there are no returns to draw"):
        draw_curves([endless], tmp_path / "a.png")
    (group,) = draw_curves([run_folder(tmp_path / "a", 2, [1.0, 2.0]), endless], tmp_path / "a.png")
    assert len(group.curves) == 1
    assert f"{endless} is left out" in caplog.text
    (group,) = draw_curves([endless], tmp_path / "a.png", "learner/loss")
    assert group.curves[0].values.tolist() == [2.0]


def test_runs_without_a_description_stay_apart(tmp_path: Path) -> None:
    runs = [run_folder(tmp_path / name, 1, [1.0, 2.0]) for name in ("ppo", "dqn")]
    for run in runs:
        (run / "config.json").unlink()
    assert [group.label for group in draw_curves(runs, tmp_path / "c.png")] == ["ppo", "dqn"]


@pytest.mark.parametrize("text", ['{"algorithm": "PPO", "env"', "[]", '{"config": []}', "{}"])
def test_a_damaged_description_is_named(tmp_path: Path, text: str) -> None:
    run = run_folder(tmp_path / "a", 1, [1.0, 2.0])
    (run / "config.json").write_text(text)
    shown = Shown(b"", {})
    for read in (lambda: draw_curves([run], tmp_path / "c.png"), lambda: run_page(run, shown)):
        with pytest.raises(ConfigError, match=re.escape(f"{run / 'config.json'} is damaged: it is to be a JSON")):
            read()


def test_a_folder_of_seeds_stands_for_its_runs(tmp_path: Path) -> None:
    (tmp_path / "three").mkdir()
    for seed in range(3):
        run_folder(tmp_path / "three" / f"seed-{seed}", seed, [1.0, float(seed)])
    alone = run_folder(tmp_path / "alone", 9, [1.0, 2.0], lr=0.5)
    together, other = draw_curves([tmp_path / "three", alone], tmp_path / "c.png")
    assert (len(together.curves), len(other.curves)) == (3, 1)


def test_runs_of_one_seed_are_no_seeds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    runs = [run_folder(tmp_path / name, seed, [1.0, 2.0]) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    (pair,) = draw_curves(runs[:2], tmp_path / "c.png")
    assert pair.label == "PPO on CartPole-v1 (2 runs, 1 seed)"
    assert [record.getMessage() for record in caplog.records] == [
        f"{runs[0]}, {runs[1]} have the same settings and the same seed, 1: the band does not show how seeds differ."
    ]
    (three,) = draw_curves(runs, tmp_path / "c.png")
    assert three.label == "PPO on CartPole-v1 (3 runs, 2 seeds)"


def test_numbers_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    runs = [run_folder(tmp_path / str(seed), seed, [1.0, np.nan, 3.0]) for seed in range(2)]
    (group,) = draw_curves(runs, tmp_path / "c.png")
    assert [curve.values.tolist() for curve in group.curves] == [[1.0, 3.0]] * 2
    broken = [run_folder(tmp_path / f"nan{seed}", seed, [np.nan, np.inf]) for seed in range(2)]
    with pytest.raises(ConfigError, match="all numbers called 'learner/loss' are NaN or infinite"):
        draw_curves(broken, tmp_path / "c.png", "learner/loss")
