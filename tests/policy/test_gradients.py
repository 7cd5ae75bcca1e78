"""A model that would learn nothing is refused when training starts, and parameters that no loss reaches are named."""

from __future__ import annotations

import logging
from contextlib import closing
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from torch import nn

from anyspace import DQN, PPO
from anyspace.distributions import Categorical
from anyspace.errors import ModelError
from anyspace.models import FullyConnectedNetwork, TorchModelV2
from anyspace.policy.gradients import reached
from anyspace.policy.plan import Plan
from anyspace.rllib.models.torch.torch_action_dist import TorchCategorical, TorchDistributionWrapper
from tests.support.environments import Script

CONFIG: dict[str, Any] = {
    "train_batch_size": 64,
    "minibatch_size": 16,
    "num_epochs": 3,
    "num_envs_per_env_runner": 2,
    "lr": 0.01,
    "vf_clip_param": None,
    "seed": 0,
    "preset": "none",
}


class Two(TorchModelV2, nn.Module):
    """Two linear layers; sub-classes do one thing wrong."""

    def __init__(self, *args: Any, **kwargs: Any):
        TorchModelV2.__init__(self, *args)
        nn.Module.__init__(self)
        self.body, self.out, self.val = nn.Linear(5, 8), nn.Linear(8, 2), nn.Linear(8, 1)

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        self.x = torch.tanh(self.body(input_dict["obs_flat"].float()))
        return self.out(self.x), state

    def value_function(self) -> torch.Tensor:
        return self.val(self.x).squeeze(1)


class Detached(Two):
    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        return super().forward(input_dict, state, seq_lens)[0].detach(), state


class NoGrad(Two):
    @torch.no_grad()
    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        return super().forward(input_dict, state, seq_lens)


class ByNumpy(Two):
    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        output = super().forward(input_dict, state, seq_lens)[0]
        return torch.as_tensor(output.detach().numpy() * 2), state


class DetachedDensities(TorchCategorical):
    def __init__(self, inputs: Any, model: Any = None):
        super().__init__(inputs.detach(), model)


class Frozen(Two):
    def __init__(self, *args: Any):
        super().__init__(*args)
        self.requires_grad_(False)


def train(**model: Any) -> dict[str, np.ndarray]:
    """Return how far each parameter moved in one iteration."""
    with closing(PPO(Script, model=model, **CONFIG)) as algorithm:
        before = algorithm.policy.runtime.parameters(algorithm.policy.model)
        algorithm.train()
        after = algorithm.policy.runtime.parameters(algorithm.policy.model)
    return {name: np.abs(after[name] - before[name]).max() for name in before}


@pytest.mark.parametrize("kind", [Detached, NoGrad, ByNumpy])
def test_a_detached_output_is_refused(kind: type) -> None:
    with pytest.raises(
        ModelError, match=rf"{kind.__name__}.forward\(\) gives an output from which no gradient gets back"
    ):
        train(custom_model=kind)


class Integers(Two):
    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        return super().forward(input_dict, state, seq_lens)[0].long(), state


def test_an_output_of_integers_is_refused_by_its_type() -> None:
    with pytest.raises(ModelError, match=r"Integers\.forward\(\) gives an output of int64, .* return the floats"):
        train(custom_model=Integers)


def test_a_detached_distribution_is_refused() -> None:
    with pytest.raises(ModelError, match=r"DetachedDensities.logp\(\) gives log-probabilities from which no gradient"):
        train(custom_action_dist=DetachedDensities)


def test_a_model_that_is_frozen_as_a_whole_is_refused_when_it_is_trained() -> None:
    with closing(PPO(Script, model={"custom_model": Frozen}, **CONFIG)) as algorithm:
        algorithm.evaluate(episodes=1)
        with pytest.raises(ModelError, match=r"Frozen has no parameters to train: .* frozen \(requires_grad=False\)"):
            algorithm.train()


class FrozenBody(Two):
    def __init__(self, *args: Any):
        super().__init__(*args)
        self.body.requires_grad_(False)


class FrozenPolicy(Two):
    def __init__(self, *args: Any):
        super().__init__(*args)
        for layer in (self.body, self.out):
            layer.requires_grad_(False)


def test_a_frozen_part_stays_and_the_rest_learns(caplog: pytest.LogCaptureFixture) -> None:
    moved = train(custom_model=FrozenBody)
    assert not moved["body.weight"]
    assert moved["out.weight"] > 0
    assert moved["val.weight"] > 0
    assert not caplog.records
    moved = train(custom_model=FrozenPolicy)
    assert not moved["out.weight"]
    assert moved["val.weight"] > 0
    assert "FrozenPolicy: the output depends on frozen parameters alone" in caplog.text


class WithoutValue(Two):
    def value_function(self) -> torch.Tensor:
        return torch.zeros(len(self.x))


class Idle(Two):
    """Layers that nothing uses, a built-in network whose heads nothing uses, and an embedding."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        self.idle = nn.Linear(3, 3)
        self.in_loss = nn.Linear(2, 1)
        self.table = nn.Embedding(4, 8)
        self.inner = FullyConnectedNetwork(Box(-1, 1, (5,)), self.action_space, 2, {"fcnet_hiddens": [8]}, "inner")

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        self.inner(input_dict, state, seq_lens)
        self.x = self.inner._features + self.table(torch.zeros(len(input_dict["obs_flat"]), dtype=torch.long))
        return self.out(self.x), state

    def custom_loss(self, policy_loss: Any, loss_inputs: Any) -> Any:
        return [loss + 0 * self.in_loss(self.last_output()).sum() for loss in policy_loss]


def test_what_no_loss_reaches_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "anyspace")
    with closing(PPO(Script, model={"custom_model": Idle}, **CONFIG)) as algorithm:
        for _ in range(3):
            algorithm.train()
    assert [record.message for record in caplog.records] == [
        "Idle: no loss has a gradient of body.bias, body.weight, idle.bias, idle.weight, which stay as they are. Use"
        " them in forward(), value_function() or custom_loss(), or leave them out."
    ]


def test_nothing_is_said_of_a_built_in_network_under_an_interface(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "anyspace")
    settings: dict[str, Any] = {"train_batch_size": 4, "num_steps_sampled_before_learning_starts": 8}
    settings |= {"min_sample_timesteps_per_iteration": 30, "model": {"fcnet_hiddens": [8]}}
    settings |= {"dueling": False, "hiddens": []}
    with closing(DQN(Script, settings, preset="none")) as algorithm:
        algorithm.train()
    assert "no loss has a gradient" not in caplog.text


def test_a_value_that_is_not_learnt_is_said_and_one_that_is_not_wanted_is_not(caplog: pytest.LogCaptureFixture) -> None:
    moved = train(custom_model=WithoutValue)
    assert moved["out.weight"] > 0
    assert "WithoutValue.value_function(): no gradient gets from the values to a parameter" in caplog.text
    caplog.clear()
    without = {"use_critic": False, "use_gae": False, "batch_mode": "complete_episodes"}
    with closing(PPO(Script, model={"custom_model": Two}, **CONFIG, **without)) as algorithm:
        algorithm.train()
    assert not caplog.records


def test_checking_draws_nothing_from_what_training_draws() -> None:
    with closing(PPO(Script, model={"custom_model": Two}, **CONFIG)) as algorithm:
        before = algorithm.policy.runtime.rng_state()
        assert reached(algorithm.policy) is not None
        after = algorithm.policy.runtime.rng_state()
    assert all(np.array_equal(before[name], after[name]) for name in before)


# --------------------------------------------------------------------------- distributions of users


class Sharp(TorchCategorical):
    """Made of its inputs; it counts how often its divergence is asked for."""

    calls = 0

    def __init__(self, inputs: Any, model: Any = None):
        super().__init__(inputs * 2, model)

    def kl(self, other: Any) -> torch.Tensor:
        type(self).calls += 1
        return super().kl(other)


class OfTheModel(Sharp):
    """Has a part of the model in it."""

    def __init__(self, inputs: Any, model: Any):
        TorchCategorical.__init__(self, inputs + model.out.bias, model)


class Says(OfTheModel):
    """Says that it does not depend on the model, and is believed."""

    depends_on_model = False


@pytest.mark.parametrize(("kind", "asked"), [(Sharp, True), (OfTheModel, False), (Says, True)])
def test_the_divergence_of_a_users_distribution_is_asked_for_where_it_can_be_rebuilt(kind: Any, asked: bool) -> None:
    with closing(PPO(Script, model={"custom_model": Two, "custom_action_dist": kind}, **CONFIG)) as algorithm:
        kind.calls = 0
        algorithm.train()
    assert (kind.calls > 0) is asked


class Plain(TorchDistributionWrapper):
    """Samples are NumPy's, as some old distributions gave them."""

    def __init__(self, inputs: Any, model: Any):
        super().__init__(inputs, model)
        self.dist = torch.distributions.Categorical(logits=inputs)

    @staticmethod
    def required_model_output_shape(action_space: Any, model_config: Any) -> int:
        return int(action_space.n)

    def sample(self) -> Any:
        self.last_sample = super().sample().numpy()
        return self.last_sample

    def deterministic_sample(self) -> Any:
        self.last_sample = self.dist.probs.argmax(-1).numpy()
        return self.last_sample


def test_samples_may_be_numpy_arrays() -> None:
    with closing(PPO(Script, model={"custom_model": Two, "custom_action_dist": Plain}, **CONFIG)) as algorithm:
        assert np.isfinite(algorithm.train()["learner"]["total_loss"])
        assert algorithm.compute_single_action(Script.observation_space.sample()) in (0, 1)


def test_a_plan_with_a_distribution_of_ones_own_has_no_twin() -> None:
    class Own(PPO):
        @classmethod
        def plan(cls, config: Any) -> Any:
            return Plan(distribution=lambda space, config: (Sharp, 2))

    class OwnNative(PPO):
        @classmethod
        def plan(cls, config: Any) -> Any:
            return Plan(distribution=lambda space, config: (Categorical, 2))

    for kind, has_twin in ((Own, False), (OwnNative, True)):
        with closing(kind(Script, **CONFIG)) as algorithm, algorithm.policy.acting() as act:
            assert (act.network.twin is not None) is has_twin
