import numpy as np
import pytest
import torch

from anyspace.maths.branches import Branches
from anyspace.maths.q_values import (
    branched_logits,
    cross_entropy,
    dueling,
    expected_values,
    masked_values,
    mean_log_probs,
    projected,
)
from tests.support.frameworks import Framework

RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=(3, 4)).astype(np.float32)
ADVANTAGES = RNG.normal(size=(3, 5, 4)).astype(np.float32)
ALLOWED = np.array([[1, 1, 1, 1, 1], [0, 1, 0, 1, 0], [0, 0, 0, 0, 1]], bool)


def one_by_one(values: np.ndarray, advantages: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Q of each allowed action, NaN for the others."""
    q = np.full(advantages.shape, np.nan)
    for row in range(len(values)):
        for atom in range(values.shape[1]):
            there = [action for action in range(advantages.shape[1]) if allowed[row, action]]
            mean = sum(float(advantages[row, action, atom]) for action in there) / len(there)
            for action in there:
                q[row, action, atom] = values[row, atom] + advantages[row, action, atom] - mean
    return q


def test_dueling_adds_the_advantage_over_the_mean(framework: Framework) -> None:
    q = dueling(framework.array(VALUES), framework.array(ADVANTAGES))
    assert isinstance(q, framework.kind)
    np.testing.assert_allclose(np.asarray(q), one_by_one(VALUES, ADVANTAGES, np.ones((3, 5), bool)), atol=1e-6)
    np.testing.assert_allclose(np.asarray(q).mean(axis=1), VALUES, atol=1e-6)


@pytest.mark.parametrize("forbidden", [-3.4e38, -np.inf, np.nan, 7.0])
def test_dueling_leaves_out_what_is_forbidden(framework: Framework, forbidden: float) -> None:
    held = np.where(ALLOWED[..., None], ADVANTAGES, np.float32(forbidden))
    q = np.asarray(dueling(framework.array(VALUES), framework.array(held), framework.array(ALLOWED, bool)))
    assert q.dtype == np.float32
    np.testing.assert_allclose(q[ALLOWED], one_by_one(VALUES, ADVANTAGES, ALLOWED)[ALLOWED], atol=1e-6)
    # The mean over the allowed ones is V, and a forbidden one counts as an advantage of 0.
    np.testing.assert_allclose([q[row, ALLOWED[row]].mean(axis=0) for row in range(3)], VALUES, atol=1e-6)
    zeros = np.where(ALLOWED[..., None], ADVANTAGES, 0)
    expected = VALUES[:, None] - zeros.sum(1, keepdims=True) / ALLOWED.sum(1)[:, None, None]
    np.testing.assert_allclose(q[~ALLOWED], np.broadcast_to(expected, q.shape)[~ALLOWED], atol=1e-6)


def test_forbidden_actions_reach_no_gradient() -> None:
    advantages = torch.tensor(np.where(ALLOWED[..., None], ADVANTAGES, np.float32(-3.4e38)), requires_grad=True)
    q = dueling(torch.tensor(VALUES), advantages, torch.tensor(ALLOWED))
    (q**2).sum().backward()
    assert advantages.grad is not None
    assert advantages.grad.isfinite().all()
    assert not advantages.grad[~torch.tensor(ALLOWED)].any()
    assert advantages.grad[0].all()


def test_expected_values(framework: Framework) -> None:
    support = np.linspace(-2.0, 6.0, 4)
    weights = np.exp(ADVANTAGES.astype(np.float64))
    probs = weights / weights.sum(axis=-1, keepdims=True)
    expected = expected_values(framework.array(ADVANTAGES), framework.array(support))
    assert isinstance(expected, framework.kind)
    np.testing.assert_allclose(np.asarray(expected), probs @ support, atol=1e-5)
    certain = framework.array([[[0, 0, 1e4, 0]]])
    np.testing.assert_allclose(np.asarray(expected_values(certain, framework.array(support))), support[2], rtol=1e-6)


# ----------------------------------------------------------------------------------------------- branches


@pytest.mark.parametrize("masked", [False, True])
def test_each_branch_is_dueling_by_itself(framework: Framework, masked: bool) -> None:
    widths = [2, 3]
    mask = ALLOWED if masked else None
    given_mask = None if mask is None else framework.array(mask, bool)
    q = branched_logits(Branches(widths), framework.array(VALUES), framework.array(ADVANTAGES), given_mask)
    assert isinstance(q, framework.kind)
    start = 0
    for width in widths:
        part = slice(start, start + width)
        allowed = np.ones((3, width), bool) if mask is None else mask[:, part]
        allowed = np.where(allowed.any(axis=1, keepdims=True), allowed, True)
        expected = one_by_one(VALUES, ADVANTAGES[:, part], allowed)
        np.testing.assert_allclose(np.asarray(q)[:, part][allowed], expected[allowed], atol=1e-6)
        start += width


def test_without_values_advantages_are_the_values(framework: Framework) -> None:
    branches, given = Branches([2, 3]), framework.array(ADVANTAGES)
    np.testing.assert_array_equal(np.asarray(branched_logits(branches, None, given, None)), ADVANTAGES)
    masked = branched_logits(branches, None, given, framework.array(ALLOWED, bool))
    # In row 2 the first branch allows nothing, so all of it is allowed.
    allowed = ALLOWED | np.array([[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [1, 1, 0, 0, 0]], bool)
    np.testing.assert_array_equal(np.asarray(masked), np.where(allowed[..., None], ADVANTAGES, 0))
    q = np.asarray(masked_values(branches, framework.array(ADVANTAGES[..., 0]), framework.array(ALLOWED, bool)))
    np.testing.assert_array_equal(q, np.where(allowed, ADVANTAGES[..., 0], -np.inf))


def test_the_mean_of_several_distributions(framework: Framework) -> None:
    for logits in (ADVANTAGES, ADVANTAGES[:, :1], 1e4 * ADVANTAGES):
        found = mean_log_probs(framework.array(logits))
        assert isinstance(found, framework.kind)
        weights = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
        expected = (weights / weights.sum(axis=-1, keepdims=True)).mean(axis=1)
        np.testing.assert_allclose(np.exp(np.asarray(found)), expected, atol=1e-6)


# ------------------------------------------------------------------------------------------ distributions


def by_neighbours(probs: np.ndarray, returns: np.ndarray, discounts: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Algorithm 1 of the paper, atom by atom; what falls onto an atom goes there."""
    projection, step = np.zeros(probs.shape), (support[-1] - support[0]) / (len(support) - 1)
    for row in range(len(probs)):
        for atom, z in enumerate(support):
            moved = min(max(returns[row] + discounts[row] * z, support[0]), support[-1])
            place = round((moved - support[0]) / step, 9)
            low, high = int(np.floor(place)), int(np.ceil(place))
            if low == high:
                projection[row, low] += probs[row, atom]
            else:
                projection[row, low] += probs[row, atom] * (high - place)
                projection[row, high] += probs[row, atom] * (place - low)
    return projection


def test_the_projection_onto_the_support(framework: Framework) -> None:
    probs = RNG.dirichlet(np.ones(5), 6)
    returns, discounts = np.array([0.3, -1.7, 0.0, 5.0, 100.0, -100.0]), np.array([0.9, 0.5, 1.0, 0.0, 0.9, 0.9])
    support = np.linspace(-10.0, 10.0, 5)
    found = projected(*(framework.array(x) for x in (probs, returns, discounts, support)))
    assert isinstance(found, framework.kind)
    np.testing.assert_allclose(np.asarray(found), by_neighbours(probs, returns, discounts, support), atol=1e-6)
    np.testing.assert_allclose(np.asarray(found).sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.asarray(found)[2], probs[2], atol=1e-6)  # nothing moves
    np.testing.assert_allclose(np.asarray(found)[3], [0, 0, 0, 1, 0], atol=1e-6)  # a certain return of 5, an atom
    # Inside of the support means are kept.
    inside = returns[:2] + discounts[:2] * (probs[:2] @ support)
    np.testing.assert_allclose(np.asarray(found)[0] @ support, inside[0], atol=0.6)


def test_a_delta_is_fitted_as_its_projection(framework: Framework) -> None:
    delta = np.eye(5)[[3, 0]]
    support, returns, discounts = np.linspace(-10.0, 10.0, 5), np.array([1.0, 2.5]), np.array([0.9, 0.5])
    goal = projected(*(framework.array(x) for x in (delta, returns, discounts, support)))
    # 1 + 0.9 * 5 = 5.5 lies 0.1 of the way from 5 to 10, and 2.5 - 5 halfway between two atoms.
    np.testing.assert_allclose(np.asarray(goal), [[0, 0, 0, 0.9, 0.1], [0, 0.5, 0.5, 0, 0]], atol=1e-6)
    certain = framework.array(np.log(np.clip(np.asarray(goal), 1e-12, None)))
    entropy = [-(0.9 * np.log(0.9) + 0.1 * np.log(0.1)), np.log(2)]
    np.testing.assert_allclose(np.asarray(cross_entropy(goal, certain)), entropy, rtol=1e-5)


def test_evenly_spread_atoms_cost_the_logarithm_of_their_number(framework: Framework) -> None:
    goal = framework.array(RNG.dirichlet(np.ones(5), 3))
    even = mean_log_probs(framework.array(np.zeros((3, 1, 5))))
    np.testing.assert_allclose(np.asarray(cross_entropy(goal, even)), np.log(5), rtol=1e-5)
