"""Asynchronous PPO with a target network.

Source: Luo et al., "IMPACT: Importance weighted asynchronous architectures with clipped target networks", 2020.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

from anyspace.algorithms.actor_critic import ClippedConfig, KLPenalty, divergence
from anyspace.algorithms.impala import IMPALA, IMPALAConfig
from anyspace.algorithms.on_policy import training_rows
from anyspace.config import require
from anyspace.data.rows import with_logp
from anyspace.data.trajectory import Trajectory
from anyspace.execution.learner import Losses, Result
from anyspace.maths.losses import clipped_surrogate
from anyspace.maths.xp import xp
from anyspace.policy.batch import Batch
from anyspace.policy.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anyspace.algorithms.options import APPOOptions
    from anyspace.algorithms.presets import Preset
    from anyspace.data.environments import EnvLike
    from anyspace.execution.training import Updates

LARGEST_IMPORTANCE = 2.0
"""Largest weight of the policy that acted over the target policy."""


@dataclass(frozen=True)
class APPOConfig(IMPALAConfig, ClippedConfig):
    """APPO's keys, with RLlib's defaults."""

    clip_param: float = 0.4
    """How far the probability ratio may move from 1 before its gain is cut, above 0."""
    use_kl_loss: bool = False
    """Penalise KL(target || new) by `kl_coeff`; an estimate where the distribution has no kl() of its inputs alone."""
    kl_coeff: float = 1.0
    """First weight of that penalty, at least 0; 0 switches it off."""
    target_network_update_freq: int = 1
    """Environment steps for each move of the target network, at least 1; it moves once in a batch at most."""
    tau: float = 1.0
    """How far such a move goes towards the network that learns, in (0, 1]."""

    def validate(self) -> None:
        """Raise :class:`ConfigError` for the first key that is out of range, contradictory or not built."""
        super().validate()
        every = self.target_network_update_freq
        require(every >= 1, "target_network_update_freq", every, "it must be at least 1")
        require(0 < self.tau <= 1, "tau", self.tau, "it lies above 0 and up to 1")


class APPO(IMPALA):
    """Asynchronous PPO: clipped policy-gradient steps, with advantages by V-trace under a target network."""

    config_class = APPOConfig

    if TYPE_CHECKING:  # what keywords there are

        def __init__(
            self,
            env: EnvLike | None = None,
            config: Mapping[str, Any] | APPOConfig | None = None,
            *,
            preset: str | Preset | None = None,
            **overrides: Unpack[APPOOptions],
        ) -> None: ...

    config: APPOConfig

    def setup(self) -> None:
        """Start the target network, which begins equal, and the weight of the KL penalty."""
        super().setup()
        self.target = self.policy.sibling()
        self.kl_coeff = KLPenalty(self.config, self.policy.runtime, is_given="kl_coeff" in self._given)

    def parts(self) -> dict[str, Any]:
        """Return what a checkpoint holds: the target network and the weight of the KL penalty as well."""
        return {**super().parts(), "target": self.target, "kl_coeff": self.kl_coeff}

    def updates(self, policy: Policy, trajectory: Trajectory) -> Updates:
        """Yield the new batch, and earlier ones, with V-trace's targets for the target network; then move that."""
        config = self.config
        self.entropy_coeff.at(self.timesteps_total)
        latest: list[Result] = []  # of each batch
        report: dict[str, Any] = {}  # of the new batch, as it is before it is learnt from
        for one in self.recent.with_earlier(with_logp(policy, trajectory), policy.runtime):
            batch = training_rows(policy, one, self.estimate, under=self.target)
            # clip(mu / target, 0, 2) * pi / mu is pi / max(target, mu / 2): its denominator is the old policy.
            least = batch["action_logp"] - math.log(LARGEST_IMPORTANCE)
            batch["action_logp"] = xp(least).clip(batch["target_logp"], least, None)
            report = report or self.report(batch)
            for _ in range(config.num_epochs):
                result = yield batch
            latest.append(result)
        if self._target_is_due(trajectory.num_steps):
            if config.adapts_kl:
                self.kl_coeff.adapt(latest, type(self).__name__)
            self.learner.follow(self.target, config.tau)
        return {**report, "kl_coeff": float(self.kl_coeff)}

    def losses(self, policy: Policy, batch: Batch) -> Losses:
        """Return the surrogate, value, entropy and KL terms as one loss, and what to report."""
        config = self.config
        now = policy.evaluate(batch, training=True)
        logp = now.distribution.logp(batch["actions"])
        ns = xp(logp)
        ratio = ns.exp(logp - batch["action_logp"])
        policy_loss = -batch.mean(clipped_surrogate(ratio, batch["advantages"], config.clip_param))
        vf_loss = 0.5 * batch.mean((now.values - batch["value_targets"]) ** 2)
        total, metrics = policy_loss + config.vf_loss_coeff * vf_loss, {"policy_loss": policy_loss, "vf_loss": vf_loss}
        if config.rewards_entropy:
            metrics["entropy"] = batch.mean(policy.entropy(now.distribution))
            total = total - self.entropy_coeff.value * metrics["entropy"]
        from_target = logp - batch["target_logp"]
        metrics["kl"] = divergence(
            policy, batch, now.distribution, ns.exp(from_target), from_target, exact=config.adapts_kl
        )
        if config.adapts_kl:
            total = total + self.kl_coeff.value * metrics["kl"]
        return Losses({"policy": total}, {name: ns.stop_gradient(value) for name, value in metrics.items()})

    def _target_is_due(self, steps: int) -> bool:
        """Return whether these steps pass a multiple of ``target_network_update_freq``."""
        every = self.config.target_network_update_freq
        return (self.timesteps_total + steps) // every > self.timesteps_total // every
