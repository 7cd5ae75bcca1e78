"""Advantage actor-critic (Mnih et al., "Asynchronous methods for deep reinforcement learning", 2016), synchronous."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

from anyspace.algorithms.actor_critic import ActorCriticAlgorithm, GAEConfig, SmallBatchConfig
from anyspace.algorithms.on_policy import gae, minibatches, training_rows
from anyspace.config import require
from anyspace.data.trajectory import Trajectory
from anyspace.policy.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anyspace.algorithms.options import A2COptions
    from anyspace.algorithms.presets import Preset
    from anyspace.data.environments import EnvLike
    from anyspace.execution.training import Updates


@dataclass(frozen=True)
class A2CConfig(GAEConfig, SmallBatchConfig):
    """A2C's keys, with RLlib's defaults."""

    lr: float = 1e-4
    """Learning rate, at least 0."""
    grad_clip: float | None = 40.0
    """Largest global norm of the gradients, above 0; None does not clip. Losses are sums over the batch, and so are
    gradients."""
    microbatch_size: int | None = None
    """Rows whose gradients are computed at a time, at least 1, to save memory; one step takes their sum. None: all."""

    def validate(self) -> None:
        """Raise :class:`ConfigError` for the first key that is out of range, contradictory or not built."""
        super().validate()
        size = self.microbatch_size
        require(size is None or size >= 1, "microbatch_size", size, "it must be at least 1; None takes all rows")

    def without_effect(self) -> dict[str, str]:
        """Return the keys that have no effect beside the others as they are, each with the reason."""
        idle = super().without_effect()
        fragment = 1 if self.rollout_fragment_length == "auto" else self.rollout_fragment_length
        at_once = fragment * self.num_envs
        rows = -(-self.train_batch_size // at_once) * at_once
        if not self.collects_whole_episodes and (self.microbatch_size or 0) >= rows:
            idle["microbatch_size"] = f"a batch has {rows} rows at most (`train_batch_size`)"
        return idle

    @property
    def rows_per_step(self) -> int:
        """How many rows are computed on at a time."""
        return min(self.microbatch_size or self.train_batch_size, self.train_batch_size)


class A2C(ActorCriticAlgorithm[A2CConfig]):
    """Advantage Actor-Critic: one step on each batch, along the policy gradient with advantages by GAE."""

    config_class = A2CConfig

    if TYPE_CHECKING:  # what keywords there are

        def __init__(
            self,
            env: EnvLike | None = None,
            config: Mapping[str, Any] | A2CConfig | None = None,
            *,
            preset: str | Preset | None = None,
            **overrides: Unpack[A2COptions],
        ) -> None: ...

    def updates(self, policy: Policy, trajectory: Trajectory) -> Updates:
        """Yield all steps at once, or parts of them whose gradients are summed."""
        config = self.config
        self.entropy_coeff.at(self.timesteps_total)
        estimate = gae(gamma=config.gamma, lambda_=config.gae_lambda)
        batch = training_rows(policy, trajectory, estimate, value=config.use_critic)
        if config.microbatch_size is None:
            yield batch
        else:
            yield dataclasses.replace(minibatches(policy, batch, config.microbatch_size), summed=True)
        return self.report(batch)
