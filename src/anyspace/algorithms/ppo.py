"""Proximal policy optimisation (Schulman et al., 2017; spec 10.3)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from anyspace.algorithms.algorithm import Algorithm, Updates
from anyspace.algorithms.config import AlgorithmConfig
from anyspace.algorithms.on_policy import minibatches, training_rows
from anyspace.config import require
from anyspace.data.trajectory import Trajectory
from anyspace.errors import ConfigError
from anyspace.execution.learner import Batch, Result
from anyspace.maths.losses import clipped_squared_error, clipped_surrogate, standardise
from anyspace.maths.returns import explained_variance
from anyspace.maths.xp import Array, xp
from anyspace.models.config import ModelConfig
from anyspace.policy.policy import Policy
from anyspace.policy.schedules import scheduled


@dataclass(frozen=True)
class PPOConfig(AlgorithmConfig):
    """PPO's keys, with the defaults of spec 10.3 (made for large clusters; see the presets)."""

    model: ModelConfig = field(default_factory=lambda: ModelConfig(vf_share_layers=False))
    """The model configuration (spec chapter 4); PPO separates policy and value layers by default."""
    lr: float = 5e-5
    """Learning rate, at least 0."""
    train_batch_size: int = 4000
    """Environment steps per training iteration, at least 1."""
    num_epochs: int = 30
    """Passes over each batch, at least 1."""
    minibatch_size: int | None = 128
    """Rows per gradient step, at least 1; None takes the whole batch."""
    use_gae: bool = True
    """Estimate advantages by GAE; False takes discounted returns less the value, and wants whole episodes."""
    lambda_: float = 1.0
    """GAE's lambda, in [0, 1]: 1 is unbiased, 0 leans on the value alone."""
    use_critic: bool = True
    """Learn a value; False takes discounted returns as advantages, and wants use_gae off."""
    clip_param: float = 0.3
    """How far the probability ratio may move from 1 before its gain is cut, above 0."""
    vf_clip_param: float | None = 10.0
    """Largest squared value error that has a gradient, above 0; None does not clip."""
    vf_loss_coeff: float = 1.0
    """Weight of the value loss, at least 0."""
    entropy_coeff: float = 0.0
    """Weight of the entropy bonus, at least 0."""
    entropy_coeff_schedule: list[tuple[float, float]] | None = None
    """That weight over sampled steps as [step, value] pairs; goes before `entropy_coeff`."""
    use_kl_loss: bool = True
    """Penalise KL(old || new) by `kl_coeff`; an estimate where the distribution has no kl() of its inputs alone."""
    kl_coeff: float = 0.2
    """First weight of that penalty, at least 0; 0 switches it off."""
    kl_target: float = 0.01
    """KL per iteration that the weight is adapted to, above 0."""

    def validate(self) -> None:
        """Raise :class:`ConfigError` for the first key that is out of range, contradictory or not built."""
        super().validate()
        require(0 <= self.lambda_ <= 1, "lambda_", self.lambda_, "it lies in [0, 1]")
        for key in ("clip_param", "kl_target", "vf_clip_param"):
            value = getattr(self, key)
            require(value is None or value > 0, key, value, "it must be above 0")
        for key in ("vf_loss_coeff", "entropy_coeff", "kl_coeff"):
            require(getattr(self, key) >= 0, key, getattr(self, key), "it must not be negative")
        if self.use_gae and not self.use_critic:
            raise ConfigError("`use_gae` needs a critic, but `use_critic` is False; switch `use_gae` off as well.")
        if not self.use_gae and self.batch_mode != "complete_episodes":
            raise ConfigError(
                "`use_gae` is False, so returns are summed to the end of the episode, but `batch_mode` is"
                " 'truncate_episodes'; set batch_mode='complete_episodes'."
            )
        scheduled(self.entropy_coeff, self.entropy_coeff_schedule, "entropy_coeff_schedule")


class PPO(Algorithm[PPOConfig]):
    """Clipped policy-gradient steps over several epochs of each batch, with an adaptive KL penalty."""

    config_class = PPOConfig

    def setup(self) -> None:
        """Start the coefficients that change while training."""
        config = self.config
        self.kl_coeff = config.kl_coeff if config.use_kl_loss else 0.0
        self._entropy_schedule = scheduled(
            config.entropy_coeff, config.entropy_coeff_schedule, "entropy_coeff_schedule"
        )
        self.entropy_coeff = self._entropy_schedule(0)
        wants_entropy = bool(config.entropy_coeff or config.entropy_coeff_schedule)
        if wants_entropy:
            self.require_entropy()

    def updates(self, policy: Policy, trajectory: Trajectory) -> Updates:
        """Yield shuffled minibatches for some epochs, then adapt the KL weight.

        Returns:
            The entropy of the policy that collected the batch, and how well its values explain the returns.
        """
        config = self.config
        self.entropy_coeff = self._entropy_schedule(self.timesteps_total)
        batch = training_rows(
            policy,
            trajectory,
            gamma=config.gamma,
            lambda_=config.lambda_ if config.use_gae else 1.0,
            use_critic=config.use_critic,
        )
        batch["advantages"] = standardise(batch["advantages"])
        overall: Result = {}
        # Before the first update: a distribution that calls the model cannot be rebuilt after it.
        with policy.runtime.no_grad():
            before = policy.distribution(batch["action_dist_inputs"], policy.mask(batch["obs"]))
            if before.has_entropy:
                overall["entropy"] = before.entropy_from(lambda: policy.runtime.rng("learning")).mean()
        divergences = []
        for _ in range(config.num_epochs):
            for minibatch in minibatches(policy, batch, config.minibatch_size):
                result = yield minibatch
                if self.kl_coeff > 0:
                    divergences.append(self._kl_of(result))
        if self.kl_coeff > 0:
            self._adapt_kl(float(np.mean([policy.runtime.numpy(kl) for kl in divergences])))
        if config.use_critic:
            overall["explained_variance"] = explained_variance(batch["value_targets"], batch["vf_preds"])
        return overall

    def losses(self, policy: Policy, batch: Batch) -> tuple[dict[str, Array], Result]:
        """Return the surrogate, value, entropy and KL terms as one loss, and what to report."""
        config = self.config
        evaluation = policy.evaluate(batch, value=config.use_critic, training=True)
        mask = policy.mask(batch["obs"])
        distribution = policy.distribution(evaluation.dist_inputs, mask)
        log_ratio = distribution.logp(batch["actions"]) - batch["action_logp"]
        ns = xp(log_ratio)
        ratio = ns.exp(log_ratio)
        policy_loss = -clipped_surrogate(ratio, batch["advantages"], config.clip_param).mean()
        total, metrics = policy_loss, {"policy_loss": policy_loss}

        if evaluation.values is not None:
            errors = clipped_squared_error(evaluation.values, batch["value_targets"], config.vf_clip_param)
            metrics["vf_loss"] = errors.mean()
            total = total + config.vf_loss_coeff * metrics["vf_loss"]
        if self.entropy_coeff:
            total = (
                total - self.entropy_coeff * distribution.entropy_from(lambda: policy.runtime.rng("learning")).mean()
            )
        if self.kl_coeff > 0 and distribution.has_kl and not distribution.depends_on_model:
            before = policy.distribution(batch["action_dist_inputs"], mask)
            metrics["kl"] = before.kl(distribution).mean()
        else:
            metrics["kl"] = (ratio - 1 - log_ratio).mean()
        if self.kl_coeff > 0:
            total = total + self.kl_coeff * metrics["kl"]
        metrics["ratio_error"] = abs(ratio - 1).max()
        return {"policy": total}, {name: ns.stop_gradient(value) for name, value in metrics.items()}

    def _kl_of(self, result: Result) -> Array:
        if "kl" not in result:
            raise ConfigError(
                f"{type(self).__name__}.losses() reports no 'kl', by which `kl_coeff` is adapted: return it among the"
                " metrics, or set kl_coeff=0."
            )
        return result["kl"]

    def _adapt_kl(self, kl: float) -> None:
        if kl > 2 * self.config.kl_target:
            self.kl_coeff *= 1.5
        elif kl < 0.5 * self.config.kl_target:
            self.kl_coeff *= 0.5

    def coefficients(self) -> dict[str, float]:
        """Return the coefficients that change while training."""
        return {"kl_coeff": self.kl_coeff, "entropy_coeff": self.entropy_coeff}

    def load_coefficients(self, values: dict[str, float]) -> None:
        """Restore what :meth:`coefficients` returned."""
        self.kl_coeff, self.entropy_coeff = values["kl_coeff"], values["entropy_coeff"]
