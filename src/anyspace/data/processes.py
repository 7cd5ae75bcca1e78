"""Environments in processes of their own, whose errors arrive whole."""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any

import gymnasium as gym
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.vector.async_vector_env import AsyncState, _async_worker

from anyspace.errors import AnyspaceError, EnvironmentSetupError

Maker = Callable[[], gym.Env[Any, Any]]


class Processes(AsyncVectorEnv):
    """One environment in each process.

    An error that an environment raises is raised here again, with the traceback of its process as a note. What of an
    info cannot be sent is left out.

    Args:
        makers: what makes the environments.
        shared_memory: whether observations go through shared memory; their spaces then have one shape.
    """

    def __init__(self, makers: Sequence[Maker], *, shared_memory: bool):
        self._owner, self._broken = os.getpid(), False
        super().__init__(makers, shared_memory=shared_memory, autoreset_mode=AutoresetMode.SAME_STEP, worker=_worker)

    def _raise_if_errors(self, successes: Iterable[bool]) -> None:
        failed = [number for number, success in enumerate(successes) if not success]
        errors = dict(self.error_queue.get() for _ in failed)
        for number in failed:
            self._forget(number)
        if failed:
            error, notes = errors[failed[0]]
            for note in notes:
                error.add_note(note)
            raise error

    def close_extras(self, timeout: float | None = None, terminate: bool = False) -> None:
        """Close the environments; where a process has died the others are not waited for."""
        super().close_extras(timeout, terminate or self._broken)

    def __del__(self) -> None:
        if self._owner == os.getpid():  # a process that was forked off later has a copy, and no say in it
            super().__del__()

    def require_alive(self, cause: Exception) -> None:
        """Raise a clear error in place of ``cause`` if a process ended without saying why.

        Raises:
            EnvironmentSetupError: names the environment and the exit code of its process.
        """
        running = {self.processes[n].sentinel: n for n, pipe in enumerate(self.parent_pipes) if pipe is not None}
        # A pipe may close a moment before its process has ended.
        dead = sorted(running[sentinel] for sentinel in wait(list(running), timeout=1.0) if isinstance(sentinel, int))
        for number in dead:
            self._forget(number)
        if dead:
            self._broken = True
            self.processes[dead[0]].join(timeout=1.0)
            code = self.processes[dead[0]].exitcode
            raise EnvironmentSetupError(
                f"environment {dead[0]}: its process ended with exit code {code}; a negative one is the signal that"
                " killed it, such as -9 where memory ran out. vectorization='sync' shows more."
            ) from cause

    def _forget(self, number: int) -> None:
        """Close the way to a process that has ended; nothing is waited for any more."""
        self.parent_pipes[number].close()
        self.parent_pipes[number] = None  # type: ignore[call-overload]
        self._state = AsyncState.DEFAULT


class _Pipe:
    """A pipe that sends what it can of an info."""

    def __init__(self, pipe: Connection):
        self._pipe = pipe

    def recv(self) -> Any:
        return self._pipe.recv()

    def send(self, message: tuple[Any, bool]) -> None:
        try:
            self._pipe.send(message)
        except Exception:
            returned, success = message
            if not (isinstance(returned, tuple) and isinstance(returned[-1], dict)):
                raise
            self._pipe.send(((*returned[:-1], _sendable(returned[-1])), success))


class _Errors:
    """A queue of errors in a form in which they arrive: what cannot be pickled is told by its name and text."""

    def __init__(self, queue: Any):
        self._queue = queue

    def put(self, told: tuple[int, type[BaseException], BaseException, str]) -> None:
        number, kind, error, trace = told
        notes = list(getattr(error, "__notes__", ()))
        if not isinstance(error, AnyspaceError):
            notes.append(f"In the process of environment {number}:\n{trace}")
        try:
            arrived = type(pickle.loads(pickle.dumps(error)))
        except Exception:
            arrived = None
        if arrived is not kind:
            error = RuntimeError(f"{kind.__name__}: {error}")
        self._queue.put((number, (error, notes)))


def _worker(
    number: int, make: Maker, pipe: Connection, parent_pipe: Connection, memory: Any, errors: Any, *settings: Any
) -> None:
    """Run an environment, as Gymnasium's worker does; an environment that cannot be made is an error like others."""
    queue: Any = _Errors(errors)
    channel: Any = _Pipe(pipe)
    try:
        env = make()
    except Exception as error:
        parent_pipe.close()
        queue.put((number, type(error), error, traceback.format_exc()))
        pipe.recv()
        pipe.send((None, False))
        return
    _async_worker(number, lambda: env, channel, parent_pipe, memory, queue, *settings)


def _sendable(info: dict[Any, Any]) -> dict[Any, Any]:
    """Return what of an info can be sent to another process."""
    found = {}
    for key, value in info.items():
        try:
            ForkingPickler.dumps((key, value))
        except Exception:
            if isinstance(value, dict):
                found[key] = _sendable(value)
            continue
        found[key] = value
    return found
