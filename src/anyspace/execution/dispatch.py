"""``Dispatcher``: who is asked for what and when, what came back, and who is replaced.

It deals with workers through a :class:`Transport` and knows nothing else of where they are. Synchronous and
asynchronous gathering differ in two methods alone: :meth:`Dispatcher.shares` waits for all that it asks for, and
:meth:`Dispatcher.stream` takes what is ready first while every worker has more to do.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Generic

from anyspace.errors import WorkerError
from anyspace.execution.packing import Packed
from anyspace.execution.rounds import PendingJob, Round, Slot, Taken, Tally
from anyspace.execution.transport import H, T, Transport, W, WorkerGone
from anyspace.execution.worker import Built, Episodes, Failure, Fragment, Job, Play

MOST_DEATHS = 4
"""A worker that dies so often in a row, without a fragment in between, ends the run."""
FIRST_PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Seconds before the next attempt where a worker dies before it is built: a node that was lost is noticed late."""
START_TIMEOUT = 300.0
"""Seconds within which a worker has to be built; clusters that grow by themselves take minutes to bring a node."""
LATE = 30.0
"""Seconds after which a line says that workers are still starting, and again and again."""
TICK = 1.0
"""Seconds after which a dispatcher that waits looks whether a worker hangs."""
WAITED = 0.05
"""Share of the time between two gatherings from which waiting for fragments counts as too long."""


class Dispatcher(Generic[H, T, W]):
    """Keeps workers busy and alive.

    Args:
        transport: reaches the workers.
        workers: how many there are.
        most: requests that a worker has at most, in :meth:`stream`.
        adapts: whether :meth:`stream` has fewer requests under way where the learner cannot keep up.
        max_lag: versions of the weights after which a fragment is dropped; None drops nothing.
        timeout: seconds after which a worker that delivers nothing is taken to hang; for each episode where it is to
            play several.
        restarts: replace workers that die.
        least: workers without which nothing goes on; the others may take for ever to start. None: all.
        clock: seconds.
        tell: takes sentences for the user.
    """

    def __init__(
        self,
        transport: Transport[H, T, W],
        workers: int,
        *,
        most: int = 1,
        adapts: bool = False,
        max_lag: int | None = None,
        timeout: float = 60.0,
        restarts: bool = True,
        least: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        tell: Callable[[str], None] = print,
    ):
        self._transport, self._most, self._adapts, self._max_lag = transport, most, adapts, max_lag
        self._timeout, self._restarts, self._clock, self._tell = timeout, restarts, clock, tell
        self._slots = [Slot[H, T](number) for number in range(workers)]
        self._least = workers if least is None else least
        self._weights: tuple[int, W] | None = None
        self._round = 0
        self._limit = float(self.most_under_way)
        self._awaited: dict[T, tuple[Slot[H, T], PendingJob[T] | None]] = {}
        """Whose answer a ticket stands for; None: the answer to starting the worker."""
        self._told_at = clock()
        self._gathered_at: float | None = None
        self._said: set[str] = set()
        self._freed = False
        """Whether a worker has had nothing to do since :meth:`_wait` began, without an answer that says so."""
        self.tally = Tally()

    @property
    def version(self) -> int | None:
        """How often the weights had changed that were published last."""
        return None if self._weights is None else self._weights[0]

    @property
    def most_under_way(self) -> int:
        """How many requests there are at most that are not answered or whose answers wait to be taken."""
        return self._most * len(self._slots)

    @property
    def store(self) -> float:
        """Bytes that there is room for where answers wait; infinite where that is this process."""
        return self._transport.store()

    @property
    def under_way(self) -> int:
        """How many requests are not answered yet."""
        return sum(len(slot.requests) + len(slot.owed) for slot in self._slots)

    def publish(self, version: int, packed: Packed) -> None:
        """Let all requests from now on be answered with these weights."""
        self._weights = (version, self._transport.publish(packed))

    def close(self) -> None:
        """End all workers, after their environments."""
        workers = [slot.worker for slot in self._slots if slot.worker is not None]
        self._awaited.clear()
        for slot in self._slots:
            slot.worker = slot.building = None
            slot.requests, slot.owed = [], []
        self._transport.end(workers)

    # ----------------------------------------------------------------------------------- gathering

    def shares(
        self, jobs: Sequence[Sequence[Job]], version: int, *, any_order: bool = False
    ) -> list[Fragment | Episodes]:
        """Return the answers to some jobs for each worker, in the order of workers and jobs, whoever was quick.

        Args:
            jobs: by worker.
            version: of the learner's weights.
            any_order: let workers that are done take over the jobs of those that are not.
        """
        return self.finish(self.begin(jobs), version, any_order=any_order) or []

    def begin(self, jobs: Sequence[Sequence[Job]]) -> Round:
        """Return a round of jobs for each worker, which :meth:`finish` hands out; earlier rounds are given up."""
        self._round += 1
        return Round([list(own) for own in jobs], [[] for _ in jobs], sum(map(len, jobs)))

    def finish(
        self, shares: Round, version: int, *, any_order: bool = False, waits: bool = True
    ) -> list[Fragment | Episodes] | None:
        """Return the answers of a round; see :meth:`shares`. None, unless this ``waits``: some are missing."""
        with self._counted(shares.found):
            while shares.missing:
                self._hand_out(shares.left, any_order=any_order)
                answers = self._wait(waits=waits)
                for taken in answers:
                    if taken.round != self._round:
                        self.tally.stale += 1
                        continue
                    shares.found[taken.slot].append(taken.outcome)
                    self.tally.lags.append(version - taken.version)
                    shares.missing -= 1
                if not answers and not waits:
                    return None
        return [one for of_worker in shares.found for one in of_worker]

    def _hand_out(self, left: list[list[Job]], *, any_order: bool) -> None:
        """Ask each worker that has nothing to do for the next of its jobs, or of those of whom most are left."""
        for slot in self._slots:
            if not slot.requests and not slot.owed:
                own = left[slot.number] or (max(left, key=len) if any_order else [])
                if own:
                    self._ask(slot, own.pop(0))

    def stream(self, job: Job, steps: int, each: int, version: int) -> list[Fragment]:
        """Return the fragments that are ready first, at least ``steps`` steps of them.

        A worker is asked again as soon as its fragment is taken, but with the weights of the next call once there are
        enough: while the learner learns, workers answer the requests that are left.

        Args:
            job: what each request asks for.
            steps: how many steps are enough.
            each: steps of a fragment, about.
            version: of the learner's weights.
        """
        learning = 0.0 if self._gathered_at is None else self._clock() - self._gathered_at
        found: list[Fragment] = []
        rows, waited = 0, self.tally.waited
        self._top_up(job)
        with self._counted([found]):
            while rows < steps:
                for taken in self._wait(most=-(-(steps - rows) // each)):
                    lag, fragment = version - taken.version, taken.outcome
                    if not isinstance(fragment, Fragment) or (self._max_lag is not None and lag > self._max_lag):
                        self.tally.stale += 1
                        continue
                    found.append(fragment)
                    self.tally.lags.append(lag)
                    rows += fragment.steps
                if rows < steps:
                    self._top_up(job)
        if self._adapts:
            self._adapt(self.tally.waited - waited, learning, len(found))
        self._gathered_at = self._clock()
        return found

    @contextlib.contextmanager
    def _counted(self, found: Sequence[Sequence[object]]) -> Iterator[None]:
        """Count what was found as stale if the gathering fails, for nobody learns from it; begin another round."""
        try:
            yield
        except BaseException:
            self.tally.stale += sum(map(len, found))
            self._round += 1
            raise

    def _adapt(self, waited: float, learning: float, needed: int) -> None:
        """Have more requests under way where the learner waits for fragments, fewer where they wait for the learner."""
        most = float(self.most_under_way)
        if waited > WAITED * learning:
            self._limit = min(most, self._limit + max(1.0, needed / 4))
        elif 2 * len(self._transport.ready(list(self._awaited), 0.0)) >= needed:
            self._limit = max(min(float(needed), most), self._limit - max(1.0, self._limit / 20))

    def _top_up(self, job: Job) -> None:
        """Ask workers with the fewest requests first, and those before the others that were heard of longest ago."""
        # What waits for workers that have not started holds nobody back.
        free = int(self._limit) - sum(len(slot.requests) for slot in self._slots if slot.building is None)
        for depth in range(self._most):
            waiting = [slot for slot in self._slots if len(slot.requests) + len(slot.owed) == depth]
            waiting.sort(key=lambda slot: slot.heard)
            for slot in waiting[: max(0, free)]:
                self._ask(slot, job)
                free -= 1

    def _ask(self, slot: Slot[H, T], job: Job) -> None:
        """Ask a worker, or the next one in its place."""
        if slot.worker is None:
            slot.owed.append((job, self._round))
        else:
            self._request(slot, slot.worker, job, self._round)

    def _request(self, slot: Slot[H, T], worker: H, job: Job, round_: int) -> None:
        assert self._weights is not None, "weights are published before anybody is asked"
        version, weights = self._weights
        ticket = self._transport.request(worker, job, version, weights)
        request = PendingJob(job, round_, version, self._clock(), ticket)
        slot.requests.append(request)
        self._awaited[ticket] = slot, request

    # ------------------------------------------------------------------------------------- waiting

    def _wait(self, most: float = math.inf, *, waits: bool = True) -> list[Taken]:
        """Return up to ``most`` answers as soon as there is one; deal with whatever else happens meanwhile.

        Unless this ``waits``, there may be none. So there may where a worker has nothing to do any more.
        """
        found: list[Taken] = []
        looks, self._freed = True, False
        with self._counted([found]):
            while looks:
                self._start_workers()
                began = self._clock()
                ready = self._transport.ready(list(self._awaited), self._patience() if waits else 0.0)
                self.tally.waited += self._clock() - began
                for ticket in ready:
                    if len(found) >= most:
                        break
                    taken = self._take(ticket)
                    if taken is not None:
                        found.append(taken)
                self._look_for_hung(set(ready))
                looks = waits and not found and not self._freed
        return found

    def _patience(self) -> float:
        """Return for how many seconds nothing has to be looked at."""
        now = self._clock()
        starts = [slot.starts_at - now for slot in self._slots if slot.worker is None]
        return max(0.0, min([TICK, self._timeout / 4, *starts]))

    def _take(self, ticket: T) -> Taken | None:
        if ticket not in self._awaited:  # its worker was replaced a moment ago
            return None
        slot, request = self._awaited[ticket]
        outcome = self._transport.take(ticket)
        if isinstance(outcome, WorkerGone):
            self._replace(slot, outcome.reason)
            return None
        del self._awaited[ticket]
        slot.heard = self._clock()
        if request is None:
            slot.building = None
        else:
            slot.requests.remove(request)
        if not isinstance(outcome, Built):
            self._pass_on(outcome)
        if isinstance(outcome, Failure):
            if request is not None and request.round != self._round:  # It failed for a gathering that was given up.
                self._freed = True
                return None
            outcome.reraise()
        if request is None or isinstance(outcome, Built):
            slot.failed_starts = 0
            return None
        slot.deaths = 0
        return Taken(slot.number, request.round, request.version, outcome)

    def _pass_on(self, outcome: Fragment | Episodes | Failure) -> None:
        """Tell what a worker had to say, each sentence once, whichever of them says it."""
        place = f"worker {outcome.worker}"
        for sentence in outcome.warnings:
            named = sentence if sentence.startswith(place) else f"{place}: {sentence}"
            if named.removeprefix(place) not in self._said:
                self._said.add(named.removeprefix(place))
                self._tell(named)

    # -------------------------------------------------------------------------------------- faults

    def _start_workers(self) -> None:
        """Start a worker in each place that has none and whose pause is over; ask it for what the dead one owes."""
        for slot in self._slots:
            if slot.worker is None and self._clock() >= slot.starts_at:
                slot.incarnation += 1
                slot.worker, slot.building = self._transport.start(slot.number, slot.incarnation)
                slot.heard = self._clock()
                owed, slot.owed = slot.owed, []
                self._awaited[slot.building] = slot, None
                for job, round_ in owed:
                    self._request(slot, slot.worker, job, round_)

    def _look_for_hung(self, ready: set[T]) -> None:
        """Replace workers that deliver nothing; one whose answer is ``ready``, and waits to be taken, has delivered."""
        now = self._clock()
        starting = [slot for slot in self._slots if slot.building is not None and slot.building not in ready]
        late = [slot for slot in starting if now - slot.heard > LATE]
        if late and now - self._told_at > LATE:
            self._told_at = now
            self._tell(f"{len(late)} of {len(self._slots)} workers have not started yet. {self._transport.room()}")
        for slot in starting if len(self._slots) - len(starting) < self._least else ():
            if now - slot.heard > START_TIMEOUT:
                raise WorkerError(
                    f"worker {slot.number} has not started for {START_TIMEOUT:.0f} s. {self._transport.room()}"
                )
        for slot in self._slots:
            if slot.building is not None or not slot.requests or slot.requests[0].ticket in ready:
                continue
            job = slot.requests[0].job
            limit = self._timeout * (job.request.episodes if isinstance(job, Play) else 1)
            # A request that waits behind others does not hang: count from the latest sign of life.
            if now - max(slot.requests[0].sent, slot.heard) > limit:
                less = "evaluation_episodes" if isinstance(job, Play) else "rollout_fragment_length"
                self._replace(
                    slot,
                    f"it delivered nothing for {limit:g} s; if what it was asked for takes that long, raise"
                    f" `sample_timeout_s` or lower `{less}`",
                )

    def _replace(self, slot: Slot[H, T], reason: str) -> None:
        """End a worker, and have another one take its place; nobody waits for it meanwhile."""
        was_built = slot.building is None
        if was_built:
            slot.deaths += 1
        else:
            slot.failed_starts += 1
        self._end(slot)
        self.tally.lost += len(slot.requests)
        slot.owed = [*((request.job, request.round) for request in slot.requests), *slot.owed]
        slot.requests = []
        slot.starts_at = self._clock() + FIRST_PAUSES[min(slot.failed_starts, len(FIRST_PAUSES) - 1)]
        dead = f"worker {slot.number} died ({reason})"
        if not self._restarts:
            raise WorkerError(f"{dead}, and `restart_failed_env_runners` is off.")
        if slot.deaths >= MOST_DEATHS or slot.failed_starts >= len(FIRST_PAUSES):
            count = slot.deaths + slot.failed_starts
            raise WorkerError(
                f"{dead}, {count} times in a row without a fragment in between. `anyspace inspect` runs the environment"
                " alone, in one process."
            )
        self.tally.restarts += 1
        self._tell(f"worker {slot.number} is replaced: {reason}.")

    def _end(self, slot: Slot[H, T]) -> None:
        if slot.worker is not None:
            self._transport.kill(slot.worker)
        for ticket in [ticket for ticket, (of, _) in self._awaited.items() if of is slot]:
            del self._awaited[ticket]
        slot.worker = slot.building = None
