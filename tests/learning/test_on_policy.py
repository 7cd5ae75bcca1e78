"""How well PG, A2C, IMPALA and APPO learn with what they start from by themselves: the median of three seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from anyspace import A2C, APPO, IMPALA, PG
from tests.learning.test_learning import learnt


@pytest.mark.learning
@pytest.mark.parametrize(
    ("kind", "steps", "goal"), [(A2C, 500_000, 475), (IMPALA, 300_000, 475), (APPO, 300_000, 475), (PG, 1_000_000, 400)]
)
def test_cartpole_by_the_policy_gradient(kind: type[Any], steps: int, goal: float) -> None:
    returns = [learnt(kind("CartPole-v1", preset="auto", seed=seed), steps) for seed in range(3)]
    assert np.median(returns) >= goal
