"""An autoregressive distribution and a model for it, as a user would write the pair in PyTorch."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete, Tuple
from torch import nn

from anyspace import PPO
from anyspace.distributions import ActionDistribution, Categorical
from anyspace.models import ModelCatalog, TorchModelV2, action_dists, catalog

PAIR = Tuple([Discrete(2), Discrete(2)])


class BinaryAutoregressiveOutput(ActionDistribution):
    """P(a1, a2) = P(a1) * P(a2 | a1), written as the old API has it: `sample` without a source, actions as columns."""

    @staticmethod
    def required_model_output_shape(self, model_config):
        return 16

    def deterministic_sample(self):
        a1 = self._a1_distribution().deterministic_sample()
        a2 = self._a2_distribution(a1).deterministic_sample()
        return (a1, a2)

    def sample(self):
        a1_dist = self._a1_distribution()
        a1 = a1_dist.sample()
        a2_dist = self._a2_distribution(a1)
        a2 = a2_dist.sample()
        self._action_logp = a1_dist.logp(a1) + a2_dist.logp(a2)
        return (a1, a2)

    def logp(self, actions):
        a1, a2 = actions[:, 0], actions[:, 1]
        a1_vec = torch.unsqueeze(a1.float(), 1)
        a1_logits, a2_logits = self.model.action_module(self.inputs, a1_vec)
        return Categorical(a1_logits, None).logp(a1) + Categorical(a2_logits, None).logp(a2)

    def sampled_action_logp(self):
        return self._action_logp

    def entropy(self):
        a1_dist = self._a1_distribution()
        a2_dist = self._a2_distribution(a1_dist.sample())
        return a1_dist.entropy() + a2_dist.entropy()

    def kl(self, other):
        a1_dist = self._a1_distribution()
        a1_terms = a1_dist.kl(other._a1_distribution())
        a1 = a1_dist.sample()
        return a1_terms + self._a2_distribution(a1).kl(other._a2_distribution(a1))

    def _a1_distribution(self):
        a1_logits, _ = self.model.action_module(self.inputs, torch.zeros((len(self.inputs), 1)))
        return Categorical(a1_logits, None)

    def _a2_distribution(self, a1):
        a1_vec = torch.unsqueeze(a1.float(), 1)
        _, a2_logits = self.model.action_module(self.inputs, a1_vec)
        return Categorical(a2_logits, None)


class AutoregressiveActionsModel(TorchModelV2, nn.Module):
    """Its output is a context; `action_module` makes the logits of both choices of it and the first one."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
        nn.Module.__init__(self)
        if action_space != Tuple([Discrete(2), Discrete(2)]):
            raise ValueError("This model only supports the [2, 2] action space")
        self.context_layer = nn.Sequential(nn.Linear(obs_space.shape[0], num_outputs), nn.Tanh())
        self.value_branch = nn.Linear(num_outputs, 1)
        self.action_module = ActionModel(num_outputs)

    def forward(self, input_dict, state, seq_lens):
        self._context = self.context_layer(input_dict["obs"])
        return self._context, state

    def value_function(self):
        return torch.reshape(self.value_branch(self._context), [-1])


class ActionModel(nn.Module):
    """Counts its calls beside what the example's has."""

    def __init__(self, width):
        nn.Module.__init__(self)
        self.a1_logits = nn.Linear(width, 2)
        self.a2_hidden = nn.Sequential(nn.Linear(1, 16), nn.Tanh())
        self.a2_logits = nn.Linear(16, 2)
        self.calls = 0

    def forward(self, ctx_input, a1_input):
        self.calls += 1
        return self.a1_logits(ctx_input), self.a2_logits(self.a2_hidden(a1_input))


class Correlated(gym.Env[Any, Any]):
    """Pays 1 for a first choice that is the sign of the observation, and 1 for a second one that is the first."""

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = PAIR

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self._draw(), {}

    def _draw(self) -> Any:
        self.sign = float(self.np_random.choice([-1, 1]))
        return np.array([self.sign, -self.sign], np.float32)

    def step(self, action: Any) -> Any:
        reward = float(action[0] == (self.sign > 0)) + float(action[1] == action[0])
        self.t += 1
        return self._draw(), reward, False, self.t == 20, {}


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(action_dists, "_registered", {})
    monkeypatch.setattr(catalog, "_custom_models", {})
    ModelCatalog.register_custom_model("autoregressive_model", AutoregressiveActionsModel)
    ModelCatalog.register_custom_action_dist("binary_autoreg_output", BinaryAutoregressiveOutput)


MODEL = {"custom_model": "autoregressive_model", "custom_action_dist": "binary_autoreg_output"}
SMALL: dict[str, Any] = {"train_batch_size": 256, "minibatch_size": 64, "num_epochs": 4, "seed": 0, "model": MODEL}


@pytest.mark.spec(166)
def test_the_second_choice_is_drawn_given_the_first() -> None:
    policy = PPO(Correlated, SMALL, preset="none").policy
    model = policy.model
    with torch.no_grad():
        # The second choice is the first one, nearly always.
        model.action_module.a2_hidden[0].weight.fill_(3.0)  # type: ignore[attr-defined]
        model.action_module.a2_hidden[0].bias.fill_(-1.5)  # type: ignore[attr-defined]
        model.action_module.a2_logits.weight.copy_(torch.tensor([[-1.0], [1.0]]).expand(2, 16))  # type: ignore[attr-defined]
        model.action_module.a2_logits.bias.zero_()  # type: ignore[attr-defined]
    rows = np.random.default_rng(0).uniform(-1, 1, (500, 2)).astype(np.float32)
    a1, a2 = policy.compute_actions(rows, explore=True)
    assert 100 < a1.sum() < 400
    assert (a1 == a2).all()
    single = policy.compute_single_action(rows[0])
    assert isinstance(single, tuple)
    assert single in PAIR


@pytest.mark.spec(167)
@pytest.mark.parametrize("form", ["flat", "nested"])
def test_an_action_is_scored_in_one_pass(form: str) -> None:
    policy = PPO(Correlated, SMALL, preset="none").policy
    module = policy.model.action_module  # type: ignore[attr-defined]
    dist = policy.distribution(torch.randn(50, 16, generator=torch.Generator().manual_seed(0)))
    assert isinstance(dist, BinaryAutoregressiveOutput)
    a1, a2 = actions = dist.sample()
    module.calls = 0
    logp = dist.logp(actions if form == "nested" else torch.stack(actions, 1))
    assert module.calls == 1
    logits = module(dist.inputs, a1[:, None].float())
    expected = sum(x.log_softmax(1)[torch.arange(50), a] for x, a in zip(logits, (a1, a2), strict=True))
    torch.testing.assert_close(logp, expected)
    torch.testing.assert_close(logp, dist.sampled_action_logp())


@pytest.mark.parametrize("entropy_coeff", [pytest.param(0.0, marks=pytest.mark.fuzz), 0.01])
def test_it_trains_with_ppo(entropy_coeff: float) -> None:
    algorithm = PPO(
        Correlated, SMALL, lr=1e-2, gamma=0.5, entropy_coeff=entropy_coeff, num_envs_per_env_runner=4, preset="none"
    )
    assert algorithm.policy.model.num_outputs == 16
    first = algorithm.train()["learner"]
    assert first["ratio_error"] < 1e-5
    assert first["kl"] > 0
    algorithm.learn(10_000, progress=False)
    assert algorithm.evaluate(20)["episode_return_mean"] == 40


def test_the_divergence_comes_from_stored_log_probabilities() -> None:
    """The old distribution, rebuilt with the present model, would tell nothing of how its second half has moved."""
    algorithm = PPO(Correlated, SMALL, preset="none")
    assert algorithm.policy.distribution(torch.zeros(1, 16)).depends_on_model
    batch = next(algorithm.updates(algorithm.policy, algorithm.fleet.gather(256))).rows
    before = algorithm.losses(algorithm.policy, batch).metrics
    assert abs(before["kl"]) < 1e-6
    with torch.no_grad():
        algorithm.policy.model.action_module.a2_logits.bias.add_(torch.tensor([1.0, -1.0]))  # type: ignore[attr-defined]
    after = algorithm.losses(algorithm.policy, batch).metrics
    assert after["kl"] > 0.1


def test_the_model_refuses_other_actions() -> None:
    class Wider(Correlated):
        action_space = Tuple([Discrete(2), Discrete(3)])

    with pytest.raises(ValueError, match=r"only supports the \[2, 2\] action space"):
        PPO(Wider, SMALL, preset="none")
