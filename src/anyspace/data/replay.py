"""``Replay``: the latest steps of every environment, and draws of them that are trajectories again.

Letters: R rows of a lane; L lanes, one for each environment; N windows; H steps of a window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from anyspace import tree
from anyspace.config import require
from anyspace.data.free_memory import free_memory
from anyspace.data.priorities import Priorities
from anyspace.data.ring import Ring, ring_rows
from anyspace.data.trajectory import Floats, Ints, Trajectory
from anyspace.errors import ConfigError, counted
from anyspace.policy.pipeline import Pipeline

_SEARCHES = 64
"""How often a draw looks again for rows that can be learnt from, before it lists them all."""


class DrawnWindows(NamedTuple):
    """Windows of steps that were drawn."""

    trajectory: Trajectory
    """[H, N]: each column is a window."""
    rows: Ints
    """[N] where the windows begin, for :meth:`Replay.reweigh`."""
    weights: Floats
    """[N] importance weights; ones where all steps are drawn evenly."""


class Replay:
    """A ring of the latest ``capacity`` transitions, a lane of it for each environment.

    A draw is a :class:`Trajectory` of windows, each H steps of one lane. What views, frame stacks and states look back
    at comes with it, filled in as at an episode's start where one began.

    A step takes its observation once, whatever looks at it. Where environments are reset within the step that ends an
    episode, the episode's last observation is kept beside the steps, as one more.

    An example: a ring of one lane holds the steps 5 to 14, and H is 3. Windows begin at the steps 5 to 12; with a stack
    of 4 frames, which looks back three steps, at 8 to 12.

    Args:
        pipeline: whose steps they are; its spaces, views and frame stacks decide what is kept.
        capacity: transitions of all lanes together, at least one window in each lane.
        lanes: L.
        horizon: H.
        priorities: keyword arguments of :class:`Priorities`; None draws all windows evenly.
        collected: how many numbers of each step's info are kept with it.

    Raises:
        ConfigError: ``capacity`` is too small for a window, or larger than the memory that is free.
    """

    in_checkpoints = False
    """Whether the latest checkpoint of a run holds the transitions, and not only exact ones."""

    def __init__(
        self,
        pipeline: Pipeline,
        capacity: int,
        lanes: int,
        horizon: int,
        priorities: dict[str, float] | None = None,
        collected: int = 0,
    ):
        depths = [*pipeline.views.depth.values(), *(k - 1 for k in pipeline.stacks.values())]
        lookback, size = max(depths, default=0), -(-capacity // lanes)
        least = lookback + horizon
        require(
            size >= least,
            "replay_capacity",
            capacity,
            f"{counted(lanes, 'environment')} {'need' if lanes > 1 else 'needs'} at least {least * lanes}: a window of"
            f" {counted(least, 'step')} each",
        )
        own = 0 if priorities is None else Priorities.BYTES_OF_A_ROW
        bytes_each, free = _bytes_of_a_step(pipeline, collected) + own, free_memory()
        if free is not None and bytes_each * (size + 1) * lanes > free:
            raise ConfigError(
                f"config key `replay_capacity` is {capacity:,}: at {bytes_each:,} bytes a step that takes"
                f" {bytes_each * size * lanes / 2**30:.1f} GiB, but {free / 2**30:.1f} GiB of memory are free."
                f" Set it to {int(0.8 * free / bytes_each):,} at most."
            )
        self._horizon, self._lanes = horizon, lanes
        self._ring = Ring(pipeline, size, lanes, lookback, self._close, self._open)
        self._priorities = None if priorities is None else Priorities((size + 1) * lanes, **priorities)
        self.added = 0

    def __len__(self) -> int:
        """Return how many steps are there, those among them that a vector environment spent on resets."""
        return len(self._ring)

    @property
    def has_windows(self) -> bool:
        """Whether there are as many steps in a row as a window takes."""
        return bool(self._starts()[1].any())

    def add(self, trajectory: Trajectory) -> None:
        """Take in the steps of a trajectory; the oldest ones of a full lane make room."""
        self._ring.add(trajectory)
        self.added += trajectory.num_steps

    def _close(self, rows: Ints) -> None:
        if self._priorities is not None:
            self._priorities.close(rows)

    def _open(self, lanes: Ints, reached: Ints) -> None:
        """Let the windows be drawn that are whole with the steps that were ``reached`` [T, n] in ``lanes`` [n]."""
        if self._priorities is not None:
            starts = reached - self._horizon
            rows = self._ring.rows(lanes, starts)
            self._priorities.open(rows[(starts >= self._ring.oldest(lanes)) & self._ring.are_valid(rows)])

    def draw(self, count: int, rng: np.random.Generator) -> DrawnWindows | None:
        """Return ``count`` windows, drawn with replacement; None where no window is whole yet."""
        ring = self._ring
        oldest, starts = self._starts()
        if not starts.any():
            return None
        if self._priorities is None:
            chosen = self._choose(count, oldest, starts, rng)
            if chosen is None:
                return None
            lanes, times = chosen
            rows, weights = ring.rows(lanes, times), np.ones(count, np.float32)
        elif self._priorities.total > 0:
            rows, weights = self._priorities.draw(count, rng)
            lanes, times = ring.steps(rows)
        else:
            return None
        return DrawnWindows(ring.windows(lanes, times, self._horizon), rows, weights)

    def reweigh(self, rows: Ints, errors: npt.NDArray[np.floating]) -> None:
        """Take in the sizes of the errors [N] of windows that begin at ``rows``."""
        if self._priorities is not None:
            self._priorities.set(rows, errors)

    def _choose(self, count: int, oldest: Ints, starts: Ints, rng: np.random.Generator) -> tuple[Ints, Ints] | None:
        """Return lanes and times at which whole windows begin, every one of them as likely."""
        ends: Ints = starts.cumsum()
        before: Ints = oldest - (ends - starts)  # the first number of each lane stands for its oldest step

        def drawn(number: int) -> tuple[Ints, Ints]:
            at = rng.integers(int(ends[-1]), size=number, dtype=np.int64)
            lanes: Ints = ends.searchsorted(at, side="right").astype(np.int64)
            return lanes, at + before[lanes]

        lanes, times = drawn(count)
        if not self._ring.has_gaps:
            return lanes, times
        for _ in range(_SEARCHES):
            (wrong,) = np.nonzero(~self._ring.are_valid(self._ring.rows(lanes, times)))
            if not len(wrong):
                return lanes, times
            lanes[wrong], times[wrong] = drawn(len(wrong))
        # Nearly all that is there does not count: list what does.
        lane, time = self._windows(oldest, starts)
        if not len(lane):
            return None
        picked = rng.integers(len(lane), size=count)
        return lane[picked], time[picked]

    def _starts(self) -> tuple[Ints, Ints]:
        """Return the oldest step of each lane at which a window may begin, and at how many from there on, [L] each."""
        oldest = self._ring.oldest(np.arange(self._lanes))
        return oldest, np.maximum(self._ring.counts - self._horizon + 1 - oldest, 0)

    def _windows(self, oldest: Ints, starts: Ints) -> tuple[Ints, Ints]:
        """Return lanes and times of all windows that can be learnt from."""
        lanes: Ints = np.repeat(np.arange(self._lanes), starts)
        ahead: Ints = starts.cumsum() - starts
        times: Ints = np.arange(len(lanes)) - ahead[lanes] + oldest[lanes]
        valid = self._ring.are_valid(self._ring.rows(lanes, times))
        return lanes[valid], times[valid]

    def since(self, mark: Sequence[int] | None) -> Iterator[tuple[dict[str, Any], list[int]]]:
        """Yield the transitions after a mark; see :class:`Growing`."""
        return self._ring.since(mark)

    def outlived(self, mark: Sequence[int]) -> bool:
        """Return whether all transitions before a mark have made room for others."""
        return self._ring.outlived(mark)

    def clear(self) -> None:
        """Forget everything; see :class:`Growing`."""
        self._ring.clear()
        self.added = 0
        if self._priorities is not None:
            self._priorities.clear()

    def load_portion(self, portion: dict[str, Any]) -> None:
        """Take in transitions that :meth:`since` yielded."""
        self._ring.load_portion(portion)

    def state(self) -> dict[str, Any]:
        """Return how far lanes were written, and all priorities."""
        own = {"ring": self._ring.state(), "added": self.added}
        return own if self._priorities is None else {**own, "priorities": self._priorities.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned, of a replay of another capacity, horizon or draw, too.

        What does not fit is left out, the oldest first; windows that could not be drawn there have the largest
        priority.

        Raises:
            ValueError: there are no transitions, or they are of another number of environments.
        """
        ring = self._ring
        ring.load_state(state["ring"])
        self.added = int(state["added"])
        if self._priorities is None:
            return
        lanes, times = self._windows(*self._starts())
        rows = ring.rows(lanes, times)
        if "priorities" in state:
            self._priorities.load_state(state["priorities"], rows, ring_rows(lanes, times, state["ring"]["size"]))
        else:
            self._priorities.open(rows)


def _bytes_of_a_step(pipeline: Pipeline, collected: int) -> int:
    """Return how many bytes the ring takes for a step of one environment, an episode's last observation aside."""
    stacks = pipeline.stacks
    obs = sum(leaf[0].nbytes // stacks.get(i, 1) for i, leaf in enumerate(pipeline.example))
    columns = pipeline.views.before_episodes(pipeline.example)
    rows = [leaf for name, leaves in columns.items() if name != "obs" for leaf in leaves]
    actions = tree.leaves(pipeline.any_action())
    numbers = sum(np.asarray(leaf)[0].nbytes for leaf in [*rows, *actions]) + 4 * collected
    return int(obs + numbers + 12)
