"""Who collects: one process now, many behind the same methods later."""

from __future__ import annotations

from typing import Protocol

from anyspace.data.collector import Collector
from anyspace.data.trajectory import Trajectory


class Fleet(Protocol):
    """Collects trajectories with the weights of the policy that it was built with."""

    def gather(self, steps: int) -> Trajectory:
        """Return about ``steps`` environment steps."""

    def restart(self, seed: int | None = None) -> None:
        """Let new episodes begin everywhere with the next call; ``seed`` None draws on as the environments stand."""

    def metrics(self) -> dict[str, float]:
        """Return numbers about collecting, for reports."""

    def close(self) -> None:
        """Free the environments."""


class LocalFleet:
    """Collects in this process, with the learner's own policy: no weights are copied.

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

    def gather(self, steps: int) -> Trajectory:
        """Return at least ``steps`` rows; see :class:`Fleet`."""
        if self._whole_episodes:
            return self.collector.gather_episodes(steps, explore=self._explore)
        width = self.collector.source.num_envs
        fragment = self._fragment or -(-steps // width)
        count = -(-steps // (fragment * width))
        return Trajectory.side_by_side([self.collector.gather(fragment, explore=self._explore) for _ in range(count)])

    def restart(self, seed: int | None = None) -> None:
        """Let new episodes begin with the next call."""
        self.collector.restart(seed)

    def metrics(self) -> dict[str, float]:
        """Return nothing: a local fleet never waits."""
        return {}

    def close(self) -> None:
        """Close the environments."""
        self.collector.source.close()
