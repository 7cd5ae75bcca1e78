"""How an action is chosen from its distribution."""

from __future__ import annotations

from typing import Any

from anyspace.distributions import ActionDistribution
from anyspace.maths.xp import Array
from anyspace.tree import Tree


class StochasticSampling:
    """Sample when exploring, take the deterministic action otherwise (spec 8.16)."""

    def choose(self, distribution: ActionDistribution, *, explore: bool, rng: Any, noise: Array | None) -> Tree:
        """Return a raw action for each row; ``noise`` is the row of a rollout drawn ahead, if there is one."""
        if not explore:
            return distribution.deterministic_sample()
        if noise is not None:
            return distribution.sample_from_noise(noise)
        return distribution.sample(rng) if distribution.sample_takes_rng else distribution.sample()
