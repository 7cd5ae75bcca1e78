"""The least off-policy algorithm: the first output of any model is fitted to n-step returns."""

from __future__ import annotations

from dataclasses import dataclass

from anyspace.algorithms.off_policy import OffPolicy, OffPolicyConfig
from anyspace.data.transitions import following
from anyspace.execution.learner import Losses
from anyspace.policy.batch import Batch
from anyspace.policy.policy import Policy


@dataclass(frozen=True)
class FittedConfig(OffPolicyConfig):
    """No keys of its own."""


class Fitted(OffPolicy[FittedConfig]):
    """Actions are samples of a distribution that nothing improves."""

    config_class = FittedConfig

    def losses(self, policy: Policy, batch: Batch) -> Losses:
        """Return the weighted squared errors' mean."""
        now = policy.evaluate(batch, value=False, training=True).output[:, 0]
        then = following(self.target, batch).output[:, 0]
        errors = now - (batch["returns"] + batch["discounts"] * then)
        loss = batch.mean(batch["weights"] * errors**2)
        return Losses({"policy": loss}, {"error": batch.mean(errors)}, {"td_error": errors})
