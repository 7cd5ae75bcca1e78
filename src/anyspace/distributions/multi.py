"""Independent distributions over the leaves of a Tuple or Dict action space."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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
        self.input_lens = [int(width) for width in input_lens]
        slices = split_last(inputs, self.input_lens)
        masks = [None] * len(slices) if mask is None else mask
        self.children = [
            build(part, model) if part_mask is None else build(part, model, mask=part_mask)
            for build, part, part_mask in zip(child_distributions, slices, masks, strict=True)
        ]
        self.has_entropy = all(child.has_entropy for child in self.children)
        self.has_kl = all(child.has_kl for child in self.children)
        estimated = any(child.entropy_takes_rng for child in self.children)
        self.entropy_takes_rng = type(self).entropy_takes_rng and estimated
        self.depends_on_model = type(self).depends_on_model or any(child.depends_on_model for child in self.children)

    @property
    def allowed(self) -> list[Any]:
        """What each child allows."""
        return [child.allowed for child in self.children]

    @property
    def flat_child_distributions(self) -> list[ActionDistribution]:
        """The children, by the name that they had in RLlib."""
        return self.children

    @property
    def action_space_struct(self) -> Tree:
        """The space as dicts and tuples of its leaves."""
        return nesting.unwrapped(self.action_space)

    @property
    def noise_width(self) -> int:
        """The children's widths together."""
        return sum(child.noise_width for child in self.children)

    def standard_noise(self, rng: Rng, steps: int) -> Array | None:
        """The children's noise side by side ``[steps, B, W]``; None if one must be sampled step by step."""
        return self._noise_of_parts(self.children, rng, steps)

    def sample_from_noise(self, noise: Array) -> Tree:
        """Structured actions from the children's ``noise`` ``[B, W]``."""
        noises = split_last(noise, [child.noise_width for child in self.children])
        rows = zip(self.children, noises, strict=True)
        return self._as_actions([child.sample_from_noise(row) for child, row in rows])

    def sample(self, rng: Rng = None) -> Tree:
        """One sample of each child, structured like the space."""
        return self._as_actions(
            [
                child.sample(source) if child.sample_takes_rng else child.sample()
                for child, source in self._with_sources(rng)
            ]
        )

    def path_sample(self, rng: Rng = None) -> Tree:
        """One `path_sample` of each child, structured like the space."""
        return self._as_actions([child.path_sample(source) for child, source in self._with_sources(rng)])

    def sample_logp(self, rng: Rng = None) -> tuple[Tree, Array]:
        """Draw a sample of each child, structured like the space, and return it with the sum of their `logp` ``[B]``.

        Both carry the gradients that the children's have.
        """
        drawn = [child.sample_logp(source) for child, source in self._with_sources(rng)]
        return self._as_actions([sample for sample, _ in drawn]), reduce(add, [logp for _, logp in drawn])

    def option_log_probs(self) -> list[Array]:
        """Log-probabilities of the options of each choice of each child, ``[B, n]`` each."""
        return [log_probs for child in self.children for log_probs in child.option_log_probs()]

    def deterministic_sample(self) -> Tree:
        """Each child's deterministic action, structured like the space."""
        return self._as_actions([child.deterministic_sample() for child in self.children])

    def logp(self, actions: Tree) -> Array:
        """Sum of the children's log-probabilities ``[B]``; what was sampled before stays as it is.

        Args:
            actions: Structured like the space, a flat list of the children's values, or one array ``[B, F]`` of the
                values side by side, as many of each leaf as its shape has entries.
        """
        if _is_flat(actions, len(self.children)):
            parts = [self._shaped(*pair) for pair in zip(nesting.leaves(self.action_space), actions, strict=True)]
        elif isinstance(actions, Mapping | tuple | list):
            parts = nesting.values(self.action_space, actions)
        else:
            parts = split_leaves(self.action_space, xp(self.inputs).asarray(actions, like=self.inputs))
        return reduce(add, [child.logp(part) for child, part in zip(self.children, parts, strict=True)])

    def entropy(self, rng: Rng = None) -> Array:
        """Sum of the children's entropies ``[B]``; ``rng`` is for those that are estimates from a sample."""
        if not self.entropy_takes_rng:
            return reduce(add, [child.entropy() for child in self.children])
        entropies = (
            child.entropy(source) if child.entropy_takes_rng else child.entropy()  # type: ignore[call-arg]
            for child, source in self._with_sources(rng)
        )
        return reduce(add, entropies)

    def kl(self, other: MultiActionDistribution) -> Array:
        """Sum of the children's divergences ``[B]``."""
        pairs = zip(self.children, other.children, strict=True)
        return reduce(add, [mine.kl(theirs) for mine, theirs in pairs])

    def _with_sources(self, rng: Rng) -> Iterable[tuple[ActionDistribution, Rng]]:
        return zip(self.children, xp(self.inputs).split(rng, len(self.children)), strict=True)

    def _shaped(self, leaf: gym.Space[Any], part: Array) -> Array:
        """Return a child's values with the shape of its leaf: choices ``[B, 1]`` as ``[B]``."""
        ns = xp(self.inputs)
        return ns.reshape(ns.asarray(part, like=self.inputs), (*self._batch_shape, *(leaf.shape or ())))

    @staticmethod
    def required_model_output_shape(action_space: gym.Space[Any], model_config: Any) -> int:
        """Refuse: the width depends on the children; ``ModelCatalog.get_action_dist(space)`` returns both.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "MultiActionDistribution is as wide as its children together. Ask"
            " ModelCatalog.get_action_dist(action_space, config), which returns the distribution and its width."
        )

    def _as_actions(self, parts: Sequence[Tree]) -> Tree:
        self.last_sample = nesting.built(self.action_space, parts)
        return self.last_sample


def _is_flat(actions: Tree, count: int) -> bool:
    """Whether actions are a list of ``count`` arrays, as dm-tree's ``flatten`` returns it."""
    return (
        isinstance(actions, list)
        and len(actions) == count
        and not any(isinstance(part, Mapping | tuple | list) for part in actions)
    )
