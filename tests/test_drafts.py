from __future__ import annotations

import errno
from pathlib import Path

import pytest

from anyspace.drafts import draft_of, draft_path, drafts_of, write_whole, writing
from anyspace.errors import ExportError
from anyspace.execution.stopping import RunStopped


def fail(file: Path, error: BaseException) -> None:
    with draft_of(file) as draft:
        draft.write_text("half")
        raise error


def test_two_who_write_one_file_do_not_meet(tmp_path: Path) -> None:
    file = tmp_path / "best.toml"
    with draft_of(file) as one, draft_of(file) as other:
        one.write_text("one")
        other.write_text("other")
    assert [*tmp_path.iterdir()] == [file]
    assert file.read_text() == "one"


def test_files_of_others_stay_as_they_are(tmp_path: Path) -> None:
    for name in ("curves.partial", "curves.png.partial", ".curves.partial.png"):
        (tmp_path / name).write_text("mine")
    write_whole(tmp_path / "curves.png", b"picture")
    assert (tmp_path / "curves.png").read_bytes() == b"picture"
    assert sorted(file.name for file in tmp_path.iterdir() if file.read_text() == "mine") == [
        ".curves.partial.png",
        "curves.partial",
        "curves.png.partial",
    ]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), ValueError("wrong"), KeyboardInterrupt(), RunStopped(15, "stopped")]
)
def test_an_error_leaves_the_old_file_and_no_draft(tmp_path: Path, error: BaseException) -> None:
    file = tmp_path / "a.json"
    file.write_text("old")
    with pytest.raises(type(error)):
        fail(file, error)
    assert [*tmp_path.iterdir()] == [file]
    assert file.read_text() == "old"


def test_what_a_kill_leaves_is_found_again(tmp_path: Path) -> None:
    for name in ("step-1.gif", "step-2.gif", "other.gif"):
        draft_path(tmp_path / name).touch()
    assert len(drafts_of(tmp_path / "other.gif")) == 1
    assert len(drafts_of(tmp_path / "step-*.gif")) == 2
    assert not drafts_of(tmp_path / "step-1.mp4")


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    file = tmp_path / "gone" / "a.svg"
    with (
        pytest.raises(ExportError, match=r"a\.svg cannot be written: No such file or directory"),
        writing(file, ExportError),
    ):
        write_whole(file, b"")
