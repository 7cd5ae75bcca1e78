from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import pytest
import torch

from anyspace import PG
from anyspace.algorithms.pg import PGConfig
from anyspace.policy.batch import Batch
from tests.support.keys import fingerprint
from tests.support.tasks import Countdown, Endless

SMALL: dict[str, Any] = {"seed": 0, "train_batch_size": 40, "lr": 1e-2, "model": {"fcnet_hiddens": [8]}}


def test_the_defaults_are_rllib_s_but_for_whole_episodes() -> None:
    config = PGConfig()
    expected = {"lr": 4e-4, "train_batch_size": 200, "gamma": 0.99, "lr_schedule": None, "grad_clip": None}
    assert {key: getattr(config, key) for key in expected} == expected
    assert (config.batch_mode, config.vf_loss_coeff, config.model.vf_share_layers) == ("complete_episodes", 0.5, False)
    assert not config._disable_preprocessor_api


def test_returns_of_whole_episodes_need_no_value() -> None:
    with closing(PG(Countdown, SMALL, env_config={"horizon": 4}, gamma=0.5, preset="none")) as algorithm:
        trajectory = algorithm.fleet.gather(40)
    batch = next(algorithm.updates(algorithm.policy, trajectory))
    np.testing.assert_allclose(batch["advantages"], [1.875, 1.75, 1.5, 1.0] * 10, rtol=1e-6)


def test_time_limits_are_completed_by_the_value() -> None:
    """An endless reward of 1, cut after a time limit, is worth 1 / (1 - gamma) at every step."""
    with closing(PG(Endless, SMALL, gamma=0.5, preset="none")) as algorithm:
        for _ in range(80):
            result = algorithm.train()
        trajectory = algorithm.fleet.gather(40)
    assert trajectory.truncated.any()
    assert not trajectory.terminated.any()
    batch = next(algorithm.updates(algorithm.policy, trajectory))
    np.testing.assert_allclose(batch["advantages"], 2.0, rtol=0.05)
    assert result["learner"]["vf_loss"] < 0.01


def test_without_a_value_loss_returns_end_where_an_episode_is_cut() -> None:
    with closing(PG(Endless, SMALL, gamma=0.5, vf_loss_coeff=0.0, preset="none")) as algorithm:
        trajectory = algorithm.fleet.gather(40)
        batch = next(algorithm.updates(algorithm.policy, trajectory))
        cut = trajectory.truncated[trajectory.valid]
        np.testing.assert_array_equal(batch["advantages"][torch.from_numpy(cut)], 1.0)
        assert "vf_loss" not in algorithm.train()["learner"]


def test_the_value_leaves_the_policy_s_gradient_alone() -> None:
    """With layers of its own, the value changes returns only where episodes are cut."""
    found = []
    for weight in (0.0, 0.5):
        algorithm = PG(Countdown, SMALL, vf_loss_coeff=weight, preset="none")
        with closing(algorithm):
            batch: Batch = next(algorithm.updates(algorithm.policy, algorithm.fleet.gather(40)))
        (loss,) = algorithm.losses(algorithm.policy, batch).by_group.values()
        model: Any = algorithm.policy.model
        parameters = [one for name, one in model.named_parameters() if not name.startswith("value")]
        found.append(torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, parameters)]))
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize(
    ("key", "first", "second"),
    [
        ("batch_mode", "truncate_episodes", "complete_episodes"),
        ("lr", 1e-3, 1e-2),
        ("train_batch_size", 20, 40),
        ("vf_loss_coeff", 0.1, 1.0),
        ("gamma", 0.5, 0.9),
        ("grad_clip", None, 0.01),
    ],
)
def test_a_key_has_an_effect(key: str, first: Any, second: Any) -> None:
    found = [fingerprint(PG, "CartPole-v1", {**SMALL, key: value}) for value in (first, second)]
    assert found[0] != found[1]
