"""Episodes that are filmed: by hand, and every so many steps of training."""

from __future__ import annotations

import errno
import os
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anyspace import PPO
from anyspace.errors import ConfigError, EnvironmentSetupError
from anyspace.execution import film
from anyspace.execution.callbacks import RecordVideo
from tests.support.environments import Drawn, Samples

SMALL: dict[str, Any] = {
    "num_envs_per_env_runner": 2,
    "train_batch_size": 16,
    "minibatch_size": 16,
    "num_epochs": 1,
    "seed": 0,
    "model": {"fcnet_hiddens": [4]},
}


def test_episodes_are_filmed_one_after_the_other(tmp_path: Path) -> None:
    algo = PPO(Drawn, SMALL)
    result = algo.record(tmp_path / "two.gif", 2)
    assert (result["returns"], result["lengths"]) == ([4.0, 4.0], [4, 4])
    with Image.open(tmp_path / "two.gif") as gif:
        # Five pictures an episode, every second of which is kept: 25 a second are as many as browsers show.
        assert (gif.n_frames, gif.info["duration"]) == (5, 40)
        dots = []
        for number in range(5):
            gif.seek(number)
            dots.append(int(np.asarray(gif.convert("L"))[0].argmax()) // 3)
    assert dots == [0, 2, 4, 1, 3]
    algo.close()


def test_this_process_films_where_workers_evaluate(tmp_path: Path) -> None:
    algo = PPO(Drawn, {**SMALL, "evaluation_num_env_runners": 1, "fleet": "serial"})
    assert algo.record(tmp_path / "one.gif")["lengths"] == [4]
    algo.close()


def test_training_is_filmed(tmp_path: Path) -> None:
    algo = PPO(Drawn, SMALL)
    algo.learn(64, out=tmp_path / "run", callback=RecordVideo(30), progress=False)
    assert {file.stem for file in (tmp_path / "run" / "videos").iterdir()} == {"step-000000032", "step-000000064"}
    with pytest.raises(ConfigError, match="no place for its videos"):
        PPO(Drawn, SMALL).learn(64, callback=RecordVideo(30), progress=False)
    with pytest.raises(ConfigError, match=r"RecordVideo\(every=0, episodes=1\): both are at least 1"):
        RecordVideo(0)


def test_a_video_without_room_ends_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(folder: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(film, "probe_folder", full)
    with closing(PPO(Drawn, SMALL)) as algo:
        algo.learn(32, out=tmp_path / "run", callback=RecordVideo(30), progress=False)
    (text,) = [text for text in caplog.messages if "video" in text]
    assert re.search(r"step-000000032.*No space left on device\)\. Training goes on", text)


class Breaks(Drawn):
    def render(self) -> Any:
        if self.t == 2:
            raise RuntimeError("no context")
        return super().render()


def test_a_picture_that_fails_ends_no_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(PPO(Breaks, SMALL)) as algo:
        algo.learn(64, out=tmp_path / "run", callback=RecordVideo(30), progress=False)
    (text,) = [text for text in caplog.messages if "video" in text]
    assert "the video at 32 steps failed (RuntimeError: " in text
    assert "no context" in text
    assert algo.timesteps_total == 64


def without_pictures() -> Samples:
    return Samples(Drawn.observation_space, Drawn.action_space)


class Empty(Drawn):
    def render(self) -> Any:
        return None


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (without_pictures, "a video needs the render mode 'rgb_array', which without_pictures lacks"),
        (Empty, r"Empty.render\(\) returned None, but in the render mode 'rgb_array' it returns a picture"),
    ],
)
def test_an_environment_without_pictures_is_refused(tmp_path: Path, env: Any, message: str) -> None:
    with pytest.raises(EnvironmentSetupError, match=message):
        PPO(env, SMALL).record(tmp_path / "a.gif")
    assert [*tmp_path.iterdir()] == []
