"""Signals that ask a run to stop: Ctrl-C, SIGTERM (Slurm, Docker, Kubernetes), and SIGHUP when a terminal closes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

TERMINATIONS = tuple(signal.Signals[name] for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What ends a process unless it says otherwise."""


class RunStopped(SystemExit):
    """SIGTERM or SIGHUP ended a run; uncaught, it ends the process with the exit status.

    Attributes:
        status: 143 after SIGTERM, 129 after SIGHUP.
    """

    def __init__(self, signum: int, text: str):
        self.status = 128 + signum
        super().__init__(self.status)
        self.text = text

    def __str__(self) -> str:
        return self.text


class StopRequest:
    """What signals have asked for so far.

    Attributes:
        signum: the first signal that came, or None. The run stops after the current iteration.
        at_once: a second signal came, which raises an error where the process is.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self.at_once = False

    def error(self, text: str, signum: int | None = None) -> BaseException:
        """Return what a stopped run raises: ``KeyboardInterrupt`` after Ctrl-C, else :class:`RunStopped`."""
        number = signum or self.signum or signal.SIGINT
        return KeyboardInterrupt(text) if number == signal.SIGINT else RunStopped(number, text)


@contextmanager
def stop_signals(say: Callable[[str], None]) -> Iterator[StopRequest]:
    """Let the first signal ask for a stop, and the second one stop at once, for the length of the context.

    A handler of SIGTERM or SIGHUP that the program has set stays, and so does the order to ignore SIGHUP (``nohup``).
    The one that ``ray.init`` sets ends the process with nothing saved; it is replaced like the default.
    Processes that are forked in the context end as if there were no handler. Signals reach the main thread only: in
    another thread the context does nothing.

    Args:
        say: called with a line for the user when the first signal comes.
    """
    request, owner = StopRequest(), os.getpid()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def handle(signum: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:
            _end_forked_process(signum)
        elif request.signum is not None:
            request.at_once = True
            raise request.error("stopped at once; the latest checkpoint is whole", signum)
        else:
            request.signum = signum
            again = "Ctrl-C again" if signum == signal.SIGINT else f"a second {signal.Signals(signum).name}"
            say(f"Stopping after this iteration; {again} stops at once.")

    taken = [signal.SIGINT, *(one for one in TERMINATIONS if _is_default_or_rays(signal.getsignal(one)))]
    previous = {one: signal.signal(one, handle) for one in taken}
    try:
        yield request
    finally:
        _put_back(previous)


def _is_default_or_rays(handler: object) -> bool:
    """Return whether the program has left it to others what a signal does."""
    return handler is signal.SIG_DFL or str(getattr(handler, "__module__", "")).partition(".")[0] == "ray"


@contextmanager
def kept_handlers() -> Iterator[None]:
    """Put back the handlers of SIGTERM and SIGHUP that the context replaces; in another thread it does nothing."""
    is_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in TERMINATIONS} if is_main else {}
    try:
        yield
    finally:
        _put_back(before)


def _put_back(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        # None: it was not set from Python, and Python cannot put it back.
        signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _end_forked_process(signum: int) -> None:
    """End an environment's process on SIGTERM; Ctrl-C reaches it as well, but the run still needs it."""
    if signum != signal.SIGINT:
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)
