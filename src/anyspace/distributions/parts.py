"""What an action is made of, part by part, for distributions in which each part depends on those before it.

Letters: K prefixes, F numbers of an action, E numbers of its encoding, A options of all choices together.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from anyspace import nesting
from anyspace.distributions.base import ActionDistribution
from anyspace.distributions.categorical import Categorical, MultiCategorical
from anyspace.maths.xp import Array

if TYPE_CHECKING:
    import gymnasium as gym

MAX_PREFIXES = 64
"""Up to so many ways to choose all parts but the last, entropy and divergence are exact: sums over all of them."""


@dataclass(frozen=True)
class ActionPart:
    """One choice among options, or all values of one continuous leaf."""

    build: Callable[..., ActionDistribution]
    """Its distribution, called as ``build(parameters, model)``, for a choice also with ``mask=``."""
    parameters: int
    """How many numbers per row that distribution takes."""
    size: int = 1
    """How many numbers of an action the part is."""
    options: int = 0
    """How many options the choice has; 0: the part is continuous."""

    @classmethod
    def choice(cls, options: int) -> ActionPart:
        """Return the part that is one of ``options`` indices."""
        return cls(Categorical, options, 1, options)

    @property
    def encoding(self) -> int:
        """How many numbers later parts see of it: a one-hot vector, or its values as they are."""
        return self.options or self.size


@dataclass(frozen=True)
class Factor:
    """Parts side by side that one distribution draws or scores; the slices are of the arrays of all parts."""

    build: Callable[..., ActionDistribution]
    parameters: slice
    columns: slice
    options: slice

    def distribution(self, parameters: Array, model: Any, mask: Array | None) -> ActionDistribution:
        """Return the distribution for the parameters ``[B, P]`` and the mask ``[B, A]`` of all parts."""
        own = parameters[..., self.parameters]
        if mask is None or self.options.start == self.options.stop:
            return self.build(own, model)
        return self.build(own, model, mask=mask[..., self.options])


class ActionParts:
    """The parts of an action space, in the order in which they are chosen: leaves depth-first, components in C order.

    Attributes:
        action_space: The space whose parts they are.
        shapes: The shapes of its leaves.
        options: For each leaf, the options of its components; none where it is continuous.
        parts: All of them.
        parameters: How many numbers per row their distributions take together.
        drawn: The factors by which an action is drawn: one per part.
        scored: The factors by which an action is scored: neighbouring choices are one factor, but the last part is
            always a factor by itself.
        column: For each number of an encoding, the position of the number of the action that it encodes ``[E]``.
        option: For each number of an encoding, the option that it stands for in a one-hot vector ``[E]``.
        is_option: For each number of an encoding, whether it belongs to a one-hot vector ``[E]``.
        have_entropy: Whether the distribution of every part has an entropy.
        have_kl: Whether every one has a divergence, and all prefixes are known.
        prefixes: All ways to choose the parts but the last, which is 0 in them ``[K, F]``; None where they are more
            than `MAX_PREFIXES`, or one of those parts is continuous.

    Args:
        action_space: Any space; a leaf that holds no value has no part.
        leaves: The parts of each leaf.

    Raises:
        ValueError: There are fewer than two parts, so that none depends on another.
    """

    def __init__(self, action_space: gym.Space[Any], leaves: Sequence[Sequence[ActionPart]]) -> None:
        self.action_space = action_space
        self.shapes = [tuple(leaf.shape or ()) for leaf in nesting.leaves(action_space)]
        self.options = [tuple(part.options for part in leaf if part.options) for leaf in leaves]
        self.parts = parts = [part for leaf in leaves for part in leaf]
        if len(parts) < 2:
            raise ValueError(f"{action_space} has {len(parts)} part to choose; parts that depend on others take two.")
        self.parameters = sum(part.parameters for part in parts)
        self.drawn = list(_factors([[part] for part in parts]))
        self.scored = list(_factors([*_neighbours(parts[:-1]), parts[-1:]]))

        firsts = np.cumsum([0, *(part.size for part in parts)])[:-1]
        columns = [first + np.arange(part.size) for first, part in zip(firsts, parts, strict=True)]
        self.column = np.concatenate([np.resize(own, part.encoding) for own, part in zip(columns, parts, strict=True)])
        self.option = np.concatenate([np.arange(part.encoding) for part in parts])
        self.is_option = np.concatenate([np.full(part.encoding, part.options > 0) for part in parts])
        self.prefixes = _prefixes(parts)

        kinds: list[Any] = [getattr(part.build, "func", part.build) for part in parts]
        self.have_entropy = all(kind.has_entropy for kind in kinds)
        self.have_kl = self.prefixes is not None and all(kind.has_kl for kind in kinds)


def _neighbours(parts: Sequence[ActionPart]) -> Iterator[list[ActionPart]]:
    """Group choices that lie side by side; continuous parts stay alone."""
    for is_choice, run in itertools.groupby(parts, key=lambda part: part.options > 0):
        if is_choice:
            yield list(run)
        else:
            yield from ([part] for part in run)


def _factors(groups: Sequence[Sequence[ActionPart]]) -> Iterator[Factor]:
    parameters = columns = options = 0
    for group in groups:
        choices = [part.options for part in group]
        build = group[0].build if len(group) == 1 else partial(MultiCategorical, input_lens=choices)
        ends = (
            parameters + sum(part.parameters for part in group),
            columns + sum(part.size for part in group),
            options + sum(choices),
        )
        yield Factor(build, slice(parameters, ends[0]), slice(columns, ends[1]), slice(options, ends[2]))
        parameters, columns, options = ends


def _prefixes(parts: Sequence[ActionPart]) -> npt.NDArray[np.int64] | None:
    choices = [part.options for part in parts[:-1]]
    if math.prod(choices) > MAX_PREFIXES or not all(choices):
        return None
    chosen = np.array(list(itertools.product(*map(range, choices))), np.int64)
    return np.concatenate([chosen, np.zeros((len(chosen), parts[-1].size), np.int64)], axis=1)
