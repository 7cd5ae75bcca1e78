"""``anyspace record``, and videos of ``anyspace train``."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from anyspace.cli import main
from tests.cli.support import TINY, run


def test_a_run_is_filmed(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    words = ["train", "toys:Drawn", "--steps", "32", "--out", "run", "--evaluate", "0", "--video-every", "16", *TINY]
    assert main(words) == 0
    assert sorted(file.name for file in (folder / "run" / "videos").glob("*.gif")) == [
        "step-000000016.gif",
        "step-000000032.gif",
    ]
    status, out, err = run(capsys, "record", "run", "--episodes", "2", "--out", "a.gif", "--trust")
    assert status == 0, err
    assert out.endswith("kB)\n")
    assert "episode 2: return 4, 4 steps\nvideo: a.gif (" in out
    status, out, err = run(capsys, "record", "run", "--trust")
    assert "video: run/videos/step-000000032.gif" in out


@pytest.mark.parametrize(
    "commands",
    [
        ["record run --out a.gif --trust", "record run --env toys:Roaming --trust", "report run --episodes 1 --trust"],
        ["train toys:Roaming --weights-from run --out b --steps 16 --seeds 2", "inspect toys:Roaming --out a.svg"],
    ],
)
def test_environments_may_change_the_current_folder(
    capsys: pytest.CaptureFixture[str], folder: Path, commands: list[str]
) -> None:
    train = "train toys:Roaming --steps 32 --out run --evaluate 1 --video-every 32"
    for command in (train, *commands):
        words = [*command.split(), *(TINY if command.startswith("train") else ())]
        status, _, err = run(capsys, *words)
        assert status == 0, err
    assert [*Path(os.environ["ELSEWHERE"]).iterdir()] == []


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--out", "a.avi"], "error: the video is to be a.avi, but videos end in .mp4 or .gif."),
        (["--episodes", "0"], "error: --episodes is 0, but it must be at least 1."),
        ([], "error: no checkpoint at nowhere"),
    ],
)
def test_wrong_input(capsys: pytest.CaptureFixture[str], folder: Path, words: list[str], error: str) -> None:
    status, _, err = run(capsys, "record", "nowhere", *words)
    assert (status, err.startswith(error)) == (2, True), err


def test_what_draws_nothing_is_refused_before_training(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    status, _, err = run(capsys, "train", "toys:Blind", "--out", "run", "--video-every", "16", *TINY)
    assert status == 2
    assert "a video needs the render mode 'rgb_array', which toys:Blind lacks" in err
    assert not (folder / "run").exists()


def test_a_run_is_played_with_other_arguments(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert main(["train", "CartPole-v1", "--steps", "32", "--out", "run", "--evaluate", "0", *TINY]) == 0
    limit = ["--env-config", '{"max_episode_steps": 3}']
    status, out, err = run(capsys, "evaluate", "run", "--episodes", "2", "--json", *limit)
    assert status == 0, err
    assert json.loads(out.splitlines()[-1])["lengths"] == [3, 3]
    status, out, err = run(capsys, "evaluate", "run", "--env-config", '{"wight": 3}')
    assert (status, "`env_config` holds 'wight'" in err) == (2, True), err
    status, out, err = run(capsys, "export", "run", "f.onnx", "--episodes", "0", *limit)
    assert (status, "--episodes 0 makes no environment, but --env-config is" in err) == (2, True), err
