"""Workers that only exist on a clock of their own: how long each answer takes, and who dies when, is made up."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from anyspace.execution.packing import Packed
from anyspace.execution.transport import Outcome, WorkerGone
from anyspace.execution.worker import Built, Failure, Fragment, Job

How = Literal["done", "dies", "hangs", "raises", "lost"]


class Fate(NamedTuple):
    """What becomes of an answer: after so many seconds it is there, or its worker dies; or it never comes."""

    seconds: float
    how: How = "done"


class Mishap(Exception):
    """What a user's environment may raise."""


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Person:
    """A worker."""

    number: int
    incarnation: int
    free_at: float = 0.0
    dead_at: float = math.inf
    is_killed: bool = False
    asked: int = 0
    open: set[int] = field(default_factory=set)


@dataclass
class Answer:
    person: Person
    outcome: Outcome
    done_at: float
    ready_at: float | None = None
    is_taken: bool = False


class SimulatedTransport:
    """Reaches such workers; see :class:`anyspace.execution.transport.Transport`.

    Args:
        clock: which waiting moves on.
        fate: of each answer, by number, incarnation and how many came before it; -1 is for building the worker.
        rows: steps of a fragment.
        transfer: seconds for which a fragment takes the only line to the dispatcher.
        handling: seconds that it takes to take one.
        broadcast: seconds for which weights take the line.
    """

    def __init__(
        self,
        clock: Clock,
        fate: Callable[[int, int, int], Fate],
        rows: int = 10,
        transfer: float = 0.0,
        handling: float = 0.0,
        broadcast: float = 0.0,
    ):
        self.clock, self._fate, self._rows = clock, fate, rows
        self._transfer, self._handling, self._broadcast = transfer, handling, broadcast
        self._answers: dict[int, Answer] = {}
        self._under_way: list[tuple[float, int]] = []
        self._tickets = itertools.count()
        self._line = 0.0
        self.taken: list[tuple[int, int, int]] = []
        """Fragments that arrived: number, incarnation, count."""
        self.most_open = 0
        """Requests of one worker at a time."""
        self.kills = 0
        self.most_under_way = 0

    def start(self, number: int, incarnation: int) -> tuple[Person, int]:
        person = Person(number, incarnation, self.clock.now)
        return person, self._answer(person, -1, Built(0))

    def publish(self, packed: Packed) -> Packed:
        self._line = max(self._line, self.clock.now) + self._broadcast
        return packed

    def request(self, worker: Person, job: Job, version: int, weights: Packed) -> int:
        assert not worker.is_killed
        fragment = Fragment(worker.number, worker.asked, _nothing, self._rows, 0.0, None)
        ticket = self._answer(worker, worker.asked, fragment)
        worker.asked += 1
        worker.open.add(ticket)
        self.most_open = max(self.most_open, len(worker.open))
        return ticket

    def _answer(self, person: Person, count: int, outcome: Outcome) -> int:
        ticket = next(self._tickets)
        fate = self._fate(person.number, person.incarnation, count)
        done = max(self.clock.now, person.free_at) + fate.seconds
        if person.dead_at < math.inf:
            done, outcome = max(self.clock.now, person.dead_at), WorkerGone("it was dead")
        elif fate.how == "dies":
            person.dead_at, outcome = done, WorkerGone("it died")
        elif fate.how == "hangs":
            done = math.inf
        elif fate.how == "raises":
            outcome = Failure(person.number, Mishap("over"), "")
        elif fate.how == "lost":
            outcome = WorkerGone("its answer is lost")
        person.free_at = done
        self._answers[ticket] = Answer(person, outcome, done)
        heapq.heappush(self._under_way, (done, ticket))
        return ticket

    def _arrive(self, until: float) -> None:
        """Let answers cross the line, in the order in which they are done."""
        while self._under_way and self._under_way[0][0] <= until:
            _, ticket = heapq.heappop(self._under_way)
            answer = self._answers[ticket]
            if answer.person.is_killed:
                continue
            self._line = max(self._line, answer.done_at) + self._transfer
            answer.ready_at = self._line

    def ready(self, tickets: Sequence[int], timeout: float) -> list[int]:
        found = self._there(tickets)
        if found or timeout == 0:
            return found
        until = self.clock.now + timeout
        known = [at for ticket in tickets if (at := self._answers[ticket].ready_at) is not None]
        if not known:
            following = [done for done, ticket in self._under_way if not self._answers[ticket].person.is_killed]
            self._arrive(min([until, *following]))
            known = [at for ticket in tickets if (at := self._answers[ticket].ready_at) is not None]
        self.clock.now = min([until, *known])
        return self._there(tickets)

    def _there(self, tickets: Sequence[int]) -> list[int]:
        now = self.clock.now
        self._arrive(now)
        return [one for one in tickets if (at := self._answers[one].ready_at) is not None and at <= now]

    def take(self, ticket: int) -> Outcome:
        answer = self._answers[ticket]
        assert not answer.is_taken
        assert not answer.person.is_killed, "a late answer of a worker that was replaced"
        answer.is_taken = True
        answer.person.open.discard(ticket)
        if isinstance(answer.outcome, Fragment):
            self.taken.append((answer.person.number, answer.person.incarnation, ticket))
            self.clock.now += self._handling
        return answer.outcome

    def kill(self, worker: Person) -> None:
        assert not worker.is_killed
        worker.is_killed = True
        self.kills += 1

    def end(self, workers: Sequence[Person]) -> None:
        for worker in workers:
            self.kill(worker)

    def room(self) -> str:
        return "There is room."

    def store(self) -> float:
        return math.inf


_nothing: Any = None
