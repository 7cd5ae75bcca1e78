"""Joint options of several choices."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from anyspace.maths.joint import at, expectation, joint_index, joint_log_probs, log_count
from tests.support.frameworks import Framework

COUNTS = [2, 3, 4]


def close(ours: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(ours), expected, rtol=1e-5, atol=1e-5)


def test_joint_log_probs_are_sums_in_c_order(framework: Framework) -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(5, count)) for count in COUNTS]
    found = joint_log_probs([framework.array(part) for part in parts])
    expected = parts[0][:, :, None, None] + parts[1][:, None, :, None] + parts[2][:, None, None, :]
    close(found, expected.reshape(5, 24))
    every = np.array(list(itertools.product(*map(range, COUNTS))))
    close(joint_index(framework.array(every, np.int64), COUNTS), np.arange(24))
    close(joint_index(framework.array([[1], [0]], np.int64), [2]), [1, 0])


def test_the_value_of_a_joint_option(framework: Framework) -> None:
    values = framework.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    close(at(values, framework.array([2, 0], np.int64)), [3, 4])
    close(at(values[:, :1], framework.array([0, 0], np.int64)), [1, 4])


@pytest.mark.parametrize("forbidden", [-np.inf, -3.4e38])
def test_what_a_mask_forbids_counts_for_nothing(framework: Framework, forbidden: float) -> None:
    log_probs = framework.array([[np.log(0.25), forbidden, np.log(0.75)]])
    for nonsense in (100.0, np.nan, -np.inf):
        close(expectation(log_probs, framework.array([[4.0, nonsense, 8.0]])), [7.0])
    close(expectation(log_probs, log_probs), [0.25 * np.log(0.25) + 0.75 * np.log(0.75)])
    close(log_count(log_probs), [np.log(2)])


def test_what_a_mask_forbids_has_no_gradient() -> None:
    logits = torch.tensor([[0.3, 0.1, -0.2]], requires_grad=True)
    values = torch.tensor([[4.0, np.nan, 8.0]], requires_grad=True)
    log_probs = torch.where(torch.tensor([True, False, True]), logits, -torch.inf).log_softmax(1)
    (expectation(log_probs, values) - expectation(log_probs, log_probs)).sum().backward()
    for gradient in (logits.grad, values.grad):
        assert gradient is not None
        assert torch.isfinite(gradient).all()
        assert gradient[0, 1] == 0
        assert gradient[0, [0, 2]].all()
