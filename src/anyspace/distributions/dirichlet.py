"""The distribution over shares that sum to one: actions of a Simplex."""

from __future__ import annotations

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

    It is computed in float64 where the framework has it: log-densities are small differences of large numbers.
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
        share_count = shape[-1] if shape else self.inputs.shape[-1]
        inputs = ns.clip(ns.astype(self.inputs, "float64"), -INPUT_LIMIT, INPUT_LIMIT)
        return ns.reshape(ns.exp(inputs) + _LEAST_SHARE, (*self._batch_shape, -1, share_count))

    def _result(self, rows: Array) -> Array:
        """Sum ``[B, rows]`` to ``[B]`` in the dtype of the inputs."""
        ns = xp(self.inputs)
        return ns.cast(ns.sum(rows, axis=-1), like=self.inputs)

    def _shared_out(self, shares: Array) -> Array:
        ns = xp(self.inputs)
        return self._as_actions(ns.reshape(ns.cast(shares, like=self.inputs), self.inputs.shape))

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
        logs = ns.log(_off_the_edge(ns, values))
        return self._result(ns.sum((concentration - 1.0) * logs, axis=-1) - _log_multi_beta(ns, concentration))

    def entropy(self) -> Array:
        """Sum of the rows' differential entropies ``[B]``."""
        ns, concentration = xp(self.inputs), self._concentration
        total = ns.sum(concentration, axis=-1)
        slopes = (total - concentration.shape[-1]) * ns.digamma(total)
        slopes = slopes - ns.sum((concentration - 1.0) * ns.digamma(concentration), axis=-1)
        return self._result(_log_multi_beta(ns, concentration) + slopes)

    def kl(self, other: Dirichlet) -> Array:
        """Sum of the rows' divergences ``[B]``."""
        ns, concentration, others = xp(self.inputs), self._concentration, other._concentration
        total = ns.sum(concentration, axis=-1, keepdims=True)
        slopes = (concentration - others) * (ns.digamma(concentration) - ns.digamma(total))
        return self._result(_log_multi_beta(ns, others) - _log_multi_beta(ns, concentration) + ns.sum(slopes, axis=-1))


def _off_the_edge(ns: Namespace, shares: Array) -> Array:
    raised = ns.clip(shares, _LEAST_SHARE, None)
    return raised / ns.sum(raised, axis=-1, keepdims=True)


def _log_multi_beta(ns: Namespace, concentration: Array) -> Array:
    """Logarithm of the multivariate beta function of ``[..., k]``: ``[...]``."""
    return ns.sum(ns.lgamma(concentration), axis=-1) - ns.lgamma(ns.sum(concentration, axis=-1))
