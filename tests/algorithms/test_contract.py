"""Slips of a class of algorithms, and what is allowed in one: a reader's first algorithm has all of them."""

from __future__ import annotations

import dataclasses
import re
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from anyspace import APPO, DQN, PPO, Algorithm
from anyspace.algorithms.a2c import A2CConfig
from anyspace.algorithms.config import AlgorithmConfig
from anyspace.algorithms.impala import IMPALAConfig
from anyspace.algorithms.on_policy import OnPolicyConfig, gae, minibatches, training_rows
from anyspace.algorithms.ppo import PPOConfig
from anyspace.errors import ConfigError, NonFiniteError
from anyspace.execution.groups import Group
from anyspace.execution.learner import Losses, Steps
from anyspace.policy.plan import Plan
from tests.support.tasks import Countdown

FAST: dict[str, Any] = {"train_batch_size": 8, "seed": 0, "model": {"fcnet_hiddens": [4]}}


class A2C(Algorithm[OnPolicyConfig]):
    """One gradient step on each batch."""

    config_class = OnPolicyConfig

    def updates(self, policy, trajectory):
        yield training_rows(policy, trajectory, gae(gamma=0.99, lambda_=1.0))

    def losses(self, policy, batch):
        now = policy.evaluate(batch, training=True)
        loss = -batch.mean(now.distribution.logp(batch["actions"]) * batch["advantages"])
        return {"policy": loss + batch.mean((now.values - batch["value_targets"]) ** 2)}, {"policy_loss": loss}


def train(kind: type[Algorithm[Any]], **settings: Any) -> dict[str, Any]:
    with closing(kind(Countdown, FAST, **settings)) as algorithm:
        return algorithm.train()


def with_updates(after: Any) -> type[A2C]:
    class Mine(A2C):
        def updates(self, policy, trajectory):
            yield from super().updates(policy, trajectory)
            return after(policy)

    return Mine


def with_losses(change: Any) -> type[A2C]:
    class Mine(A2C):
        def losses(self, policy, batch):
            return change(*super().losses(policy, batch), batch)

    return Mine


# ------------------------------------------------------------------------------------------ what is allowed


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3, 3.0),
        (0.5, 0.5),
        (True, 1.0),
        (np.float32(0.25), 0.25),
        (np.int64(4), 4.0),
        (np.array(2.5), 2.5),
        (torch.tensor(1.5), 1.5),
        (torch.tensor(7), 7.0),
        (torch.tensor(1.0, requires_grad=True), 1.0),
    ],
    ids=repr,
)
def test_every_kind_of_number_is_a_metric(value: Any, number: float) -> None:
    assert train(with_updates(lambda policy: {"mine": value}))["learner"]["mine"] == number
    kind = with_losses(lambda losses, metrics, batch: (losses, {**metrics, "mine": value}))
    assert train(kind)["learner"]["mine"] == number

    class InSteps(kind):
        def updates(self, policy, trajectory):
            yield minibatches(policy, next(super().updates(policy, trajectory)), 4, 2)

    assert train(InSteps)["learner"]["mine"] == number


def test_a_metric_may_be_of_another_kind_in_each_step() -> None:
    class Mine(A2C):
        count = 0

        def updates(self, policy, trajectory):
            yield minibatches(policy, next(super().updates(policy, trajectory)), 2)

        def losses(self, policy, batch):
            losses, _ = super().losses(policy, batch)
            Mine.count += 1
            return losses, {"mine": [Mine.count, float(Mine.count), torch.tensor(Mine.count)][Mine.count % 3]}

    assert train(Mine)["learner"]["mine"] == 2.5


@pytest.mark.parametrize("nothing", [None, {}])
def test_metrics_of_the_round_may_be_left_out(nothing: Any) -> None:
    assert train(with_updates(lambda policy: nothing))["learner"].keys() == {"policy_loss", "total_loss", "lr", "model"}


def test_an_iteration_without_gradient_steps(tmp_path: Any) -> None:
    class Waits(A2C):
        def updates(self, policy, trajectory):
            if self.training_iteration:
                yield from super().updates(policy, trajectory)
            return {"waited": 1.0 - bool(self.training_iteration)}

    with closing(Waits(Countdown, FAST)) as algorithm:
        before = algorithm.policy.state()
        first = algorithm.train()
        assert first["learner"] == {"waited": 1.0, "lr": 1e-3, "model": {}}
        after = algorithm.policy.state()
        assert all(np.array_equal(before[name], after[name]) for name in before if name.startswith("model/"))
        algorithm.learn(24, out=tmp_path / "run", progress=False)
        assert "total_loss" in (tmp_path / "run" / "metrics.csv").read_text()
        assert algorithm.train()["learner"]["total_loss"] != 0


def test_steps_of_which_there_are_none() -> None:
    class Mine(A2C):
        def updates(self, policy, trajectory):
            batch = next(super().updates(policy, trajectory))
            result = yield Steps(batch, np.zeros((0, 4), np.int64), np.zeros((0, 4), np.bool_))
            assert result.metrics == {}

    assert train(Mine)["learner"] == {"lr": 1e-3, "model": {}}


# ------------------------------------------------------------------------------------------------- updates


class Returns(A2C):
    answer: Any = None

    def updates(self, policy, trajectory):
        return self.answer


@pytest.mark.parametrize(
    ("answer", "came"),
    [(None, "None"), ([1], "a list"), ({}, "a dict"), (1.0, "a float"), (iter([]), "a list_iterator")],
)
def test_updates_that_is_no_generator(answer: Any, came: str) -> None:
    class Mine(Returns):
        pass

    Mine.answer = answer
    message = f"Returns.updates() must be a generator, but returned {came}: write `result = yield batch`"
    with pytest.raises(ConfigError, match=re.escape(message)):
        train(Mine)


def test_updates_that_returns_its_batch() -> None:
    class Mine(A2C):
        def updates(self, policy, trajectory):
            return next(super().updates(policy, trajectory))

    with pytest.raises(ConfigError, match=r"Mine\.updates\(\) must be a generator, but returned a Batch"):
        train(Mine)


@pytest.mark.parametrize(
    ("what", "came"), [(None, "None"), ({"obs": 1}, "a dict"), (torch.ones(3), "a Tensor of shape")]
)
def test_updates_that_yields_something_else(what: Any, came: str) -> None:
    class Mine(A2C):
        def updates(self, policy, trajectory):
            yield what

    with pytest.raises(ConfigError, match=rf"Mine\.updates\(\) yielded {came}.* it yields a Batch"):
        train(Mine)


def test_a_batch_without_rows() -> None:
    class Mine(A2C):
        def updates(self, policy, trajectory):
            yield next(super().updates(policy, trajectory)).slice(0, 0)

    with pytest.raises(ConfigError, match=r"Mine\.updates\(\) yielded a Batch without rows"):
        train(Mine)


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (3.0, r"must return a dict of metrics, or nothing, but returned a float"),
        ([("a", 1)], r"must return a dict of metrics, or nothing, but returned a list"),
        ({"a": "text"}, r"the metric 'a' must be one number, but is a str"),
        ({"a": None}, r"the metric 'a' must be one number, but is None"),
        ({"a": [1.0]}, r"the metric 'a' must be one number, but is a list"),
        ({"a": np.zeros(2)}, r"the metric 'a' must be one number, but is a ndarray of shape \(2,\)"),
        ({"a": torch.zeros(2, 3)}, r"the metric 'a' must be one number, but is a Tensor of shape \(2, 3\)"),
        ({1: 1.0}, r"the names of metrics are texts, but 1 came"),
        ({"lr": 1.0}, r"the metric 'lr' is reported anyhow; give yours another name"),
        ({"model": 1.0}, r"the metric 'model' is reported anyhow"),
        ({"total_loss": 1.0}, r"the metric 'total_loss' is reported anyhow"),
        ({"grad_norm_policy": 1.0}, r"the metric 'grad_norm_policy' is reported anyhow"),
    ],
)
def test_metrics_that_are_none(metrics: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"Mine\.updates\(\):? {message}"):
        train(with_updates(lambda policy: metrics))
    if isinstance(metrics, dict):
        with pytest.raises(ConfigError, match=rf"Mine\.losses\(\): {message}"):
            train(with_losses(lambda losses, own, batch: (losses, metrics)))


@pytest.mark.parametrize(
    ("order", "counted", "message"),
    [
        (np.arange(4), np.ones(4, np.bool_), r"are a ndarray of shape \(4,\) and a ndarray of shape \(4,\); they are"),
        (
            np.zeros((1, 4), np.int64),
            np.ones((2, 4), np.bool_),
            r"are a ndarray of shape \(1, 4\) and a ndarray of sha",
        ),
        (torch.zeros(1, 4).long(), torch.ones(1, 4).bool(), r"are a Tensor of shape \(1, 4\) and a Tensor"),
        (np.full((1, 4), 8), np.ones((1, 4), np.bool_), r"goes from 8 to 8, but there are 8 rows, counted from 0"),
    ],
)
def test_steps_that_cannot_be_taken(order: Any, counted: Any, message: str) -> None:
    class Mine(A2C):
        def updates(self, policy, trajectory):
            yield Steps(next(super().updates(policy, trajectory)), order, counted)

    with pytest.raises(ConfigError, match=rf"^Mine\.updates\(\) yielded Steps.*{message}"):
        train(Mine)


def test_a_metric_of_both_would_be_lost() -> None:
    class Mine(A2C):
        def updates(self, policy, trajectory):
            yield from super().updates(policy, trajectory)
            return {"policy_loss": 1.0}

    with pytest.raises(ConfigError, match=r"losses\(\) and .*Mine\.updates\(\) both report a metric 'policy_loss'"):
        train(Mine)


# -------------------------------------------------------------------------------------------------- losses


@pytest.mark.parametrize(
    ("rows", "came"),
    [
        (lambda one: one[:3], r"a Tensor of shape \(3,\)"),
        (lambda one: one.mean(), "a Tensor"),
        (lambda one: one[:, None], r"a Tensor of shape \(8, 1\)"),
        (lambda one: one.numpy(), r"a ndarray of shape \(8,\)"),
        (lambda one: 1.0, "a float"),
    ],
)
def test_numbers_of_rows_that_are_none(rows: Any, came: str) -> None:
    kind = with_losses(lambda losses, metrics, batch: Losses(losses, metrics, {"error": rows(batch["advantages"])}))
    with pytest.raises(ConfigError, match=rf"Mine\.losses\(\): Losses\(rows=\{{'error': .* \(8,\), but is {came}\."):
        train(kind)


@pytest.mark.parametrize("framework", ["jax", pytest.param("tf", marks=pytest.mark.xdist_group("tensorflow"))])
def test_numbers_of_rows_in_compiled_steps(framework: str) -> None:
    kind = with_losses(lambda losses, metrics, batch: Losses(losses, metrics, {"error": batch["advantages"][:3]}))
    with pytest.raises(ConfigError, match=r"Mine\.losses\(\): Losses\(rows=\{'error': .* of shape \(3,\)\."):
        train(kind, framework=framework)


@pytest.mark.parametrize(
    ("answer", "came"),
    [
        (lambda losses, metrics, batch: losses["policy"], "a Tensor"),
        (lambda losses, metrics, batch: losses, "a dict"),
        (lambda losses, metrics, batch: None, "None"),
        (lambda losses, metrics, batch: (losses["policy"], metrics), "a tuple of a Tensor, a dict"),
        (lambda losses, metrics, batch: (losses, metrics, {}), "a tuple of a dict, a dict, a dict"),
        (lambda losses, metrics, batch: [losses, metrics], "a list"),
    ],
)
def test_losses_of_another_form(answer: Any, came: str) -> None:
    message = f'Mine.losses() must return ({{"policy": scalar}}, metrics), but returned {came}.'
    with pytest.raises(ConfigError, match=re.escape(message)):
        train(with_losses(answer))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda loss, batch: loss.detach(), "has no gradient, so nothing would be learnt from it"),
        (lambda loss, batch: loss * batch["advantages"], r"must be a scalar, but has the shape \(8,\): .* batch\.mean"),
        (lambda loss, batch: loss.reshape(1), r"must be a scalar, but has the shape \(1,\)"),
        (lambda loss, batch: 0.5, "must be a scalar of the framework, but is a float"),
        (lambda loss, batch: loss.item(), "must be a scalar of the framework, but is a float"),
        (lambda loss, batch: np.float32(1), "must be a scalar of the framework, but is a float32"),
        (lambda loss, batch: None, "must be a scalar of the framework, but is None"),
        (lambda loss, batch: loss.to("meta"), "is on meta, but the model is on cpu: leave it there"),
    ],
)
def test_a_loss_from_which_nothing_can_be_learnt(loss: Any, message: str) -> None:
    kind = with_losses(lambda losses, metrics, batch: ({"policy": loss(losses["policy"], batch)}, metrics))
    with pytest.raises(ConfigError, match=rf"Mine\.losses\(\): the loss 'policy' {message}"):
        train(kind)


def test_a_loss_that_is_not_a_number() -> None:
    kind = with_losses(lambda losses, metrics, batch: ({"policy": losses["policy"] * float("nan")}, metrics))
    with pytest.raises(NonFiniteError, match="iteration 1, gradient step 1 of 1: total_loss is nan"):
        train(kind)


def test_losses_of_unknown_groups() -> None:
    kind = with_losses(lambda losses, metrics, batch: ({"critic": losses["policy"]}, metrics))
    with pytest.raises(ConfigError, match=r"Mine\.losses\(\) returned the groups critic, but .* has the groups policy"):
        train(kind)


def test_the_class_that_has_the_method_is_named() -> None:
    """A sub-class that leaves `losses` as it is is not told to mend it."""

    class Other(with_losses(lambda losses, metrics, batch: None)):
        pass

    with pytest.raises(ConfigError, match=r"^Mine\.losses\(\) must return"):
        train(Other)


# ---------------------------------------------------------------------------------- groups, plan, setup, parts


def build(**members: Any) -> None:
    kind = type("Mine", (A2C,), members)
    for name, member in members.items():
        if callable(member):
            member.__qualname__ = f"Mine.{name}"
    kind(Countdown, FAST).close()


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (None, r"must return {\"policy\": Group\(lr\), ...}, but returned None"),
        ({}, r"must return .* but returned {}"),
        (Group(lambda t: 1e-3), r"must return {\"policy\": Group\(lr\), ...}, but returned Group"),
        ({"policy": 1e-3}, r"must return names and groups, as .* but 'policy' is 0.001"),
        ({0: Group(lambda t: 1e-3)}, r"must return names and groups, as .* but 0 is Group"),
    ],
)
def test_groups_of_another_form(groups: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"Mine\.groups\(\) {message}"):
        build(groups=lambda self: groups)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": 1e-3}, r"takes a function of the number of sampled steps, but 0.001 came: write `lambda steps: 0.001`"),
        (
            {"lr": lambda t: 1e-3, "optimiser": "adamw"},
            r"^Group\(optimiser='adamw'\): it is 'adam', 'rmsprop' or 'sgd'\.",
        ),
        ({"lr": lambda t: 1e-3, "grad_clip": 0.0}, r"^Group\(grad_clip=0\.0\): it must be above 0; None"),
        ({"lr": lambda t: 1e-3, "grad_clip": "1"}, r"^Group\(grad_clip='1'\): it must be above 0"),
        ({"lr": lambda t: 1e-3, "epsilon": 0.0}, r"^Group\(epsilon=0\.0\): it must be above 0"),
        ({"lr": lambda t: 1e-3, "momentum": None}, r"^Group\(momentum=None\): it lies in \[0, 1\)"),
    ],
)
def test_a_group_that_cannot_be(settings: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Group(**settings)


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        (-1e-3, r"a finite number of at least 0, but Group\(lr=...\) returned -0\.001 at 0 sampled steps"),
        (float("nan"), r"a finite number of at least 0, .* returned nan"),
        (None, r"a plain number, but Group\(lr=...\) returned None at 0 sampled steps"),
        ("a", r"a plain number, .* returned 'a'"),
        (torch.tensor(1e-3), r"a plain number, .* returned tensor\(0\.001"),
    ],
    ids=repr,
)
def test_a_learning_rate_that_is_none(rate: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^the learning rate of the group 'policy' must be {message}"):
        build(groups=lambda self: {"policy": Group(lambda steps: rate)})


def test_groups_that_read_what_setup_sets() -> None:
    with pytest.raises(ConfigError, match=r"Mine\.groups\(\) reads self\.scale, but it is called before setup\(\)"):
        build(groups=lambda self: {"policy": Group(lambda steps, scale=self.scale: scale)})


@pytest.mark.parametrize("framework", ["torch", "jax", pytest.param("tf", marks=pytest.mark.xdist_group("tensorflow"))])
def test_a_group_that_no_parameter_belongs_to(framework: str) -> None:
    class Mine(A2C):
        def groups(self) -> dict[str, Group]:
            return {**super().groups(), "bonus": Group(lambda steps: 1e-3)}

    with pytest.raises(ConfigError, match=r"^no parameter that is trained belongs to the group 'bonus', .*let Fully"):
        Mine(Countdown, FAST, framework=framework)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (None, r"must return a Plan, but returned None: return Plan\(\)"),
        ({"build": print}, "must return a Plan, but returned {'build'"),
        (Plan(build=None), r"Plan\(build=...\) must be a function, but is None"),
        (Plan(exploration="epsilon"), r"Plan\(exploration=...\) must be a function, but is 'epsilon'"),
    ],
)
def test_plans_of_another_form(plan: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"Mine\.plan\(\):? {message}"):
        build(plan=lambda self, config: plan)


def test_setup_that_replaces_what_training_goes_by() -> None:
    def setup(self) -> None:
        self.rewards = []

    with pytest.raises(ConfigError, match=r"Mine\.setup\(\) replaces self\.rewards, which training goes by"):
        build(setup=setup)


def test_setup_that_hides_a_method() -> None:
    def setup(self) -> None:
        self.groups = {}

    with pytest.raises(ConfigError, match=r"Mine\.setup\(\) sets self\.groups, which hides the method groups\(\)"):
        build(setup=setup)


def test_setup_that_does_not_call_the_one_it_overrides() -> None:
    class Mine(PPO):
        def setup(self) -> None:
            pass

    with pytest.raises(ConfigError, match=r"PPO\.parts\(\) reads self\.entropy_coeff, .* call super\(\)\.setup\(\)"):
        Mine(Countdown, FAST, preset="none")


def test_an_error_within_parts_is_left_as_it_is() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        build(parts=lambda self: {"mine": self.policy.nothing})


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (None, r"must return a dict .* but returned None"),
        ({"mine": 1.0}, r"leaves out policy, learner, rewards, counters"),
    ],
)
def test_parts_of_another_form(parts: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"Mine\.parts\(\) {message}"):
        build(parts=lambda self: parts)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"policy": 3}, r"gives the name 'policy' to another thing than Algorithm\.parts\(\) does"),
        ({"counters": np.zeros(3)}, r"gives the name 'counters' to another thing"),
        ({1: np.zeros(2)}, r": the names of parts are texts without a slash, but 1 came"),
        ({"a/b": np.zeros(2)}, r": the names of parts are texts without a slash, but 'a/b' came"),
    ],
)
def test_names_of_parts(part: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"Mine\.parts\(\) ?({message})"):
        build(parts=lambda self: {**Algorithm.parts(self), **part})


def test_parts_of_the_algorithm_that_one_derives_from_keep_their_names() -> None:
    class Mine(DQN):
        def parts(self) -> dict[str, Any]:
            return {**super().parts(), "target": np.zeros(2)}

    with pytest.raises(ConfigError, match=r"Mine\.parts\(\) gives the name 'target' to .* than DQN\.parts\(\) does"):
        Mine(Countdown)


@pytest.mark.parametrize("method", ["updates", "losses"])
def test_methods_that_cannot_be_called(method: str) -> None:
    with pytest.raises(ConfigError, match=rf"Mine\.{method}\(\) is called with \(policy, .*too many positional"):
        build(**{method: lambda self, policy: None})


@pytest.mark.parametrize("framework", ["jax", pytest.param("tf", marks=pytest.mark.xdist_group("tensorflow"))])
def test_a_loss_in_pytorch_elsewhere(framework: str) -> None:
    kind = with_losses(lambda losses, metrics, batch: ({"policy": torch.exp(losses["policy"])}, metrics))
    with pytest.raises(ConfigError, match=rf"^Mine\.losses\(\) calls PyTorch on .* framework='torch' .* '{framework}'"):
        train(kind, framework=framework)


def test_an_algorithm_without_losses_is_named() -> None:
    kind = type("Mine", (Algorithm,), {"updates": A2C.updates, "config_class": OnPolicyConfig})
    with pytest.raises(ConfigError, match=r"^Mine has no losses\(\): an algorithm says what it learns from"):
        kind(Countdown)


@pytest.mark.parametrize(("wrong", "right"), [("loss", "losses"), ("update", "updates"), ("set_up", "setup")])
def test_names_that_nothing_reads(wrong: str, right: str) -> None:
    kind = type("Mine", (PPO,), {wrong: lambda self, *_: None})
    with pytest.raises(ConfigError, match=rf"^nothing reads Mine\.{wrong}: what is overridden is called {right}\."):
        kind(Countdown, preset="none")
    type("Mine", (PPO,), {wrong: lambda self: None, right: getattr(PPO, right)})(Countdown, FAST, preset="none").close()


# ------------------------------------------------------------------------------------------- configuration


class Undecorated(OnPolicyConfig):
    beta: float = 1.0


@dataclass(frozen=True)
class NoSteps(AlgorithmConfig):
    """Says nothing of how many steps are collected."""


@dataclass(frozen=True)
class HalfSteps(OnPolicyConfig):
    """Collects half a step."""

    @property
    def steps_per_round(self) -> Any:
        return 0.5


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, r"Mine does not say what its configuration is: add `config_class = MineConfig`"),
        (
            OnPolicyConfig(),
            r"Mine.config_class must be a class derived from AlgorithmConfig, .* but it is OnPol",
        ),
        (dict, r"must be a class derived from AlgorithmConfig, .* but it is <class 'dict'>"),
        (
            Undecorated,
            r"Undecorated has keys of its own, but is no dataclass: write @dataclass\(frozen=True\) ab",
        ),
        (NoSteps, r"NoSteps does not say how many steps are collected before learning: derive it from OnPolicyConfig"),
        (HalfSteps, r"HalfSteps\.steps_per_round must be a whole number of at least 1, but it is 0\.5"),
    ],
)
def test_configurations_of_another_form(config: Any, message: str) -> None:
    class Mine(Algorithm[Any]):
        updates, losses = A2C.updates, A2C.losses
        if config is not None:
            config_class = config

    with pytest.raises(ConfigError, match=message):
        Mine(Countdown, preset="none")


def with_keys(**keys: Any) -> type[Algorithm[Any]]:
    """Return an algorithm whose configuration has keys of its own, each with a type and a default."""
    names = {"__annotations__": {name: kind for name, (kind, _) in keys.items()}, "__module__": __name__}
    defaults = {name: default[0] for name, (_, default) in keys.items() if default}
    config = dataclass(frozen=True, kw_only=True)(type("Own", (PPOConfig,), {**names, **defaults}))
    return type("Mine", (PPO,), {"config_class": config})


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"num_envs": (int, [4])}, r"has a key 'num_envs', but there is a property or a method of that name"),
        ({"validate": (bool, [True])}, r"has a key 'validate', but there is a property or a method"),
        (
            {"steps": (int, [3])},
            r"has a key 'steps', but there is an argument of the algorithm, or a flag, of that name",
        ),
        ({"preset": (str, ["a"])}, r"has a key 'preset', but there is an argument"),
        ({"beta": (float, [])}, r"\.beta has no default: write `beta: float = 1\.0`"),
        ({"beta": ("Literal['a']", ["a"])}, r": the type of a key cannot be read: name 'Literal' is not defined"),
    ],
)
def test_keys_that_cannot_be(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^Own ?{message}"):
        with_keys(**keys)(Countdown, preset="none")


def test_keys_without_a_type() -> None:
    @dataclass(frozen=True)
    class Untyped(PPOConfig):
        """Changes nothing."""

        LIMIT = 3
        beta = 1.0

    @dataclass(frozen=True)
    class Unchanged(PPOConfig):
        """Changes nothing."""

        lr = 0.5  # type: ignore[misc]

    for config, line in ((Untyped, "`beta: float = 1.0`"), (Unchanged, "`lr: float = 0.5`")):
        with pytest.raises(ConfigError, match=rf"is no key, for it has no type: write {line}, or"):
            type("Mine", (PPO,), {"config_class": config})(Countdown, preset="none")


def test_a_key_may_be_an_array(tmp_path: Any) -> None:
    kind = with_keys(scales=(Any, [None]))
    with closing(kind(Countdown, FAST, preset="none", scales=np.ones(3))) as algorithm:
        algorithm.save(tmp_path)
    assert kind.load(tmp_path, env=Countdown).config.scales.tolist() == [1.0, 1.0, 1.0]


def test_keys_of_ones_own() -> None:
    @dataclass(frozen=True)
    class Config(OnPolicyConfig):
        """One more key."""

        beta: float = 1.0
        """A number."""

    class Mine(A2C):
        config_class = Config

    assert Mine(Countdown, FAST, beta=2.0, preset="none").config.beta == 2.0
    assert dataclasses.is_dataclass(Mine(Countdown, FAST, preset="none").config)


def test_a_whole_configuration_has_the_keys_of_the_algorithm(tmp_path: Any) -> None:
    @dataclass(frozen=True)
    class Quick(PPOConfig):
        """Other defaults."""

        lr: float = 0.5

    @dataclass(frozen=True)
    class More(PPOConfig):
        """One more key."""

        own: float = 1.0

    with pytest.raises(ConfigError, match=r"PPO takes PPOConfig, or a dict .*, but A2CConfig came"):
        PPO(Countdown, A2CConfig())
    with pytest.raises(ConfigError, match=r"APPO takes APPOConfig, .* but IMPALAConfig came"):
        APPO(Countdown, IMPALAConfig())
    with pytest.raises(ConfigError, match=r"keys that PPO does not have, such as `own`.*config_class = More"):
        PPO(Countdown, More())
    quick = PPO(Countdown, Quick(gamma=0.5))
    assert (quick.config.lr, quick._given) == (0.5, {"gamma"})
    quick.save(tmp_path)
    assert Algorithm.load(tmp_path).config.lr == 0.5


def test_one_environment_is_named() -> None:
    with pytest.raises(ConfigError, match=r"the environment is 'CartPole-v1', but `env` in the config is 'Acrobot-v1'"):
        A2C("CartPole-v1", {"env": "Acrobot-v1"})
    assert A2C(Countdown, {**FAST, "env": Countdown}).env_spec.env is Countdown


# ------------------------------------------------------------------------------------------------- presets


def test_an_algorithm_without_presets_has_its_defaults() -> None:
    assert A2C(Countdown, FAST, preset="auto").config == A2C(Countdown, FAST).config
    with pytest.raises(ConfigError, match=r"there is no preset 'discrete' for .*A2C, which has none"):
        A2C(Countdown, FAST, preset="discrete")


def test_a_pair_is_as_good_as_losses() -> None:
    first = train(A2C)
    second = train(with_losses(lambda losses, metrics, batch: Losses(losses, metrics)))
    assert first["learner"] == second["learner"]
