"""What a dispatcher keeps count of: workers, the jobs of a round, and what happened since the last report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, NamedTuple

from anyspace.execution.transport import H, T
from anyspace.execution.worker import Episodes, Fragment, Job


@dataclass
class Tally:
    """What happened since the last report."""

    waited: float = 0.0
    """Seconds in which there was nothing to take."""
    restarts: int = 0
    """Workers that were replaced."""
    lost: int = 0
    """Requests that died with their workers; they are asked for again."""
    stale: int = 0
    """Fragments that nobody learns from: older than ``max_lag``, or of a gathering that was given up."""
    lags: list[int] = field(default_factory=list)
    """Of each fragment that was taken: versions of the weights since those that it was collected with."""


@dataclass
class Round:
    """Jobs that are handed out, and the answers to them."""

    left: list[list[Job]]
    """By worker: what nobody was asked for yet."""
    found: list[list[Fragment | Episodes]]
    """By worker."""
    missing: int
    """Answers."""


class Taken(NamedTuple):
    """An answer, and where it belongs."""

    slot: int
    round: int
    version: int
    outcome: Fragment | Episodes


@dataclass
class PendingJob(Generic[T]):
    """What a worker was asked for, and when."""

    job: Job
    round: int
    version: int
    sent: float
    ticket: T


@dataclass
class Slot(Generic[H, T]):
    """The place of one worker; incarnations come and go in it."""

    number: int
    incarnation: int = -1
    worker: H | None = None
    building: T | None = None
    """The answer to starting it; None: it is built, or there is none."""
    requests: list[PendingJob[T]] = field(default_factory=list)
    owed: list[tuple[Job, int]] = field(default_factory=list)
    """What a dead incarnation was asked for, and in which round."""
    heard: float = 0.0
    """When it was started, or said something last."""
    starts_at: float = 0.0
    deaths: int = 0
    """Since its latest fragment, once it was built."""
    failed_starts: int = 0
