"""One writer to a run folder."""

from __future__ import annotations

import errno
import os
import socket
import time
from pathlib import Path

import pytest

from anyspace.errors import ConfigError
from anyspace.execution import run_lock
from anyspace.execution.run_lock import RunLock


def test_a_folder_has_one_writer(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    with pytest.raises(ConfigError) as caught:
        RunLock(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path} is being written by process {os.getpid()} on {socket.gethostname()} since ")
    assert message.endswith("Wait for its end, stop it, or choose another --out (in Python: `out`).")
    lock.release()
    lock.release()
    assert list(tmp_path.iterdir()) == []
    RunLock(tmp_path).release()


def test_what_a_killed_process_left_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "run.lock").write_text("process 1 on elsewhere since the day before yesterday, and a longer text")
    lock = RunLock(tmp_path)
    assert (tmp_path / "run.lock").read_text().startswith(f"process {os.getpid()} on ")
    assert "yesterday" not in (tmp_path / "run.lock").read_text()
    lock.release()


def test_a_forked_process_does_not_hold_the_lock(tmp_path: Path) -> None:
    """An environment's process may outlive a run that was killed."""
    lock = RunLock(tmp_path)
    started, begins = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(begins, b"x")
        time.sleep(60)
        os._exit(0)
    try:
        os.read(started, 1)
        os.close(lock._descriptor)  # what a kill of this process does
        RunLock(tmp_path).release()
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        run_lock._held.discard(lock._descriptor)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks_costs_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    def unsupported(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(run_lock, "_lock", unsupported)
    lock = RunLock(tmp_path)
    (text,) = caplog.messages
    assert f"cannot be locked ({os.strerror(number)})" in text
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_on_a_file_that_was_removed_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other run ended between opening its lock's file and locking it."""
    real, first = run_lock._lock, []

    def lock(descriptor: int) -> None:
        if not first:
            first.append(descriptor)
            (tmp_path / "run.lock").unlink()
        real(descriptor)

    monkeypatch.setattr(run_lock, "_lock", lock)
    held = RunLock(tmp_path)
    assert (tmp_path / "run.lock").exists()
    with pytest.raises(ConfigError, match="is being written by"):
        RunLock(tmp_path)
    held.release()


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"run\.lock"):
        RunLock(tmp_path / "missing")
