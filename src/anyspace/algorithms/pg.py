"""Policy gradients by sampled returns (Williams, "Simple statistical gradient-following algorithms", 1992)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Unpack

from anyspace.algorithms.algorithm import Algorithm
from anyspace.algorithms.on_policy import OnPolicyConfig, monte_carlo, require_own_samples, training_rows
from anyspace.config import require
from anyspace.data.trajectory import Trajectory
from anyspace.execution.learner import Losses
from anyspace.models.config import ModelConfig
from anyspace.policy.batch import Batch
from anyspace.policy.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anyspace.algorithms.options import PGOptions
    from anyspace.algorithms.presets import Preset
    from anyspace.data.environments import EnvLike
    from anyspace.execution.training import Updates


@dataclass(frozen=True)
class PGConfig(OnPolicyConfig):
    """The keys of policy gradients without a baseline."""

    model: ModelConfig = field(default_factory=lambda: ModelConfig(vf_share_layers=False))
    """The model configuration; the value has layers of its own, so that nothing but returns moves the policy."""
    batch_mode: Literal["truncate_episodes", "complete_episodes"] = "complete_episodes"
    """Collect whole episodes only, whose returns need no value unless a time limit cuts them, or cut them anywhere."""
    lr: float = 4e-4
    """Learning rate, at least 0."""
    train_batch_size: int = 200
    """Environment steps per training iteration, at least 1; those that vector environments spend on resets are among
    them, and not learnt from."""
    vf_loss_coeff: float = 0.5
    """Weight of the loss of the value that stands in for what an episode earns after it is cut, at least 0. With 0 no
    value is learnt, and the returns of episodes that are cut end there."""

    def validate(self) -> None:
        """Raise :class:`ConfigError` for the first key that is out of range, contradictory or not built."""
        super().validate()
        require(self.vf_loss_coeff >= 0, "vf_loss_coeff", self.vf_loss_coeff, "it must not be negative")


class PG(Algorithm[PGConfig]):
    """Policy Gradient (REINFORCE): a step on each batch, log-probabilities weighted by the returns that followed."""

    config_class = PGConfig

    if TYPE_CHECKING:  # what keywords there are

        def __init__(
            self,
            env: EnvLike | None = None,
            config: Mapping[str, Any] | PGConfig | None = None,
            *,
            preset: str | Preset | None = None,
            **overrides: Unpack[PGOptions],
        ) -> None: ...

    def setup(self) -> None:
        """Require that actions are samples of the policy."""
        require_own_samples(self.policy, type(self).__name__)

    def updates(self, policy: Policy, trajectory: Trajectory) -> Updates:
        """Yield all steps at once, each with its discounted return."""
        config = self.config
        yield training_rows(policy, trajectory, monte_carlo(gamma=config.gamma), value=config.vf_loss_coeff > 0)
        return {}

    def losses(self, policy: Policy, batch: Batch) -> Losses:
        """Return the mean of -G log pi(a), and of the squared error of the value by which G was completed."""
        now = policy.evaluate(batch, value=self.config.vf_loss_coeff > 0, training=True)
        policy_loss = -batch.mean(now.distribution.logp(batch["actions"]) * batch["advantages"])
        if now.values is None:
            return Losses({"policy": policy_loss}, {"policy_loss": policy_loss})
        vf_loss = batch.mean((now.values - batch["value_targets"]) ** 2)
        total = policy_loss + self.config.vf_loss_coeff * vf_loss
        return Losses({"policy": total}, {"policy_loss": policy_loss, "vf_loss": vf_loss})
