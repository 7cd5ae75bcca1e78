"""Proximal policy optimisation (Schulman et al., "Proximal policy optimization algorithms", 2017)."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np

from anyspace.algorithms.actor_critic import ActorCriticAlgorithm, ClippedConfig, GAEConfig, KLPenalty, divergence
from anyspace.algorithms.on_policy import gae, minibatches, training_rows
from anyspace.config import require
from anyspace.data.trajectory import Trajectory
from anyspace.execution.learner import Losses
from anyspace.maths.losses import clipped_squared_error, clipped_surrogate, standardise
from anyspace.maths.xp import xp
from anyspace.models.config import ModelConfig
from anyspace.policy.batch import Batch
from anyspace.policy.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anyspace.algorithms.options import PPOOptions
    from anyspace.algorithms.presets import Preset
    from anyspace.data.environments import EnvLike
    from anyspace.execution.training import Updates


_LOG = logging.getLogger("anyspace")

_WARNED_AT = (10, 100)
"""The iterations after which values that are not learnt are told of."""

_LARGE_LOSS = 100
"""A loss of the value, weighed, beside which that of the policy is nothing."""


@dataclass(frozen=True)
class PPOConfig(GAEConfig, ClippedConfig):
    """PPO's keys, with RLlib's defaults, which were made for clusters; ``PPO(...)`` starts from a preset by itself."""

    model: ModelConfig = field(default_factory=lambda: ModelConfig(vf_share_layers=False))
    """The model configuration; PPO separates policy and value layers by default."""
    lr: float = 5e-5
    """Learning rate, at least 0."""
    train_batch_size: int = 4000
    """Environment steps per training iteration, at least 1; those that vector environments spend on resets are among
    them, and not learnt from."""
    num_epochs: int = 30
    """Passes over each batch, at least 1."""
    minibatch_size: int | None = 128
    """Rows per gradient step, at least 1 and at most `train_batch_size`; None takes the whole batch."""
    vf_clip_param: float | None = 10.0
    """Largest squared value error that has a gradient, above 0; None does not clip."""
    vf_loss_coeff: float = 1.0
    """Weight of the value loss, at least 0."""
    entropy_coeff: float = 0.0
    """Weight of the entropy bonus, at least 0."""

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
        clip = self.vf_clip_param
        require(clip is None or clip > 0, "vf_clip_param", clip, "it must be above 0")

    def fitted(self, given: Collection[str]) -> Self:
        """Return these settings with the keys that nobody gave fitted to those that somebody did."""
        fitted = super().fitted(given)
        if self.minibatch_size is None or self.minibatch_size <= self.train_batch_size:
            return fitted
        if "minibatch_size" not in given:
            return dataclasses.replace(fitted, minibatch_size=self.train_batch_size)
        if "train_batch_size" not in given and self.minibatch_size > 0:
            return dataclasses.replace(fitted, train_batch_size=self.minibatch_size)
        return fitted

    def without_effect(self) -> dict[str, str]:
        """Return the keys that have no effect beside the others as they are, each with the reason."""
        idle = super().without_effect()
        if self.vf_clip_param is not None and not (self.use_critic and self.vf_loss_coeff):
            idle["vf_clip_param"] = "no value is learnt (`use_critic` is False, or `vf_loss_coeff` is 0)"
        return idle

    def short(self) -> Self:
        """Return these settings for one short iteration: a single gradient step."""
        return dataclasses.replace(super().short(), minibatch_size=None, num_epochs=1)

    @property
    def rows_per_step(self) -> int:
        """How many rows a gradient step takes."""
        return self.minibatch_size or self.train_batch_size


class PPO(ActorCriticAlgorithm[PPOConfig]):
    """Proximal Policy Optimization: clipped steps over several epochs of each batch, with an adaptive KL penalty."""

    config_class = PPOConfig

    if TYPE_CHECKING:  # what keywords there are

        def __init__(
            self,
            env: EnvLike | None = None,
            config: Mapping[str, Any] | PPOConfig | None = None,
            *,
            preset: str | Preset | None = None,
            **overrides: Unpack[PPOOptions],
        ) -> None: ...

    def setup(self) -> None:
        """Start the weights that change while training."""
        super().setup()
        self.kl_coeff = KLPenalty(self.config, self.policy.runtime, is_given="kl_coeff" in self._given)

    def parts(self) -> dict[str, Any]:
        """Return what a checkpoint holds: the weights of the KL penalty and of the entropy bonus as well."""
        return {**super().parts(), "kl_coeff": self.kl_coeff}

    def updates(self, policy: Policy, trajectory: Trajectory) -> Updates:
        """Yield shuffled minibatches of some epochs, then adapt the KL weight.

        Returns:
            The entropy of the policy before the first step, how well its values explain the returns, which share of
            the steps `vf_clip_param` leaves out, and how far the first ratio was from 1, which tells of steps that
            workers took under earlier weights.
        """
        config = self.config
        self.entropy_coeff.at(self.timesteps_total)
        estimate = gae(gamma=config.gamma, lambda_=config.gae_lambda)
        batch = training_rows(policy, trajectory, estimate, value=config.use_critic)
        batch["advantages"] = standardise(batch["advantages"])
        overall: dict[str, Any] = self._watched_value(batch) if config.use_critic else {}
        # Before the first update: a distribution that calls the model cannot be rebuilt after it.
        with policy.runtime.no_grad():
            before = policy.distribution(batch["action_dist_inputs"], batch.mask)
            if before.has_entropy:
                overall["entropy"] = batch.mean(policy.entropy(before))
        result = yield minibatches(policy, batch, config.minibatch_size, config.num_epochs)
        overall["ratio_error"] = result.metrics.pop("ratio_error", np.zeros(1))[0]  # of the first step alone
        if config.adapts_kl:
            self.kl_coeff.adapt([result], type(self).__name__)
        return {**overall, **self.report(batch), "kl_coeff": float(self.kl_coeff)}

    def _watched_value(self, batch: Batch) -> dict[str, float]:
        """Return the share of steps whose value has no gradient; warn now and then where that hinders learning."""
        config, clip = self.config, self.config.vf_clip_param
        with np.errstate(over="ignore"):  # what is infinite is above the clip, too
            errors = np.asarray(
                self.policy.runtime.numpy((batch["vf_preds"] - batch["value_targets"]) ** 2), np.float32
            )
        share = 0.0 if clip is None else float((errors > clip).mean())
        if self.training_iteration + 1 in _WARNED_AT:
            loss = config.vf_loss_coeff * float(np.minimum(errors, np.inf if clip is None else clip).mean())
            if share > 0.5 and config.vf_loss_coeff:
                _LOG.warning(
                    f"{type(self).__name__}: {share:.0%} of the values are so far from the returns that the squared"
                    f" error is above `vf_clip_param` ({clip:g}), where it has no gradient: they are not learnt."
                    " Raise it, set vf_clip_param=None, or scale rewards (normalize_rewards=True)."
                )
            if loss > _LARGE_LOSS and config.model.vf_share_layers:
                _LOG.warning(
                    f"{type(self).__name__}: the value's loss is {loss:.0f}, beside which the policy's hardly moves the"
                    " layers that both share (`model.vf_share_layers`). Give the value layers of its own, lower"
                    " `vf_loss_coeff`, or scale rewards (normalize_rewards=True)."
                )
        return {} if clip is None else {"vf_clipped": share}

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
        metrics["kl"] = divergence(policy, batch, now.distribution, ratio, log_ratio, exact=config.adapts_kl)
        if config.adapts_kl:
            total = total + self.kl_coeff.value * metrics["kl"]
        metrics["ratio_error"] = batch.max(ns.abs(ratio - 1))
        return Losses({"policy": total}, {name: ns.stop_gradient(value) for name, value in metrics.items()})
