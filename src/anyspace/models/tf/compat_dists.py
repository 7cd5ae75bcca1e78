"""The base class of distributions that files of RLlib's old stack write for TensorFlow."""

from __future__ import annotations

from typing import Any

from anyspace.distributions import ActionDistribution
from anyspace.maths.xp import Array


class TFActionDistribution(ActionDistribution):
    """Base of distributions whose sample is made in the constructor: implement `_build_sample_op`.

    Attributes:
        sample_op: the sample.
        sampled_action_logp_op: its `logp`.
    """

    depends_on_model = True

    def __init__(self, inputs: Array, model: Any = None):
        super().__init__(inputs, model)
        self.sample_op = self._build_sample_op()
        self.sampled_action_logp_op = self.logp(self.sample_op)

    def _build_sample_op(self) -> Array:
        """Return a sample."""
        raise NotImplementedError(f"{type(self).__name__} must implement _build_sample_op()")

    def sample(self) -> Array:  # type: ignore[override]
        """Return the sample."""
        self.last_sample = self.sample_op
        return self.sample_op

    def sampled_action_logp(self) -> Array:
        """Return the log-probability of the sample."""
        return self.sampled_action_logp_op
