"""Commands and functions in processes of their own, forked from one that has imported everything already."""

from __future__ import annotations

import functools
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from anyspace.cli import main

ROOT = Path(__file__).parents[2]


@functools.cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.warm"])
    return context


_started: list[BaseProcess] = []


def start(target: Callable[..., Any], *args: Any, folder: Path, log: str = "log") -> BaseProcess:
    """Start ``target(*args)``, which returns an exit status, in ``folder``; the file ``log`` there gets its words."""
    here = Path.cwd()
    os.chdir(ROOT)  # where the server of the forks is started, and finds its modules
    try:
        process = _context().Process(target=_run, args=(target, args, folder, log))
        process.start()
        _started.append(process)
    finally:
        os.chdir(here)
    return process


def command(*words: str, folder: Path, log: str = "log") -> BaseProcess:
    """Start ``anyspace WORDS`` in ``folder``."""
    return start(main, words, folder=folder, log=log)


def ended(process: BaseProcess, seconds: float = 120.0) -> int:
    """Wait for the end of a process and return its exit status, a negative number where a signal ended it."""
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        raise AssertionError(f"process {process.pid} did not end within {seconds} s")
    return process.exitcode


def kill_all() -> None:
    """End what still runs: for the end of a test that failed."""
    for process in _started:
        process.kill()
        process.join()
    _started.clear()


def wait_for(condition: Callable[[], object], process: BaseProcess, seconds: float = 120.0) -> None:
    """Wait until a condition holds, as long as the process runs."""
    until = time.monotonic() + seconds
    while not condition():
        assert process.is_alive(), f"the process ended with status {process.exitcode}"
        assert time.monotonic() < until, "what was waited for did not come"
        time.sleep(0.005)


def _run(target: Callable[..., Any], args: Sequence[Any], folder: Path, log: str) -> None:
    os.chdir(folder)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.stdout, sys.stderr = open(1, "w", buffering=1, closefd=False), open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    try:
        status = target(*args)
    except Exception:
        traceback.print_exc()
        status = 99
    sys.exit(status)
