"""Proximal policy optimisation (Schulman et al., "Proximal policy optimization algorithms", 2017)."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from anyspace.algorithms.algorithm import Algorithm
from anyspace.algorithms.on_policy import (
    OnPolicyConfig,
    gae,
    has_entropy,
    minibatches,
    require_own_samples,
    training_rows,
)
from anyspace.config import require
from anyspace.data.trajectory import Trajectory
from anyspace.errors import ConfigError
from anyspace.execution.learner import Losses
from anyspace.execution.training import Updates
from anyspace.maths.losses import clipped_squared_error, clipped_surrogate, standardise
from anyspace.maths.returns import explained_variance
from anyspace.maths.xp import xp
from anyspace.models.config import ModelConfig
from anyspace.models.runtime import NumpyArray
from anyspace.policy.batch import Batch
from anyspace.policy.policy import Policy
from anyspace.policy.schedules import Scheduled, scheduled


@dataclass(frozen=True)
class PPOConfig(OnPolicyConfig):
    """PPO's keys, with RLlib's defaults, which were made for clusters; ``PPO(...)`` starts from a preset by itself."""

    model: ModelConfig = field(default_factory=lambda: ModelConfig(vf_share_layers=False))
    """The model configuration; PPO separates policy and value layers by default."""
    lr: float = 5e-5
    """Learning rate, at least 0."""
    train_batch_size: int = 4000
    """Environment steps per training iteration, at least 1."""
    num_epochs: int = 30
    """Passes over each batch, at least 1."""
    minibatch_size: int | None = 128
    """Rows per gradient step, at least 1 and at most `train_batch_size`; None takes the whole batch."""
    use_gae: bool = True
    """Estimate advantages by GAE; False takes discounted returns less the value, of whole episodes."""
    lambda_: float = 1.0
    """GAE's lambda, in [0, 1]: 1 is unbiased, 0 leans on the value alone."""
    use_critic: bool = True
    """Learn a value; False takes the discounted returns of whole episodes as advantages, without GAE."""
    clip_param: float = 0.3
    """How far the probability ratio may move from 1 before its gain is cut, above 0."""
    vf_clip_param: float | None = 10.0
    """Largest squared value error that has a gradient, above 0; None does not clip."""
    vf_loss_coeff: float = 1.0
    """Weight of the value loss, at least 0."""
    entropy_coeff: float = 0.0
    """Weight of the entropy bonus, at least 0."""
    entropy_coeff_schedule: list[tuple[float, float]] | None = None
    """That weight over sampled steps as [step, value] pairs; takes precedence over `entropy_coeff`."""
    use_kl_loss: bool = True
    """Penalise KL(old || new) by `kl_coeff`; an estimate where the distribution has no kl() of its inputs alone."""
    kl_coeff: float = 0.2
    """First weight of that penalty, at least 0; 0 switches it off."""
    kl_target: float = 0.01
    """KL per iteration that the weight is adapted to, above 0."""

    def validate(self) -> None:
        """Raise :class:`ConfigError` for the first key that is out of range, contradictory or not built."""
        super().validate()
        require(self.num_epochs >= 1, "num_epochs", self.num_epochs, "it must be at least 1")
        require(
            self.minibatch_size is None or 1 <= self.minibatch_size <= self.train_batch_size,
            "minibatch_size",
            self.minibatch_size,
            f"a minibatch has at least 1 row and at most the batch's (train_batch_size = {self.train_batch_size})",
        )
        require(0 <= self.lambda_ <= 1, "lambda_", self.lambda_, "it lies in [0, 1]")
        for key in ("clip_param", "kl_target", "vf_clip_param"):
            value = getattr(self, key)
            require(value is None or value > 0, key, value, "it must be above 0")
        for key in ("vf_loss_coeff", "entropy_coeff", "kl_coeff"):
            require(getattr(self, key) >= 0, key, getattr(self, key), "it must not be negative")
        if self.use_gae and not self.use_critic:
            raise ConfigError("`use_gae` needs a critic, but `use_critic` is False; switch `use_gae` off as well.")
        if not self.use_gae and self.batch_mode != "complete_episodes":
            off = "use_gae" if self.use_critic else "use_critic"
            raise ConfigError(
                f"`{off}` is False, so returns are summed to the end of the episode, but `batch_mode` is"
                " 'truncate_episodes'; set batch_mode='complete_episodes'."
            )
        scheduled(self.entropy_coeff, self.entropy_coeff_schedule, "entropy_coeff_schedule")

    def fitted(self, given: Collection[str]) -> Self:
        """Return these settings with the keys that nobody gave fitted to those that somebody did."""
        changed: dict[str, Any] = {}
        if self.minibatch_size is not None and self.minibatch_size > self.train_batch_size:
            changed = {"minibatch_size": self.train_batch_size}
            if "minibatch_size" in given and self.minibatch_size > 0:
                changed = {"train_batch_size": self.minibatch_size}
        if not self.use_critic:
            changed["use_gae"] = False
        if not (self.use_gae and self.use_critic):
            changed["batch_mode"] = "complete_episodes"
        if self.kl_coeff == 0 and self.use_kl_loss and {"use_kl_loss", "kl_target"} & {*given}:
            changed["kl_coeff"] = type(self)().kl_coeff
        free = {key: value for key, value in changed.items() if key not in given}
        return dataclasses.replace(super().fitted(given), **free)

    def short(self) -> Self:
        """Return these settings for one short iteration: a single gradient step."""
        return dataclasses.replace(super().short(), minibatch_size=None, num_epochs=1)

    @property
    def rows_per_step(self) -> int:
        """How many rows a gradient step takes."""
        return self.minibatch_size or self.train_batch_size

    @property
    def adapts_kl(self) -> bool:
        """Whether there is a KL penalty, whose weight is adapted."""
        return self.use_kl_loss and self.kl_coeff > 0

    @property
    def rewards_entropy(self) -> bool:
        """Whether there is an entropy bonus, if only at times."""
        return bool(self.entropy_coeff or self.entropy_coeff_schedule)


class PPO(Algorithm[PPOConfig]):
    """Clipped policy-gradient steps over several epochs of each batch, with an adaptive KL penalty."""

    config_class = PPOConfig

    def setup(self) -> None:
        """Start the weights that change while training."""
        config, runtime = self.config, self.policy.runtime
        require_own_samples(self.policy, type(self).__name__)
        self.kl_coeff = runtime.cell(config.kl_coeff if config.use_kl_loss else 0.0)
        asked = not self._given.isdisjoint(("entropy_coeff", "entropy_coeff_schedule"))
        if config.rewards_entropy and not has_entropy(self.policy, asked=asked):
            self.config = config = dataclasses.replace(config, entropy_coeff=0.0, entropy_coeff_schedule=None)
        schedule = scheduled(config.entropy_coeff, config.entropy_coeff_schedule, "entropy_coeff_schedule")
        self.entropy_coeff = Scheduled(schedule, runtime.cell(0.0))

    def parts(self) -> dict[str, Any]:
        """Return what a checkpoint holds: the weights of the KL penalty and of the entropy bonus as well."""
        return {**super().parts(), "kl_coeff": self.kl_coeff, "entropy_coeff": self.entropy_coeff}

    def updates(self, policy: Policy, trajectory: Trajectory) -> Updates:
        """Yield shuffled minibatches of some epochs, then adapt the KL weight.

        Returns:
            The entropy of the policy that collected the batch, how well its values explain the returns, and how far the
            first ratio was from 1.
        """
        config = self.config
        self.entropy_coeff.at(self.timesteps_total)
        estimate = gae(gamma=config.gamma, lambda_=config.lambda_ if config.use_gae else 1.0)
        batch = training_rows(policy, trajectory, estimate, value=config.use_critic)
        batch["advantages"] = standardise(batch["advantages"])
        overall: dict[str, Any] = {}
        # Before the first update: a distribution that calls the model cannot be rebuilt after it.
        with policy.runtime.no_grad():
            before = policy.distribution(batch["action_dist_inputs"], batch.mask)
            if before.has_entropy:
                overall["entropy"] = batch.mean(policy.entropy(before))
        result = yield minibatches(policy, batch, config.minibatch_size, config.num_epochs)
        metrics = {name: policy.runtime.numpy(value) for name, value in result.metrics.items()}
        overall["ratio_error"] = metrics.get("ratio_error", np.zeros(1))[0]
        if config.adapts_kl:
            self._adapt_kl(metrics)
        overall |= {"kl_coeff": float(self.kl_coeff), "entropy_coeff": float(self.entropy_coeff)}
        if config.use_critic:
            overall["explained_variance"] = explained_variance(batch["value_targets"], batch["vf_preds"])
        return overall

    def losses(self, policy: Policy, batch: Batch) -> Losses:
        """Return the surrogate, value, entropy and KL terms as one loss, and what to report."""
        config = self.config
        now = policy.evaluate(batch, value=config.use_critic, training=True)
        log_ratio = now.distribution.logp(batch["actions"]) - batch["action_logp"]
        ns = xp(log_ratio)
        ratio = ns.exp(log_ratio)
        policy_loss = -batch.mean(clipped_surrogate(ratio, batch["advantages"], config.clip_param))
        total, metrics = policy_loss, {"policy_loss": policy_loss}

        if now.values is not None:
            errors = clipped_squared_error(now.values, batch["value_targets"], config.vf_clip_param)
            metrics["vf_loss"] = batch.mean(errors)
            total = total + config.vf_loss_coeff * metrics["vf_loss"]
        if config.rewards_entropy:
            total = total - self.entropy_coeff.value * batch.mean(policy.entropy(now.distribution))
        if config.adapts_kl and now.distribution.has_kl and not now.distribution.depends_on_model:
            before = policy.distribution(batch["action_dist_inputs"], batch.mask)
            metrics["kl"] = batch.mean(before.kl(now.distribution))
        else:
            metrics["kl"] = batch.mean(ratio - 1 - log_ratio)
        if config.adapts_kl:
            total = total + self.kl_coeff.value * metrics["kl"]
        metrics["ratio_error"] = ns.max(ns.abs(ratio - 1), axis=0)
        return Losses({"policy": total}, {name: ns.stop_gradient(value) for name, value in metrics.items()})

    def _adapt_kl(self, metrics: dict[str, NumpyArray]) -> None:
        if "kl" not in metrics:
            raise ConfigError(
                f"{type(self).__name__}.losses() reports no 'kl', by which `kl_coeff` is adapted: return it among the"
                " metrics, or set kl_coeff=0."
            )
        kl, weight = metrics["kl"].mean().item(), float(self.kl_coeff)
        if kl > 2 * self.config.kl_target:
            self.kl_coeff.assign(weight * 1.5)
        elif kl < 0.5 * self.config.kl_target:
            self.kl_coeff.assign(weight * 0.5)
