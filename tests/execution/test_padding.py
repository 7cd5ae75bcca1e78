"""Rows that are repeated up to a fixed number, and do not count, change nothing; statistics of a batch forbid them."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import pytest
import torch

from anyspace import PPO
from anyspace.algorithms.on_policy import minibatches
from anyspace.execution.torch_learner import TorchLearner
from anyspace.policy.batch import Batch
from anyspace.policy.sequences import Sequences
from tests.support.hashes import PPO_CASES, SETTINGS

TERMS = {"vf_clip_param": 0.5, "entropy_coeff": 0.05, "kl_coeff": 0.7, "grad_clip": 0.1, "lr": 1e-2}
"""Every term of the loss, and clipping: all of them reduce over rows."""


def trained(case: str, **settings: Any) -> PPO:
    """Return an algorithm whose weights, filter and moments have moved."""
    env, own = PPO_CASES[case]
    algorithm = PPO(env, {**SETTINGS, **own, **TERMS, **settings}, preset="none")
    algorithm.train()
    return algorithm


def rows_of(algorithm: PPO) -> Batch:
    """Return the rows of one more trajectory, after which the weights have moved: no ratio is 1, no divergence 0."""
    updates = algorithm.updates(algorithm.policy, algorithm.fleet.gather(128))
    steps = next(updates)
    algorithm.learner.steps(steps)
    return steps.rows


def padded(batch: Batch, size: int) -> Batch:
    """Return a batch of ``size`` rows, the first ones of ``batch`` repeated as often as it takes."""
    count = len(batch["advantages"])
    longer = batch.take(torch.arange(size) % count)
    longer["counted"] = (torch.arange(size) < count).float()
    return longer


def outcome(algorithm: PPO, batch: Batch) -> dict[str, Any]:
    """Return what a step makes of a batch: loss and metrics, gradients, moments, weights. Nothing of it is kept."""
    learner, policy = algorithm.learner, algorithm.policy
    assert isinstance(learner, TorchLearner)
    before, moments = policy.state(), learner.state()
    losses = algorithm.losses(policy, batch)
    parameters = dict(policy.model.named_parameters())
    gradients = torch.autograd.grad(losses.by_group["policy"], list(parameters.values()))
    metrics = learner.step(batch).metrics
    found = {f"gradient {name}": value.numpy() for name, value in zip(parameters, gradients, strict=True)}
    found |= {f"metric {name}": np.asarray(float(value)) for name, value in metrics.items()}
    found |= {f"moment {name}": value for name, value in learner.state().items()}
    found |= {f"weight {name}": value for name, value in policy.weights().items()}
    policy.load_state(before)
    learner.load_state(moments)
    return found


@pytest.mark.parametrize(("count", "size"), [(37, 64), (20, 64), (2, 32)])
@pytest.mark.parametrize("case", ["dense", "separate value net", "continuous", "masked", "filtered"])
def test_rows_that_do_not_count_change_nothing(case: str, count: int, size: int) -> None:
    with closing(trained(case)) as algorithm:
        batch = rows_of(algorithm).take(torch.arange(count) * 3)
        assert (batch.mask is not None) == (case == "masked")
        plain, longer = (outcome(algorithm, one) for one in (batch, padded(batch, size)))
        again = outcome(algorithm, batch)
    assert plain.keys() == longer.keys()
    assert {"metric total_loss", "metric vf_loss", "metric kl", "metric grad_norm"} <= plain.keys()
    assert plain["metric kl"] > 0
    for name, value in plain.items():
        np.testing.assert_array_equal(again[name], value, err_msg=f"{name}: nothing of a step is kept")
        # Sums of numbers that nearly cancel each other out are as exact as the largest of their tensor.
        exact = 1e-6 * float(np.abs(value).max())
        np.testing.assert_allclose(longer[name], value, rtol=1e-5, atol=exact, err_msg=name)


def test_copies_that_count_do_change_something() -> None:
    with closing(trained("dense")) as algorithm:
        batch = rows_of(algorithm).take(torch.arange(37))
        longer = padded(batch, 64)
        del longer["counted"]
        plain, other = (outcome(algorithm, one) for one in (batch, longer))
    assert not np.allclose(plain["metric total_loss"], other["metric total_loss"], rtol=1e-4)


# ------------------------------------------------------------------------------------ batch statistics


def test_copies_would_move_the_statistics_of_a_batch() -> None:
    with closing(trained("batch norm")) as algorithm:
        batch = rows_of(algorithm).take(torch.arange(37))
        plain, longer = (outcome(algorithm, one) for one in (batch, padded(batch, 64)))
    assert not np.allclose(plain["metric total_loss"], longer["metric total_loss"], rtol=1e-4)


@pytest.mark.parametrize(("case", "there"), [("batch norm", True), ("dropout", False), ("dense", False)])
def test_models_with_batch_statistics_are_known(case: str, there: bool) -> None:
    env, own = PPO_CASES[case]
    with closing(PPO(env, {**SETTINGS, **own}, preset="none")) as algorithm:
        assert algorithm.policy.runtime.has_batch_statistics(algorithm.policy.model) is there


@pytest.mark.parametrize(
    ("rows", "normed", "plain"),
    [
        (128, [32] * 4, [32] * 4),
        (100, [32, 32, 36], [32, 32, 32, 4]),
        (127, [32, 32, 63], [32, 32, 32, 31]),
        (33, [33], [33]),
        (20, [20], [20]),
    ],
)
def test_minibatches_are_whole_where_a_model_has_batch_statistics(
    rows: int, normed: list[int], plain: list[int]
) -> None:
    for case, sizes in (("batch norm", normed), ("dropout", plain)):
        env, own = PPO_CASES[case]
        with closing(PPO(env, {**SETTINGS, **own}, preset="none")) as algorithm:
            policy, learner = algorithm.policy, algorithm.learner
            steps = minibatches(policy, Batch(obs=[torch.arange(rows)]), 32, epochs=2)
            assert steps.counted.sum(axis=1).tolist() == sizes * 2
            parts = [part["obs"][0] for part in learner._batches(steps)]
        assert [len(part) for part in parts] == sizes * 2
        for epoch in (parts[: len(sizes)], parts[len(sizes) :]):
            assert sorted(torch.cat(epoch).tolist()) == list(range(rows))


def test_a_remainder_of_sequences_joins_its_neighbour_too() -> None:
    for case, sizes in (("batch norm", [4, 4, 6]), ("dropout", [4, 4, 4, 2])):
        env, own = PPO_CASES[case]
        with closing(PPO(env, {**SETTINGS, **own}, preset="none")) as algorithm:
            batch = Batch(obs=[torch.arange(14)], sequences=Sequences(np.full(7, 2), []))
            steps = minibatches(algorithm.policy, batch, 4)
            assert [len(part["obs"][0]) for part in algorithm.learner._batches(steps)] == sizes
