"""Programs that start and end a Ray of their own: signals, machines, memory, and what they leave behind. Minutes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anyspace.execution.log import read_metrics
from tests.support.processes import ROOT

pytest.importorskip("ray")

pytestmark = [pytest.mark.ray, pytest.mark.xdist_group("ray")]

TINY = ("--train-batch-size", "32", "--minibatch-size", "32", "--num-epochs", "1", "--model.fcnet-hiddens", "4")
SECONDS = 240.0


@pytest.fixture
def short() -> Iterator[Path]:
    """Yield a folder with a short path, as sockets need, and see that no process outlives what was started for it."""
    folder = Path(tempfile.mkdtemp(prefix="r", dir="/tmp"))
    yield folder
    until = time.monotonic() + 20
    while (left := processes_of(folder)) and time.monotonic() < until:
        time.sleep(0.5)
    for process in left:
        os.kill(process, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)
    assert not left, f"{len(left)} processes are left"


def processes_of(folder: Path) -> list[int]:
    """Return the processes that were started for a folder, by whomever: all inherit their environment."""
    mark, found = f"RAY_TMPDIR={folder}".encode(), []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in entry.read_bytes().split(b"\0"):
                found.append(int(entry.parent.name))
        except OSError:  # it has just ended, or is another user's
            continue
    return found


def started(*words: str, folder: Path) -> subprocess.Popen[str]:
    """Start Python with some words, in a process group of its own."""
    environment = {**os.environ, "RAY_TMPDIR": str(folder), "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    environment.pop("RAY_ADDRESS", None)
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ran(name: str, folder: Path) -> tuple[dict[str, Any], str]:
    """Return what a program of `tests.support.ray_programs` found, and what it said."""
    process = started("-m", "tests.support.ray_programs", name, folder=folder)
    out, told = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, told
    return json.loads(out.splitlines()[-1]), told


def test_ray_is_started_for_as_many_workers_as_there_are(short: Path) -> None:
    found, _ = ran("own", short)
    assert found["handlers"]
    assert found["anew"]
    assert "but Ray has 8, of which other algorithms of this program hold 8" in found["refused"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_after_its_iteration(short: Path, how: signal.Signals) -> None:
    """Ctrl-C reaches the whole process group, and workers are in groups of their own."""
    run = short / "run"
    flags = ("--preset", "none", "--no-progress", "--evaluate", "0", "--num-env-runners", "2", "--out", str(run))
    process = started("-m", "anyspace", "train", "CartPole-v1", "--steps", "10000000", *TINY, *flags, folder=short)
    until = time.monotonic() + SECONDS
    while not (run / "metrics.csv").exists() or len(list(read_metrics(run / "metrics.csv"))) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.2)
    if how is signal.SIGINT:
        os.killpg(process.pid, how)
    else:
        os.kill(process.pid, how)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + how, told
    assert "Traceback" not in told
    assert (run / "checkpoint").is_dir()
    assert {float(row["fleet/restarts"]) for row in read_metrics(run / "metrics.csv")} == {0.0}


def test_what_the_object_store_has_no_room_for_arrives_as_well(short: Path) -> None:
    found, told = ran("store", short)
    assert found["store"] == pytest.approx(80e6, rel=0.1)
    assert min(found["steps"]) >= 4000
    assert (found["restarts"], found["lost"], found["stale"]) == (0, 0, 0)
    assert "4 fragments may be under way, of 28.6 MB each, but Ray's object store has 80 MB" in told


def test_a_machine_that_is_lost_costs_a_fragment(short: Path) -> None:
    found, told = ran("machine", short)
    # Two workers give 8 rows each; one row less for each episode that ends, which depends on when the worker was lost.
    assert all(13 <= steps <= 16 for steps in found["steps"]), found
    assert found["restarts"] >= 1, told
