"""Distributions over finite choices: one choice, or several independent ones."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gymnasium import spaces

from anyspace.distributions.allowed import allowed_by, left_by
from anyspace.distributions.base import ActionDistribution
from anyspace.maths.limits import IMPOSSIBLE
from anyspace.maths.splitting import split_last
from anyspace.maths.xp import Array, Rng, xp

if TYPE_CHECKING:
    import gymnasium as gym


class Categorical(ActionDistribution):
    """One of A actions, with probabilities softmax(inputs / temperature).

    Args:
        inputs: Logits ``[B, A]``.
        model: The model that made them.
        mask: Allowed actions ``[B, A]``, booleans or 0/1. All others have probability 0 and are out of
            entropy, divergence and gradients. A row that allows nothing counts as one that allows everything:
            final, padded and dummy rows look like that.
        temperature: Above 1 flattens the probabilities, below 1 sharpens them.

    Raises:
        AssertionError: ``temperature`` is not positive.
    """

    depends_on_model = False

    def __init__(
        self, inputs: Array, model: Any = None, *, mask: Array | None = None, temperature: float = 1.0
    ) -> None:
        if not temperature > 0.0:
            raise AssertionError(f"Categorical needs a temperature above 0, got {temperature}.")
        super().__init__(inputs, model, mask=mask)
        self.temperature = temperature
        if type(self) is Categorical and mask is None and temperature == 1.0:
            # At once: a sample of a few rows takes less time than finding a cached property for the first time.
            self.__dict__["logits"] = inputs

    @property
    def allowed(self) -> Array:
        """The mask, or what the model's own logits leave."""
        return left_by(self.inputs) if self.mask is None else self.mask

    @staticmethod
    def required_model_output_shape(action_space: spaces.Discrete, model_config: Any) -> int:
        """One logit per action."""
        return int(action_space.n)

    @cached_property
    def logits(self) -> Array:
        """Logits ``[B, A]`` brought to temperature 1, masked ones -inf; not normalised, since acting needs no more."""
        ns = xp(self.inputs)
        logits = self.inputs
        if self.mask is not None:
            logits = ns.where(allowed_by(self.mask, like=logits), logits, -float("inf"))
        if self.temperature != 1.0:
            # Shifted first: divided as they are, logits of -3.4e38 would overflow, in a row of them to NaN.
            largest = ns.max(ns.stop_gradient(logits), axis=-1, keepdims=True)
            logits = (logits - largest) / self.temperature
        return logits

    @cached_property
    def log_probs(self) -> Array:
        """Log-probabilities ``[B, A]``, masked ones -inf."""
        return xp(self.inputs).log_softmax(self.logits)

    @cached_property
    def probs(self) -> Array:
        """Probabilities ``[B, A]``, masked ones 0."""
        return xp(self.inputs).exp(self.log_probs)

    @property
    def noise_width(self) -> int:
        """A."""
        return int(self.inputs.shape[-1])

    def standard_noise(self, rng: Rng, steps: int) -> Array:
        """Gumbel noise ``[steps, B, A]``."""
        return xp(self.inputs).gumbel(rng, (steps, *self.inputs.shape), like=self.inputs)

    def sample_from_noise(self, noise: Array) -> Array:
        """Actions ``[B]``: the argmax of logits and Gumbel ``noise`` ``[B, A]`` (Gumbel, 1954)."""
        self.last_sample = xp(self.inputs).argmax(self.logits + noise, axis=-1)
        return self.last_sample

    def deterministic_sample(self) -> Array:
        """The likeliest action ``[B]``, the first one of equals."""
        self.last_sample = xp(self.inputs).argmax(self.logits, axis=-1)
        return self.last_sample

    def logp(self, actions: Array) -> Array:
        """Log-probability of ``actions`` ``[B]`` (or ``[B, 1]``); -inf for a masked one."""
        ns = xp(self.inputs)
        indices = ns.astype(ns.asarray(actions, like=self.inputs), "int64")
        indices = ns.reshape(indices, (*self._batch_shape, 1))
        return ns.take_along_axis(self.log_probs, indices, axis=-1)[..., 0]

    def option_log_probs(self) -> list[Array]:
        """Log-probabilities of the actions ``[B, A]``."""
        return [self.log_probs]

    def entropy(self) -> Array:
        """-sum p log p ``[B]``."""
        ns = xp(self.inputs)
        # The inner choice keeps 0 * -inf, in the sum and in its gradient, from becoming NaN.
        return -ns.sum(self.probs * ns.where(self.probs > 0.0, self.log_probs, 0.0), axis=-1)

    def kl(self, other: Categorical) -> Array:
        """Sum p (log p - log q) ``[B]``; inf where ``other`` masks an action that has a probability here."""
        ns = xp(self.inputs)
        others = ns.where(other.log_probs < IMPOSSIBLE, -float("inf"), other.log_probs)
        # Selected before the subtraction, for the difference of two -inf has a NaN gradient.
        possible = self.probs > 0.0
        differences = ns.where(possible, self.log_probs, 0.0) - ns.where(possible, others, 0.0)
        return ns.sum(self.probs * differences, axis=-1)


class MultiCategorical(ActionDistribution):
    """k independent categorical choices, each with its own number of options.

    Args:
        inputs: The choices' logits side by side ``[B, sum(input_lens)]``.
        model: The model that made them.
        mask: Allowed options in the same layout, see `Categorical`.
        input_lens: Number of options of each choice.
        action_space: Samples have its shape, ``[B, *shape]``; without it they are ``[B, k]``. Options count
            from 0: adding ``start`` or ``low`` is left to decoding.
        temperature: See `Categorical`.
    """

    depends_on_model = False

    def __init__(
        self,
        inputs: Array,
        model: Any = None,
        *,
        mask: Array | None = None,
        input_lens: Sequence[int],
        action_space: gym.Space[Any] | None = None,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(inputs, model, mask=mask)
        self.temperature = temperature
        self.input_lens = tuple(int(length) for length in input_lens)
        self.action_space = action_space
        if sum(self.input_lens) != inputs.shape[-1]:
            raise ValueError(
                f"{type(self).__name__}: {inputs.shape[-1]} inputs per row cannot be cut into choices of"
                f" {list(self.input_lens)} options."
            )
        self._uniform = len(set(self.input_lens)) == 1

    @property
    def allowed(self) -> Array:
        """The mask, or what the model's own logits leave."""
        return left_by(self.inputs) if self.mask is None else self.mask

    @cached_property
    def _parts(self) -> list[Categorical]:
        """The choices; those of one length are one distribution ``[B, k, n]``."""
        logits, mask = self._split(self.inputs), self.mask
        masks = [None] * len(logits) if mask is None else self._split(xp(self.inputs).asarray(mask, like=self.inputs))
        pairs = zip(logits, masks, strict=True)
        return [Categorical(part, self.model, mask=m, temperature=self.temperature) for part, m in pairs]

    @staticmethod
    def required_model_output_shape(action_space: spaces.MultiDiscrete | spaces.Box, model_config: Any) -> int:
        """One logit per option of each component; the options of an integer Box are its values, bounds included."""
        if isinstance(action_space, spaces.MultiDiscrete):
            return int(action_space.nvec.sum())
        bounds = zip(action_space.low.flat, action_space.high.flat, strict=True)
        return sum(int(high) - int(low) + 1 for low, high in bounds)

    def _split(self, x: Array) -> list[Array]:
        """Cut ``[B, sum]`` per choice; choices of one length stay together ``[B, k, n]``, to share calls."""
        parts = split_last(x, self.input_lens)
        if not self._uniform:
            return parts
        return [xp(x).reshape(x, (*x.shape[:-1], len(self.input_lens), self.input_lens[0]))]

    def _join(self, results: list[Array]) -> Array:
        """Undo `_split` for results with one value per choice ``[B, k]``."""
        return results[0] if self._uniform else xp(self.inputs).stack(results, axis=-1)

    def _as_actions(self, choices: Array) -> Array:
        shape = (len(self.input_lens),) if self.action_space is None else self.action_space.shape
        self.last_sample = xp(choices).reshape(choices, (*self._batch_shape, *(shape or ())))
        return self.last_sample

    @property
    def noise_width(self) -> int:
        """One number per logit."""
        return int(self.inputs.shape[-1])

    def standard_noise(self, rng: Rng, steps: int) -> Array:
        """Gumbel noise ``[steps, B, sum(input_lens)]``."""
        return xp(self.inputs).gumbel(rng, (steps, *self.inputs.shape), like=self.inputs)

    def sample_from_noise(self, noise: Array) -> Array:
        """Actions ``[B, k]`` or ``[B, *shape]`` from Gumbel ``noise`` ``[B, sum(input_lens)]``."""
        noises = zip(self._parts, self._split(noise), strict=True)
        return self._as_actions(self._join([part.sample_from_noise(row) for part, row in noises]))

    def deterministic_sample(self) -> Array:
        """Each choice's likeliest option ``[B, k]`` or ``[B, *shape]``."""
        return self._as_actions(self._join([part.deterministic_sample() for part in self._parts]))

    def logp(self, actions: Array | Sequence[Array]) -> Array:
        """Sum of the choices' log-probabilities ``[B]``.

        Args:
            actions: ``[B, k]``, ``[B, *shape]``, or a list of k arrays ``[B]``.
        """
        ns = xp(self.inputs)
        if isinstance(actions, list | tuple):
            actions = ns.stack([ns.asarray(choice, like=self.inputs) for choice in actions], axis=-1)
        choices = ns.reshape(ns.asarray(actions, like=self.inputs), (*self._batch_shape, len(self.input_lens)))
        columns = [choices] if self._uniform else [choices[..., i] for i in range(len(self.input_lens))]
        logps = [part.logp(column) for part, column in zip(self._parts, columns, strict=True)]
        return ns.sum(self._join(logps), axis=-1)

    def option_log_probs(self) -> list[Array]:
        """Log-probabilities of the options of each choice, ``[B, n]`` each."""
        if self._uniform:
            return [self._parts[0].log_probs[..., choice, :] for choice in range(len(self.input_lens))]
        return [part.log_probs for part in self._parts]

    def multi_entropy(self) -> Array:
        """Entropy of each choice ``[B, k]``."""
        return self._join([part.entropy() for part in self._parts])

    def entropy(self) -> Array:
        """Sum of the choices' entropies ``[B]``."""
        return xp(self.inputs).sum(self.multi_entropy(), axis=-1)

    def multi_kl(self, other: MultiCategorical) -> Array:
        """Divergence of each choice ``[B, k]``."""
        pairs = zip(self._parts, other._parts, strict=True)
        return self._join([mine.kl(theirs) for mine, theirs in pairs])

    def kl(self, other: MultiCategorical) -> Array:
        """Sum of the choices' divergences ``[B]``."""
        return xp(self.inputs).sum(self.multi_kl(other), axis=-1)
