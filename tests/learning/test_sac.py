"""What SAC has to learn, and how well; see `test_learning.py`. Choices and numbers are learnt by PPO as well."""

from __future__ import annotations

from typing import Any

import pytest

from anyspace import PPO, SAC
from tests.learning.record import made, seeds
from tests.learning.test_dqn import EVALUATED, best_learnt
from tests.learning.test_learning import learnt, return_with_leaf_zeroed
from tests.support.tasks import Crane


@pytest.mark.learning
@seeds(*range(3))
def test_pendulum_with_sac(seed: int) -> None:
    assert learnt(made(SAC, "Pendulum-v1", seed=seed), 15_000) >= -200


@pytest.mark.learning
@seeds(*range(3))
def test_mountain_car_with_sac(seed: int) -> None:
    algorithm = made(SAC, "MountainCarContinuous-v0", {**EVALUATED, "evaluate_every": 2000}, seed=seed)
    assert best_learnt(algorithm, 50_000, 93) >= 90


@pytest.mark.learning
@seeds(*range(3))
def test_cartpole_with_sac(seed: int) -> None:
    assert best_learnt(made(SAC, "CartPole-v1", EVALUATED, seed=seed), 100_000, 500) >= 475


CRANE: dict[Any, tuple[dict[str, Any], int]] = {
    SAC: ({"gamma": 0.9, "target_entropy": {"discrete": 0.1, "continuous": -2.0}, "td_error_loss_fn": "mse"}, 60_000),
    # Without a bonus for choices at first, one of twelve hooks is never tried again.
    PPO: ({"gamma": 0.9, "entropy_coeff_schedule": [[0, 0.05], [300_000, 0.0]]}, 300_000),
}
"""By algorithm: settings beside its preset, and environment steps."""


@pytest.mark.learning
@pytest.mark.parametrize("kind", CRANE)
@seeds(*range(3))
def test_choices_and_numbers_are_learnt_together(kind: Any, seed: int) -> None:
    settings, steps = CRANE[kind]
    algorithm = made(kind, Crane, {**settings, **EVALUATED}, seed=seed)
    assert best_learnt(algorithm, steps, 0.97 * Crane.best_return()) >= 0.95 * Crane.best_return()
    for position, leaf in enumerate(algorithm.policy.encode.specs):
        assert return_with_leaf_zeroed(algorithm, Crane(), position) < 0.7 * Crane.best_return(), leaf.place()
