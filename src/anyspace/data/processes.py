"""Environments in processes of their own, whose errors arrive whole."""

from __future__ import annotations

import copy
import functools
import gc
import inspect
import multiprocessing
import os
import pickle
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, VectorEnv
from gymnasium.vector.async_vector_env import AsyncState, _async_worker

from anyspace.errors import AnyspaceError, EnvironmentSetupError

Maker = Callable[[], gym.Env[Any, Any]]


class Processes(AsyncVectorEnv):
    """One environment in each process.

    An error that an environment raises is raised here again, with the traceback of its process as a note. One that
    takes longer than the time limit is an error, too, which says where in its code it is. What of an info cannot be
    sent is left out.

    Where a step or a reset came to no end, for an error or for Ctrl-C, the next reset makes all environments again.

    Args:
        makers: what makes the environments.
        shared_memory: whether observations go through shared memory; their spaces then have one shape.
        limit: seconds that a step or a reset may take; None: any number.
    """

    def __init__(self, makers: Sequence[Maker], *, shared_memory: bool, limit: float | None = None):
        self._owner, self._limit, self._seeds = os.getpid(), limit, np.random.SeedSequence()
        self._told: dict[str, tuple[Any, ...]] = {}
        self._make(makers, shared_memory)
        self._is_whole = True

    def _make(self, makers: Sequence[Maker], shared_memory: bool) -> None:
        if multiprocessing.current_process().daemon:
            raise EnvironmentSetupError(
                "vectorization='async' starts a process for each environment, but this process may start none: it is"
                " daemonic, as those of a multiprocessing.Pool are. Use vectorization='sync', or a"
                " concurrent.futures.ProcessPoolExecutor in place of the Pool."
            )
        self._broken, self.processes, self.parent_pipes = False, [], []
        with warnings.catch_warnings():
            # JAX warns that a fork lacks its threads. Nothing of ours calls it there, nor frees its arrays.
            warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called", category=RuntimeWarning)
            try:
                super().__init__(
                    makers,
                    shared_memory=shared_memory,
                    autoreset_mode=AutoresetMode.SAME_STEP,
                    worker=functools.partial(_worker, limit=self._limit),
                )
            except (EOFError, ConnectionError) as error:  # of a pipe, if it is none of the environment's own
                self._require_begun(error)
                raise

    def _require_begun(self, cause: Exception) -> None:
        """Raise a clear error in place of ``cause`` if a process ended before its environment was made."""
        ended = self._ended()
        if not ended:
            return
        method = multiprocessing.get_start_method()
        guard = (
            f" Processes begin anew here (their start method is {method!r}), and import the program: put what trains"
            " under a main guard, `if __name__ == '__main__':`, or nothing of it can begin."
        )
        raise EnvironmentSetupError(
            f"environment {ended[0]}: its process ended with exit code {self.processes[ended[0]].exitcode} before the"
            f" environment was made.{'' if method == 'fork' else guard} vectorization='sync' starts no process."
        ) from cause

    def reset(self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None) -> Any:
        """Reset every environment; random sources of environments that are made again follow from the latest seed."""
        self._assert_is_running()
        if isinstance(seed, int):
            self._seeds = np.random.SeedSequence(seed)
        if not self._is_whole:
            self.close_extras()
            action_space = self.action_space
            self._make(self.env_fns, self.shared_memory)
            self.action_space = action_space
            self._tell_again()
            seed = int(self._seeds.spawn(1)[0].generate_state(1)[0]) if seed is None else seed
        self._is_whole = False
        returned = super().reset(seed=seed, options=options)
        self._is_whole = True
        return returned

    def tell(self, method: str, arguments: tuple[Any, ...]) -> None:
        """Call a method of every environment, and of those that take their place later."""
        if self._is_whole:
            self._is_whole = False
            self.call("call", method, arguments)
            self._is_whole = True
        self._told.pop(method, None)
        self._told[method] = arguments

    def _tell_again(self) -> None:
        """Tell environments that were made again what the others were told; a call that fails is not made again."""
        for method, arguments in list(self._told.items()):
            try:
                self.call("call", method, arguments)
            except BaseException:
                del self._told[method]
                raise

    def step(self, actions: Any) -> Any:
        """Step every environment."""
        self._is_whole = False
        returned = super().step(actions)
        self._is_whole = True
        return returned

    def _poll_pipe_envs(self, timeout: float | None = None) -> bool:
        """Wait for all answers; an environment that gives none in time is an error.

        A process says itself that its environment takes too long, and where it is: it is waited for a little longer.
        One that cannot even do that is told by number alone.

        Raises:
            EnvironmentSetupError: names the environment.
        """
        if self._limit is None or timeout is not None:
            return super()._poll_pipe_envs(timeout)
        until = time.monotonic() + self._limit + _GRACE
        for number, pipe in enumerate(self.parent_pipes):
            if pipe is None or pipe.closed or pipe.poll(max(0.0, until - time.monotonic())):
                continue
            self._broken = True
            self._forget(number)
            raise _took_too_long(number, "what it was asked for", self._limit, " Its process answers nothing at all.")
        return True

    def _raise_if_errors(self, successes: Iterable[bool]) -> None:
        failed = [number for number, success in enumerate(successes) if not success]
        errors = dict(self.error_queue.get() for _ in failed)
        for number in failed:
            self._forget(number)
        if failed:
            error, notes = errors[failed[0]]
            # The process of one that hangs does not end by being asked to.
            self._broken = self._broken or any(isinstance(errors[number][0], EnvironmentHangs) for number in failed)
            for note in notes:
                error.add_note(note)
            raise error

    def close_extras(self, timeout: float | None = None, terminate: bool = False) -> None:
        """Close the environments; where a process has died, or a step was interrupted, nobody is waited for."""
        if self._broken:
            for process in self.processes:
                process.kill()  # one that hangs may not even hear that it is to end
        interrupted, self._state = self._state is not AsyncState.DEFAULT, AsyncState.DEFAULT
        super().close_extras(timeout, terminate or self._broken or interrupted)

    def __del__(self) -> None:
        if self._owner == os.getpid():  # a process that was forked off later has a copy, and no say in it
            super().__del__()

    def require_alive(self, cause: Exception) -> None:
        """Raise a clear error in place of ``cause`` if a process ended without saying why.

        Raises:
            EnvironmentSetupError: names the environment and the exit code of its process.
        """
        dead = self._ended()
        for number in dead:
            self._forget(number)
        if dead:
            code = self.processes[dead[0]].exitcode
            raise EnvironmentSetupError(
                f"environment {dead[0]}: its process ended with exit code {code}; a negative one is the signal that"
                " killed it, such as -9 where memory ran out. vectorization='sync' shows more."
            ) from cause

    def _ended(self) -> list[int]:
        """Return the numbers of processes that ended without saying why, and wait for the exit code of the first."""
        running = {
            process.sentinel: number
            for number, (process, pipe) in enumerate(zip(self.processes, self.parent_pipes, strict=True))
            if pipe is not None and process.pid is not None
        }
        # A pipe may close a moment before its process has ended, and a process end a moment before it has an exit code.
        ready = wait(list(running), timeout=1.0 if running else 0.0)
        ended = sorted(running[sentinel] for sentinel in ready if isinstance(sentinel, int))
        if ended:
            self._broken = True
            self.processes[ended[0]].join(timeout=1.0)
        return ended

    def _forget(self, number: int) -> None:
        """Close the way to a process that has ended; nothing is waited for any more."""
        self.parent_pipes[number].close()
        self.parent_pipes[number] = None  # type: ignore[call-overload]
        self._state = AsyncState.DEFAULT


def copied(envs: VectorEnv[Any, Any, Any]) -> VectorEnv[Any, Any, Any]:
    """Return a copy of a vector environment, with processes of its own where it has some."""
    base = envs.unwrapped
    if not isinstance(base, AsyncVectorEnv):
        return copy.deepcopy(envs)
    if type(base) is not AsyncVectorEnv:
        raise TypeError("a class derived from AsyncVectorEnv, whose processes are not known to be made alike")
    names = inspect.signature(AsyncVectorEnv).parameters.keys() & vars(base).keys()
    other = AsyncVectorEnv(**{name: getattr(base, name) for name in names})
    try:
        return copy.deepcopy(envs, {id(base): other})
    except BaseException:
        other.close()
        raise


class EnvironmentHangs(EnvironmentSetupError):
    """A step or a reset of an environment took longer than it may."""


def _took_too_long(number: int, what: str, limit: float, more: str) -> EnvironmentHangs:
    return EnvironmentHangs(
        f"environment {number}: {what} has not returned after {limit:g} s, the time that config key `env_timeout_s`"
        f" allows.{more} Raise it where the environment may take so long; None waits for ever."
    )


_GRACE = 5.0
"""Seconds that a process has to say that its environment hangs."""


class _Watch:
    """Notices, in an environment's process, that the environment takes too long, and tells where it is.

    Args:
        number: of the environment.
        limit: seconds.
        tell: is handed the error and what to say of the place.
    """

    def __init__(self, number: int, limit: float, tell: Callable[[EnvironmentHangs, str], None]):
        self._number, self._limit, self._tell = number, limit, tell
        self._task: tuple[str, float] | None = None
        self._lock, self._told = threading.Lock(), False
        self._thread = threading.main_thread().ident or 0
        threading.Thread(target=self._run, daemon=True).start()

    def begin(self, what: str) -> None:
        """Let a task begin."""
        self._task = what, time.monotonic()

    def end(self) -> bool:
        """Let it be over; return False where it was told already that it takes too long."""
        with self._lock:
            self._task = None
            return not self._told

    def _run(self) -> None:
        while True:
            with self._lock:
                task = self._task
                passed = 0.0 if task is None else time.monotonic() - task[1]
                if task is not None and passed >= self._limit:
                    stack = traceback.format_stack(sys._current_frames().get(self._thread))
                    self._tell(_took_too_long(self._number, task[0], self._limit, ""), "".join(stack))
                    self._told = True
                    return
            time.sleep(min(1.0, self._limit / 4, self._limit - passed))


class _Pipe:
    """A pipe that sends what it can of an info, and lets a watch know what is being done."""

    def __init__(self, pipe: Connection):
        self._pipe = pipe
        self.watch: _Watch | None = None

    def recv(self) -> Any:
        message = self._pipe.recv()
        if self.watch is not None and message[0] in ("reset", "step", "_call"):
            of_ours = message[0] != "_call"  # whose arguments are the method and its own arguments
            self.watch.begin(f"{message[0]}()" if of_ours else f"call_envs({message[1][1][0]!r})")
        return message

    def send(self, message: tuple[Any, bool]) -> None:
        if self.watch is not None and not self.watch.end():
            return
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
    number: int,
    make: Maker,
    pipe: Connection,
    parent_pipe: Connection,
    memory: Any,
    errors: Any,
    *settings: Any,
    limit: float | None,
) -> None:
    """Run an environment, as Gymnasium's worker does; an environment that cannot be made is an error like others."""
    gc.freeze()  # what was there before a fork may need threads that it lacks to be freed
    queue: Any = _Errors(errors)
    channel: Any = _Pipe(pipe)

    def tell(error: EnvironmentHangs, stack: str) -> None:
        error.add_note(f"In the process of environment {number}, where it is now:\n{stack}")
        queue.put((number, EnvironmentHangs, error, ""))
        pipe.send((None, False))

    if limit is not None:
        channel.watch = _Watch(number, limit, tell)
        channel.watch.begin("making it")
    try:
        env = make()
        if channel.watch is not None:
            channel.watch.end()
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
