"""What every exploration is: how an action is chosen from its distribution."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from anyspace.distributions import ActionDistribution
from anyspace.maths.xp import Array, Rng
from anyspace.models.runtime import NumpyArray
from anyspace.tree import Tree


class Place(NamedTuple):
    """Which of several collecting processes explores; some explore more than others."""

    number: int = 0
    """From 0."""
    of: int = 1
    """How many there are."""


ALONE = Place()
"""The only collecting process."""


class Exploration(Protocol):
    """Chooses actions from distributions; the same object for as long as a policy lives.

    It is built from the space of raw actions, which is the environment's action space with float components between -1
    and 1 where `normalize_actions` scales them to both their bounds, and from a :class:`Place`.
    """

    def at(self, timestep: int) -> None:
        """Take in how many environment steps were sampled so far; schedules go by it."""

    def draw(self, distribution: ActionDistribution, rng: Rng, steps: int) -> Array | None:
        """Draw the noise [steps, B, W] of a rollout ahead, or return None where that is not possible."""

    def choose(self, distribution: ActionDistribution, *, explore: bool, rng: Rng, noise: Array | None) -> Tree:
        """Return a raw action for each row of the distribution.

        Args:
            distribution: of B rows.
            explore: False asks for the deterministic action.
            rng: the random source, where no noise was drawn ahead.
            noise: [B, W] of this step, as `draw` drew it.
        """


@runtime_checkable
class StatefulExploration(Exploration, Protocol):
    """An exploration that remembers something between steps, which a checkpoint holds."""

    def state(self) -> dict[str, NumpyArray]:
        """Return what is remembered, by name."""

    def load_state(self, state: dict[str, NumpyArray]) -> None:
        """Restore what :meth:`state` returned."""
