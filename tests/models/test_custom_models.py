"""Custom models and distributions in whole algorithms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete
from torch import nn

from anyspace import DQN, PPO
from anyspace.distributions import ActionDistribution
from anyspace.errors import ModelError
from anyspace.models import FullyConnectedNetwork, ModelCatalog, TorchModelV2, action_dists, catalog
from anyspace.spaces import restore_original_dimensions
from tests.support.tasks import Raid


class Signpost(gym.Env[Any, Any]):
    """The number in ``pos`` says which ``kind`` it is: the leaves check each other. An episode has 8 steps."""

    observation_space = Dict([("pos", Box(-9, 9, (2,))), ("kind", Discrete(3, start=4))])
    action_space = Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self.observe(), {}

    def observe(self) -> Any:
        kind = int(self.np_random.integers(3))
        return {"kind": kind + 4, "pos": np.array([kind, -kind], np.float32)}

    def step(self, action: Any) -> Any:
        self.t += 1
        return self.observe(), float(action), False, self.t == 8, {}


class Spy(TorchModelV2, nn.Module):
    """A small network that keeps what it saw."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
        nn.Module.__init__(self)
        self.hidden = nn.Linear(obs_space.shape[0], 8)
        self.norm = nn.BatchNorm1d(8)
        self.logits = nn.Linear(8, num_outputs)
        self.value = nn.Linear(8, 1)
        self.flags: list[tuple[Any, ...]] = []
        self.losses: list[Any] = []

    def forward(self, input_dict, state, seq_lens):
        self.flags.append((input_dict["is_training"], input_dict.is_training, self.training, torch.is_grad_enabled()))
        self.features = self.norm(torch.tanh(self.hidden(input_dict["obs_flat"])))
        return self.logits(self.features), state

    def value_function(self):
        return self.value(self.features)[:, 0]


class Losing(Spy):
    """Adds a term to the loss, and looks at what it is given."""

    answer = staticmethod(lambda losses: losses)

    def custom_loss(self, policy_loss, loss_inputs):
        lazy = not dict.__contains__(loss_inputs, "obs")
        self.losses.append((policy_loss, loss_inputs, lazy))
        restored = restore_original_dimensions(loss_inputs["obs"], self.obs_space, "torch")
        self.agreement = (restored["kind"].argmax(1) == restored["pos"][:, 0]).float().mean()
        return self.answer(policy_loss)

    def metrics(self):
        return {"agreement": self.agreement.item(), "calls": len(self.losses)}


@pytest.fixture
def train(monkeypatch):
    """Build a PPO, train one iteration, and close it after the test."""
    monkeypatch.setattr(catalog, "_custom_models", {})
    monkeypatch.setattr(action_dists, "_registered", {})
    with ExitStack() as stack:

        def run(model: dict[str, Any], env: Any = Signpost, **settings: Any) -> tuple[PPO, dict[str, Any]]:
            small = {"train_batch_size": 32, "minibatch_size": 16, "num_epochs": 2, "lr": 1e-2, "seed": 0}
            algorithm = stack.enter_context(
                closing(PPO(env, config={**small, "model": model, **settings}, preset="none"))
            )
            return algorithm, algorithm.train()

        yield run


def weights(algorithm):
    return algorithm.policy.runtime.parameters(algorithm.policy.model)


@pytest.mark.spec(91)
@pytest.mark.parametrize("by_name", [True, False])
def test_a_custom_model_trains(train, by_name):
    ModelCatalog.register_custom_model("spy", Spy)
    algorithm, _ = train({"custom_model": "spy" if by_name else Spy})
    assert type(algorithm.policy.model) is Spy
    before = weights(algorithm)
    algorithm.train()
    after = weights(algorithm)
    assert all((before[name] != after[name]).any() for name in ("hidden.weight", "logits.weight", "value.weight"))


@pytest.mark.spec(114)
def test_batch_statistics_move_while_learning_and_not_while_acting(train):
    algorithm, _ = train({"custom_model": Spy})
    norm = algorithm.policy.model.norm
    assert int(norm.num_batches_tracked) == 4
    assert norm.running_mean.any()
    learnt = weights(algorithm)
    obs = {"kind": 4, "pos": np.zeros(2, np.float32)}
    for explore in (True, False):
        algorithm.compute_single_action(obs, explore=explore)
    algorithm.fleet.gather(16)
    algorithm.evaluate(1)
    for name, value in weights(algorithm).items():
        np.testing.assert_array_equal(value, learnt[name])
    algorithm.train()
    assert int(norm.num_batches_tracked) == 8
    assert (weights(algorithm)["norm.running_mean"] != learnt["norm.running_mean"]).any()


@pytest.mark.spec(115)
def test_is_training_is_true_in_gradient_steps_alone(train):
    algorithm, _ = train({"custom_model": Spy})
    flags = algorithm.policy.model.flags
    # Before the first gradient step the model runs once with gradients, to see which parameters they reach.
    assert set(flags) == {(False, False, False, False), (False, False, False, True), (True, True, True, True)}
    assert flags.count((False, False, False, True)) == 1
    assert flags.count((True, True, True, True)) == 4
    assert [flag[0] for flag in flags[-5:]] == [False, True, True, True, True]
    flags.clear()
    algorithm.compute_single_action({"kind": 4, "pos": np.zeros(2, np.float32)}, explore=True)
    assert flags == [(False, False, False, False)]


def test_custom_loss_is_called_with_the_losses_and_lazy_flat_observations(train):
    algorithm, _ = train({"custom_model": Losing})
    calls = algorithm.policy.model.losses
    assert len(calls) == 4
    for losses, inputs, lazy in calls:
        assert type(losses) is list
        assert [loss.shape for loss in losses] == [()]
        assert losses[0].requires_grad
        assert lazy
        assert inputs["obs"].shape == (16, 5)
        assert {"actions", "action_logp", "action_dist_inputs", "vf_preds", "advantages", "value_targets"} <= set(
            inputs
        )
        assert inputs["actions"].shape == (16,)


@pytest.mark.spec(101)
def test_a_models_metrics_are_reported(train):
    _, result = train({"custom_model": Losing})
    assert result["learner"]["model"] == {"agreement": 1.0, "calls": 4}
    _, result = train({"custom_model": Spy})
    assert result["learner"]["model"] == {}


def test_a_tensor_among_a_models_metrics_does_not_hold_on_to_its_graph(train):
    class Reporting(Spy):
        def metrics(self):
            return {"size": self.value.weight.abs().mean()}

    _, result = train({"custom_model": Reporting})
    assert isinstance(result["learner"]["model"]["size"], float)


def test_a_constructor_of_another_kind_is_refused_with_what_a_model_is_given(train):
    class Extractor(TorchModelV2):
        def __init__(self, observation_space, features_dim=256): ...

    message = (
        r"Extractor\(observation_space, features_dim=256\)\. A model is given obs_space, action_space, num_outputs"
    )
    with pytest.raises(ModelError, match=message):
        train({"custom_model": Extractor})


def test_a_keyword_that_a_constructor_lacks_is_asked_for(train):
    class Wide(FullyConnectedNetwork):
        def __init__(self, *arguments, width, depth=1):
            super().__init__(*arguments)

    with pytest.raises(ModelError, match=r"Wide cannot be built, .* asks for 'width': give it in custom_model_config"):
        train({"custom_model": Wide, "custom_model_config": {"depth": 2}})


def test_a_column_that_a_loss_lacks_is_named_with_those_that_are_there(train):
    class Reads(FullyConnectedNetwork):
        def custom_loss(self, policy_loss, loss_inputs):
            return [loss + loss_inputs["observations"].mean() for loss in policy_loss]

    message = r"Reads\.custom_loss\(\) reads a column 'observations', but there are .*actions, .*obs"
    message += r".* in view_requirements, .* `collect_infos`"
    with pytest.raises(ModelError, match=message):
        train({"custom_model": Reads})


def test_a_term_of_custom_loss_is_descended(train):
    class Pulling(Losing):
        def custom_loss(self, policy_loss, loss_inputs):
            super().custom_loss(policy_loss, loss_inputs)
            return [policy_loss[0] + 100 * (self.logits.bias - 3).square().sum()]

    algorithm, result = train({"custom_model": Pulling}, num_epochs=60, lr=0.05)
    np.testing.assert_allclose(weights(algorithm)["logits.bias"], 3, atol=0.2)
    assert result["learner"]["total_loss"] > 1


@pytest.mark.parametrize(
    "answer",
    [lambda losses: [], lambda losses: losses * 2, tuple, lambda losses: losses[0][None, None], lambda losses: None],
)
def test_custom_loss_returns_as_many_losses_as_it_was_given(train, answer, monkeypatch):
    monkeypatch.setattr(Losing, "answer", staticmethod(answer))
    with pytest.raises(ModelError, match=r"Losing.custom_loss\(\) must return a list of 1 losses, as many"):
        train({"custom_model": Losing})


def test_wrong_widths_are_refused_when_built(train):
    class Wide(Spy):
        def forward(self, input_dict, state, seq_lens):
            out, state = super().forward(input_dict, state, seq_lens)
            return torch.cat([out, out], dim=1), state

    with pytest.raises(ModelError, match=r"Wide.forward\(\) gave an output of shape \(2, 4\) .* takes \(2, 2\)"):
        train({"custom_model": Wide})


def test_values_of_another_shape_are_refused_when_built(train):
    class Column(Spy):
        def value_function(self):
            return self.value(self.features)

    with pytest.raises(ModelError, match=r"Column.value_function\(\) gave .* \(2, 1\) .* \(2,\), is expected"):
        train({"custom_model": Column})


def test_a_model_without_a_value_trains_without_a_critic(train):
    class Bare(FullyConnectedNetwork):
        value_function = TorchModelV2.value_function

    settings = {"use_critic": False, "use_gae": False, "batch_mode": "complete_episodes"}
    _, result = train({"custom_model": Bare}, **settings)
    assert np.isfinite(result["learner"]["policy_loss"])
    with pytest.raises(ModelError, match=r"Bare must implement value_function\(\) to be trained by PPO"):
        train({"custom_model": Bare})


class Rows(Spy):
    """Looks at a list of monsters, each with a list of things, monster by monster and thing by thing."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.hidden = nn.Linear(4, 8)

    def forward(self, input_dict, state, seq_lens):
        monsters = input_dict["obs"]["monsters"]
        numbers = monsters.unbatch_all()
        assert [len(row) for row in numbers] == monsters.lengths.tolist()
        rows = [
            sum((torch.cat([one["strength"], sum(one["things"], torch.zeros(3))]) for one in row), torch.zeros(4))
            for row in numbers
        ]
        flat = restore_original_dimensions(input_dict["obs_flat"], self.obs_space)["monsters"]
        torch.testing.assert_close(flat.values["things"].values, monsters.values["things"].values)
        torch.testing.assert_close(flat.values["strength"], monsters.values["strength"])
        self.features = self.norm(torch.tanh(self.hidden(torch.stack(rows))))
        return self.logits(self.features), state


@pytest.mark.spec(158)
@pytest.mark.parametrize(
    "model",
    [{"custom_model": FullyConnectedNetwork, "fcnet_hiddens": [8]}, {"custom_model": Rows}],
    ids=["flat", "structured"],
)
def test_lists_of_structs_reach_a_model_flat_and_structured(train, model):
    algorithm, first = train(model, env=Raid)
    before = weights(algorithm)
    second = algorithm.train()
    assert all(np.isfinite(result["learner"]["total_loss"]) for result in (first, second))
    assert all((before[name] != after).any() for name, after in weights(algorithm).items() if name.endswith("weight"))
    if "fcnet_hiddens" in model:
        width = 1 + Raid.MONSTERS * (1 + (1 + 2 * 3))
        assert algorithm.policy.model.encoder[0].weight.shape == (8, width)


# --------------------------------------------------------------------------------------- distributions


class MyActionDist(ActionDistribution):
    """As on RLlib's page on models: seven outputs, of which two are logits."""

    @staticmethod
    def required_model_output_shape(action_space, model_config):
        return 7  # controls model output feature vector size

    def __init__(self, inputs, model):
        super(MyActionDist, self).__init__(inputs, model)  # noqa: UP008
        assert model.num_outputs == 7

    def sample(self):
        return torch.multinomial(self.inputs[:, :2].softmax(1), 1)[:, 0]

    def logp(self, actions):
        return self.inputs[:, :2].log_softmax(1).gather(1, actions[:, None])[:, 0]

    def entropy(self):
        log_probs = self.inputs[:, :2].log_softmax(1)
        return -(log_probs.exp() * log_probs).sum(1)


@pytest.mark.parametrize("by_name", [True, False])
@pytest.mark.parametrize("entropy_coeff", [0.0, 0.01])
def test_a_distribution_written_for_rllib_trains(train, by_name, entropy_coeff):
    ModelCatalog.register_custom_action_dist("my_dist", MyActionDist)
    model = {"custom_action_dist": "my_dist" if by_name else MyActionDist}
    algorithm, result = train(model, env="CartPole-v1", entropy_coeff=entropy_coeff, lr=1e-4)
    assert algorithm.policy.model.num_outputs == 7
    # Its weights start small, so both actions are equally likely.
    assert result["learner"]["entropy"] == pytest.approx(np.log(2), abs=0.02)
    assert result["learner"]["ratio_error"] < 1e-5
    assert algorithm.compute_single_action(np.zeros(4, np.float32), explore=True) in (0, 1)
    with pytest.raises(NotImplementedError, match=r"MyActionDist has no deterministic_sample\(\)"):
        algorithm.compute_single_action(np.zeros(4, np.float32))


class Bare(TorchModelV2):
    """A layer, logits and a value; a sub-class makes more of it."""

    def __init__(self, obs_space: Any, action_space: Any, num_outputs: int, model_config: Any, name: str):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.body, self.head = nn.Linear(obs_space.shape[0], 8), nn.Linear(8, num_outputs)
        self.critic = nn.Linear(8, 1)
        self.make(obs_space.shape[0])

    def make(self, width: int) -> None:
        pass

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.body(x))

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        self.found = self.features(input_dict["obs_flat"])
        return self.head(self.found), state

    def value_function(self) -> torch.Tensor:
        return self.critic(self.found).squeeze(1)


PPO_SMALL: dict[str, Any] = {
    "preset": "none",
    "train_batch_size": 32,
    "minibatch_size": 32,
    "num_epochs": 1,
    "lr": 0.01,
}
DQN_SMALL: dict[str, Any] = {"preset": "none", "num_steps_sampled_before_learning_starts": 32, "train_batch_size": 16}


class Clamped(Bare):
    def features(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            self.body.weight.data = self.body.weight.data.clamp(-1, 1)
        return super().features(x)


def test_weights_that_are_laid_elsewhere_are_trained_on() -> None:
    with closing(PPO("CartPole-v1", model={"custom_model": Clamped}, **PPO_SMALL)) as algorithm:
        for _ in range(3):
            before = algorithm.policy.model.body.weight.detach().clone()
            algorithm.train()
            assert (algorithm.policy.model.body.weight - before).abs().max() > 1e-3


def test_gradients_of_a_pass_of_somebody_s_own_do_not_stop_training() -> None:
    with closing(PPO("CartPole-v1", model={"custom_model": Bare}, **PPO_SMALL)) as algorithm:
        algorithm.train()
        model = algorithm.policy.model
        model.zero_grad()
        model.body(torch.ones(1, 4)).square().sum().backward()
        for _ in range(20):
            before = model.body.weight.detach().clone()
            algorithm.train()
        assert (model.body.weight - before).abs().max() > 1e-3


class Reconstructing(Bare):
    def make(self, width: int) -> None:
        self.back = nn.Linear(8, width)

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        self.seen = input_dict["obs_flat"].detach().clone()
        return super().forward(input_dict, state, seq_lens)

    def custom_loss(self, policy_loss: Any, loss_inputs: Any) -> Any:
        self.told = {
            "own rows": float((self.seen == loss_inputs["obs"]).all()),
            "grad": float(self.found.requires_grad),
        }
        term = nn.functional.mse_loss(self.back(self.found), loss_inputs["obs"])
        return [loss + term for loss in policy_loss]

    def metrics(self) -> dict[str, float]:
        return getattr(self, "told", {})


@pytest.mark.parametrize("double_q", [False, True])
def test_a_loss_of_the_model_s_own_is_told_of_the_rows_that_are_learnt_from(double_q: bool) -> None:
    model = {"custom_model": Reconstructing}
    with closing(DQN("CartPole-v1", model=model, double_q=double_q, **DQN_SMALL)) as algorithm:
        assert algorithm.train()["learner"]["model"] == {"own rows": 1.0, "grad": 1.0}


class Handed(Bare):
    def __init__(self, *args: Any, encoder: nn.Module):
        super().__init__(*args)
        self.body = encoder  # type: ignore[assignment]


@pytest.mark.parametrize("explores", ["EpsilonGreedy", "ParameterNoise"])
def test_a_module_among_the_settings_is_refused_where_copies_are_made(explores: str) -> None:
    model = {"custom_model": Handed, "custom_model_config": {"encoder": nn.Linear(4, 8)}}
    with pytest.raises(ModelError, match="hand over what builds one, its class and sizes, and build it in the constr"):
        DQN("CartPole-v1", model=model, exploration_config={"type": explores}, **DQN_SMALL)
    with closing(PPO("CartPole-v1", model=model, **PPO_SMALL)) as algorithm:
        algorithm.train()


class Frequencies(Bare):
    def make(self, width: int) -> None:
        self.register_buffer("frequencies", torch.randn(width, 8), persistent=False)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cos(self.body(x) + x @ self.frequencies)


def test_a_target_has_the_policy_s_constants() -> None:
    with closing(DQN("CartPole-v1", model={"custom_model": Frequencies}, seed=3, **DQN_SMALL)) as algorithm:
        assert torch.equal(algorithm.policy.model.frequencies, algorithm.target.model.frequencies)


class Remembering(Bare):
    table: torch.Tensor | None = None

    def features(self, x: torch.Tensor) -> torch.Tensor:
        if self.table is None:
            self.table = torch.arange(8) / 8
        return super().features(x) * self.table * self.critic.weight[0]


def test_what_the_first_pass_computes_may_enter_gradient_steps() -> None:
    for kind, settings in ((PPO, PPO_SMALL), (DQN, DQN_SMALL)):
        with closing(kind("CartPole-v1", model={"custom_model": Remembering}, **settings)) as algorithm:
            before = algorithm.policy.model.body.weight.detach().clone()
            algorithm.train()
            assert not torch.equal(algorithm.policy.model.body.weight, before)


def test_what_was_frozen_midway_is_loaded(tmp_path: Path) -> None:
    model = {"custom_model": Bare}
    with closing(PPO("CartPole-v1", model=model, **PPO_SMALL)) as algorithm:
        algorithm.train()
        algorithm.policy.model.body.requires_grad_(False)
        algorithm.train()
        algorithm.save(tmp_path / "saved")
    with closing(PPO.load(tmp_path / "saved", config={"model": model})) as again:
        body = again.policy.model.body
        before = body.weight.detach().clone()
        again.train()
        assert torch.equal(body.weight, before)
        body.requires_grad_(True)
        again.train()
        assert not torch.equal(body.weight, before)


def test_a_model_may_be_abstract() -> None:
    class Abstract(TorchModelV2, nn.Module, ABC):
        @abstractmethod
        def make(self) -> None: ...

    with pytest.raises(TypeError, match="abstract"):
        Abstract(None, None, 1, {}, "name")  # type: ignore[abstract,arg-type]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("metrics", {}, r"Mistaken.metrics is \{\}, but it is a method that every model has"),
        ("get_initial_state", [], r"Mistaken.get_initial_state is \[\], but it is a method"),
        ("custom_loss", nn.MSELoss(), r"Mistaken.custom_loss: this is a method .* Keep the module under another name"),
        ("value_function", nn.Linear(2, 1), r"Mistaken.value_function: this is a method"),
        ("variables", nn.ModuleList(), r"Mistaken.variables: this is a method"),
    ],
)
def test_nothing_takes_the_place_of_a_method(name: str, value: Any, message: str) -> None:
    class Mistaken(Spy):
        def __init__(self, *arguments: Any):
            super().__init__(*arguments)
            setattr(self, name, value)

    with pytest.raises(ModelError, match=message):
        PPO("CartPole-v1", model={"custom_model": Mistaken})
