"""Soft actor-critic (Haarnoja et al., "Soft actor-critic algorithms and applications", 2018)."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, Unpack

from anyspace.algorithms.off_policy import OffPolicy, OffPolicyConfig
from anyspace.config import KEYS_OF, merge, require
from anyspace.data.transitions import following, following_output
from anyspace.distributions.joint import DrawnActions
from anyspace.errors import ConfigError
from anyspace.execution.groups import Group
from anyspace.execution.learner import Losses
from anyspace.maths.joint import at
from anyspace.maths.losses import huber
from anyspace.maths.xp import Array, xp
from anyspace.models.action_dists import squashed
from anyspace.models.config import ModelConfig
from anyspace.models.soft_actor_critic import build, given_targets, soft_actor_critic
from anyspace.policy.batch import Batch
from anyspace.policy.gradients import require_paths
from anyspace.policy.pipeline import Pipeline
from anyspace.policy.plan import Plan
from anyspace.policy.policy import Policy
from anyspace.policy.schedules import scheduled
from anyspace.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anyspace.algorithms.options import SACOptions
    from anyspace.algorithms.presets import Preset
    from anyspace.data.environments import EnvLike


@dataclass(frozen=True)
class SACConfig(OffPolicyConfig):
    """SAC's keys; ``SAC(...)`` starts from a preset by itself."""

    model: ModelConfig = field(default_factory=lambda: ModelConfig(fcnet_activation="relu"))
    """The model configuration, from which those of policy and Q networks start."""
    policy_model_config: dict[str, Any] = field(default_factory=dict, metadata={KEYS_OF: ModelConfig})
    """Keys of `model` that differ in the policy network, a `custom_model` among them."""
    q_model_config: dict[str, Any] = field(default_factory=dict, metadata={KEYS_OF: ModelConfig})
    """Keys of `model` that differ in the Q networks, a `custom_model` among them."""
    twin_q: bool = True
    """Learn two Q networks and go by the smaller value (Fujimoto et al., 2018)."""
    initial_alpha: float = 1.0
    """First temperature, above 0: what a nat of entropy is worth in reward."""
    target_entropy: float | dict[str, float] | Literal["auto"] | None = "auto"
    """Entropy in nats that the temperature holds the policy at, a number, or where actions have choices and numbers one
    for each kind, "discrete" and "continuous". auto or None: 0.98 times the log of the number of allowed options for
    choices, and -1 for each number. It is at most the largest entropy that the actions can have."""
    td_error_loss_fn: Literal["huber", "mse"] = "huber"
    """Loss of the Q networks: half the squared error, which huber goes on linearly from an error of 1."""
    lr: float = 3e-4
    """Learning rate of the groups that have none of their own below, at least 0."""
    actor_lr: float | None = None
    """Learning rate of the policy, at least 0; None: `lr` and its schedule."""
    critic_lr: float | None = None
    """Learning rate of the Q networks, at least 0; None: `lr` and its schedule."""
    alpha_lr: float | None = None
    """Learning rate of the temperatures, at least 0; 0 keeps `initial_alpha`; None: `lr` and its schedule."""
    adam_epsilon: float = 1e-7
    """Adam's stabiliser, above 0."""
    train_batch_size: int = 256
    """Transitions that a gradient step learns from, at least 1; with a memory, sequences of `model.max_seq_len`."""
    num_steps_sampled_before_learning_starts: int = 1500
    """Environment steps that are taken before learning starts, at least 0."""
    target_network_update_freq: int = 0
    """Environment steps from one move of the target networks to the next, at least 0; 0: after each gradient step."""
    tau: float = 5e-3
    """How far such a move goes towards the networks that learn, in (0, 1]."""
    replay_capacity: int = 1_000_000
    """Steps that are kept, of all environments together, with those that vector environments spend on resets; more than
    memory has room for are refused."""
    replay_burn_in: int = 0
    """With a memory: steps ahead of each sequence that states are computed from, and not learnt from; at least 0. The
    policy's states are stored; those of Q networks are zero where the burn-in begins. Not given: half of
    `model.max_seq_len`, or less where `replay_capacity` has no room for that."""

    of_beginnings: ClassVar[tuple[str, ...]] = (*OffPolicyConfig.of_beginnings, "initial_alpha")

    def validate(self) -> None:
        """Raise :class:`ConfigError` for the first key that is out of range, contradictory or not built."""
        super().validate()
        require(self.initial_alpha > 0, "initial_alpha", self.initial_alpha, "a temperature is above 0")
        for key in ("actor_lr", "critic_lr", "alpha_lr"):
            rate = getattr(self, key)
            require(rate is None or rate >= 0, key, rate, "a learning rate is not negative; None takes `lr`")
        for key, reason in _REFUSED.items():
            if any(config.get(key) for config in (vars(self.model), self.policy_model_config, self.q_model_config)):
                raise ConfigError(f"`{key}` does not go with SAC: {reason}.")
        if not self.model.vf_share_layers:
            raise ConfigError("`model.vf_share_layers` is False, but SAC has Q networks and no value; leave it out.")
        for network in self.networks():
            network.validate()

    def fitted(self, given: Collection[str]) -> Self:
        """Return these settings with the keys that nobody gave fitted to those that somebody did.

        A Q network's memory has to know what was done: it sees earlier actions unless somebody says otherwise. It is
        empty where a burn-in begins, so that there is one, too.
        """
        fitted = super().fitted(given)
        model = fitted.model
        if (model.use_lstm or model.use_gru) and "model.lstm_use_prev_action" not in given:
            fitted = dataclasses.replace(fitted, model=dataclasses.replace(model, lstm_use_prev_action=True))
        _, q_network = fitted.networks()
        if (q_network.use_lstm or q_network.use_gru) and "replay_burn_in" not in given:
            # Half of the room that a window leaves, because views and frame stacks look back, too.
            room = -(-fitted.replay_capacity // fitted.num_envs) - model.max_seq_len - fitted.n_step
            burn_in = min((model.max_seq_len + 1) // 2, max(0, room // 2))
            fitted = dataclasses.replace(fitted, replay_burn_in=burn_in)
        return fitted

    def without_effect(self) -> dict[str, str]:
        """Return the keys that have no effect beside the others as they are, each with the reason."""
        idle = super().without_effect()
        if self.alpha_lr == 0:
            idle["target_entropy"] = "`alpha_lr` is 0, which keeps the temperature"
        if None not in (self.actor_lr, self.critic_lr, self.alpha_lr):
            why = "all groups have rates of their own (`actor_lr`, `critic_lr`, `alpha_lr`)"
            idle |= dict.fromkeys(("lr", "lr_schedule"), why)
        return idle

    def networks(self) -> list[ModelConfig]:
        """Return the configurations of the policy and of the Q networks."""
        return [merge(self.model, own) for own in (self.policy_model_config, self.q_model_config)]

    def least_sizes(self) -> Iterator[tuple[str, int]]:
        """Yield keys, each with a number of weights or of states that the built-in networks cannot do without."""
        for name in ("policy_model_config", "q_model_config"):
            own = getattr(self, name)
            network = merge(self.model, own)
            if network.custom_model is None:
                yield from ((f"{name if key in own else 'model'}.{key}", size) for key, size in network.least_sizes())


_CRITICS = ("q", "twin_q")

_REFUSED = {
    "autoregressive_actions": "it sums over all joint options and samples all numbers at once, for which no part of an"
    " action may depend on another; take PPO",
    "use_attention": "a Q network's attention over earlier steps starts empty with every sequence that is drawn from"
    " replay, and a short burn-in does not fill it; take `use_lstm` or `use_gru`, or PPO",
}


class SAC(OffPolicy[SACConfig]):
    """Soft Actor-Critic: learns a policy of maximum entropy and two Q functions from replay, for actions of any kind.

    Discrete parts of an action are summed over, all of them jointly (Christodoulou, 2019); numbers are sampled. With
    pi the probabilities of the joint options and u a sample of the numbers, the soft value of an observation is

        V = sum_k pi_k min Q(o, u)_k + alpha_discrete H(pi) - alpha_continuous log p(u).
    """

    config_class = SACConfig

    if TYPE_CHECKING:  # what keywords there are

        def __init__(
            self,
            env: EnvLike | None = None,
            config: Mapping[str, Any] | SACConfig | None = None,
            *,
            preset: str | Preset | None = None,
            **overrides: Unpack[SACOptions],
        ) -> None: ...

    @classmethod
    def plan(cls, config: SACConfig) -> Plan:
        """Return the model of policy, Q networks and temperatures, and Gaussians squashed into bounds."""
        own = (config.policy_model_config, config.q_model_config)
        return Plan(
            build=partial(
                build,
                policy_model_config=own[0],
                q_model_config=own[1],
                twin_q=config.twin_q,
                initial_alpha=config.initial_alpha,
                target_entropy=config.target_entropy,
            ),
            distribution=partial(squashed, normalize=config.normalize_actions),
            custom=any(keys.get("custom_model") is not None for keys in own),
        )

    def groups(self) -> dict[str, Group]:
        """Return policy, Q networks and temperatures, each moved by its own loss."""
        config = self.config
        critics = dict.fromkeys(_CRITICS[: 1 + config.twin_q], config.critic_lr)

        # One for all that have no rate of their own: it warns once.
        shared = scheduled(config.lr, config.lr_schedule, "lr_schedule", self.counters)

        def group(rate: float | None) -> Group:
            own = shared if rate is None else scheduled(rate, None, "lr_schedule", self.counters)
            return Group(own, grad_clip=config.grad_clip, epsilon=config.adam_epsilon)

        rates = {"actor": config.actor_lr, **critics, "alpha": config.alpha_lr}
        return {name: group(rate) for name, rate in rates.items()}

    def setup(self) -> None:
        """Make room for transitions, and the targets; see what the action distribution can do."""
        super().setup()
        joint, distribution = soft_actor_critic(self.policy.model).joint, self.policy.new_distribution(1)
        try:
            joint.require_fit(distribution)
        except TypeError as error:
            raise ConfigError(f"SAC sums over choices and samples numbers, but {error}. Take PPO for it.") from error
        require_paths(self.policy, joint.continuous)
        largest = joint.largest_entropies(distribution)
        for kind, target in given_targets(self.config.target_entropy, joint.kinds).items():
            if target > largest[kind]:
                raise ConfigError(
                    f"config key `target_entropy` is {target:g} for the {kind} parts of actions, but they have at most"
                    f" {largest[kind]:.4g} nats: the temperature would rise for good. Take a lower one, or 'auto'."
                )

    def losses(self, policy: Policy, batch: Batch) -> Losses:
        """Return the losses of policy, Q networks and temperatures."""
        model, config = soft_actor_critic(policy.model), self.config
        targets = self._targets(policy, batch)
        ns = xp(targets)
        now = policy.evaluate(batch, value=False, training=True)
        drawn = model.joint.draw(now.distribution, policy.runtime.rng("learning"))
        losses = {"actor": -batch.mean(self._soft_value(policy, now.output, drawn))}
        # Last, so that what a Q network keeps of a pass, for its own loss say, is of the actions that were taken.
        option, numbers = model.joint.taken(batch["actions"])
        values = [at(q, option) for q in self._q_values(policy, now.output, numbers)]
        errors = [value - targets for value in values]
        sizes = [huber(error) if config.td_error_loss_fn == "huber" else 0.5 * error**2 for error in errors]
        losses |= {name: batch.mean(batch["weights"] * size) for name, size in zip(_CRITICS, sizes, strict=False)}

        targeted = model.entropy_targets(drawn)
        excess = {kind: batch.mean(drawn.entropies[kind] - targeted[kind]) for kind in model.joint.kinds}
        losses["alpha"] = sum(model.log_alphas[kind] * ns.stop_gradient(excess[kind]) for kind in model.joint.kinds)

        metrics = {f"{name}_loss": loss for name, loss in losses.items()} | {"q_mean": batch.mean(values[0])}
        metrics |= {f"alpha_{kind}": ns.exp(log_alpha) for kind, log_alpha in model.log_alphas.items()}
        metrics |= {f"entropy_excess_{kind}": entropy for kind, entropy in excess.items()}
        td_error = sum(ns.abs(error) for error in errors) / len(errors)
        return Losses(
            losses,
            {name: ns.stop_gradient(value) for name, value in metrics.items()},
            rows={"td_error": ns.stop_gradient(td_error)},
        )

    def _targets(self, policy: Policy, batch: Batch) -> Array:
        """Return r + gamma V of what the transitions led to [N]: the policy of now, the values of the target."""
        with policy.runtime.no_grad():
            drawn = soft_actor_critic(policy.model).joint.draw(
                following(policy, batch).distribution, policy.runtime.rng("learning")
            )
            values = self._soft_value(self.target, following_output(self.target, batch)[0], drawn)
            targets = batch["returns"] + batch["discounts"] * values
            return xp(targets).stop_gradient(targets)

    def _soft_value(self, pipeline: Pipeline, output: Tree, drawn: DrawnActions) -> Array:
        """Return V [N] by the Q networks of a pipeline: the mean of their smaller value, and the worth of entropy."""
        ns = xp(drawn.log_probs)
        q = self._q_values(pipeline, output, drawn.numbers)
        value = drawn.mean(q[0] if len(q) == 1 else ns.min(ns.stack(q), axis=0))
        for kind, log_alpha in soft_actor_critic(self.policy.model).log_alphas.items():
            value = value + ns.stop_gradient(ns.exp(log_alpha)) * drawn.entropies[kind]
        return value

    def _q_values(self, pipeline: Pipeline, output: Tree, numbers: Array | None) -> list[Array]:
        """Return the values [N, K] of the joint options by each Q network of a pipeline, beside the numbers."""
        model = soft_actor_critic(pipeline.model)
        networks = (model.get_q_values, model.get_twin_q_values)
        return [values(output, numbers) for values in networks[: 1 + self.config.twin_q]]
