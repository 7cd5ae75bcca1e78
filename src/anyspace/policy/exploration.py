"""How an action is chosen from its distribution."""

from __future__ import annotations

from anyspace.distributions import ActionDistribution
from anyspace.maths.xp import Array
from anyspace.tree import Tree


class StochasticSampling:
    """Sample when exploring, take the deterministic action otherwise (spec 8.16).

    Args:
        takes_rng: whether the distribution's ``sample`` accepts a random source; one written for the old
            contract does not, and then draws from its framework's global source.
    """

    def __init__(self, takes_rng: bool):
        self._takes_rng = takes_rng

    def choose(
        self, distribution: ActionDistribution, *, explore: bool, rng: object, noise: Array | None
    ) -> Tree:
        """Return a raw action for each row; ``noise`` is the row of a rollout drawn ahead, if there is one."""
        if not explore:
            return distribution.deterministic_sample()
        if noise is not None:
            return distribution.sample_from_noise(noise)
        return distribution.sample(rng) if self._takes_rng else distribution.sample()
