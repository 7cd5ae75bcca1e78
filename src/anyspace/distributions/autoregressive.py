"""The joint distribution of all parts of an action, each of which depends on the parts before it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, reduce
from operator import add
from typing import TYPE_CHECKING, Any

from anyspace import nesting
from anyspace.distributions.base import ActionDistribution
from anyspace.distributions.parts import ActionParts
from anyspace.errors import ModelError
from anyspace.maths.splitting import split_leaves
from anyspace.maths.xp import Array, Rng, xp
from anyspace.tree import Tree

if TYPE_CHECKING:
    import gymnasium as gym

ROWS_PER_PASS = 2**15
"""Rows that one pass over prefixes takes at most: what bounds the memory where no gradients are recorded."""


class AutoregressiveActions(ActionDistribution):
    """p(a) = product over parts d of p(a_d | a_1 .. a_d-1, context), for any space of two parts or more.

    A part is a Discrete, each component of a MultiDiscrete, MultiBinary or integer Box, or a float Box or Simplex as a
    whole. Choices are drawn from `Categorical`, a bit has two logits, and other parts have their default distribution.
    ``model.action_network(context, encoded)`` takes contexts ``[B, C]`` and encoded actions ``[..., B, E]`` and returns
    the parameters of all parts, side by side ``[..., B, P]``. The parameters of a part depend on the context and on the
    encodings of the parts before it, and on nothing else: the network is masked (Germain et al., "MADE", 2015,
    https://arxiv.org/abs/1502.03509). Several actions for each row have one more axis in front; B is 1 there where
    they are the same for all rows. Choices are encoded one-hot, continuous values as they are.

    Scoring an action is one pass through that network, sampling takes one per part. Actions are structured as the
    space's default distribution structures them. The deterministic action takes each part's likeliest value (or mean)
    in turn, which need not be the likeliest action.

    Entropy and divergence are exact where all parts but the last are choices, of at most `parts.MAX_PREFIXES` ways to
    make them. Elsewhere the entropy is an unbiased estimate, with an unbiased gradient, from one sample per row: the
    sum of the entropies of its parts, each given those before it; then there is no `kl`.

    Args:
        inputs: Context ``[B, C]``.
        model: Holds ``action_network``.
        mask: Allowed options, laid out as for the default distribution: ``[B, A]``, or one such array (or None) for
            each leaf of a Tuple or Dict. Forbidden options have probability 0 whatever the parts before are. A choice
            without any allowed option counts as free.
        parts: The parts of the action space.
    """

    depends_on_model = True

    def __init__(self, inputs: Array, model: Any = None, *, mask: Any = None, parts: ActionParts) -> None:
        super().__init__(inputs, model, mask=mask)
        self.parts = parts
        self.has_entropy, self.has_kl = parts.have_entropy, parts.have_kl
        self.entropy_takes_rng = parts.prefixes is None

    @staticmethod
    def required_model_output_shape(action_space: gym.Space[Any], model_config: Mapping[str, Any]) -> int:
        """Width C of the context: that of the last dense layer in the configuration, or 64 where there is none."""
        hiddens = [*model_config["fcnet_hiddens"], *model_config["post_fcnet_hiddens"]]
        return int(hiddens[-1]) if hiddens else 64

    # ------------------------------------------------------------------------------------ conditionals

    @cached_property
    def _mask(self) -> Array | None:
        """The masks of all leaves side by side ``[B, A]``."""
        if self.mask is None:
            return None
        ns = xp(self.inputs)
        by_leaf = self.mask if isinstance(self.mask, list | tuple) else [self.mask]
        masks = []
        for options, mask in zip(self.parts.options, by_leaf, strict=True):
            given = ns.full((*self._batch_shape, sum(options)), 1.0, like=self.inputs) if mask is None else mask
            masks.append(ns.holds(ns.asarray(given, like=self.inputs)))
        return ns.concatenate(masks, axis=-1)

    @cached_property
    def _encoding(self) -> tuple[Array, Array, Array]:
        ns, parts = xp(self.inputs), self.parts
        column, option, is_option = (
            ns.asarray(x, like=self.inputs) for x in (parts.column, parts.option, parts.is_option)
        )
        return column, option, is_option

    def _parameters(self, flat: Array) -> Array:
        """All parts' parameters ``[..., B, P]``, each given the parts before it in actions ``flat`` ``[..., B, F]``."""
        network = getattr(self.model, "action_network", None)
        if network is None:
            raise ModelError(
                f"AutoregressiveActions needs a model with an `action_network`, got {type(self.model).__name__}. Build"
                " the model by ModelCatalog.get_model_v2 with `autoregressive_actions` on, or give it one of your own."
            )
        ns = xp(self.inputs)
        column, option, is_option = self._encoding
        values = ns.take_columns(flat, column)
        one_hot = ns.cast(values == ns.cast(option, like=flat), like=flat)
        parameters = network(self.inputs, ns.where(is_option, one_hot, values))
        if parameters.shape[-1] != self.parts.parameters:
            raise ModelError(
                f"{type(self.model).__name__}.action_network gave {parameters.shape[-1]} numbers per row, but the parts"
                f" of {self.parts.action_space} take {self.parts.parameters}."
            )
        return parameters

    def _given(self, flat: Array) -> list[ActionDistribution]:
        """The distributions of the factors `ActionParts.scored`, each given the parts before it."""
        parameters = self._parameters(flat)
        return [factor.distribution(parameters, self.model, self._mask) for factor in self.parts.scored]

    def _scores(self, given: list[ActionDistribution], flat: Array) -> Iterator[Array]:
        """Yield the log-probabilities ``[...]`` of the parts of ``flat``, factor by factor."""
        for conditional, factor in zip(given, self.parts.scored, strict=True):
            yield conditional.logp(flat[..., factor.columns])

    def _prefix_logp(self, given: list[ActionDistribution], flat: Array) -> Array:
        """The log-probability ``[...]`` of all parts but the last."""
        return _total(itertools.islice(self._scores(given, flat), len(given) - 1))

    # ---------------------------------------------------------------------------------------- sampling

    @cached_property
    def _blank(self) -> list[ActionDistribution]:
        """Distributions like the parts', for parameters of 0."""
        zeros = xp(self.inputs).full((*self._batch_shape, self.parts.parameters), 0.0, like=self.inputs)
        return [factor.distribution(zeros, self.model, None) for factor in self.parts.drawn]

    @property
    def noise_width(self) -> int:
        """The parts' widths together."""
        return sum(blank.noise_width for blank in self._blank)

    def standard_noise(self, rng: Rng, steps: int) -> Array | None:
        """The parts' noise side by side ``[steps, B, W]``; None if one must be sampled step by step."""
        return self._noise_of_parts(self._blank, rng, steps)

    def sample_from_noise(self, noise: Array) -> Tree:
        """Structured actions from the parts' ``noise`` ``[B, W]``."""
        first = 0

        def draw(conditional: ActionDistribution) -> Array:
            nonlocal first
            start, first = first, first + conditional.noise_width
            return conditional.sample_from_noise(noise[..., start:first])

        return self._as_actions(self._in_turn(draw))

    def sample(self, rng: Rng = None) -> Tree:
        """One action per row, structured like the space."""
        return self._as_actions(self._drawn(rng))

    def deterministic_sample(self) -> Tree:
        """Each part's deterministic value given the values of the parts before, structured like the space."""
        return self._as_actions(self._in_turn(lambda conditional: conditional.deterministic_sample()))

    def _drawn(self, rng: Rng) -> Array:
        sources = iter(xp(self.inputs).split(rng, len(self.parts.drawn)))
        return self._in_turn(lambda conditional: conditional.sample(next(sources)))

    def _in_turn(self, draw: Callable[[ActionDistribution], Array]) -> Array:
        """Choose one part after the other; return the actions ``[B, F]``."""
        ns, batch = xp(self.inputs), self._batch_shape
        columns = [ns.full((*batch, part.size), 0.0, like=self.inputs) for part in self.parts.parts]
        for i, (part, factor) in enumerate(zip(self.parts.parts, self.parts.drawn, strict=True)):
            parameters = self._parameters(ns.concatenate(columns, axis=-1))
            value = draw(factor.distribution(parameters, self.model, self._mask))
            columns[i] = ns.reshape(ns.cast(value, like=self.inputs), (*batch, part.size))
        return ns.concatenate(columns, axis=-1)

    def _as_actions(self, flat: Array) -> Tree:
        space = self.parts.action_space
        self.last_sample = nesting.built(space, split_leaves(space, flat))
        return self.last_sample

    def _as_flat(self, actions: Tree) -> Array:
        """Actions ``[B, F]`` from structured ones, or from flat ones in any form."""
        ns, batch = xp(self.inputs), self._batch_shape
        if not isinstance(actions, Mapping | tuple | list):
            width = sum(map(math.prod, self.parts.shapes))
            return ns.reshape(ns.cast(actions, like=self.inputs), (*batch, width))
        columns = []
        for values, shape in zip(nesting.values(self.parts.action_space, actions), self.parts.shapes, strict=True):
            if isinstance(values, tuple | list):
                values = ns.stack([ns.asarray(value, like=self.inputs) for value in values], axis=-1)
            columns.append(ns.reshape(ns.cast(values, like=self.inputs), (*batch, math.prod(shape))))
        return ns.concatenate(columns, axis=-1)

    # ----------------------------------------------------------------------------------------- scoring

    def logp(self, actions: Tree) -> Array:
        """Log-probability, or log-density, of ``actions`` ``[B]``, in one pass.

        Args:
            actions: Structured like the space, or one array ``[B, F]`` of the leaves' values side by side, as
                many of each as its shape has entries.
        """
        flat = self._as_flat(actions)
        return _total(self._scores(self._given(flat), flat))

    def entropy(self, rng: Rng = None) -> Array:
        """Entropy ``[B]``; where it is an estimate, the sample is drawn from ``rng``."""
        if self.parts.prefixes is not None:
            return self._expected(lambda given, flat: _total(conditional.entropy() for conditional in given))
        ns = xp(self.inputs)
        flat = ns.stop_gradient(self._drawn(rng))
        given = self._given(flat)
        logp = self._prefix_logp(given, flat)
        # Value 1, gradient of log p(prefix): the score-function term (Foerster et al., "DiCE", 2018). Without it the
        # gradient ignores that the policy changes how often each prefix is reached.
        weight = ns.exp(logp - ns.stop_gradient(logp))
        return weight * _total(conditional.entropy() for conditional in given)

    def kl(self, other: AutoregressiveActions) -> Array:
        """Divergence ``[B]``; each of the two is asked through its own model.

        Raises:
            NotImplementedError: It cannot be summed up exactly (`has_kl` is False).
        """
        if self.parts.prefixes is None:
            raise NotImplementedError(
                f"AutoregressiveActions has no kl() for {self.parts.action_space}: it would take a sum over everything"
                " that parts depend on. Use an estimate from log-probabilities of samples."
            )

        def divergence(given: list[ActionDistribution], flat: Array) -> Array:
            return _total(mine.kl(theirs) for mine, theirs in zip(given, other._given(flat), strict=True))

        return self._expected(divergence)

    def _expected(self, value: Callable[[list[ActionDistribution], Array], Array]) -> Array:
        """The mean ``[B]`` of a value ``[K, B]`` of conditionals over all prefixes, by their probabilities."""
        ns, batch = xp(self.inputs), self._batch_shape
        blank = ns.full((*batch, 1), 0.0, like=self.inputs)
        total = blank[..., 0]
        for prefixes in self._prefixes():
            given = self._given(prefixes)
            weight = ns.exp(self._prefix_logp(given, prefixes + blank))
            # A prefix of probability 0 may have an infinite divergence.
            total = total + ns.sum(weight * ns.where(weight > 0.0, value(given, prefixes), 0.0), axis=0)
        return total

    def _prefixes(self) -> Iterator[Array]:
        """Yield all prefixes ``[K, 1, F]``, with as many axes in the middle as rows have, as many as fit one pass."""
        prefixes, ns, batch = self.parts.prefixes, xp(self.inputs), self._batch_shape
        assert prefixes is not None
        per_pass = max(1, ROWS_PER_PASS // max(1, math.prod(batch)))
        for first in range(0, len(prefixes), per_pass):
            some = prefixes[first : first + per_pass]
            yield ns.reshape(ns.cast(some, like=self.inputs), (len(some), *(1 for _ in batch), some.shape[1]))


def _total(values: Iterable[Array]) -> Array:
    return reduce(add, values)
