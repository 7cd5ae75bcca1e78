import numpy as np
import pytest
import torch

from anyspace.maths.q_values import dueling, expected_values
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
