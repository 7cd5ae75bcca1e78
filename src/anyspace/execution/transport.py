"""``Transport``: how a dispatcher reaches workers; and the one whose workers are in this process."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple, Protocol, TypeVar

from anyspace.execution.packing import Packed
from anyspace.execution.worker import Built, Episodes, Failure, Fragment, Job, Recipe, Worker, failure

H = TypeVar("H")
"""A worker, as its transport knows it."""
T = TypeVar("T")
"""What stands for an answer that is awaited; hashable."""
W = TypeVar("W")
"""What stands for weights that were published."""


class WorkerGone(NamedTuple):
    """A worker is dead or out of reach, or its answer was lost with a machine."""

    reason: str


Outcome = Built | Fragment | Episodes | Failure | WorkerGone


class Transport(Protocol[H, T, W]):
    """How a dispatcher reaches workers. No verb waits but :meth:`ready`."""

    def start(self, number: int, incarnation: int) -> tuple[H, T]:
        """Start a worker; the answer is `Built` or a `Failure`."""

    def publish(self, packed: Packed) -> W:
        """Make weights available to all workers."""

    def request(self, worker: H, job: Job, version: int, weights: W) -> T:
        """Ask a worker for something; it answers requests in their order, after it was built."""

    def ready(self, tickets: Sequence[T], timeout: float) -> list[T]:
        """Return the answers that are there, as soon as there is one; none after ``timeout`` seconds."""

    def take(self, ticket: T) -> Outcome:
        """Return an answer that is ready, once."""

    def kill(self, worker: H) -> None:
        """End a worker, whatever it does; nothing happens where it is dead already."""

    def end(self, workers: Sequence[H]) -> None:
        """Let workers close their environments, and end them and everything that was held for them."""

    def room(self) -> str:
        """Return a sentence about the room for workers, for messages about one that does not start."""

    def store(self) -> float:
        """Return for how many bytes of answers there is room, beyond which they go to a disk."""


class _Asked(NamedTuple):
    """What stands for an answer that is there already."""

    number: int


class SerialTransport:
    """Workers in this process: each answers as soon as it is asked, one after the other.

    Args:
        recipe: what they are made of.
    """

    def __init__(self, recipe: Recipe):
        self._recipe, self._asked = recipe, 0
        self._answers: dict[_Asked, Outcome] = {}

    def start(self, number: int, incarnation: int) -> tuple[Worker, _Asked]:
        """Build a worker; see :class:`Transport`. What it raises comes up here."""
        try:
            worker = Worker(self._recipe, number, incarnation)
        except Exception as error:
            error.add_note(f"In worker {number}.")
            raise
        return worker, self._answer(Built(0))

    def publish(self, packed: Packed) -> Packed:
        """Return the weights."""
        return packed

    def request(self, worker: Worker, job: Job, version: int, weights: Packed) -> _Asked:
        """Let a worker answer."""
        try:
            return self._answer(worker.do(job, version, weights))
        except Exception as error:
            return self._answer(failure(worker.number, error, worker.warnings))

    def _answer(self, outcome: Outcome) -> _Asked:
        self._asked += 1
        ticket = _Asked(self._asked)
        self._answers[ticket] = outcome
        return ticket

    def ready(self, tickets: Sequence[_Asked], timeout: float) -> list[_Asked]:
        """Return all of them."""
        return list(tickets)

    def take(self, ticket: _Asked) -> Outcome:
        """Return an answer."""
        return self._answers.pop(ticket)

    def kill(self, worker: Worker) -> None:
        """Close a worker's environments."""
        worker.close()

    def end(self, workers: Sequence[Worker]) -> None:
        """Close the environments of all."""
        with ExitStack() as stack:  # one that raises leaves none of the others open
            for worker in workers:
                stack.callback(worker.close)

    def room(self) -> str:
        """Return that there is no limit."""
        return "Workers in this process start at once."

    def store(self) -> float:
        """Return that there is no limit."""
        return math.inf
