"""The distribution over shares that sum to one: actions of a Simplex."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

from anyspace.distributions.continuous import VectorDistribution, size_of
from anyspace.maths.limits import INPUT_LIMIT
from anyspace.maths.xp import Array, Namespace, Rng, xp

if TYPE_CHECKING:
    import gymnasium as gym

_LEAST_SHARE = 1e-7
"""The smallest share that is drawn; smaller ones count as this. It is also the least concentration."""


class Dirichlet(VectorDistribution):
    """Shares of a whole: d numbers above 0 that sum to 1.

    For a space ``[..., k]`` with further axes, each row of k numbers is a separate whole.

    It is computed in float64 where the framework has it, and without differences of large numbers.
    Samples carry the gradient of the inputs. The deterministic action is the mean; the mode does not exist for
    concentrations below 1.

    Args:
        inputs: d logarithms of the concentrations ``[B, d]``, limited to plus and minus 13.8155.
            `VectorDistribution` documents ``model`` and ``mask``.
        action_space: Its shape ``[..., k]`` says what sums to 1; without it, all d numbers of an action do.
    """

    depends_on_model = False

    @staticmethod
    def required_model_output_shape(action_space: gym.Space[Any], model_config: Any) -> int:
        """One number per share."""
        return size_of(action_space)

    @cached_property
    def _concentration(self) -> Array:
        """``[B, rows, k]``, float64."""
        ns, shape = xp(self.inputs), None if self.action_space is None else self.action_space.shape
        width = self.inputs.shape[-1]
        share_count = shape[-1] if shape else width
        inputs = ns.clip(ns.astype(self.inputs, "float64"), -INPUT_LIMIT, INPUT_LIMIT)
        return ns.reshape(ns.exp(inputs) + _LEAST_SHARE, (*self._batch_shape, width // share_count, share_count))

    def _result(self, rows: Array) -> Array:
        """Sum ``[B, rows]`` to ``[B]`` in the dtype of the inputs."""
        ns = xp(self.inputs)
        return ns.cast(ns.sum(rows, axis=-1), like=self.inputs)

    def _shared_out(self, shares: Array) -> Array:
        ns = xp(self.inputs)
        return self._as_actions(ns.reshape(ns.cast(shares, like=self.inputs), self.inputs.shape))

    @property
    def largest_entropy(self) -> float:
        """That of the uniform distribution over the shares, -log((k - 1)!) for each row."""
        rows, shares = self._concentration.shape[-2:]
        return -int(rows) * math.lgamma(int(shares))

    def sample(self, rng: Rng = None) -> Array:
        """Actions ``[B, *shape]``, no share below 1e-7."""
        ns, concentration = xp(self.inputs), self._concentration
        sources = ns.split(rng, 2)
        # The share of a gamma draw in the sum of all. Those of small concentrations are drawn as
        # Gamma(a) = Gamma(a + 1) * U^(1 / a), in logarithms, for they would all round to 0.
        waits = ns.exp(-ns.gumbel(sources[0], concentration.shape, like=concentration))
        logs = ns.log(ns.gamma(sources[1], concentration + 1.0)) - waits / concentration
        return self._shared_out(_off_the_edge(ns, ns.exp(ns.log_softmax(logs))))

    def deterministic_sample(self) -> Array:
        """Means ``[B, *shape]``."""
        ns, concentration = xp(self.inputs), self._concentration
        return self._shared_out(concentration / ns.sum(concentration, axis=-1, keepdims=True))

    def logp(self, actions: Array) -> Array:
        """Log-density ``[B]`` of ``actions``, ``[B, *shape]`` or ``[B, d]``, over all shares but each row's last.

        Shares below 1e-7 count as 1e-7, and each row is scaled to sum to 1.
        """
        ns, concentration = xp(self.inputs), self._concentration
        values = ns.reshape(ns.astype(ns.asarray(actions, like=self.inputs), "float64"), concentration.shape)
        shares, total = _off_the_edge(ns, values), ns.sum(concentration, axis=-1, keepdims=True)
        of_shares = ns.sum(concentration * _bent_log(ns, shares, concentration / total) - ns.log(shares), axis=-1)
        return self._result(of_shares - _log_height(ns, concentration))

    def entropy(self) -> Array:
        """Sum of the rows' differential entropies ``[B]``."""
        ns, concentration = xp(self.inputs), self._concentration
        total, count = ns.sum(concentration, axis=-1), concentration.shape[-1]
        # The digamma function is log(c) + _slope(c) - 1 / (2 c); what is linear in concentrations cancels.
        slopes = (total - count) * (_slope(ns, total) - 0.5 / total)
        slopes = slopes - ns.sum((concentration - 1.0) * (_slope(ns, concentration) - 0.5 / concentration), axis=-1)
        logs = ns.sum(ns.log(concentration), axis=-1) - count * ns.log(total)
        return self._result(_log_height(ns, concentration) + logs + slopes)

    def kl(self, other: Dirichlet) -> Array:
        """Sum of the rows' divergences ``[B]``."""
        ns, concentration, others = xp(self.inputs), self._concentration, other._concentration
        total, others_total = (ns.sum(part, axis=-1, keepdims=True) for part in (concentration, others))
        of_means = others * _bent_log(ns, concentration / total, others / others_total)
        of_sizes = _bent_size(ns, concentration, others)
        found = ns.sum(of_sizes - of_means, axis=-1) - _bent_size(ns, total, others_total)[..., 0]
        return self._result(found)


def _off_the_edge(ns: Namespace, shares: Array) -> Array:
    raised = ns.clip(shares, _LEAST_SHARE, None)
    return raised / ns.sum(raised, axis=-1, keepdims=True)


# A log-density is a small difference of numbers as large as c log(c). Below, with Stirling's log Gamma(c) =
# (c - 1/2) log(c) - c + log(2 pi) / 2 + _remainder(c), those are cancelled by hand, so that float32 serves, too.


def _log_height(ns: Namespace, concentration: Array) -> Array:
    """Return ``[...]`` what is left of the log of the multivariate beta function of ``[..., k]``.

    Left out is the sum of c_i log(c_i / c), where c is the sum of the concentrations.
    """
    total, count = ns.sum(concentration, axis=-1), concentration.shape[-1]
    each = _remainder(ns, concentration) - 0.5 * ns.log(concentration)
    whole = _remainder(ns, total) - 0.5 * ns.log(total)
    return ns.sum(each, axis=-1) - whole + 0.5 * (count - 1) * math.log(2.0 * math.pi)


def _bent_log(ns: Namespace, x: Array, base: Array) -> Array:
    """Return log(x / base) less its tangent, x / base - 1, which sums to nothing over shares of a whole."""
    difference = (x - base) / base
    is_near = ns.abs(difference) < 0.02
    near = ns.where(is_near, difference, 0.0)
    series = near * (1 / 5 - near * (1 / 6 - near * (1 / 7 - near * (1 / 8 - near / 9))))
    series = near * near * (near * (1 / 3 - near * (1 / 4 - series)) - 0.5)
    ratio = ns.where(is_near, 1.0, x / base)
    return ns.where(is_near, series, ns.log(ratio) - (ratio - 1.0))


def _bent_size(ns: Namespace, x: Array, others: Array) -> Array:
    """Return log Gamma(others) less its tangent at ``x``, without the terms that are as large as they are."""
    remainders = _remainder(ns, others) - _remainder(ns, x) + (x - others) * _slope(ns, x)
    return remainders - 0.5 * _bent_log(ns, others, x)


_LARGE = 8.0
"""From here on asymptotic series are exact to 1e-12 (Abramowitz and Stegun, 6.1.41 and 6.3.18)."""


def _remainder(ns: Namespace, x: Array) -> Array:
    """Return what Stirling's formula leaves of log Gamma(x)."""
    small, inverse = ns.clip(x, None, _LARGE), 1.0 / ns.clip(x, _LARGE, None)
    square = inverse * inverse
    series = inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188))))
    exact = ns.lgamma(small) - ((small - 0.5) * ns.log(small) - small + 0.5 * math.log(2.0 * math.pi))
    return ns.where(x < _LARGE, exact, series)


def _slope(ns: Namespace, x: Array) -> Array:
    """Return the derivative of :func:`_remainder`: the digamma function less log(x) - 1 / (2 x)."""
    small, square = ns.clip(x, None, _LARGE), 1.0 / ns.clip(x, _LARGE, None) ** 2
    series = -square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square * (1 / 240 - square / 132))))
    return ns.where(x < _LARGE, ns.digamma(small) - ns.log(small) + 0.5 / small, series)
