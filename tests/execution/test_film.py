"""Films: what is written, how long it lasts, and what is refused."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anyspace.errors import ConfigError, EnvironmentSetupError
from anyspace.execution import film as films
from anyspace.execution.film import Film, FilmError, video_files, writes_mp4
from anyspace.execution.run_files import VIDEOS
from anyspace.execution.web_page import latest_video

HEIGHT, WIDTH = 65, 97


def pictures(count: int) -> list[np.ndarray]:
    return [np.full((HEIGHT, WIDTH, 3), 10 * t, np.uint8) for t in range(count)]


# What reads the film leaves its pipes to be closed by the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_an_mp4_holds_every_picture(tmp_path: Path) -> None:
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    with Film([tmp_path / "new" / "a.mp4"]) as film:
        for picture in pictures(20):
            film.add(picture, 10.0)
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["a.mp4"]
    found = imageio_ffmpeg.read_frames(tmp_path / "new" / "a.mp4")
    about = next(found)
    # Enlarged three times, so that 65 pixels can be seen, and even, as H.264 wants it.
    assert (about["fps"], about["codec"], about["size"]) == (10.0, "h264", (292, 196))
    frames = [np.frombuffer(frame, np.uint8).mean() for frame in found]
    del found
    gc.collect()
    assert len(frames) == pytest.approx(20, abs=1)
    np.testing.assert_allclose(frames[:20:4], [0, 40, 80, 120, 160], atol=4)


@pytest.mark.parametrize(("rate", "kept", "milliseconds"), [(10.0, 20, 100), (50.0, 10, 40), (60.0, 7, 50)])
def test_a_gif_is_as_quick_as_the_film(tmp_path: Path, rate: float, kept: int, milliseconds: int) -> None:
    with Film([tmp_path / "a.gif"]) as film:
        for picture in pictures(20):
            film.add(picture, rate)
    with Image.open(tmp_path / "a.gif") as gif:
        assert (gif.n_frames, gif.info["duration"], gif.info["loop"]) == (kept, milliseconds, 0)
        assert gif.size == (292, 196)


def test_a_long_gif_leaves_pictures_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(films, "GIF_PICTURES", 8)
    with Film([tmp_path / "a.gif"]) as film:
        for picture in pictures(20):
            film.add(picture, 10.0)
    with Image.open(tmp_path / "a.gif") as gif:
        assert (gif.n_frames, gif.info["duration"]) == (5, 400)


def test_a_picture_that_stays_is_shown_for_a_minute_at_most(tmp_path: Path) -> None:
    """A GIF holds a duration in two bytes."""
    still = np.zeros((20, 30, 3), np.uint8)
    with Film([tmp_path / "a.gif"]) as film:
        for _ in range(300):
            film.add(still, 1.0)
        film.add(still + 200, 1.0)
    with Image.open(tmp_path / "a.gif") as gif:
        assert (gif.n_frames, gif.info["duration"]) == (2, 60_000)


def test_nothing_is_left_of_a_film_that_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with Film(video_files(tmp_path, 7)) as film:
            film.add(pictures(1)[0], 10.0)
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        fail()
    assert [*tmp_path.iterdir()] == []


def test_pictures_of_another_size_are_fitted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Film([tmp_path / "a.gif"]) as film:
        for height, width in ((200, 300), (100, 400), (300, 200)):
            film.add(np.full((height, width, 3), 255, np.uint8), 10.0)
    with Image.open(tmp_path / "a.gif") as gif:
        white = []
        for number in range(gif.n_frames):
            gif.seek(number)
            white.append((np.asarray(gif.convert("L")) > 128).sum())
    assert white == [200 * 300, 100 * 300, 200 * 200]
    assert [record.message.count("(100, 400, 3) after one of (200, 300, 3)") for record in caplog.records] == [1]


@pytest.mark.parametrize("broken", ["__init__", "add", "finish"])
def test_every_file_is_closed_if_one_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    finished: list[str] = []

    class Reel:
        def __init__(self, file: Path, size: object, rate: float):
            self.file = file
            file.write_text("draft")
            self.fail("__init__")

        def fail(self, where: str) -> None:
            if where == broken and self.file.name.startswith(".b."):
                raise OSError("full")

        def add(self, picture: object) -> None:
            self.fail("add")

        def finish(self) -> None:
            finished.append(self.file.name)
            self.fail("finish")

    monkeypatch.setitem(films._KINDS, ".gif", Reel)

    def fails() -> None:
        with Film([tmp_path / f"{name}.gif" for name in "abc"]) as film:
            film.add(pictures(1)[0], 10.0)

    with pytest.raises(FilmError, match=r"cannot be written: full\."):
        fails()
    assert [name[1] for name in finished] == (["a"] if broken == "__init__" else ["a", "b", "c"])
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("drawn", [0, 3])
def test_pictures_of_one_colour_are_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture, drawn: int) -> None:
    """Environments draw nothing where they believe that nobody looks."""
    with Film([tmp_path / "film.gif"]) as film:
        for number, picture in enumerate(pictures(5)):
            picture[2, 3, 1] += number == drawn - 1
            film.add(picture, 10.0)
    assert ("every picture is of one colour" in caplog.text) == (drawn == 0)


def test_a_film_without_a_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentSetupError, match=r"no picture came for .*a\.gif"), Film([tmp_path / "a.gif"]):
        pass
    with Film([]):
        pass


def test_two_films_of_one_name_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two runs, say, whose videos go into one folder."""

    class Reel:
        """Writes while pictures come, as ffmpeg does."""

        def __init__(self, file: Path, size: object, rate: float):
            self.file = file
            file.write_text("begun")

        def add(self, picture: object) -> None:
            pass

        def finish(self) -> None:
            assert self.file.read_text() == "begun"

    monkeypatch.setitem(films._KINDS, ".gif", Reel)
    with Film([tmp_path / "film.gif"]) as one, Film([tmp_path / "film.gif"]) as other:
        one.add(pictures(1)[0], 10.0)
        other.add(pictures(2)[1], 10.0)
    assert [*tmp_path.iterdir()] == [tmp_path / "film.gif"]


def test_a_draft_is_no_video_of_a_run(tmp_path: Path) -> None:
    videos = tmp_path / VIDEOS
    videos.mkdir()
    for name in (".step-9.0a1b2c3d.partial.gif", "mine.gif", "step-9.gif", "step-10.gif"):
        (videos / name).write_text("")
    assert latest_video(tmp_path, 10) == videos / "step-10.gif"
    assert latest_video(tmp_path, 9) == videos / "step-9.gif"
    assert latest_video(tmp_path, 8) is None


def test_other_kinds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"the video is to be a\.avi, but videos end in"):
        Film([Path("a.avi")])
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert not writes_mp4()
    assert video_files(Path("v"), 1200) == [Path("v/step-000001200.gif")]
    with pytest.raises(ConfigError, match=r"not installed: pip install 'anyspace\[video\]'"):
        Film([Path("a.mp4")])


def test_what_cannot_be_written_is_said_at_the_end_and_fails_no_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pictures come from within a step of an environment, whose fault a full disk is not."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def filmed() -> None:
        with Film([tmp_path / "a.gif"]) as film:
            for picture in pictures(3):
                film.add(picture, 10.0)

    monkeypatch.setattr(films._Gif, "add", full)
    with pytest.raises(FilmError, match=r"a\.gif cannot be written: No space left"):
        filmed()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(films, "probe_folder", full)
    with pytest.raises(FilmError, match="No space left on device"):
        Film([tmp_path / "a.gif"]).require_room()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_an_mp4_without_an_end_is_noticed(tmp_path: Path) -> None:
    """ffmpeg itself says nothing of that."""
    pytest.importorskip("imageio_ffmpeg")
    code = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from anyspace.execution.film import Film, FilmError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
rng = np.random.default_rng(0)
try:
    with Film([Path(sys.argv[1]) / "a.mp4"]) as film:
        for _ in range(20):
            film.add(rng.integers(0, 255, (200, 200, 3), np.uint8), 10.0)
except FilmError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert "a.mp4 cannot be written" in run.stdout, run.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_long_thin_picture_is_not_enlarged_beyond_a_screen(tmp_path: Path) -> None:
    with Film([tmp_path / "tape.gif"]) as film:
        film.add(np.zeros((1000, 3, 3), np.uint8), 10.0)
    with Image.open(tmp_path / "tape.gif") as gif:
        assert gif.size == (4, 1000)
    pytest.importorskip("imageio_ffmpeg")
    with Film([tmp_path / "tape.mp4"]) as film:
        film.add(np.zeros((1, 100, 3), np.uint8), 10.0)


def test_a_picture_of_a_slow_film_is_shown_for_a_minute_at_most(tmp_path: Path) -> None:
    with Film([tmp_path / "slow.gif"]) as film:
        for picture in pictures(2):
            film.add(picture, 1e-3)
    with Image.open(tmp_path / "slow.gif") as gif:
        assert gif.info["duration"] == 60_000
