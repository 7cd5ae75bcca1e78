"""Distributions over real vectors whose d values each lie within bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from anyspace.distributions.continuous import DiagGaussian, VectorDistribution, size_of
from anyspace.maths.limits import INPUT_LIMIT, MARGIN
from anyspace.maths.xp import Array, Namespace, Rng, xp
from anyspace.tree import Tree

if TYPE_CHECKING:
    import gymnasium as gym

Bounds: TypeAlias = float | Sequence[float] | npt.NDArray[np.floating]
"""One number, or one for each of the d values of an action."""


class _Interval(VectorDistribution):
    """What distributions on intervals share: they are computed on (0, 1) and stretched to (low, high).

    `VectorDistribution` documents the other arguments.

    Args:
        low: Lower bound, one number or one per value.
        high: Upper bound, likewise.

    Raises:
        ValueError: The inputs are not two equal halves.
        AssertionError: A lower bound is not below its upper bound.
    """

    depends_on_model = False

    def __init__(
        self,
        inputs: Array,
        model: Any = None,
        *,
        mask: None = None,
        action_space: gym.Space[Any] | None = None,
        low: Bounds = -1.0,
        high: Bounds = 1.0,
    ) -> None:
        super().__init__(inputs, model, mask=mask, action_space=action_space)
        name = type(self).__name__
        if inputs.shape[-1] % 2:
            raise ValueError(f"{name} needs two numbers per action value, got inputs of shape {tuple(inputs.shape)}.")
        if not np.all(np.less(low, high)):
            raise AssertionError(f"{name} needs low < high in every component, got low {low} and high {high}.")
        self.low, self.high = low, high

    @staticmethod
    def required_model_output_shape(action_space: gym.Space[Any], model_config: Any) -> int:
        """Two numbers per value of the action."""
        return 2 * size_of(action_space)

    @cached_property
    def _limits(self) -> tuple[Array | float, Array | float]:
        """Low and high ``[d]``, or numbers where they are the same for all values."""
        if isinstance(self.low, float) and isinstance(self.high, float):
            return self.low, self.high
        shape = (self.inputs.shape[-1] // 2,)
        low, high = (np.broadcast_to(np.ravel(bound), shape) for bound in (self.low, self.high))
        ns = xp(self.inputs)
        return ns.cast(low, like=self.inputs), ns.cast(high, like=self.inputs)

    @cached_property
    def _log_width(self) -> Array:
        """Sum of log(high - low): what stretching from (0, 1) takes off every log-density."""
        low, high = self._limits
        if isinstance(low, float):
            return self.inputs.shape[-1] // 2 * math.log(high - low)
        ns = xp(self.inputs)
        return ns.sum(ns.log(high - low))

    @property
    def largest_entropy(self) -> float:
        """That of the uniform distribution between the bounds."""
        widths = np.subtract(np.asarray(self.high, np.float64), self.low)
        return float(np.broadcast_to(np.log(widths).ravel(), (self.inputs.shape[-1] // 2,)).sum())

    def _stretched(self, shares: Array) -> Array:
        """Actions ``[B, *shape]`` for positions ``[B, d]`` within the interval, 0 at low and 1 at high."""
        ns = xp(self.inputs)
        low, high = self._limits
        inside = ns.clip(shares, MARGIN, 1.0 - MARGIN)
        # Rounding may carry the sum over a bound where the interval is narrow and far from 0.
        return self._as_actions(ns.clip(low + inside * (high - low), low, high))

    def _shares(self, actions: Array) -> Array:
        """Undo `_stretched` for ``[B, *shape]`` or ``[B, d]``; on a bound or beyond it counts as just inside."""
        ns = xp(self.inputs)
        low, high = self._limits
        values = ns.reshape(ns.asarray(actions, like=self.inputs), (*self._batch_shape, self.inputs.shape[-1] // 2))
        return ns.clip((values - low) / (high - low), MARGIN, 1.0 - MARGIN)


class SquashedGaussian(_Interval):
    """Independent normal distributions, squashed into (low, high) by tanh.

    Source: Haarnoja et al., "Soft actor-critic", 2018, appendix C, https://arxiv.org/abs/1801.01290.

    It has no entropy in closed form, hence none at all. Its divergence is the divergence of the normal distributions,
    because squashing is one-to-one. Samples carry the gradient of the inputs.

    Args:
        inputs: d means, then d logarithms of standard deviations, which are limited to [-5, 2] ``[B, 2d]``.
            `VectorDistribution` documents ``model``, ``mask`` and ``action_space``.
        low: Lower bound, one number or one per value; -1 by default.
        high: Upper bound, likewise; 1 by default.
    """

    depends_on_model = False

    @cached_property
    def _gaussian(self) -> DiagGaussian:
        ns, half = xp(self.inputs), self.inputs.shape[-1] // 2
        log_std = ns.clip(self.inputs[..., half:], -5.0, 2.0)
        return DiagGaussian(ns.concatenate([self.inputs[..., :half], log_std], axis=-1))

    @property
    def noise_width(self) -> int:
        """Values per action d."""
        return self._gaussian.noise_width

    def standard_noise(self, rng: Rng, steps: int) -> Array:
        """Normal noise ``[steps, B, d]``."""
        return self._gaussian.standard_noise(rng, steps)

    def _squashed(self, raw: Array) -> Array:
        return self._stretched(0.5 * (xp(raw).tanh(raw) + 1.0))

    def sample_from_noise(self, noise: Array) -> Array:
        """Actions ``[B, *shape]``: mean + std * ``noise`` ``[B, d]``, squashed."""
        return self._squashed(self._gaussian._along(noise))

    def sample_logp(self, rng: Rng = None) -> tuple[Tree, Array]:
        """Draw actions and return them with their log-density ``[B]``, exact also where tanh is flat.

        Both carry the gradient of the inputs.
        """
        raw, of_gaussian = self._gaussian.sample_logp(rng)
        return self._squashed(raw), of_gaussian - self._log_slope(raw)

    def deterministic_sample(self) -> Array:
        """Squashed means ``[B, *shape]``."""
        return self._squashed(self._gaussian.mean)

    def logp(self, actions: Array) -> Array:
        """Log-density ``[B]`` of ``actions``, ``[B, *shape]`` or ``[B, d]``; one on a bound counts as just inside."""
        raw = xp(self.inputs).arctanh(2.0 * self._shares(actions) - 1.0)
        return self._gaussian.logp(raw) - self._log_slope(raw)

    def _log_slope(self, raw: Array) -> Array:
        """Log of what squashing stretches volumes by at ``raw`` ``[B, d]``: ``[B]``."""
        ns = xp(self.inputs)
        # log of d(share) / d(raw) = (1 - tanh^2) / 2, written so that no large number cancels.
        log_slope = math.log(2.0) - 2.0 * (raw + ns.softplus(-2.0 * raw))
        return ns.sum(log_slope, axis=-1) + self._log_width

    def kl(self, other: SquashedGaussian) -> Array:
        """Divergence of the normal distributions ``[B]``; ``other`` has the same bounds."""
        return self._gaussian.kl(other._gaussian)


class Beta(_Interval):
    """Independent Beta distributions, stretched to (low, high).

    Source: Chou, Maturana & Scherer, "Improving stochastic policy gradients in continuous control with deep
    reinforcement learning using the Beta distribution", 2017.

    Both parameters are above 1, so that the density has one peak and is 0 at the bounds. Samples carry the
    gradient of the inputs.

    Args:
        inputs: d numbers for alpha, then d for beta, each 1 + softplus(input) ``[B, 2d]``; inputs are limited to
            plus and minus 13.8155. `VectorDistribution` documents ``model``, ``mask`` and ``action_space``.
        low: Lower bound, one number or one per value; 0 by default.
        high: Upper bound, likewise; 1 by default.
    """

    depends_on_model = False

    def __init__(
        self,
        inputs: Array,
        model: Any = None,
        *,
        mask: None = None,
        action_space: gym.Space[Any] | None = None,
        low: Bounds = 0.0,
        high: Bounds = 1.0,
    ) -> None:
        super().__init__(inputs, model, mask=mask, action_space=action_space, low=low, high=high)

    @cached_property
    def _parameters(self) -> tuple[Array, Array]:
        """Alpha and beta ``[B, d]``."""
        ns, half = xp(self.inputs), self.inputs.shape[-1] // 2
        both = 1.0 + ns.softplus(ns.clip(self.inputs, -INPUT_LIMIT, INPUT_LIMIT))
        return both[..., :half], both[..., half:]

    def sample(self, rng: Rng = None) -> Array:
        """Actions ``[B, *shape]``: the share of one gamma draw in the sum of two."""
        ns = xp(self.inputs)
        first, second = (
            ns.gamma(source, parameter) for source, parameter in zip(ns.split(rng, 2), self._parameters, strict=True)
        )
        return self._stretched(first / (first + second))

    def deterministic_sample(self) -> Array:
        """Means ``[B, *shape]``."""
        alpha, beta = self._parameters
        return self._stretched(alpha / (alpha + beta))

    def logp(self, actions: Array) -> Array:
        """Log-density ``[B]`` of ``actions``, ``[B, *shape]`` or ``[B, d]``; one on a bound counts as just inside."""
        ns = xp(self.inputs)
        alpha, beta = self._parameters
        shares = self._shares(actions)
        logs = (alpha - 1.0) * ns.log(shares) + (beta - 1.0) * ns.log1p(-shares)
        return ns.sum(logs - _log_beta(ns, alpha, beta), axis=-1) - self._log_width

    def entropy(self) -> Array:
        """Differential entropy ``[B]`` of the stretched distribution: it includes the sum of log(high - low)."""
        ns = xp(self.inputs)
        alpha, beta = self._parameters
        total = alpha + beta
        slopes = (alpha - 1.0) * ns.digamma(alpha) + (beta - 1.0) * ns.digamma(beta) - (total - 2.0) * ns.digamma(total)
        return ns.sum(_log_beta(ns, alpha, beta) - slopes, axis=-1) + self._log_width

    def kl(self, other: Beta) -> Array:
        """Sum of the components' divergences ``[B]``; ``other`` has the same bounds, which then do not matter."""
        ns = xp(self.inputs)
        alpha, beta = self._parameters
        others_alpha, others_beta = other._parameters
        more_alpha, more_beta = alpha - others_alpha, beta - others_beta
        slopes = more_alpha * ns.digamma(alpha) + more_beta * ns.digamma(beta)
        slopes = slopes - (more_alpha + more_beta) * ns.digamma(alpha + beta)
        return ns.sum(_log_beta(ns, others_alpha, others_beta) - _log_beta(ns, alpha, beta) + slopes, axis=-1)


def _log_beta(ns: Namespace, alpha: Array, beta: Array) -> Array:
    """Logarithm of the beta function, elementwise."""
    return ns.lgamma(alpha) + ns.lgamma(beta) - ns.lgamma(alpha + beta)
