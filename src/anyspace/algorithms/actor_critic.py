"""What actor-critic algorithms share: keys, the entropy bonus, the summed loss, the penalty on the KL divergence."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar

from anyspace.algorithms.algorithm import Algorithm
from anyspace.algorithms.on_policy import OnPolicyConfig, explained, has_entropy, require_own_samples
from anyspace.config import require
from anyspace.distributions import ActionDistribution
from anyspace.errors import ConfigError
from anyspace.execution.learner import Losses, Result
from anyspace.maths.xp import Array
from anyspace.models.runtime import NumpyArray, Runtime
from anyspace.policy.batch import Batch
from anyspace.policy.check import require_value
from anyspace.policy.policy import Policy
from anyspace.policy.schedules import Scheduled, require_schedule, scheduled


@dataclass(frozen=True)
class ActorCriticConfig(OnPolicyConfig):
    """The keys of algorithms with a value loss and an entropy bonus."""

    vf_loss_coeff: float = 0.5
    """Weight of the value loss, at least 0."""
    entropy_coeff: float = 0.01
    """Weight of the entropy bonus, at least 0."""
    entropy_coeff_schedule: list[tuple[float, float]] | Literal["linear"] | None = None
    """That weight by steps: [step, value] pairs, which go before it, or "linear": from it to 0 over the run."""

    def validate(self) -> None:
        """Raise :class:`ConfigError` for the first key that is out of range, contradictory or not built."""
        super().validate()
        for key in ("vf_loss_coeff", "entropy_coeff"):
            require(getattr(self, key) >= 0, key, getattr(self, key), "it must not be negative")
        require_schedule(self.entropy_coeff_schedule, "entropy_coeff_schedule")

    @property
    def has_critic(self) -> bool:
        """Whether a value is learnt."""
        return True

    @property
    def rewards_entropy(self) -> bool:
        """Whether the weight of the entropy is ever above 0."""
        return bool(self.entropy_coeff or isinstance(self.entropy_coeff_schedule, list))

    def without_effect(self) -> dict[str, str]:
        """Return the keys that have no effect beside the others as they are, each with the reason."""
        idle = super().without_effect()
        if self.entropy_coeff_schedule == "linear" and not self.entropy_coeff:
            idle["entropy_coeff_schedule"] = "it falls from `entropy_coeff`, which is 0"
        return idle


@dataclass(frozen=True)
class SmallBatchConfig(ActorCriticConfig):
    """The keys of algorithms that take a gradient step on each of many small batches."""

    min_sample_timesteps_per_iteration: int = 1000
    """Environment steps of an iteration, at least 1, in as many batches as it takes: how often results are reported."""

    def validate(self) -> None:
        """Raise :class:`ConfigError` for the first key that is out of range, contradictory or not built."""
        super().validate()
        key = "min_sample_timesteps_per_iteration"
        require(self.steps_per_iteration >= 1, key, self.steps_per_iteration, "it must be at least 1")

    def short(self) -> Self:
        """Return these settings for one short iteration: a single batch."""
        return dataclasses.replace(super().short(), min_sample_timesteps_per_iteration=1)

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps that one iteration collects at least."""
        return self.min_sample_timesteps_per_iteration


@dataclass(frozen=True)
class GAEConfig(ActorCriticConfig):
    """The keys of algorithms whose advantages are GAE's, or returns without it."""

    use_gae: bool = True
    """Estimate advantages by GAE; False takes discounted returns less the value, of whole episodes."""
    lambda_: float = 1.0
    """GAE's lambda, in [0, 1]: 1 is unbiased, 0 leans on the value alone."""
    use_critic: bool = True
    """Learn a value; False takes the discounted returns of whole episodes as advantages, without GAE."""

    def validate(self) -> None:
        """Raise :class:`ConfigError` for the first key that is out of range, contradictory or not built."""
        super().validate()
        require(0 <= self.lambda_ <= 1, "lambda_", self.lambda_, "it lies in [0, 1]")
        if self.use_gae and not self.use_critic:
            raise ConfigError("`use_gae` needs a critic, but `use_critic` is False; switch `use_gae` off as well.")
        if not self.use_gae and self.batch_mode != "complete_episodes":
            off = "use_gae" if self.use_critic else "use_critic"
            raise ConfigError(
                f"`{off}` is False, so returns are summed to the end of the episode, but `batch_mode` is"
                " 'truncate_episodes'; set batch_mode='complete_episodes'."
            )

    def fitted(self, given: Collection[str]) -> Self:
        """Return these settings with the keys that nobody gave fitted to those that somebody did."""
        changed: dict[str, Any] = {}
        if not self.use_critic:
            changed["use_gae"] = False
        if not (self.use_gae and self.use_critic):
            changed["batch_mode"] = "complete_episodes"
        free = {key: value for key, value in changed.items() if key not in given}
        return dataclasses.replace(super().fitted(given), **free)

    def without_effect(self) -> dict[str, str]:
        """Return the keys that have no effect beside the others as they are, each with the reason."""
        idle = super().without_effect()
        if not self.use_gae:
            idle["lambda_"] = "returns are summed up without GAE (`use_gae` is False)"
        if not self.use_critic and self.vf_loss_coeff:
            idle["vf_loss_coeff"] = "no value is learnt (`use_critic` is False)"
        return idle

    @property
    def has_critic(self) -> bool:
        """Whether a value is learnt."""
        return self.use_critic

    @property
    def gae_lambda(self) -> float:
        """GAE's lambda; returns less the value are its estimates with 1."""
        return self.lambda_ if self.use_gae else 1.0


@dataclass(frozen=True)
class ClippedConfig(ActorCriticConfig):
    """The keys of algorithms that clip the probability ratio and may penalise the KL divergence."""

    clip_param: float = 0.3
    """How far the probability ratio may move from 1 before its gain is cut, above 0."""
    use_kl_loss: bool = True
    """Penalise KL(old || new) by `kl_coeff`; an estimate where the distribution has no kl() of its inputs alone."""
    kl_coeff: float = 0.2
    """First weight of that penalty, at least 0; 0 switches it off."""
    kl_target: float = 0.01
    """KL that the weight is adapted to, above 0."""

    def validate(self) -> None:
        """Raise :class:`ConfigError` for the first key that is out of range, contradictory or not built."""
        super().validate()
        for key in ("clip_param", "kl_target"):
            require(getattr(self, key) > 0, key, getattr(self, key), "it must be above 0")
        require(self.kl_coeff >= 0, "kl_coeff", self.kl_coeff, "it must not be negative")

    def fitted(self, given: Collection[str]) -> Self:
        """Return these settings with the keys that nobody gave fitted to those that somebody did."""
        changed: dict[str, Any] = {}
        if self.kl_coeff == 0 and self.use_kl_loss and {"use_kl_loss", "kl_target"} & {*given}:
            changed["kl_coeff"] = type(self)().kl_coeff
        if not self.use_kl_loss and {"kl_coeff", "kl_target"} & {*given}:
            changed["use_kl_loss"] = True
        free = {key: value for key, value in changed.items() if key not in given}
        return dataclasses.replace(super().fitted(given), **free)

    def without_effect(self) -> dict[str, str]:
        """Return the keys that have no effect beside the others as they are, each with the reason."""
        idle = super().without_effect()
        if not self.use_kl_loss and self.kl_coeff:
            idle["kl_coeff"] = "there is no penalty (`use_kl_loss` is False)"
        if not self.adapts_kl:
            idle["kl_target"] = "there is no penalty to be adapted (`use_kl_loss` is False, or `kl_coeff` is 0)"
        return idle

    @property
    def adapts_kl(self) -> bool:
        """Whether there is a KL penalty, whose weight is adapted."""
        return self.use_kl_loss and self.kl_coeff > 0


C = TypeVar("C", bound=ActorCriticConfig)


class ActorCriticAlgorithm(Algorithm[C]):
    """A policy gradient with a value and an entropy bonus; sub-classes say in ``updates`` what is learnt from."""

    def setup(self) -> None:
        """Start the weight of the entropy bonus, which changes while training."""
        config, policy = self.config, self.policy
        require_own_samples(policy, type(self).__name__)
        if config.has_critic:
            require_value(policy, type(self).__name__)
        asked = not self._given.isdisjoint(("entropy_coeff", "entropy_coeff_schedule"))
        if config.rewards_entropy and not has_entropy(policy, asked=asked):
            self.config = config = dataclasses.replace(config, entropy_coeff=0.0, entropy_coeff_schedule=None)
        endpoints = config.entropy_coeff_schedule
        schedule = scheduled(config.entropy_coeff, endpoints, "entropy_coeff_schedule", self.counters)
        self.entropy_coeff = Scheduled(schedule, policy.runtime.cell(0.0))

    def parts(self) -> dict[str, Any]:
        """Return what a checkpoint holds: the weight of the entropy bonus as well."""
        return {**super().parts(), "entropy_coeff": self.entropy_coeff}

    def report(self, batch: Batch) -> dict[str, Any]:
        """Return what is reported of a round: the weight of the bonus, and how well values explain the returns.

        Args:
            batch: the new one, before it is learnt from.
        """
        numbers: dict[str, Any] = {"entropy_coeff": float(self.entropy_coeff)}
        if self.config.has_critic:
            numbers |= explained(self.policy, batch)
        return numbers

    def losses(self, policy: Policy, batch: Batch) -> Losses:
        """Return the sum over rows of -A log pi(a) + vf_loss_coeff (V - target)^2 / 2 - entropy_coeff H.

        The terms are reported as means, so that they compare between batches of different sizes.
        """
        config = self.config
        now = policy.evaluate(batch, value=config.has_critic, training=True)
        gains = now.distribution.logp(batch["actions"]) * batch["advantages"]
        terms, metrics = -gains, {"policy_loss": -batch.mean(gains)}
        if now.values is not None:
            errors = 0.5 * (now.values - batch["value_targets"]) ** 2
            terms, metrics["vf_loss"] = terms + config.vf_loss_coeff * errors, batch.mean(errors)
        if config.rewards_entropy:
            entropies = policy.entropy(now.distribution)
            terms, metrics["entropy"] = terms - self.entropy_coeff.value * entropies, batch.mean(entropies)
        return Losses({"policy": batch.sum(terms)}, metrics)


def divergence(
    policy: Policy, batch: Batch, now: ActionDistribution, ratio: Array, log_ratio: Array, *, exact: bool
) -> Array:
    """Return the mean of KL(old || new) over the rows of a batch, a scalar.

    It is the mean of ratio - 1 - log ratio, which rests on samples of the old policy, where the old distribution cannot
    be made again of ``action_dist_inputs`` alone, or has no ``kl()``. Where another policy acted, as with APPO, whose
    old policy is its target, or with workers that lag behind, its samples are taken for the old policy's: the mean then
    weighs actions by how often they were taken.

    Args:
        policy: that learns.
        batch: with ``action_dist_inputs`` of the old policy.
        now: the new policy's distribution.
        ratio: probability of each action under the new policy over that under the old one, [N].
        log_ratio: its logarithm.
        exact: False takes that mean in any case; it costs less.
    """
    if exact and now.has_kl and not now.depends_on_model:
        return batch.mean(policy.distribution(batch["action_dist_inputs"], batch.mask).kl(now))
    return batch.mean(ratio - 1 - log_ratio)


class KLPenalty:
    """The weight of a penalty on the KL divergence, which is adapted while training.

    Args:
        config: says the first weight, and the KL that it is adapted to.
        runtime: of the policy's framework.
        is_given: whether somebody gave `kl_coeff`, so that a checkpoint does not take its place.
    """

    def __init__(self, config: ClippedConfig, runtime: Runtime, *, is_given: bool):
        self._target, self._runtime, self._is_given = config.kl_target, runtime, is_given
        self._cell = runtime.cell(config.kl_coeff if config.adapts_kl else 0.0)

    @property
    def value(self) -> Array:
        """The present weight, as a loss computes with it; see :class:`Cell`."""
        return self._cell.value

    def __repr__(self) -> str:
        return f"KLPenalty({float(self)})"

    def __float__(self) -> float:
        return float(self._cell)

    def adapt(self, results: Sequence[Result], algorithm: str) -> None:
        """Raise the weight by half where the KL is more than twice its target, halve it below half of it.

        Args:
            results: of gradient steps; the mean of the ``kl`` that they report counts.
            algorithm: the name of its class, for messages.

        Raises:
            ConfigError: there is no ``kl`` among the metrics.
        """
        found: list[Any] = [result.metrics.get("kl") for result in results]
        if any(one is None for one in found):
            raise ConfigError(
                f"{algorithm}.losses() reports no 'kl', by which `kl_coeff` is adapted: return it among the metrics, or"
                " set kl_coeff=0."
            )
        plain = [one if isinstance(one, int | float) else self._runtime.numpy(one).mean().item() for one in found]
        kl = sum(plain) / len(plain)
        if kl > 2 * self._target:
            self.assign(float(self) * 1.5)
        elif kl < 0.5 * self._target:
            self.assign(float(self) * 0.5)

    def assign(self, weight: float) -> None:
        """Set the weight."""
        self._cell.assign(weight)

    def state(self) -> dict[str, NumpyArray]:
        """Return the weight by name, for a checkpoint."""
        return self._cell.state()

    def load_state(self, state: dict[str, NumpyArray]) -> None:
        """Restore what :meth:`state` returned, where there was a penalty then and is one now that goes on."""
        was, now = float(state["value"]), float(self)
        if was and now and not self._is_given:
            self.assign(was)
