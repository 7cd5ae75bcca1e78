"""Importance weighted actor-learner architecture.

Source: Espeholt et al., "IMPALA: Scalable distributed deep-RL with importance weighted actor-learner architectures",
2018.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, Unpack

from anyspace.algorithms.actor_critic import ActorCriticAlgorithm, SmallBatchConfig
from anyspace.algorithms.on_policy import training_rows, vtrace
from anyspace.config import require
from anyspace.data.rows import with_logp
from anyspace.data.trajectory import Trajectory
from anyspace.execution.groups import Group
from anyspace.policy.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anyspace.algorithms.options import IMPALAOptions
    from anyspace.algorithms.presets import Preset
    from anyspace.data.environments import EnvLike
    from anyspace.execution.training import Updates


@dataclass(frozen=True)
class IMPALAConfig(SmallBatchConfig):
    """IMPALA's keys, with RLlib's defaults."""

    lr: float = 5e-4
    """Learning rate, at least 0."""
    train_batch_size: int = 500
    """Environment steps of a batch, at least 1."""
    rollout_fragment_length: int | Literal["auto"] = 50
    """Steps of each environment that are collected at a time, which are a fragment: at least 1. auto collects as many
    as are learnt from at once."""
    grad_clip: float | None = 40.0
    """Largest global norm of the gradients, above 0; None does not clip."""
    vtrace_clip_rho_threshold: float = 1.0
    """Largest weight of a temporal difference, above 0; above 1 values lean towards those of the newer policy."""
    vtrace_clip_pg_rho_threshold: float = 1.0
    """Largest weight of an advantage, above 0."""
    opt: Literal["adam", "rmsprop"] = "adam"
    """The optimiser; Adam's stabiliser is `adam_epsilon`."""
    decay: float = 0.99
    """RMSProp's share of the old squared gradients, in [0, 1)."""
    momentum: float = 0.0
    """RMSProp's momentum, in [0, 1)."""
    epsilon: float = 0.1
    """RMSProp's stabiliser, above 0."""
    num_epochs: int = 1
    """Gradient steps on each batch, at least 1; V-trace corrects for those before."""
    replay_proportion: float = 0.0
    """Earlier batches that are learnt from again for each new one, at least 0; 0.5 takes one with every second."""
    replay_buffer_num_slots: int = 100
    """Latest batches that are kept for that, at least 1."""
    store_buffer_in_checkpoints: bool = False
    """Write those batches into the latest checkpoint; else a run that goes on starts without any. With `exact_resume`
    exact ones hold them, and no others."""

    @property
    def own_requests(self) -> int:
        """How many fragments a worker is asked for ahead: V-trace corrects for weights that have changed since."""
        return 2

    def validate(self) -> None:
        """Raise :class:`ConfigError` for the first key that is out of range, contradictory or not built."""
        super().validate()
        for key in ("vtrace_clip_rho_threshold", "vtrace_clip_pg_rho_threshold", "epsilon"):
            require(getattr(self, key) > 0, key, getattr(self, key), "it must be above 0")
        for key in ("decay", "momentum"):
            require(0 <= getattr(self, key) < 1, key, getattr(self, key), "it lies in [0, 1)")
        require(self.replay_proportion >= 0, "replay_proportion", self.replay_proportion, "it must not be negative")
        for key in ("num_epochs", "replay_buffer_num_slots"):
            require(getattr(self, key) >= 1, key, getattr(self, key), "it must be at least 1")

    def without_effect(self) -> dict[str, str]:
        """Return the keys that have no effect beside the others as they are, each with the reason."""
        idle = super().without_effect()
        if self.opt == "adam":
            idle |= dict.fromkeys(("decay", "momentum", "epsilon"), "it is RMSProp's, and `opt` is 'adam'")
        else:
            idle["adam_epsilon"] = "it is Adam's, and `opt` is 'rmsprop', whose stabiliser is `epsilon`"
        if self.replay_proportion == 0:
            keys = ("replay_buffer_num_slots", "store_buffer_in_checkpoints")
            idle |= dict.fromkeys(keys, "no batch is learnt from again (`replay_proportion` is 0)")
        return idle

    def short(self) -> Self:
        """Return these settings for one short iteration: a single gradient step."""
        return dataclasses.replace(super().short(), num_epochs=1)


class IMPALA(ActorCriticAlgorithm[IMPALAConfig]):
    """Importance Weighted Actor-Learner Architecture: policy gradients that V-trace corrects for newer weights."""

    config_class: ClassVar[type[IMPALAConfig]] = IMPALAConfig

    if TYPE_CHECKING:  # what keywords there are

        def __init__(
            self,
            env: EnvLike | None = None,
            config: Mapping[str, Any] | IMPALAConfig | None = None,
            *,
            preset: str | Preset | None = None,
            **overrides: Unpack[IMPALAOptions],
        ) -> None: ...

    def setup(self) -> None:
        """Start the ring of recent batches, and what actor-critic algorithms share."""
        from anyspace.data.recent import Recent

        super().setup()
        config = self.config
        self.estimate = vtrace(
            gamma=config.gamma,
            clip_rho=config.vtrace_clip_rho_threshold,
            clip_pg_rho=config.vtrace_clip_pg_rho_threshold,
        )
        self.recent = Recent(
            config.replay_buffer_num_slots,
            config.replay_proportion,
            in_checkpoints=config.store_buffer_in_checkpoints and not config.exact_resume,
        )

    def groups(self) -> dict[str, Group]:
        """Return how the parameters are moved."""
        config, groups = self.config, super().groups()
        if config.opt == "adam":
            return groups
        rmsprop: dict[str, Any] = {"decay": config.decay, "momentum": config.momentum, "epsilon": config.epsilon}
        return {name: dataclasses.replace(group, optimiser="rmsprop", **rmsprop) for name, group in groups.items()}

    def parts(self) -> dict[str, Any]:
        """Return what a checkpoint holds: the ring of recent batches as well."""
        return {**super().parts(), "recent": self.recent}

    def updates(self, policy: Policy, trajectory: Trajectory) -> Updates:
        """Yield the new batch, and earlier ones, each with V-trace's targets under the present weights."""
        config = self.config
        self.entropy_coeff.at(self.timesteps_total)
        if config.replay_proportion > 0 or config.num_epochs > 1:
            trajectory = with_logp(policy, trajectory)
        report: dict[str, Any] = {}  # of the new batch, as it is before it is learnt from
        for one in self.recent.with_earlier(trajectory, policy.runtime):
            for _ in range(config.num_epochs):
                batch = training_rows(policy, one, self.estimate)
                report = report or self.report(batch)
                yield batch
        return report
