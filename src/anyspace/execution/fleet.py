"""Who collects: one process now, many behind the same two methods later."""

from __future__ import annotations

from typing import Protocol

from anyspace.data.collector import Collector
from anyspace.data.trajectory import Trajectory
from anyspace.models.runtime import NumpyArray


class Fleet(Protocol):
    """Collects trajectories with given weights."""

    def gather(self, weights: dict[str, NumpyArray] | None, steps: int) -> Trajectory:
        """Return about ``steps`` environment steps taken with ``weights``; None means the latest known."""

    def close(self) -> None:
        """Free the environments."""


class LocalFleet:
    """Collects in this process, with the learner's own policy.

    Args:
        collector: steps the environments.
        fragment: steps of one environment in a fragment; None makes one fragment of what is asked for.
        whole_episodes: gather complete episodes instead of fragments.
        explore: sample actions.
    """

    def __init__(self, collector: Collector, *, fragment: int | None, whole_episodes: bool, explore: bool = True):
        self.collector = collector
        self._fragment = fragment
        self._whole_episodes = whole_episodes
        self._explore = explore

    def gather(self, weights: dict[str, NumpyArray] | None, steps: int) -> Trajectory:
        """Return at least ``steps`` rows (see :class:`Fleet`); the policy is shared, so no weights are copied."""
        if weights is not None:
            self.collector.policy.load_weights(weights)
        if self._whole_episodes:
            return self.collector.gather_episodes(steps, explore=self._explore)
        width = self.collector.source.num_envs
        fragment = self._fragment or -(-steps // width)
        count = -(-steps // (fragment * width))
        return Trajectory.side_by_side([self.collector.gather(fragment, explore=self._explore) for _ in range(count)])

    def close(self) -> None:
        """Close the environments."""
        self.collector.source.close()
