"""Siblings of a pipeline, and weights that go from one policy to another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, Tuple

from anyspace import tree
from anyspace.config import merge
from anyspace.errors import ModelError
from anyspace.execution.groups import Group
from anyspace.execution.torch_learner import TorchLearner
from anyspace.models import MODEL_DEFAULTS, FullyConnectedNetwork
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.batch import Batch
from anyspace.policy.config import PolicyConfig
from anyspace.policy.pipeline import Pipeline
from anyspace.policy.plan import CATALOGUE, Plan
from anyspace.policy.policy import Policy

OBS = Dict(x=Box(-np.inf, np.inf, (4,)), kind=Discrete(3))
ACTIONS = Tuple((Discrete(3), Box(-1, 1, (2,))))


def make(seed: int = 0, plan: Plan = CATALOGUE, **model: Any) -> Policy:
    settings = {"observation_filter": "MeanStdFilter", "model": {"fcnet_hiddens": [8], **model}}
    return Policy(OBS, ACTIONS, merge(PolicyConfig(), settings), TorchRuntime("cpu"), plan, seed)


def observations(count: int, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {"x": rng.normal(3, 5, (count, 4)).astype(np.float32), "kind": rng.integers(3, size=count)}


def output_of(pipeline: Pipeline, count: int = 5) -> Any:
    leaves = pipeline.encode(observations(count))
    with torch.no_grad():
        return pipeline.evaluate(Batch(obs=[torch.from_numpy(leaf) for leaf in leaves]))


def learner_of(policy: Policy) -> TorchLearner:
    def losses(policy: Policy, batch: Batch) -> Any:
        found = policy.evaluate(batch, training=True)
        assert found.values is not None
        return {"policy": batch.mean(found.output.square().sum(1) + (found.values - 1) ** 2)}, {}

    return TorchLearner(policy, losses, {"policy": Group(lr=lambda _: 0.05)})


# ----------------------------------------------------------------------------------------------- sibling


@pytest.mark.parametrize("model", [{}, {"use_lstm": True, "lstm_cell_size": 4}], ids=["dense", "lstm"])
def test_a_sibling_starts_with_equal_weights_of_its_own(model: dict[str, Any]) -> None:
    policy = make(**model)
    target = policy.sibling()
    assert target is not policy
    assert target.model is not policy.model
    mine, theirs = dict(policy.model.named_parameters()), dict(target.model.named_parameters())
    assert mine.keys() == theirs.keys()
    for name, parameter in mine.items():
        assert torch.equal(parameter, theirs[name])
        assert parameter.data_ptr() != theirs[name].data_ptr()


def test_siblings_move_apart() -> None:
    policy = make()
    first = policy.sibling()
    before = output_of(first)
    torch.testing.assert_close(before.output, output_of(policy).output, rtol=0, atol=0)
    torch.testing.assert_close(before.values, output_of(policy).values, rtol=0, atol=0)
    leaves = policy.encode(observations(16, 1))
    learner_of(policy).step(Batch(obs=[torch.from_numpy(leaf) for leaf in leaves]))
    after = output_of(first)
    assert torch.equal(after.output, before.output)
    assert torch.equal(after.values, before.values)
    assert not torch.allclose(output_of(policy).output, before.output)
    second = policy.sibling()
    assert torch.equal(output_of(second).output, output_of(policy).output)


def test_a_learner_lets_a_sibling_follow() -> None:
    policy = make()
    target, learner = policy.sibling(), learner_of(policy)
    start = {name: value.detach().clone() for name, value in target.model.named_parameters()}
    leaves = policy.encode(observations(16, 1))
    learner.step(Batch(obs=[torch.from_numpy(leaf) for leaf in leaves]))
    learner.follow(target, 0.25)
    for name, value in policy.model.named_parameters():
        expected = start[name] + 0.25 * (value - start[name])
        torch.testing.assert_close(dict(target.model.named_parameters())[name], expected)
    learner.follow(target, 1)
    assert torch.equal(output_of(target).output, output_of(policy).output)


def test_siblings_share_the_filter_and_the_random_sources() -> None:
    policy = make()
    target = policy.sibling()
    before = output_of(target).output
    policy.push(policy.encode(observations(50, 2)))
    assert not torch.allclose(output_of(target).output, before)
    assert torch.equal(output_of(target).output, output_of(policy).output)
    assert target.filter is policy.filter
    assert target.runtime is policy.runtime


def test_siblings_are_listed_in_order() -> None:
    policy = make()
    assert policy.siblings == []
    first, second = policy.sibling(), policy.sibling()
    assert [one is other for one, other in zip(policy.siblings, (first, second), strict=True)] == [True, True]
    assert first.siblings == second.siblings == []


def test_a_sibling_changes_no_random_source() -> None:
    policy = make()
    before, unseeded = policy.runtime.rng_state(), torch.random.get_rng_state()
    policy.sibling()
    np.testing.assert_equal(policy.runtime.rng_state(), before)
    assert torch.equal(torch.random.get_rng_state(), unseeded)


def test_a_distribution_of_a_sibling_asks_its_own_model() -> None:
    policy = make()
    target = policy.sibling()
    assert output_of(target).distribution.model is target.model
    assert output_of(policy).distribution.model is policy.model


def test_a_ready_model_has_no_sibling() -> None:
    space = Box(-1, 1, (4,))
    model = FullyConnectedNetwork(space, Discrete(3), 3, {**MODEL_DEFAULTS, "fcnet_hiddens": [5]}, "mine")
    policy = Policy(space, Discrete(3), PolicyConfig(), TorchRuntime("cpu"), Plan.with_model(model))
    with pytest.raises(ModelError, match="one ready FullyConnectedNetwork, but a sibling needs weights of its own"):
        policy.sibling()
    assert policy.siblings == []


# ----------------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize("model", [{}, {"use_lstm": True, "lstm_cell_size": 4}], ids=["dense", "lstm"])
def test_another_policy_with_the_same_weights_acts_equally(model: dict[str, Any]) -> None:
    policy, other = make(0, **model), make(9, **model)
    policy.push(policy.encode(observations(30, 3)))
    policy.at(123)
    seen = observations(20, 4)
    leaves = policy.encode(seen)
    learner = learner_of(policy)
    if not model:
        learner.step(Batch(obs=[torch.from_numpy(leaf) for leaf in leaves]))

    def acted(one: Policy) -> list[Any]:
        with one.acting() as act:
            done = act(leaves, explore=False)
        return [*tree.leaves(done.raw), *done.state_out]

    before = acted(other)
    weights = policy.weights()
    assert all(isinstance(value, np.ndarray) for value in weights.values())
    assert {name.partition("/")[0] for name in weights} == {"model", "filter", "timestep", "version"}
    other.load_weights(weights)
    assert any((mine != theirs).any() for mine, theirs in zip(acted(policy), before, strict=True))
    for mine, theirs in zip(acted(policy), acted(other), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert other.timestep == 123
    taken = other.weights()
    assert taken.keys() == weights.keys()
    assert taken.pop("version") == 1, "it counts how often its own weights changed"
    for name, value in taken.items():
        np.testing.assert_array_equal(value, weights[name])


def test_weights_are_copies() -> None:
    policy = make()
    weights = policy.weights()
    kept = {name: value.copy() for name, value in weights.items()}
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.add_(1)
    policy.push(policy.encode(observations(30, 3)))
    for name, value in weights.items():
        np.testing.assert_array_equal(value, kept[name])


def test_loading_weights_reaches_siblings_and_restoring_a_state_does_not() -> None:
    policy, other = make(), make(5)
    target = policy.sibling()
    before = {name: value.clone() for name, value in target.model.state_dict().items()}
    policy.load_state(other.state())
    for name, value in target.model.state_dict().items():
        assert torch.equal(value, before[name])
    policy.load_weights(other.weights())
    for name, value in target.model.state_dict().items():
        assert torch.equal(value, other.model.state_dict()[name])
