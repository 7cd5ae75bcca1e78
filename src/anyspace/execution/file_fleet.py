"""Fleets of recorded steps: read from files, mixed with others, and written to files."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from anyspace.data.offline.columns import ColumnReader
from anyspace.data.offline.recording import Recording, trajectory_of
from anyspace.data.offline.trajectories import TrajectoryWriter
from anyspace.data.rewards import ReturnMoments
from anyspace.data.trajectory import Trajectory
from anyspace.errors import ConfigError
from anyspace.policy.policy import Policy

if TYPE_CHECKING:
    from anyspace.data.env_calls import EnvCalls
    from anyspace.execution.fleet import Fleet

_MOST_EMPTY = 1000
"""How many sources of columns without a whole step are read before that is an error."""

_MOST_WAITING = 100
"""How many columns wait for one that tells their form."""


class RecordedSteps(Protocol):
    """Gives columns of recorded steps, without end."""

    def next(self) -> tuple[str, dict[str, Any]]:
        """Return the place of columns, for messages, and the columns."""

    def restart(self, seed: int | None) -> None:
        """Begin anew, in an order that depends on ``seed``."""

    def metrics(self) -> dict[str, float]:
        """Return numbers about reading since the last call, for reports."""


class FileFleet:
    """Gathers recorded steps in place of an environment's.

    The first columns are read when it is built, so that steps of other spaces are found then.

    Args:
        policy: of the spaces.
        source: gives columns.
        reader: makes recordings of them.
        returns: takes the moments of discounted returns, where rewards are to be scaled by them.

    Raises:
        ConfigError: the source has no steps.
        ObservationError: a value is outside its space.
    """

    def __init__(
        self, policy: Policy, source: RecordedSteps, reader: ColumnReader, returns: ReturnMoments | None = None
    ):
        self._policy, self._source, self._reader, self._returns = policy, source, reader, returns
        self._waiting: list[tuple[str, dict[str, Any]]] = []
        self._ready = [self._next()]

    def gather(self, steps: int) -> Trajectory:
        """Return at least ``steps`` recorded steps: whole lines or episodes, in one column."""
        found, count = [], 0
        while count < steps:
            recording = self._ready.pop() if self._ready else self._next()
            found.append(recording)
            count += recording.num_steps
        trajectory = trajectory_of(self._policy, found)
        if self._returns is None:
            return trajectory
        self._returns.restart()
        return replace(trajectory, reward_moments=self._returns(trajectory))

    def restart(self, seed: int | None = None) -> None:
        """Begin anew, in an order that depends on ``seed``."""
        self._source.restart(seed)
        self._ready, self._waiting = [], []

    def tell(self, calls: EnvCalls) -> None:
        """Refuse it.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("call_envs(): recorded steps are learnt from, and no environment is stepped for training.")

    def metrics(self) -> dict[str, float]:
        """Return what the source says of reading."""
        return self._source.metrics()

    def close(self) -> None:
        """Do nothing: files are open only while they are read."""

    def _next(self) -> Recording:
        for _ in range(_MOST_EMPTY):
            place, columns = self._columns()
            recording = self._reader(columns, place)
            if recording.num_steps:
                return recording
        raise ConfigError(
            f"{place}: {_MOST_EMPTY} lines in a row hold no step whose next observation is known: record `new_obs`, or"
            " several steps of an episode in a line."
        )

    def _columns(self) -> tuple[str, dict[str, Any]]:
        """Return the next columns; those whose form others have to tell wait for these, up to a number of them."""
        if self._waiting:
            return self._waiting.pop(0)
        found = self._source.next()
        while not self._reader.knows(found[1]) and len(self._waiting) < _MOST_WAITING:
            self._waiting.append(found)
            found = self._source.next()
        return found


class MixedFleet:
    """Gathers from one of several fleets at a time, drawn by probability.

    Args:
        fleets: by name.
        shares: the probability of each, by the same names; they sum to 1.
        seed: of the draws.
    """

    def __init__(self, fleets: Mapping[str, Fleet], shares: Mapping[str, float], seed: int):
        self._fleets = dict(fleets)
        given = np.array([shares[name] for name in self._fleets], np.float64)
        self._shares = given / given.sum()
        self._rng = np.random.default_rng(seed)
        self._drawn = dict.fromkeys(self._fleets, 0)

    def gather(self, steps: int) -> Trajectory:
        """Return about ``steps`` steps of one of the fleets."""
        name = list(self._fleets)[self._rng.choice(len(self._fleets), p=self._shares)]
        self._drawn[name] += 1
        return self._fleets[name].gather(steps)

    def restart(self, seed: int | None = None) -> None:
        """Let all fleets begin anew, each with a seed of its own, as they were made."""
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self._drawn = dict.fromkeys(self._fleets, 0)
        for number, fleet in enumerate(self._fleets.values()):
            fleet.restart(None if seed is None else seed + number)

    def tell(self, calls: EnvCalls) -> None:
        """Let the environments of those fleets be told that have some."""
        for fleet in self._fleets.values():
            if not isinstance(fleet, FileFleet):
                fleet.tell(calls)

    def metrics(self) -> dict[str, float]:
        """Return the sums of the fleets' numbers, and how often each of them was drawn since the last call."""
        drawn, self._drawn = self._drawn, dict.fromkeys(self._fleets, 0)
        found = {f"drawn/{name}": float(count) for name, count in drawn.items()}
        for fleet in self._fleets.values():
            for name, value in fleet.metrics().items():
                found[name] = found.get(name, 0.0) + value
        return found

    def close(self) -> None:
        """Close all fleets."""
        for fleet in self._fleets.values():
            fleet.close()


class WritingFleet:
    """Writes what another fleet gathers, and passes it on.

    Args:
        fleet: that gathers.
        writer: that writes.
    """

    def __init__(self, fleet: Fleet, writer: TrajectoryWriter):
        self._fleet, self._writer = fleet, writer

    def gather(self, steps: int) -> Trajectory:
        """Return what the other fleet gathers."""
        trajectory = self._fleet.gather(steps)
        self._writer.write(trajectory)
        return trajectory

    def restart(self, seed: int | None = None) -> None:
        """Let the other fleet begin anew."""
        self._fleet.restart(seed)

    def tell(self, calls: EnvCalls) -> None:
        """Let the other fleet's environments be told."""
        self._fleet.tell(calls)

    def metrics(self) -> dict[str, float]:
        """Return the other fleet's numbers."""
        return self._fleet.metrics()

    def write_all(self) -> None:
        """Write the steps of episodes that are under way, too."""
        self._writer.close()

    def close(self) -> None:
        """Write what is left, and close the other fleet."""
        with contextlib.ExitStack() as stack:  # what one raises leaves the other not open
            stack.callback(self._fleet.close)
            self.write_all()


def require_shares(shares: Mapping[str, float]) -> None:
    """Raise :class:`ConfigError` unless the probabilities of sources are positive and sum to 1, but for rounding."""
    total = sum(shares.values())
    if not all(share >= 0 for share in shares.values()) or not abs(total - 1) <= 1e-6:
        raise ConfigError(
            f"config key `input` is {dict(shares)!r}, but the probabilities of sources are at least 0 and sum to 1:"
            f" these sum to {total:g}."
        )
