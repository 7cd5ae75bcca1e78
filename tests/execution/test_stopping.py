"""Signals that ask a run to stop."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anyspace.execution.stopping import RunStopped, stop_signals
from tests.support.counts import Counts, ran, saved

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


pytestmark = pytest.mark.usefixtures("without_curves")


def send(*signals: int) -> None:
    for one in signals:
        os.kill(os.getpid(), one)
        time.sleep(0.001)  # the handler runs between two lines of the main thread


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Every handler is as it was before; none is ignored, as ``nohup`` has it of those that it starts."""
    outside = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    before = {one: signal.getsignal(one) for one in SIGNALS}
    yield
    for one, handler in before.items():
        assert signal.getsignal(one) is handler
        signal.signal(one, handler)
    signal.signal(signal.SIGHUP, outside)


@pytest.mark.parametrize(("one", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_run_that_is_terminated_saves_and_ends_with_the_status_of_the_signal(
    tmp_path: Path, one: int, status: int
) -> None:
    algorithm = Counts(on_train=lambda iteration: send(one) if iteration == 3 else None)
    with pytest.raises(SystemExit) as caught:
        ran(algorithm, tmp_path)
    assert isinstance(caught.value, RunStopped)
    assert caught.value.code == caught.value.status == status
    assert str(caught.value) == (
        "stopped. The run is saved at 30 steps, after its last whole iteration. Go on with\n"
        f"  anyspace train --resume {tmp_path}"
    )
    assert saved(tmp_path) == 30


def test_a_second_signal_ends_the_run_at_once(tmp_path: Path) -> None:
    algorithm = Counts(on_train=lambda iteration: send(signal.SIGINT, signal.SIGTERM) if iteration == 5 else None)
    with pytest.raises(RunStopped, match="stopped at once; the latest checkpoint is whole") as caught:
        ran(algorithm, tmp_path, every=20)
    assert caught.value.status == 143
    assert algorithm.iterations == 4
    assert saved(tmp_path) == 40


def test_what_is_said() -> None:
    for one, name in ((signal.SIGINT, "Ctrl-C again"), (signal.SIGTERM, "a second SIGTERM")):
        said: list[str] = []
        with stop_signals(said.append) as stop:
            send(one)
        assert stop.signum == one
        assert said == [f"Stopping after this iteration; {name} stops at once."]


def test_nohup_is_respected() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signals(print) as stop:
            send(signal.SIGHUP)
            assert stop.signum is None
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_handler_of_the_program_stays() -> None:
    got: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: got.append(number))
    try:
        with stop_signals(print) as stop:
            send(signal.SIGTERM)
            assert (stop.signum, got) == (None, [signal.SIGTERM])
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_handler_of_ray_is_replaced_for_the_run(tmp_path: Path) -> None:
    """It ends the process at once, and nothing would be saved."""

    def ends_the_process(number: int, frame: Any) -> None:
        raise AssertionError("nothing is saved")

    ends_the_process.__module__ = "ray._private.node"
    before = signal.signal(signal.SIGTERM, ends_the_process)
    try:
        with pytest.raises(RunStopped):
            ran(Counts(on_train=lambda iteration: send(signal.SIGTERM) if iteration == 3 else None), tmp_path)
        assert saved(tmp_path) == 30
        assert signal.getsignal(signal.SIGTERM) is ends_the_process
    finally:
        signal.signal(signal.SIGTERM, before)


def test_another_thread_gets_no_signals() -> None:
    seen: list[Any] = []

    def work() -> None:
        with stop_signals(print):
            seen.extend(signal.getsignal(one) for one in SIGNALS)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(one) for one in SIGNALS]


@pytest.mark.parametrize(("one", "ends"), [(signal.SIGTERM, True), (signal.SIGHUP, True), (signal.SIGINT, False)])
def test_a_process_that_is_forked_in_a_run_can_be_terminated(one: int, ends: bool) -> None:
    """Ctrl-C goes to the environments' processes as well; the run needs them until its iteration is over."""
    with stop_signals(print):
        child = os.fork()
        if child == 0:
            send(one)
            os._exit(7)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == (-one if ends else 7)
