"""SAC's losses against formulas in NumPy, every kind of action, memories, and what is refused."""

from __future__ import annotations

import math
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from anyspace import SAC
from anyspace.algorithms.sac import SACConfig
from anyspace.distributions import (
    Beta,
    DiagGaussian,
    Dirichlet,
    GumbelSoftmax,
    MultiActionDistribution,
    SquashedGaussian,
)
from anyspace.errors import ConfigError, ModelError, UnsupportedSpaceError
from anyspace.models import FullyConnectedNetwork, ModelV2, TorchModelV2
from anyspace.models.torch import SACTorchModel
from anyspace.policy.batch import Batch
from anyspace.spaces import Simplex
from tests.support.batches import unrolled
from tests.support.hashes import PICTURE, VECTOR, sampled
from tests.support.table import ACTIONS

N, WIDTH = 6, 5
PUSH = spaces.Box(-1.0, 1.0, (2,))
CHOICE = spaces.Discrete(3)
HYBRID = spaces.Tuple([spaces.Discrete(3), PUSH, spaces.MultiDiscrete([2, 2])])
SMALL: dict[str, Any] = {
    "model": {"fcnet_hiddens": [8], "fcnet_activation": "relu"},
    "train_batch_size": 4,
    "replay_capacity": 200,
    "num_steps_sampled_before_learning_starts": 12,
    "min_sample_timesteps_per_iteration": 24,
    "seed": 3,
}
MODEL = SMALL["model"]


def sac(action_space: gym.Space[Any] = PUSH, *, masked: bool = False, observed: Any = VECTOR, **settings: Any) -> SAC:
    return SAC(sampled(observed, action_space, masked), {**SMALL, **settings}, preset="none")


def shuffle(algorithm: SAC) -> None:
    """Give policy, Q networks and temperatures weights that show, and the targets others."""
    for seed, pipeline in enumerate((algorithm.policy, algorithm.target)):
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in pipeline.model.parameters():
                parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))


def batch_of(actions: Any, options: int, *, masked: bool) -> Batch:
    rng = np.random.default_rng(0)

    def tensor(array: Any) -> torch.Tensor:
        return torch.from_numpy(np.asarray(array, np.float32))

    columns: dict[str, Any] = {
        "obs": [tensor(rng.uniform(-1, 1, (N, WIDTH)))],
        "next_obs": [tensor(rng.uniform(-1, 1, (N, WIDTH)))],
        "actions": actions,
        "returns": tensor(3 * rng.normal(size=N)),
        "discounts": tensor([0.9, 0.81, 0.0, 0.9, 0.9, 0.0]),
        "weights": tensor(rng.uniform(0.2, 1, N)),
    }
    if masked:
        for name in ("action_mask", "next_action_mask"):
            mask = rng.random((N, options)) < 0.6
            mask[:, 0] = mask[:, 3::2] = True  # no choice of any part is left empty
            columns[name] = torch.from_numpy(mask)
    return Batch(columns)


# ---------------------------------------------------------------------- the same in NumPy, float64


class Reference:
    """Twin Q networks, policy and temperatures of an algorithm, by its weights alone.

    Args:
        algorithm: whose weights they are.
        choices: options of each choice, as the policy's outputs have them.
        numbers: how many numbers an action has; their outputs lie after the first choice's, as in `HYBRID`.
        density: how the numbers are distributed.
        entropy: what the policy of the numbers is held at; None: minus their number.
    """

    def __init__(
        self,
        algorithm: SAC,
        choices: list[int],
        numbers: int,
        density: str = "SquashedGaussian",
        entropy: float | None = None,
    ):
        self.factory, self.density = algorithm.policy.dist_factory, density
        self.entropy = -numbers if entropy is None else entropy
        self.critics = ("q", "twin_q")[: 1 + algorithm.config.twin_q]
        self.ours, self.targets = (
            {name: value.astype(np.float64) for name, value in pipeline.runtime.parameters(pipeline.model).items()}
            for pipeline in (algorithm.policy, algorithm.target)
        )
        self.generator = torch.Generator()
        self.generator.set_state(algorithm.policy.runtime.rng("learning").get_state())
        self.choices, self.numbers = choices, numbers

    @staticmethod
    def network(weights: Any, name: str, x: Any) -> Any:
        hidden = x @ weights[f"{name}.encoder.0.weight"].T + weights[f"{name}.encoder.0.bias"]
        return np.maximum(hidden, 0) @ weights[f"{name}.logits.weight"].T + weights[f"{name}.logits.bias"]

    def alpha(self, kind: str) -> float:
        return float(np.exp(self.ours[f"log_alphas.{kind}"])) if f"log_alphas.{kind}" in self.ours else 0.0

    def drawn(self, obs: Any, mask: Any) -> Any:
        """Return joint probabilities [N, K], their entropies, numbers [N, d] and their log-densities."""
        outputs = self.network(self.ours, "action_model", obs)
        first = self.choices[0] if self.choices else 0
        logits = np.concatenate([outputs[:, :first], outputs[:, first + 2 * self.numbers :]], axis=1)
        if mask is not None:
            logits = np.where(mask, logits, -np.inf)
        joint, start = np.ones((len(obs), 1)), 0
        for count in self.choices:
            part = np.exp(logits[:, start : start + count])
            start += count
            part /= part.sum(axis=1, keepdims=True)
            joint = (joint[:, :, None] * part[:, None, :]).reshape(len(obs), -1)
        logs = np.log(np.where(joint > 0, joint, 1.0))
        numbers, logp = self.sampled(outputs[:, first : outputs.shape[1] if not first else first + 2 * self.numbers])
        return joint, -(joint * logs).sum(axis=1), numbers, logp

    def sampled(self, outputs: Any) -> tuple[Any, Any]:
        """Return numbers [N, d] that are drawn from the outputs for them, and their log-densities [N]."""
        if "Gaussian" in self.density:
            mean, log_std = np.split(outputs, 2, axis=1)
            noise = torch.randn(mean.shape, generator=self.generator).numpy().astype(np.float64)
            squashed = self.density == "SquashedGaussian"
            log_std = np.clip(log_std, -5, 2) if squashed else log_std
            raw = mean + np.exp(log_std) * noise
            density = -0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi)
            slopes = np.log(1 - np.tanh(raw) ** 2) if squashed else 0.0
            return np.tanh(raw) if squashed else raw, (density - slopes).sum(axis=1)
        # Gamma variates are PyTorch's own; their densities are formulas.
        drawn = self.factory(torch.from_numpy(outputs.astype(np.float32)), None).path_sample(self.generator)
        numbers = drawn.numpy().astype(np.float64)
        lgamma = np.vectorize(math.lgamma)
        if self.density == "Dirichlet":
            weights = np.exp(outputs)
            logs = (weights - 1) * np.log(numbers) - lgamma(weights)
            return numbers, logs.sum(axis=1) + lgamma(weights.sum(axis=1))
        alpha, beta = np.split(1 + np.log1p(np.exp(outputs)), 2, axis=1)
        share = (numbers + 1) / 2
        logs = (alpha - 1) * np.log(share) + (beta - 1) * np.log(1 - share) - math.log(2)
        return numbers, (logs + lgamma(alpha + beta) - lgamma(alpha) - lgamma(beta)).sum(axis=1)

    def value(self, weights: Any, obs: Any, drawn: Any) -> Any:
        """V = sum pi min Q + alpha H - alpha log p."""
        joint, entropy, numbers, logp = drawn
        q = np.min([self.q(weights, f"{name}_net", obs, numbers) for name in self.critics], axis=0)
        return (joint * q).sum(axis=1) + self.alpha("discrete") * entropy - self.alpha("continuous") * logp

    def q(self, weights: Any, name: str, obs: Any, numbers: Any) -> Any:
        return self.network(weights, name, np.concatenate([obs, numbers], axis=1))

    def losses(self, batch: Batch, option: Any, numbers: Any, huber: bool) -> tuple[dict[str, float], Any]:
        columns = {name: batch[name].numpy().astype(np.float64) for name in ("returns", "discounts", "weights")}
        obs, after = (batch[name][0].numpy().astype(np.float64) for name in ("obs", "next_obs"))
        masks = [batch[name].numpy() if name in batch else None for name in ("action_mask", "next_action_mask")]
        ahead = self.drawn(after, masks[1])
        targets = columns["returns"] + columns["discounts"] * self.value(self.targets, after, ahead)
        losses, sizes = {}, 0.0
        for group in self.critics:
            error = self.q(self.ours, f"{group}_net", obs, numbers)[np.arange(N), option] - targets
            squared, size = 0.5 * error**2, np.abs(error)
            each = np.where(size < 1, squared, size - 0.5) if huber else squared
            losses[group], sizes = float((columns["weights"] * each).mean()), sizes + size / len(self.critics)
        now = self.drawn(obs, masks[0])
        losses["actor"] = -float(self.value(self.ours, obs, now).mean())
        allowed = np.log((now[0] > 0).sum(axis=1))
        losses["alpha"] = 0.0
        if self.choices:
            losses["alpha"] += float((self.ours["log_alphas.discrete"] * (now[1] - 0.98 * allowed)).mean())
        if self.numbers:
            losses["alpha"] += float((self.ours["log_alphas.continuous"] * (-now[3] - self.entropy)).mean())
        return losses, sizes


def of_space(space: gym.Space[Any]) -> tuple[Any, list[int], int, Any, Any]:
    """Return actions as they are stored, options, numbers d, and the joint options and numbers that these are."""
    rng = np.random.default_rng(1)
    push = np.tanh(rng.normal(size=(N, 2))).astype(np.float32)
    turn, pair = rng.integers(3, size=N), rng.integers(2, size=(N, 2))
    if space is PUSH:
        return torch.from_numpy(push), [], 2, np.zeros(N, int), push
    if space is CHOICE:
        return torch.from_numpy(turn), [3], 0, turn, np.zeros((N, 0))
    actions = (torch.from_numpy(turn), torch.from_numpy(push), torch.from_numpy(pair))
    return actions, [3, 2, 2], 2, turn * 4 + pair[:, 0] * 2 + pair[:, 1], push


def test_groups_share_a_schedule_unless_they_have_rates_of_their_own(caplog: pytest.LogCaptureFixture) -> None:
    with closing(sac(lr_schedule="linear", critic_lr=0.5)) as algorithm:
        for _ in range(3):
            algorithm.train()
        assert algorithm.learner.learning_rates() == {"actor": 3e-4, "q": 0.5, "twin_q": 0.5, "alpha": 3e-4}
    assert len([one for one in caplog.messages if "`lr_schedule` is 'linear'" in one]) == 1


def test_numbers_without_bounds_have_any_entropy() -> None:
    with closing(sac(PUSH, normalize_actions=False, target_entropy=5.0)) as algorithm:
        assert algorithm.policy.model.target_entropy == 5.0


@pytest.mark.parametrize("loss", ["huber", "mse"])
@pytest.mark.parametrize(
    ("space", "masked"),
    [(PUSH, False), (CHOICE, False), (CHOICE, True), (HYBRID, False), (HYBRID, True)],
    ids=["numbers", "choices", "masked choices", "both", "masked both"],
)
def test_losses_are_the_formulas(space: Any, masked: bool, loss: str) -> None:
    with closing(sac(space, td_error_loss_fn=loss)) as algorithm:
        shuffle(algorithm)
        actions, choices, numbers, option, taken = of_space(space)
        batch = batch_of(actions, sum(choices), masked=masked)
        reference = Reference(algorithm, choices, numbers)
        expected, sizes = reference.losses(batch, option, taken, loss == "huber")
        found = algorithm.losses(algorithm.policy, batch)
        assert [*found.by_group] == ["actor", "q", "twin_q", "alpha"]
        for name, value in found.by_group.items():
            assert value.item() == pytest.approx(expected[name], rel=2e-5, abs=2e-6), name
        np.testing.assert_allclose(found.rows["td_error"], sizes, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("density", "space", "settings"),
    [
        ("DiagGaussian", PUSH, {"normalize_actions": False, "twin_q": False}),
        ("Beta", PUSH, {"model": {**MODEL, "custom_action_dist": "Beta"}, "target_entropy": -0.5}),
        ("Dirichlet", Simplex((3,)), {}),
    ],
)
def test_losses_are_the_formulas_of_other_densities(density: str, space: Any, settings: dict[str, Any]) -> None:
    with closing(sac(space, **settings)) as algorithm:
        shuffle(algorithm)
        width = space.shape[0]
        taken = np.random.default_rng(1).uniform(0.1, 1, (N, width)).astype(np.float32)
        taken /= taken.sum(axis=1, keepdims=True)
        batch = batch_of(torch.from_numpy(taken), 0, masked=False)
        reference = Reference(algorithm, [], width, density, settings.get("target_entropy"))
        expected, sizes = reference.losses(batch, np.zeros(N, int), taken, huber=True)
        found = algorithm.losses(algorithm.policy, batch)
        assert expected.keys() == found.by_group.keys()
        for name, value in found.by_group.items():
            assert value.item() == pytest.approx(expected[name], rel=1e-4, abs=1e-5), name
        np.testing.assert_allclose(found.rows["td_error"], sizes, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("space", [PUSH, CHOICE], ids=["numbers", "choices"])
def test_one_kind_alone_is_the_textbook(space: Any) -> None:
    """Haarnoja et al. (2018) for numbers, Christodoulou (2019) with the smaller Q for choices, in PyTorch."""
    with closing(sac(space, td_error_loss_fn="mse")) as algorithm:
        shuffle(algorithm)
        policy, model, target = algorithm.policy, algorithm.policy.model, algorithm.target.model
        batch = batch_of(of_space(space)[0], 3, masked=False)
        generator = torch.Generator()
        generator.set_state(policy.runtime.rng("learning").get_state())
        alpha, obs, after = model.log_alpha.exp(), batch["obs"][0], batch["next_obs"][0]

        def pi(seen: torch.Tensor) -> Any:
            outputs = model.get_action_model_outputs(seen)
            if space is CHOICE:
                return outputs.log_softmax(1)
            return SquashedGaussian(outputs).sample_logp(generator)

        def least(of: Any, seen: torch.Tensor, numbers: Any = None) -> torch.Tensor:
            return torch.minimum(of.get_q_values(seen, numbers), of.get_twin_q_values(seen, numbers))

        nets = {"q": model.get_q_values, "twin_q": model.get_twin_q_values}
        if space is CHOICE:
            logs = pi(after)
            value = (logs.exp() * (least(target, after) - alpha * logs)).sum(1)
            logs = pi(obs)
            actor = (logs.exp() * (alpha.detach() * logs - least(model, obs))).sum(1).mean()
            entropy = -(logs.exp() * logs).sum(1)
            q = {group: net(obs).gather(1, batch["actions"][:, None])[:, 0] for group, net in nets.items()}
        else:
            numbers, logp = pi(after)
            value = least(target, after, numbers)[:, 0] - alpha * logp
            numbers, logp = pi(obs)
            actor = (alpha.detach() * logp - least(model, obs, numbers)[:, 0]).mean()
            entropy = -logp
            q = {group: net(obs, batch["actions"])[:, 0] for group, net in nets.items()}
        targets = (batch["returns"] + batch["discounts"] * value).detach()
        expected = {
            "actor": actor,
            **{group: (batch["weights"] * 0.5 * (value - targets) ** 2).mean() for group, value in q.items()},
            "alpha": (model.log_alpha * (entropy - model.target_entropy).detach()).mean(),
        }
        found = algorithm.losses(policy, batch).by_group
        for group, loss in expected.items():
            torch.testing.assert_close(found[group], loss)
            own = [value for name, value in model.named_parameters() if model.group_of(name) == group]
            ours, theirs = (
                torch.autograd.grad(one, own, retain_graph=True, allow_unused=True) for one in (found[group], loss)
            )
            for first, second in zip(ours, theirs, strict=True):
                assert (first is None) == (second is None)
                if first is not None:
                    torch.testing.assert_close(first, second)


def test_forbidden_options_have_no_gradient() -> None:
    with closing(sac(CHOICE)) as algorithm:
        shuffle(algorithm)
        batch = batch_of(torch.zeros(N, dtype=torch.long), 3, masked=True)
        batch["action_mask"] = batch["next_action_mask"] = torch.tensor([[True, False, True]] * N)
        algorithm.learner.step(batch)
        output = dict(algorithm.policy.model.action_model.named_parameters())["logits.weight"].grad
        assert torch.isfinite(output).all()
        assert not output[1].any()
        assert output[[0, 2]].any(dim=1).all()


# --------------------------------------------------------------------------------- iterations


@pytest.mark.parametrize("name", ["Simplex", "Tuple", "MultiBinary", "integer Box"])
def test_every_kind_of_parts_moves(name: str) -> None:
    with closing(sac(ACTIONS[name])) as algorithm:
        before = algorithm.policy.runtime.parameters(algorithm.policy.model)
        result = algorithm.train()["learner"]
        after = algorithm.policy.runtime.parameters(algorithm.policy.model)
        learnt = [key for key in before if "value_head" not in key]
        assert [key for key in learnt if np.array_equal(before[key], after[key])] == []
        kinds = algorithm.policy.model.joint.kinds
        assert all(np.isfinite(result[f"alpha_{kind}"]) for kind in kinds)


@pytest.mark.parametrize("twin_q", [True, False])
@pytest.mark.parametrize("memory", ["use_lstm", "use_gru"])
def test_memories_learn_from_sequences(memory: str, twin_q: bool) -> None:
    model = {**SMALL["model"], memory: True, "lstm_cell_size": 4, "max_seq_len": 3}
    settings: dict[str, Any] = {"model": model, "replay_burn_in": 2, "n_step": 2, "twin_q": twin_q}
    with closing(sac(ACTIONS["Tuple"], prioritized_replay=True, **settings)) as algorithm:
        assert algorithm.config.model.lstm_use_prev_action
        before = algorithm.policy.runtime.parameters(algorithm.policy.model)
        algorithm.train()
        after = algorithm.policy.runtime.parameters(algorithm.policy.model)
        learnt = [key for key in before if "value_head" not in key]
        assert [key for key in learnt if np.array_equal(before[key], after[key])] == []


@pytest.mark.parametrize("twin_q", [True, False])
@pytest.mark.parametrize("memory", ["use_lstm", "use_gru"])
def test_errors_of_sequences_are_those_of_single_steps(memory: str, twin_q: bool) -> None:
    """Unroll policy and Q networks step by step from the stored states, and compare the errors of rows that count."""
    model = {**MODEL, memory: True, "lstm_cell_size": 4, "max_seq_len": 3}
    with closing(sac(CHOICE, model=model, replay_burn_in=2, n_step=2, twin_q=twin_q)) as algorithm:
        algorithm.train()
        shuffle(algorithm)
        batch = algorithm._batch(algorithm.policy, algorithm.replay.draw(6, np.random.default_rng(0)))
        assert batch is not None
        found = algorithm.losses(algorithm.policy, batch).rows["td_error"]

        def last(pipeline: Any, part: Batch) -> torch.Tensor:
            """Return log pi and the values of each Q network after the last step, side by side."""
            evaluation, of = pipeline.evaluate(part, value=False), pipeline.model
            q = [net(evaluation.output) for net in (of.get_q_values, of.get_twin_q_values)[: 1 + twin_q]]
            return torch.cat([evaluation.distribution.inputs.log_softmax(1), *q], dim=1)[-1:]

        with torch.no_grad():
            ours, theirs = (
                unrolled(pipeline, batch, partial(last, pipeline)) for pipeline in (algorithm.policy, algorithm.target)
            )
        rows = torch.arange(len(ours))
        logs, *q = ours.split(3, dim=1)
        logs, after = logs[rows + batch["ahead"]], torch.stack(theirs[rows + batch["ahead"]].split(3, dim=1)[1:])
        value = (logs.exp() * (after.amin(0) - algorithm.policy.model.log_alpha.exp().detach() * logs)).sum(1)
        targets = batch["returns"] + batch["discounts"] * value
        expected = sum((one[rows, batch["actions"]] - targets).abs() for one in q) / len(q)
        counted = batch["counted"].bool()
        assert counted.sum() > 6
        torch.testing.assert_close(found[counted], expected[counted], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("memory", [{}, {"use_lstm": True, "lstm_cell_size": 4}], ids=["none", "LSTM"])
@pytest.mark.parametrize("observed", [VECTOR, spaces.Dict(a=VECTOR, b=spaces.Discrete(3))], ids=["vector", "parts"])
def test_the_policy_acts_through_its_twin(observed: Any, memory: Any) -> None:
    """It equals the network; Q networks and temperatures are not asked."""
    with closing(sac(HYBRID, observed=observed, model={**MODEL, **memory})) as algorithm:
        shuffle(algorithm)
        policy = algorithm.policy
        leaves = [leaf[:, 0] for leaf in algorithm.fleet.gather(6).obs]
        raw = []
        for numpy_pass in (policy.runtime.numpy_pass, lambda _: None):
            policy.runtime.numpy_pass = numpy_pass  # type: ignore[method-assign]
            with policy.acting() as act:
                assert (act.network.twin is None) == (len(raw) == 1)
                raw.append(act(leaves, explore=False).raw)
        for ours, theirs in zip(*raw, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_previous_actions_are_left_out_where_somebody_says_so() -> None:
    model = {**SMALL["model"], "use_lstm": True, "lstm_use_prev_action": False}
    with closing(sac(model=model)) as algorithm:
        assert algorithm.policy.model.view_requirements.keys() == {"obs"}


@pytest.mark.parametrize("observed", [PICTURE, spaces.Dict(a=VECTOR, b=spaces.Discrete(3))], ids=["picture", "parts"])
def test_other_observations(observed: Any) -> None:
    with closing(sac(observed=observed, observation_filter="MeanStdFilter")) as algorithm:
        assert np.isfinite(algorithm.train()["learner"]["q_loss"])


def test_targets_start_equal() -> None:
    with closing(sac()) as algorithm:
        ours, theirs = (p.runtime.parameters(p.model) for p in (algorithm.policy, algorithm.target))
        assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_a_temperature_that_is_fixed_stays() -> None:
    with closing(sac(alpha_lr=0.0, initial_alpha=0.3)) as algorithm:
        assert algorithm.train()["learner"]["alpha_continuous"] == pytest.approx(0.3)


# ---------------------------------------------------------------------------------- distributions


@pytest.mark.parametrize(
    ("space", "settings", "expected"),
    [
        (PUSH, {}, SquashedGaussian),
        (PUSH, {"normalize_actions": False}, DiagGaussian),
        (PUSH, {"model": {**SMALL["model"], "custom_action_dist": "Beta"}}, Beta),
        (spaces.Box(-np.inf, np.inf, (2,)), {}, DiagGaussian),
        (Simplex((3,)), {}, Dirichlet),
    ],
)
def test_which_distribution_numbers_are_drawn_from(space: Any, settings: Any, expected: Any) -> None:
    with closing(sac(space, **settings)) as algorithm:
        assert type(algorithm.policy.new_distribution(1)) is expected
        algorithm.train()


# --------------------------------------------------------------------------------------- models


class Regularised(SACTorchModel):
    """Adds a term to the loss of the policy, and counts what it is given."""

    returned = 4

    def custom_loss(self, policy_loss: Any, loss_inputs: Any) -> Any:
        self.given = [loss.shape for loss in policy_loss]
        assert loss_inputs["actions"].shape == (4, 2)
        extra = sum(parameter.square().sum() for parameter in self.policy_variables())
        return [policy_loss[0] + extra, *policy_loss[1:]][: self.returned]


class Short(Regularised):
    """Returns too few losses."""

    returned = 3


@pytest.mark.spec(150)
def test_a_custom_loss_is_given_the_losses_of_all_groups() -> None:
    with closing(sac(model={**SMALL["model"], "custom_model": Regularised})) as algorithm:
        algorithm.train()
        assert algorithm.policy.model.given == [()] * 4
    with (
        closing(sac(model={**SMALL["model"], "custom_model": Short})) as algorithm,
        pytest.raises(ModelError, match=r"Short.custom_loss\(\) must return a list of 4 losses"),
    ):
        algorithm.train()


class OwnPolicy(FullyConnectedNetwork):
    """A network of a user's, with a term of its own."""

    def custom_loss(self, policy_loss: Any, loss_inputs: Any) -> Any:
        self.asked = len(policy_loss)
        return policy_loss

    def metrics(self) -> dict[str, float]:
        return {"mine": 7.0}


class OwnQ(FullyConnectedNetwork):
    """A Q network of a user's, or what lies beneath its memory, with a term of its own."""

    def custom_loss(self, policy_loss: Any, loss_inputs: Any) -> Any:
        extra = 1e3 * self.encoder[0].weight.square().sum()
        return [policy_loss[0], *(loss + extra for loss in policy_loss[1:])]

    def metrics(self) -> dict[str, float]:
        return {"width": float(self.num_outputs)}

    def takes_noise(self, name: str) -> bool:
        return name == "encoder.0.bias"


class SilentQ(OwnQ):
    """The same without a term of its own."""

    custom_loss = ModelV2.custom_loss


@pytest.mark.parametrize(
    "memory", [{}, {"use_lstm": True, "lstm_cell_size": 4, "max_seq_len": 4}], ids=["none", "LSTM"]
)
def test_q_networks_of_users_add_losses_and_metrics(memory: Any) -> None:
    found = []
    part, beneath = ("q_memory", "q_memory.base") if memory else ("q_net", "q_net")
    for own in (SilentQ, OwnQ):
        with closing(sac(model={**MODEL, **memory}, q_model_config={"custom_model": own}, seed=0)) as algorithm:
            result, model = algorithm.train(), algorithm.policy.model
            found.append(model.get_submodule(beneath).encoder[0].weight.detach())
    assert {key.split("/")[0] for key in result["learner"]["model"]} == {part, f"twin_{part}"}
    noisy = {name for name, _ in model.named_parameters() if model.takes_noise(name) and name.startswith(f"{beneath}.")}
    assert noisy == {f"{beneath}.encoder.0.bias"}
    assert model.takes_noise("action_model.encoder.0.weight" if not memory else "action_model.base.encoder.0.weight")
    assert not torch.equal(*found)


def test_networks_are_configured_one_by_one() -> None:
    networks = {"policy_model_config": {"custom_model": OwnPolicy}, "q_model_config": {"fcnet_hiddens": [5]}}
    with closing(sac(**networks)) as algorithm:
        result, model = algorithm.train(), algorithm.policy.model
        assert type(model.action_model) is OwnPolicy
        assert model.q_net.encoder[0].out_features == 5
        assert model.action_model.asked == 4
        assert result["learner"]["model"] == {"mine": 7.0}


# --------------------------------------------------------------------------------------- refusals


class ScoredAsAWhole(MultiActionDistribution):
    """Scores parts otherwise than each by itself."""

    def logp(self, actions: Any) -> Any:
        return 0.5 * super().logp(actions)


@pytest.mark.spec(165)
@pytest.mark.parametrize(
    ("space", "settings", "message"),
    [
        (HYBRID, {"model": {**MODEL, "autoregressive_actions": True}}, "no part of an action may depend on another"),
        (HYBRID, {"policy_model_config": {"autoregressive_actions": True}}, "no part of an action may depend"),
        (PUSH, {"model": {**MODEL, "use_attention": True}}, "a short burn-in does not fill it; take `use_lstm`"),
        (PUSH, {"model": {**MODEL, "vf_share_layers": False}}, "SAC has Q networks and no value"),
        (PUSH, {"initial_alpha": 0.0}, "`initial_alpha` is 0.0, but a temperature is above 0"),
        (PUSH, {"critic_lr": -1.0}, "`critic_lr` is -1.0, but a learning rate is not negative"),
        (HYBRID, {"target_entropy": 1.0}, "these actions have choices and numbers"),
        (
            CHOICE,
            {"target_entropy": 1.2},
            "`target_entropy` is 1.2 for the discrete parts .* at most 1.099 nats",
        ),
        (PUSH, {"target_entropy": 2}, "`target_entropy` is 2 for the continuous parts .* at most 1.386 nats"),
        (HYBRID, {"target_entropy": {"continuous": 2.0}}, "`target_entropy` is 2 for the continuous parts"),
        (
            Simplex((3,)),
            {"target_entropy": -0.5},
            "`target_entropy` is -0.5 for the continuous parts .* most -0.6931 nats",
        ),
        (
            CHOICE,
            {"model": {**MODEL, "custom_action_dist": GumbelSoftmax}},
            r"GumbelSoftmax has no option_log_probs\(\)",
        ),
        (
            HYBRID,
            {"model": {**MODEL, "custom_action_dist": ScoredAsAWhole}},
            r"ScoredAsAWhole has a logp\(\) of its own, and its children are drawn and scored singly",
        ),
    ],
)
def test_what_cannot_work_is_refused(space: Any, settings: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sac(space, **settings)


class Detached(DiagGaussian):
    """Draws in a way of its own, from which no gradient gets back."""

    def sample(self, rng: Any = None) -> Any:
        return 0.5 * super().sample(rng)


class Pathwise(Detached):
    """Says along which path its samples get their gradients."""

    def path_sample(self, rng: Any = None) -> Any:
        return 0.5 * DiagGaussian.path_sample(self, rng)


def test_samples_without_gradients_are_refused() -> None:
    with pytest.raises(ModelError, match=r"Detached: no gradient gets .* Implement Detached.path_sample\(rng\)"):
        sac(PUSH, model={**MODEL, "custom_action_dist": Detached})
    sac(PUSH, model={**MODEL, "custom_action_dist": Pathwise})


def test_other_refusals() -> None:
    with pytest.raises(UnsupportedSpaceError, match=r"at most 1,024 options, but .* has 4,096: take PPO or DQN"):
        sac(spaces.MultiBinary(12))
    with pytest.raises(ModelError, match=r"custom_model FullyConnectedNetwork has no Q networks. Derive it from SAC"):
        sac(model={**MODEL, "custom_model": FullyConnectedNetwork})


def test_defaults() -> None:
    config = SACConfig()
    found = (config.tau, config.initial_alpha, config.n_step, config.lr, config.adam_epsilon, config.train_batch_size)
    assert found == (5e-3, 1.0, 1, 3e-4, 1e-7, 256)
    assert (config.target_network_update_freq, config.num_steps_sampled_before_learning_starts) == (0, 1500)
    assert (config.model.fcnet_hiddens, config.model.fcnet_activation) == ([256, 256], "relu")
    assert (config.grad_clip, config.clip_actions, config.replay_capacity) == (None, False, 1_000_000)


def test_previous_actions_that_were_left_out_are_left_out_of_what_is_loaded(tmp_path: Path) -> None:
    model = {**SMALL["model"], "use_lstm": True, "lstm_use_prev_action": False}
    with closing(sac(model=model)) as algorithm:
        algorithm.save(tmp_path / "saved")
        for changes in ({}, {"lr": 1e-4}):
            again = SAC.load(tmp_path / "saved", env=sampled(VECTOR, PUSH), config=changes)
            assert not again.config.model.lstm_use_prev_action


GRU = {"use_gru": True}


@pytest.mark.parametrize(
    ("settings", "burn_in"),
    [
        ({}, 0),
        ({"model": {**MODEL, **GRU}}, 10),
        ({"model": {**MODEL, "use_lstm": True, "max_seq_len": 7}}, 4),
        ({"policy_model_config": GRU, "q_model_config": GRU}, 10),
        ({"model": {**MODEL, **GRU}, "replay_burn_in": 0}, 0),
        ({"model": {**MODEL, **GRU}, "replay_capacity": 26}, 2),
        ({"model": {**MODEL, **GRU}, "replay_capacity": 26, "n_step": 4}, 1),
        ({"model": {**MODEL, **GRU}, "replay_capacity": 23, "n_step": 3}, 0),
    ],
)
def test_q_networks_with_a_memory_take_a_burn_in(settings: Any, burn_in: int, tmp_path: Path) -> None:
    """Their states are not stored: half of a sequence fills them, as far as replay has room for that."""
    with closing(sac(**settings)) as algorithm:
        assert algorithm.config.replay_burn_in == burn_in
        algorithm.save(tmp_path / "saved")
        again = SAC.load(tmp_path / "saved", env=sampled(VECTOR, PUSH), config={"lr": 1e-4})
        assert again.config.replay_burn_in == burn_in


class Foreseeing(TorchModelV2):
    """A critic that compares what it saw last with the actions that were taken."""

    def __init__(self, obs_space: Any, action_space: Any, num_outputs: int, model_config: Any, name: str):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.layer = torch.nn.Linear(obs_space.shape[0], num_outputs)

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        self.seen = input_dict["obs_flat"].detach()
        return self.layer(input_dict["obs_flat"]), state

    def custom_loss(self, policy_loss: Any, loss_inputs: Any) -> Any:
        self.furthest = float((self.seen[:, -1:] - loss_inputs["actions"].reshape(-1, 1)).abs().max())
        return policy_loss

    def metrics(self) -> dict[str, float]:
        return {"furthest": getattr(self, "furthest", 0.0)}


def test_a_critic_s_own_loss_is_told_of_the_actions_that_were_taken() -> None:
    with closing(sac(spaces.Box(-1, 1, (1,)), q_model_config={"custom_model": Foreseeing})) as algorithm:
        assert algorithm.train()["learner"]["model"] == {
            "q_net/furthest": 0.0,
            "twin_q_net/furthest": 0.0,
        }
