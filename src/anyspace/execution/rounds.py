"""What a dispatcher keeps count of: the jobs of a round, and what happened since the last report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

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
