"""A plan of one's own: what a model puts out, which distribution takes it, and who chooses of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete

from anyspace import PPO
from anyspace.distributions import Categorical
from anyspace.errors import ConfigError, ModelError
from anyspace.models import FullyConnectedNetwork, ModelConfig, TorchModelV2
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.batch import Batch
from anyspace.policy.config import PolicyConfig
from anyspace.policy.exploration import ALONE, Place, StochasticSampling
from anyspace.policy.plan import CATALOGUE, Plan
from anyspace.policy.policy import Policy

OBS, THREE = Box(-1, 1, (4,)), Discrete(3)
MASKED = Dict(action_mask=Box(0, 1, (3,), np.int8), x=Box(-1, 1, (4,)))


class Dueling(TorchModelV2):
    """Puts out a value and advantages, of which it makes the values of the actions."""

    def __init__(self, obs_space: Any, action_space: Any, num_outputs: int, model_config: ModelConfig, framework: str):
        super().__init__(obs_space, action_space, num_outputs, model_config.as_dict(), "dueling")
        assert framework == "torch"
        width = int(np.prod(obs_space.shape))
        self.advantage, self.value = torch.nn.Linear(width, num_outputs), torch.nn.Linear(width, 1)
        self.masks: list[Any] = []

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        x = input_dict["obs_flat"]
        return {"advantages": self.advantage(x), "value": (self.value(x),)}, state

    def action_inputs(self, output: Any, mask: Any) -> Any:
        self.masks.append(mask)
        advantages, (value,) = output["advantages"], output["value"]
        return value + advantages - advantages.mean(1, keepdim=True)


class Narrow(Dueling):
    def action_inputs(self, output: Any, mask: Any) -> Any:
        return output["advantages"][:, :2]


class Sharp(Categorical):
    """Takes the values of actions as the logits of a cold distribution."""

    def __init__(self, inputs: Any, model: Any = None, *, mask: Any = None):
        super().__init__(inputs, model, mask=mask, temperature=0.1)


def sharp(action_space: Any, model_config: Any) -> Any:
    return Sharp, int(action_space.n)


class Epsilon:
    """Random among what is allowed with a probability that falls to 0 in 100 steps, else the best action."""

    def __init__(self, action_space: Any, place: Place):
        self.action_space, self.place = action_space, place
        self.share = 1.0

    def at(self, timestep: int) -> None:
        self.share = max(0.0, 1 - timestep / 100)

    def draw(self, distribution: Any, rng: Any, steps: int) -> Any:
        return torch.rand((steps, len(distribution.inputs), 1 + self.action_space.n), generator=rng)

    def choose(self, distribution: Any, *, explore: bool, rng: Any, noise: Any) -> Any:
        best = distribution.deterministic_sample()
        if not explore:
            return best
        if noise is None:
            noise = self.draw(distribution, rng, 1)[0]
        scores = noise[:, 1:]
        if distribution.mask is not None:
            scores = torch.where(distribution.mask, scores, -1.0)
        return torch.where(noise[:, 0] < self.share, scores.argmax(1), best)


PLAN = Plan(build=Dueling, distribution=sharp, exploration=Epsilon)


def make(plan: Plan = PLAN, obs_space: Any = OBS, seed: int = 0, place: Place = ALONE) -> Policy:
    return Policy(obs_space, THREE, PolicyConfig(), TorchRuntime("cpu"), plan, seed, place)


def rows(count: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 4)).astype(np.float32)


def values_of(policy: Policy, x: Any) -> Any:
    """Return the values of the actions by hand."""
    model = policy.model
    with torch.no_grad():
        advantages = model.advantage(torch.from_numpy(x))
        return model.value(torch.from_numpy(x)) + advantages - advantages.mean(1, keepdim=True)


# ------------------------------------------------------------------------------------ model, distribution


def test_an_output_becomes_the_inputs_of_the_plans_distribution() -> None:
    policy, x = make(), rows(6)
    assert type(policy.model) is Dueling
    assert (policy.model.num_outputs, policy.num_outputs) == (3, 3)
    with torch.no_grad():
        found = policy.evaluate(Batch(obs=[torch.from_numpy(x)]), value=False)
    assert {name: tuple(np.shape(part)) for name, part in found.output.items()} == {
        "advantages": (6, 3),
        "value": (1, 6, 1),
    }
    assert type(found.distribution) is Sharp
    assert found.values is None
    torch.testing.assert_close(found.distribution.inputs, values_of(policy, x))
    expected = torch.log_softmax(values_of(policy, x) / 0.1, 1)
    for action in range(3):
        actions = torch.full((6,), action)
        torch.testing.assert_close(found.distribution.logp(actions), expected[:, action], rtol=1e-4, atol=1e-4)


def test_acting_takes_the_same_inputs() -> None:
    policy, x = make(), rows(50)
    best = values_of(policy, x).argmax(1).numpy()
    assert len(set(best)) > 1
    np.testing.assert_array_equal(policy.compute_actions(x), best)


def test_a_model_is_told_the_mask() -> None:
    policy = make(obs_space=MASKED)
    mask = np.array([[1, 0, 1], [0, 1, 0]], np.int8)
    leaves = policy.encode({"action_mask": mask, "x": rows(2)})
    policy.model.masks.clear()
    tensors = [torch.from_numpy(leaf) for leaf in leaves]
    found = policy.evaluate(Batch(obs=tensors, action_mask=torch.from_numpy(mask != 0)), value=False)
    with policy.acting() as act:
        acted = act(leaves, explore=False)
    for given in policy.model.masks:
        np.testing.assert_array_equal(given, mask != 0)
    assert len(policy.model.masks) == 2
    assert acted.raw[1] == found.distribution.deterministic_sample()[1] == 1


def test_inputs_that_do_not_fit_name_the_method() -> None:
    with pytest.raises(ModelError, match=r"Narrow\.action_inputs\(\) gave shape \(2, 2\) .* takes \(2, 3\)"):
        make(Plan(build=Narrow))


# ------------------------------------------------------------------------------------------- exploration


def test_the_plans_exploration_chooses() -> None:
    place = Place(2, 5)
    policy, x = make(place=place), np.repeat(rows(1), 3000, axis=0)
    exploration = policy.exploration
    assert isinstance(exploration, Epsilon)
    assert (exploration.action_space, exploration.place) == (THREE, place)
    best = int(values_of(policy, x[:1]).argmax())
    assert set(policy.compute_actions(x)) == {best}
    np.testing.assert_allclose(np.bincount(policy.compute_actions(x, explore=True)) / 3000, 1 / 3, atol=0.04)
    policy.at(40)
    assert exploration.share == 0.6
    assert (policy.compute_actions(x, explore=True) == best).mean() == pytest.approx(0.4 + 0.6 / 3, abs=0.04)
    policy.at(100)
    assert set(policy.compute_actions(x, explore=True)) == {best}


def test_the_plans_exploration_draws_ahead() -> None:
    policy, x = make(), rows(40)
    with policy.acting() as act:
        noise = act.draw_noise(policy.new_distribution(40), 2)
        assert noise is not None
        assert (type(noise), noise.shape) == (np.ndarray, (2, 40, 4))
        first = act([x], noise=noise[0]).raw
        np.testing.assert_array_equal(first, noise[0][:, 1:].argmax(1))
        np.testing.assert_array_equal(act([x], noise=noise[0]).raw, first)
        assert (act([x], noise=noise[1]).raw != first).any()


def test_random_actions_respect_the_mask() -> None:
    policy = make(obs_space=MASKED)
    mask = np.tile(np.array([[1, 0, 1]], np.int8), (500, 1))
    taken = policy.compute_actions({"action_mask": mask, "x": rows(500)}, explore=True)
    assert set(taken) == {0, 2}


def test_weights_from_elsewhere_bring_the_sampled_steps() -> None:
    policy, other = make(), make(seed=1)
    policy.at(70)
    other.load_weights(policy.weights())
    assert (other.timestep, other.exploration.share) == (70, policy.exploration.share)


def test_an_algorithm_that_learns_from_its_samples_refuses_another_exploration() -> None:
    class Greedy(PPO):
        @classmethod
        def plan(cls, config: Any) -> Plan:
            return Plan(exploration=Epsilon)

    with pytest.raises(ConfigError, match=r"Greedy learns from samples .* explores by Epsilon"):
        Greedy("CartPole-v1", preset="none")


# -------------------------------------------------------------------------------------- what is there


def test_the_catalogues_plan() -> None:
    policy = make(CATALOGUE)
    assert type(policy.model) is FullyConnectedNetwork
    assert type(policy.exploration) is StochasticSampling
    assert type(policy.new_distribution(2)) is Categorical


def test_a_ready_model_counts_as_the_users() -> None:
    model = Dueling(OBS, THREE, 3, ModelConfig(), "torch")
    plan = Plan.with_model(model)
    policy = make(plan)
    assert policy.model is model
    assert (plan.custom, CATALOGUE.custom) == (True, False)
