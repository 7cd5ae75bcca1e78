"""Exponentially weighted imitation (Wang et al., "Exponentially weighted imitation learning for batched historical
data", 2018), and behaviour cloning, which is the same without weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from anyspace.algorithms.offline import Offline, OfflineConfig
from anyspace.algorithms.on_policy import explained, gae, minibatches, training_rows
from anyspace.config import require
from anyspace.data.rows import Rows
from anyspace.data.trajectory import Trajectory
from anyspace.errors import ConfigError
from anyspace.execution.learner import Losses
from anyspace.maths.xp import xp
from anyspace.models.config import ModelConfig
from anyspace.policy.batch import Batch
from anyspace.policy.check import require_value
from anyspace.policy.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anyspace.algorithms.options import BCOptions, MARWILOptions
    from anyspace.algorithms.presets import Preset
    from anyspace.data.environments import EnvLike
    from anyspace.execution.training import Updates


@dataclass(frozen=True)
class MARWILConfig(OfflineConfig):
    """MARWIL's keys, with RLlib's defaults."""

    model: ModelConfig = field(default_factory=lambda: ModelConfig(vf_share_layers=False))
    """The model configuration; policy and value have layers of their own by default."""
    lr: float = 1e-4
    """Learning rate, at least 0."""
    beta: float = 1.0
    """How much more a better action counts, in [0, 1]; 0 imitates every action alike, and learns no value."""
    bc_logstd_coeff: float = 0.0
    """Weight of the mean log deviation beside the log-probability, at least 0; above 0 it keeps actions varied. It
    needs a distribution that has ``log_std``, as DiagGaussian."""
    vf_coeff: float = 1.0
    """Weight of the value loss, at least 0."""
    moving_average_sqd_adv_norm_update_rate: float = 1e-8
    """How quickly the mean square c^2 of advantages follows what was read last, in [0, 1]."""
    moving_average_sqd_adv_norm_start: float = 100.0
    """First c^2, above 0. Weights are exp(beta advantage / c), unbounded: raise it where advantages are far above c."""

    of_beginnings: ClassVar[tuple[str, ...]] = (*OfflineConfig.of_beginnings, "moving_average_sqd_adv_norm_start")

    def validate(self) -> None:
        """Raise :class:`ConfigError` for the first key that is out of range, contradictory or not built."""
        super().validate()
        require(0 <= self.beta <= 1, "beta", self.beta, "it lies in [0, 1]")
        for key in ("bc_logstd_coeff", "vf_coeff"):
            require(getattr(self, key) >= 0, key, getattr(self, key), "it must not be negative")
        rate, start = self.moving_average_sqd_adv_norm_update_rate, self.moving_average_sqd_adv_norm_start
        require(0 <= rate <= 1, "moving_average_sqd_adv_norm_update_rate", rate, "it lies in [0, 1]")
        require(start > 0, "moving_average_sqd_adv_norm_start", start, "it must be above 0")

    def without_effect(self) -> dict[str, str]:
        """Return the keys that have no effect beside the others as they are, each with the reason."""
        idle = super().without_effect()
        if self.beta == 0:
            norm = "moving_average_sqd_adv_norm"
            keys = ["gamma", "normalize_rewards", "vf_coeff", f"{norm}_update_rate", f"{norm}_start"]
            if self.clip_rewards:
                keys.append("clip_rewards")
            why = "`beta` is 0: every action is imitated alike, no reward is looked at, and no value is learnt"
            idle |= dict.fromkeys(keys, why)
        return idle


class MARWIL(Offline[MARWILConfig]):
    """Monotonic Advantage Re-Weighted Imitation Learning: imitates recorded actions, the better ones more."""

    config_class = MARWILConfig

    if TYPE_CHECKING:  # what keywords there are

        def __init__(
            self,
            env: EnvLike | None = None,
            config: Mapping[str, Any] | MARWILConfig | None = None,
            *,
            preset: str | Preset | None = None,
            **overrides: Unpack[MARWILOptions],
        ) -> None: ...

    @property
    def learns_values(self) -> bool:
        """Whether actions are weighted by their advantage over a value."""
        return self.config.beta > 0

    def setup(self) -> None:
        """Start c^2, the mean square of advantages."""
        super().setup()
        if self.learns_values:
            require_value(self.policy, type(self).__name__)
        config, distribution = self.config, self.policy.new_distribution(1)
        if config.bc_logstd_coeff > 0 and not hasattr(distribution, "log_std"):
            raise ConfigError(
                f"`bc_logstd_coeff` is {config.bc_logstd_coeff}, but {type(distribution).__name__} has no `log_std`,"
                " the deviations that it weighs; set it to 0."
            )
        self.squared_norm = self.policy.runtime.cell(config.moving_average_sqd_adv_norm_start)

    def parts(self) -> dict[str, Any]:
        """Return what a checkpoint holds: c^2 as well."""
        return {**super().parts(), "squared_norm": self.squared_norm}

    def updates(self, policy: Policy, trajectory: Trajectory) -> Updates:
        """Yield the steps, with their advantages: discounted returns, bootstrapped where an episode is cut, less V.

        Returns:
            c^2, and how well the values explain the returns.
        """
        config = self.config
        if not self.learns_values:
            batch = Rows(policy, trajectory).batch()
            yield minibatches(policy, batch, config.minibatch_size, config.num_epochs)
            return {}
        batch = training_rows(policy, trajectory, gae(gamma=config.gamma, lambda_=1.0))
        mean_square = float(batch.mean(batch["advantages"] ** 2))
        norm, rate = float(self.squared_norm), config.moving_average_sqd_adv_norm_update_rate
        self.squared_norm.assign(norm + rate * (mean_square - norm))
        yield minibatches(policy, batch, config.minibatch_size, config.num_epochs)
        return {"squared_norm": float(self.squared_norm), **explained(policy, batch)}

    def losses(self, policy: Policy, batch: Batch) -> Losses:
        """Return -mean(w (log pi + bc_logstd_coeff log sigma)) + vf_coeff / 2 mean (R - V)^2, and both terms.

        w is exp(beta advantage / (1e-8 + c)), without gradient; 1 where beta is 0, and there is no value loss then.
        """
        config = self.config
        now = policy.evaluate(batch, value=self.learns_values, training=True)
        distribution: Any = now.distribution
        score = distribution.logp(batch["actions"])
        ns = xp(score)
        if config.bc_logstd_coeff > 0:
            score = score + config.bc_logstd_coeff * ns.mean(distribution.log_std, axis=-1)
        if now.values is None:
            loss = -batch.mean(score)
            return Losses({"policy": loss}, {"policy_loss": ns.stop_gradient(loss)})
        weights = ns.exp(config.beta * batch["advantages"] / (1e-8 + self.squared_norm.value**0.5))
        policy_loss = -batch.mean(ns.stop_gradient(weights) * score)
        vf_loss = 0.5 * batch.mean((batch["value_targets"] - now.values) ** 2)
        metrics = {"policy_loss": policy_loss, "vf_loss": vf_loss, "weight": batch.mean(weights)}
        total = policy_loss + config.vf_coeff * vf_loss
        return Losses({"policy": total}, {name: ns.stop_gradient(value) for name, value in metrics.items()})


@dataclass(frozen=True)
class BCConfig(MARWILConfig):
    """BC's keys: MARWIL's, with beta 0."""

    beta: float = 0.0
    """0: every action is imitated alike."""

    def validate(self) -> None:
        """Raise :class:`ConfigError` for the first key that is out of range, contradictory or not built."""
        super().validate()
        require(self.beta == 0, "beta", self.beta, "BC imitates every action alike: take MARWIL for weights")


class BC(MARWIL):
    """Behaviour Cloning: makes recorded actions more likely, whatever came of them."""

    config_class = BCConfig

    if TYPE_CHECKING:  # what keywords there are

        def __init__(
            self,
            env: EnvLike | None = None,
            config: Mapping[str, Any] | BCConfig | None = None,
            *,
            preset: str | Preset | None = None,
            **overrides: Unpack[BCOptions],
        ) -> None: ...
