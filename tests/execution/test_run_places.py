"""Places in which a run cannot be written: files in the way, read-only and full disks."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anyspace.errors import ConfigError
from anyspace.execution import run_folder
from anyspace.execution.curves import draw_learning_curve
from anyspace.execution.run import Saving, learn
from tests.support.counts import Counts, ran, saved

pytestmark = pytest.mark.usefixtures("without_curves")


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(ConfigError) as caught:
            ran(Counts(), out)
        assert str(caught.value) == (
            f"cannot write a run into {out}: {tmp_path / 'file'} is a file. Choose another --out (`out` in Python)."
        )


def test_a_folder_in_which_nothing_can_be_made(tmp_path: Path) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("there is no /proc")
    with pytest.raises(ConfigError, match="cannot write a run into /proc/self/run: "):
        ran(Counts(), Path("/proc/self/run"))


@pytest.mark.parametrize("is_new", [False, True], ids=["as before", "with a new column"])
def test_a_run_goes_on_beside_a_table_that_somebody_spoilt(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, is_new: bool
) -> None:
    def on_train(iteration: int) -> None:
        if iteration == 4:
            (tmp_path / "metrics.csv").write_text("notes of mine\n1;2;3\n")

    def with_a_column(algorithm: Counts, result: dict[str, Any]) -> None:
        if is_new and algorithm.timesteps_total > 50:
            result["mine"] = 1.0

    monkeypatch.setattr(run_folder, "draw_learning_curve", draw_learning_curve)
    done = Counts(on_train=on_train)
    learn(done, 80, tmp_path, False, saving=Saving(20), progress=False, callback=with_a_column)
    assert saved(tmp_path) == 80
    place = "metrics" if is_new else "learning curve"
    assert f"{tmp_path}: the {place} cannot be written ({tmp_path / 'metrics.csv'} is damaged" in caplog.text


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if os.name != "posix" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as handle:
        for size in (4096, 1):
            try:
                while True:
                    handle.write(bytes(size))
            except OSError:
                pass
    return filler


def test_a_read_only_folder_is_refused(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for out in (disk, disk / "a" / "run"):
        with pytest.raises(
            ConfigError, match=r"cannot write a run into .*: Read-only file system\. Choose another --out"
        ):
            ran(Counts(), out)


def test_a_full_disk_is_refused(disk: Path) -> None:
    fill(disk)
    with pytest.raises(
        ConfigError, match=r"cannot write a run into .*: No space left on device\. Choose another --out"
    ):
        ran(Counts(), disk / "run")
    assert [file.name for file in disk.iterdir()] == ["filler"]


def test_a_run_goes_on_while_its_disk_is_full(disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    fillers: list[Path] = []

    def on_train(iteration: int) -> None:
        if iteration == 4:
            fillers.append(fill(disk))
        if iteration == 9:
            assert saved(disk / "run") == 20
            fillers[0].unlink()

    learn(Counts(range(100), on_train=on_train), 150, disk / "run", False, saving=Saving(20), progress=False)
    assert caplog.messages
    assert all("cannot be written (No space left on device)" in text for text in caplog.messages)
    assert saved(disk / "run") == 150
    assert len((disk / "run" / "metrics.csv").read_text().splitlines()) == 16
    assert not list((disk / "run").rglob("*.partial*"))
