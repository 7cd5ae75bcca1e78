"""Deep Q-learning (Mnih et al., "Human-level control through deep reinforcement learning", 2015) and what came after.

Double Q-learning (van Hasselt et al., 2016), dueling heads (Wang et al., 2016), distributions of returns (C51,
Bellemare et al., 2017), noisy layers (Fortunato et al., 2018), prioritised replay (Schaul et al., 2016), n-step
returns, branches for actions of several choices (Tavakoli et al., 2018), and sequences with stored states for models
with memory (R2D2, Kapturowski et al., 2019): each by a key, and in any combination.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, Unpack

from anyspace.algorithms.off_policy import OffPolicy, OffPolicyConfig
from anyspace.config import require
from anyspace.data.transitions import following
from anyspace.execution.learner import Losses
from anyspace.maths.branches import choices
from anyspace.maths.losses import huber
from anyspace.maths.q_values import cross_entropy, mean_log_probs, projected
from anyspace.maths.xp import xp
from anyspace.models.action_dists import choose_options
from anyspace.models.config import layer_sizes
from anyspace.models.q_model import build_q_model, q_model
from anyspace.policy.batch import Batch
from anyspace.policy.exploration import EpsilonGreedy, Factory, ParameterNoise, PerWorkerEpsilonGreedy, Random, kind_of
from anyspace.policy.plan import Plan
from anyspace.policy.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anyspace.algorithms.options import DQNOptions
    from anyspace.algorithms.presets import Preset
    from anyspace.data.environments import EnvLike


@dataclass(frozen=True)
class DQNConfig(OffPolicyConfig):
    """DQN's keys, with RLlib's defaults; ``DQN(...)`` starts from a preset by itself."""

    lr: float = 5e-4
    """Learning rate, at least 0."""
    grad_clip: float | None = 40.0
    """Largest global norm of the gradients, above 0; None does not clip."""
    prioritized_replay: bool = True
    """Draw transitions by the errors that they were last learnt from with."""
    double_q: bool = True
    """Let the learning network choose the action that the target network values; False: the target does both."""
    dueling: bool = True
    """Values of states and advantages of actions in heads of their own."""
    hiddens: list[int] = field(default_factory=lambda: [256])
    """Sizes of each head's dense layers, each at least 1; without any, and not dueling, the model has no heads."""
    num_atoms: int = 1
    """Atoms of the distributions of returns, at least 1; 1 learns values themselves."""
    v_min: float = -10.0
    """The smallest return that distributions cover."""
    v_max: float = 10.0
    """The largest one, above `v_min`."""
    noisy: bool = False
    """Explore by learnt noise in the layers of the heads; a preset's `exploration_config` is left out then, and epsilon
    is 0: a `final_epsilon` of your own is there all the time, and an `initial_epsilon` falls."""
    sigma0: float = 0.5
    """How large the noise on biases is at first, at least 0."""
    td_error_loss_fn: Literal["huber", "mse"] = "huber"
    """The loss of an error e: Huber's, linear beyond 1, or e^2 / 2. Distributions have the cross-entropy instead."""
    categorical_distribution_temperature: float = 1.0
    """Where actions are sampled by their values (SoftQ, StochasticSampling): above 1 more evenly, above 0."""

    own_exploration: ClassVar[Factory] = EpsilonGreedy
    of_beginnings: ClassVar[tuple[str, ...]] = (*OffPolicyConfig.of_beginnings, "sigma0")

    def validate(self) -> None:
        """Raise :class:`ConfigError` for the first key that is out of range, contradictory or not built."""
        super().validate()
        require(all(size >= 1 for size in self.hiddens), "hiddens", self.hiddens, "layer sizes are at least 1")
        require(self.num_atoms >= 1, "num_atoms", self.num_atoms, "it must be at least 1")
        require(self.v_min < self.v_max, "v_max", self.v_max, f"it must be above `v_min`, which is {self.v_min!r}")
        require(self.sigma0 >= 0, "sigma0", self.sigma0, "the size of noise is at least 0")
        temperature = self.categorical_distribution_temperature
        require(temperature > 0, "categorical_distribution_temperature", temperature, "it must be above 0")
        require(
            self.has_heads or not self.noisy, "noisy", self.noisy, "without `hiddens` no layer is there to be noisy"
        )
        require(not (self.noisy and self.perturbs), "noisy", self.noisy, "ParameterNoise is noise on the same weights")
        if self.model.parametric_actions is not None:
            why = "`parametric_actions` gives the values of actions itself: set hiddens=[], dueling=False, num_atoms=1"
            require(not self.hiddens, "hiddens", self.hiddens, why)
            require(not self.dueling, "dueling", self.dueling, why)
            require(self.num_atoms == 1, "num_atoms", self.num_atoms, why)

    def fitted(self, given: Collection[str]) -> Self:
        """Return these settings with the keys that nobody gave fitted to those that somebody did."""
        fitted = super().fitted(given)
        if self.model.parametric_actions is None:
            heads: dict[str, Any] = {"hiddens": [256], "dueling": True}  # for noise, where a preset has none
            missing = [key for key in heads if self.noisy and not self.has_heads and key not in given]
            return dataclasses.replace(fitted, **{key: heads[key] for key in missing[:1]})
        changed: dict[str, Any] = {"hiddens": [], "dueling": False}
        return dataclasses.replace(fitted, **{key: value for key, value in changed.items() if key not in given})

    def beneath(self, preset: Mapping[str, Any]) -> dict[str, Any]:
        """Return a preset's settings to lay these over: without its epsilon, which noisy layers take the place of."""
        if not self.noisy:
            return super().beneath(preset)
        return {key: value for key, value in preset.items() if key != "exploration_config"}

    def without_effect(self) -> dict[str, str]:
        """Return the keys that have no effect beside the others as they are, each with the reason."""
        idle = super().without_effect()
        if self.num_atoms == 1:
            idle |= dict.fromkeys(("v_min", "v_max"), "values are learnt, not distributions (`num_atoms` is 1)")
        else:
            idle["td_error_loss_fn"] = "distributions are learnt by their cross-entropy (`num_atoms`)"
        if not self.noisy:
            idle["sigma0"] = "no layer is noisy (`noisy` is False)"
        given = self.exploration_config.keys()
        if self.noisy and given & {"warmup_timesteps", "epsilon_timesteps"} and not given & {"initial_epsilon"}:
            idle["exploration_config"] = "with `noisy` epsilon does not move, unless `initial_epsilon` is given"
        if kind_of(EpsilonGreedy, self.exploration_config) in (EpsilonGreedy, PerWorkerEpsilonGreedy, Random):
            idle["categorical_distribution_temperature"] = "no action is sampled by its value (`exploration_config`)"
        return idle

    def least_sizes(self) -> Iterator[tuple[str, int]]:
        """Yield keys, each with a number of weights or of states that the built-in networks cannot do without."""
        yield from super().least_sizes()
        if self.model.custom_model is None:
            yield "hiddens", layer_sizes(self.hiddens)
            yield "num_atoms", self.num_atoms * (self.hiddens[-1] if self.hiddens else 1)

    @property
    def perturbs(self) -> bool:
        """Whether weights explore by noise, for which layer norms in the heads bring their sizes together."""
        return kind_of(EpsilonGreedy, self.exploration_config) is ParameterNoise

    @property
    def has_heads(self) -> bool:
        """Whether there are heads on top of the model."""
        return self.dueling or len(self.hiddens) > 0


class DQN(OffPolicy[DQNConfig]):
    """Deep Q-Network: moves the values of actions towards what a target network says of the steps after them."""

    config_class = DQNConfig

    if TYPE_CHECKING:  # what keywords there are

        def __init__(
            self,
            env: EnvLike | None = None,
            config: Mapping[str, Any] | DQNConfig | None = None,
            *,
            preset: str | Preset | None = None,
            **overrides: Unpack[DQNOptions],
        ) -> None: ...

    @classmethod
    def plan(cls, config: DQNConfig) -> Plan:
        """Return the model with heads for values, a distribution over their options, and epsilon-greedy exploration."""
        build = partial(
            build_q_model,
            q_hiddens=tuple(config.hiddens),
            dueling=config.dueling,
            num_atoms=config.num_atoms,
            v_min=config.v_min,
            v_max=config.v_max,
            use_noisy=config.noisy,
            sigma0=config.sigma0,
            add_layer_norm=config.perturbs,
        )
        last = 0.02
        if config.noisy:
            last = config.exploration_config.get("final_epsilon", 0.0)
        first = last if config.noisy else 1.0
        return Plan(
            build=build,
            distribution=partial(choose_options, temperature=config.categorical_distribution_temperature),
            exploration=partial(EpsilonGreedy, initial_epsilon=first, final_epsilon=last, epsilon_timesteps=10_000),
        )

    def losses(self, policy: Policy, batch: Batch) -> Losses:
        """Return the weighted error of Q(s, a) against y = returns + discounts Q'(following, best action there).

        With several atoms it is the cross-entropy of the distribution of Q(s, a) against that of y. What follows is
        valued without noise.
        """
        model, target = q_model(policy.model), q_model(self.target.model)
        branches, chosen = model.branches, choices(policy.action_space, batch["actions"])  # [N, k]
        later = following(self.target, batch)
        chooser = following(policy, batch) if self.config.double_q else later
        best = branches.argmax(chooser.distribution.inputs)
        # Last, so that what a model keeps of a pass, for its own loss say, is of the rows that are learnt from.
        output, _ = policy.forward(batch, value=False, training=True)
        logits = model.q_logits(output, batch.mask)
        ns, returns, discounts = xp(logits), batch["returns"], batch["discounts"]
        if model.support is None:
            q = branches.mean(branches.at(logits[..., 0], chosen))
            td_errors = q - (returns + discounts * branches.mean(branches.at(later.distribution.inputs, best)))
            errors = huber(td_errors) if self.config.td_error_loss_fn == "huber" else 0.5 * td_errors**2
        else:
            log_probs = mean_log_probs(branches.at(logits, chosen))
            q = ns.sum(model.support * ns.exp(log_probs), axis=-1)
            with policy.runtime.no_grad():
                there = branches.at(target.q_logits(later.output, later.mask, noise=False), best)
                goal = projected(ns.exp(mean_log_probs(there)), returns, discounts, model.support)
            td_errors = errors = cross_entropy(goal, log_probs)
        loss = batch.mean(batch["weights"] * errors)
        td_errors = ns.stop_gradient(td_errors)
        metrics: dict[str, Any] = {
            "mean_q": batch.mean(ns.stop_gradient(q)),
            "mean_td_error": batch.mean(ns.abs(td_errors)),
        }
        return Losses({"policy": loss}, metrics, {"td_error": td_errors})
