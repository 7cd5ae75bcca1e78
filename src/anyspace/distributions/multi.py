"""Independent distributions over the leaves of a Tuple or Dict action space."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

from anyspace import nesting
from anyspace.distributions.base import ActionDistribution
from anyspace.maths.splitting import split_last, split_leaves
from anyspace.maths.xp import Array, Rng, xp
from anyspace.tree import Tree

if TYPE_CHECKING:
    import gymnasium as gym


class MultiActionDistribution(ActionDistribution):
    """One independent child distribution per leaf of the action space.

    Leaves are taken depth-first, Dicts in the space's own key order; this is the order of everything below.

    Args:
        inputs: The children's inputs side by side ``[B, sum(input_lens)]``.
        model: The model that made them, handed to every child.
        mask: One mask, or None, per child. Only children that have one are built with ``mask=``.
        child_distributions: Classes or ``functools.partial`` of classes, built as ``child(slice, model)``.
        input_lens: Width of each child's slice of the inputs.
        action_space: The (nested) Tuple or Dict; samples are structured like it.
    """

    depends_on_model = False

    def __init__(
        self,
        inputs: Array,
        model: Any = None,
        *,
        mask: Sequence[Any] | None = None,
        child_distributions: Sequence[Callable[..., ActionDistribution]],
        input_lens: Sequence[int],
        action_space: gym.Space[Any],
    ) -> None:
        ActionDistribution.__init__(self, inputs, model, mask=mask)
        self.action_space = action_space
        slices = split_last(inputs, input_lens)
        masks = [None] * len(slices) if mask is None else mask
        self.children = [
            build(part, model) if part_mask is None else build(part, model, mask=part_mask)
            for build, part, part_mask in zip(child_distributions, slices, masks, strict=True)
        ]
        self.has_entropy = all(child.has_entropy for child in self.children)
        self.has_kl = all(child.has_kl for child in self.children)
        self.depends_on_model = type(self).depends_on_model or any(child.depends_on_model for child in self.children)

    @property
    def noise_width(self) -> int:
        """The children's widths together."""
        return sum(child.noise_width for child in self.children)

    def standard_noise(self, rng: Rng, steps: int) -> Array | None:
        """The children's noise side by side ``[steps, B, W]``; None if one must be sampled step by step."""
        ns = xp(self.inputs)
        sources = ns.split(rng, len(self.children))
        noises = [child.draw_noise(source, steps) for child, source in zip(self.children, sources, strict=True)]
        return None if any(noise is None for noise in noises) else ns.concatenate(noises, axis=-1)

    def sample_from_noise(self, noise: Array) -> Tree:
        """Structured actions from the children's ``noise`` ``[B, W]``."""
        noises = split_last(noise, [child.noise_width for child in self.children])
        rows = zip(self.children, noises, strict=True)
        return self._as_actions([child.sample_from_noise(row) for child, row in rows])

    def sample(self, rng: Rng = None) -> Tree:
        """One sample of each child, structured like the space."""
        sources = xp(self.inputs).split(rng, len(self.children))
        return self._as_actions(
            [
                child.sample(source) if child.sample_takes_rng else child.sample()
                for child, source in zip(self.children, sources, strict=True)
            ]
        )

    def deterministic_sample(self) -> Tree:
        """Each child's deterministic action, structured like the space."""
        return self._as_actions([child.deterministic_sample() for child in self.children])

    def logp(self, actions: Tree) -> Array:
        """Sum of the children's log-probabilities ``[B]``; what was sampled before stays as it is.

        Args:
            actions: Structured like the space, or one array ``[B, F]`` of the leaves' values side by side, as
                many of each as its shape has entries.
        """
        if isinstance(actions, Mapping | tuple | list):
            parts = nesting.values(self.action_space, actions)
        else:
            parts = split_leaves(self.action_space, xp(self.inputs).asarray(actions, like=self.inputs))
        return reduce(add, [child.logp(part) for child, part in zip(self.children, parts, strict=True)])

    def entropy(self) -> Array:
        """Sum of the children's entropies ``[B]``."""
        return reduce(add, [child.entropy() for child in self.children])

    def kl(self, other: MultiActionDistribution) -> Array:
        """Sum of the children's divergences ``[B]``."""
        pairs = zip(self.children, other.children, strict=True)
        return reduce(add, [mine.kl(theirs) for mine, theirs in pairs])

    def _as_actions(self, parts: Sequence[Tree]) -> Tree:
        self.last_sample = nesting.built(self.action_space, parts)
        return self.last_sample
