"""What every exploration is: how an action is chosen from its distribution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


@runtime_checkable
class ReportingExploration(Exploration, Protocol):
    """An exploration with numbers that results report."""

    def metrics(self, workers: int) -> dict[str, float]:
        """Return what it does at present, by name.

        Args:
            workers: how many others collect with explorations of their own; 0: this one explores. What differs among
                them, or what they alone know, is left out.
        """


@runtime_checkable
class PerturbingExploration(StatefulExploration, Protocol):
    """An exploration that acts with other weights than those that learn.

    These stay as they are: what acts is a second network, see `policy/perturbed.py`.
    """

    def begin(self, seed: NumpyArray) -> None:
        """Take in that an episode of the first environment begins, with random bits, uint32 [4]."""

    def perturbed(self, weights: Mapping[str, NumpyArray], takes_noise: Callable[[str], bool]) -> dict[str, NumpyArray]:
        """Return the weights to act with, by name.

        Args:
            weights: that learn, by name.
            takes_noise: whether the weight of a name may differ.
        """

    def compare(self, own: ActionDistribution, perturbed: ActionDistribution) -> None:
        """Take in the distributions [B] of one step, by the weights that learn and by those that act."""
