"""How well PG, A2C, IMPALA and APPO learn with what they start from by themselves; see `test_learning.py`."""

from __future__ import annotations

from typing import Any

import pytest

from anyspace import A2C, APPO, IMPALA, PG
from tests.learning.record import made, seeds
from tests.learning.test_learning import learnt

GOALS: dict[Any, tuple[int, float]] = {
    A2C: (500_000, 475),
    IMPALA: (300_000, 475),
    APPO: (300_000, 475),
    PG: (1_000_000, 400),
}
"""By algorithm: environment steps, and the return that they have to bring."""


@pytest.mark.learning
@seeds(*range(3))
@pytest.mark.parametrize("kind", GOALS)
def test_cartpole_by_the_policy_gradient(kind: Any, seed: int) -> None:
    steps, goal = GOALS[kind]
    assert learnt(made(kind, "CartPole-v1", seed=seed), steps) >= goal
