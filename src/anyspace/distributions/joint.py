"""An action as one choice among all joint options of its discrete parts, and the numbers of its continuous parts.

Letters: N rows, k choices with n_i options each, K = n_1 ... n_k joint options (1 without choices), d numbers (0
without continuous parts).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from anyspace import nesting
from anyspace.distributions.base import ActionDistribution
from anyspace.distributions.multi import MultiActionDistribution
from anyspace.maths.joint import expectation, joint_index, joint_log_probs, log_count
from anyspace.maths.xp import Array, Rng, xp
from anyspace.tree import Tree

if TYPE_CHECKING:
    import gymnasium as gym

DISCRETE, CONTINUOUS = "discrete", "continuous"
"""The kinds of parts that an action may have."""

_SHARE_OF_ENTROPY = 0.98
"""The part of the greatest entropy that choices are held at (Christodoulou, 2019)."""


@dataclass(frozen=True)
class DrawnActions:
    """The probabilities of all joint options, and one sample of the numbers beside them."""

    log_probs: Array
    """Of the joint options ``[N, K]``, those of masked ones -inf; zeros ``[N, 1]`` without choices."""
    numbers: Array | None
    """``[N, d]``, with the gradient of the distribution; None without continuous parts."""
    entropies: dict[str, Array]
    """By kind ``[N]``: -sum p log p of the choices, and -log p of the sampled numbers, which estimates theirs."""

    def mean(self, values: Array) -> Array:
        """Expectation ``[N]`` of ``values`` ``[N, K]`` over the joint options."""
        return values[..., 0] if values.shape[-1] == 1 else expectation(self.log_probs, values)


class JointActions:
    """What is enumerated of an action, and what is sampled.

    ``Tuple([Discrete(3), Box(-1, 1, (2,)), MultiDiscrete([4, 5])])`` has the choices 3, 4 and 5, K = 60 and d = 2. The
    action ``(2, [0.5, -0.5], [0, 1])`` is the joint option (2 * 4 + 0) * 5 + 1 = 41, and the numbers 0.5 and -0.5.

    Attributes:
        counts: n_i of each choice, leaf by leaf, components in C order.
        choices: K.
        width: d.
        kinds: The kinds of parts that there are, choices first.

    Args:
        action_space: Any space.
        options: For each leaf, the numbers of options of its components; none where it is continuous.
    """

    def __init__(self, action_space: gym.Space[Any], options: Sequence[tuple[int, ...]]) -> None:
        self._space, self._options = action_space, options
        self.counts = [count for leaf in options for count in leaf]
        self.choices = math.prod(self.counts)
        shapes = [tuple(leaf.shape or ()) for leaf in nesting.leaves(action_space)]
        self.width = sum(math.prod(shape) for shape, leaf in zip(shapes, options, strict=True) if not leaf)
        self.kinds = (*((DISCRETE,) if self.counts else ()), *((CONTINUOUS,) if self.width else ()))

    def draw(self, distribution: ActionDistribution, rng: Rng) -> DrawnActions:
        """Return the probabilities of the joint options, and a sample of the numbers that carries their gradient."""
        ns = xp(distribution.inputs)
        entropies: dict[str, Array] = {}
        log_probs = ns.full((*distribution.inputs.shape[:-1], 1), 0.0, like=distribution.inputs)
        numbers = None
        if self.counts:
            log_probs = joint_log_probs(distribution.option_log_probs())
            entropies[DISCRETE] = -expectation(log_probs, log_probs)
        if self.width:
            continuous = self.continuous(distribution)
            sources = ns.split(rng, len(continuous))
            drawn = [part.sample_logp(source) for part, source in zip(continuous, sources, strict=True)]
            numbers = self._side_by_side([sample for sample, _ in drawn])
            entropies[CONTINUOUS] = -sum((logp for _, logp in drawn[1:]), start=drawn[0][1])
        return DrawnActions(log_probs, numbers, entropies)

    def taken(self, actions: Tree) -> tuple[Array, Array | None]:
        """Return which joint options actions are, integers ``[N]``, and their numbers ``[N, d]``, if there are any.

        Args:
            actions: Samples of the action distribution, ``[N, *shape]`` per leaf, nested like the space.
        """
        values = nesting.values(self._space, actions)
        ns, rows = xp(values[0]), int(values[0].shape[0])
        pairs = list(zip(values, self._options, strict=True))
        chosen = [ns.reshape(value, (rows, len(leaf))) for value, leaf in pairs if leaf]
        index = ns.astype(ns.full((rows,), 0.0, like=values[0]), "int64")
        if chosen:
            options = chosen[0] if len(chosen) == 1 else ns.concatenate(chosen, axis=-1)
            index = joint_index(ns.astype(options, "int64"), self.counts)
        return index, self._side_by_side([value for value, leaf in pairs if not leaf]) if self.width else None

    def entropy_targets(self, drawn: DrawnActions) -> dict[str, Array | float]:
        """Return the entropies to hold a policy at: 0.98 log of the number of allowed options ``[N]``, and -d."""
        targets = {DISCRETE: _SHARE_OF_ENTROPY * log_count(drawn.log_probs), CONTINUOUS: -float(self.width)}
        return {kind: targets[kind] for kind in self.kinds}

    def largest_entropies(self, distribution: ActionDistribution) -> dict[str, float]:
        """Return the most entropy that the parts of each kind can have, without a mask, in nats."""
        continuous = sum(part.largest_entropy for part in self.continuous(distribution))
        largest = {DISCRETE: math.log(self.choices), CONTINUOUS: continuous}
        return {kind: largest[kind] for kind in self.kinds}

    def require_fit(self, distribution: ActionDistribution) -> None:
        """Raise TypeError, saying what is missing, for a distribution that :meth:`draw` cannot draw from."""
        name = type(distribution).__name__
        if not isinstance(distribution, MultiActionDistribution) and not nesting.is_leaf(self._space):
            raise TypeError(f"{name} distributes the action as a whole, not leaf by leaf as MultiActionDistribution")
        if isinstance(distribution, MultiActionDistribution):
            for method in ("sample", "path_sample", "logp", "sample_logp", "option_log_probs"):
                if getattr(type(distribution), method) is not getattr(MultiActionDistribution, method):
                    raise TypeError(f"{name} has a {method}() of its own, and its children are drawn and scored singly")
        try:
            widths = [int(log_probs.shape[-1]) for log_probs in distribution.option_log_probs()]
        except NotImplementedError:
            raise TypeError(f"{name} has no option_log_probs(), which gives the probability of every option") from None
        if widths != self.counts:
            raise TypeError(
                f"{name}.option_log_probs() gives {widths} options, but the choices have {self.counts}: each component"
                " has to be a choice by itself"
            )

    def continuous(self, distribution: ActionDistribution) -> list[ActionDistribution]:
        """Return the distributions of the continuous leaves, leaf by leaf."""
        parts = distribution.children if isinstance(distribution, MultiActionDistribution) else [distribution]
        return [part for part, leaf in zip(parts, self._options, strict=True) if not leaf]

    def _side_by_side(self, parts: Sequence[Array]) -> Array:
        """Return numbers ``[N, *shape]`` of each continuous leaf as ``[N, d]``."""
        ns = xp(parts[0])
        flat = [ns.reshape(part, (part.shape[0], -1)) for part in parts if math.prod(part.shape[1:])]
        return flat[0] if len(flat) == 1 else ns.concatenate(flat, axis=-1)
