"""Environments of other packages, where they are installed."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from anyspace import PPO
from anyspace.errors import EnvironmentSetupError

SMALL = {"train_batch_size": 64, "minibatch_size": 32, "num_epochs": 1, "num_envs_per_env_runner": 2, "seed": 0}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["LunarLander-v3", "BipedalWalker-v3"])
def test_box2d(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Both leave the boxes that they declare."""
    pytest.importorskip("Box2D")
    algo = PPO(name, SMALL)
    with caplog.at_level(logging.WARNING, "anyspace"):
        for _ in range(3):
            algo.train()
        algo.evaluate(2)
    assert sum("outside" in message or "The number is used" in message for message in caplog.messages) <= 1


@pytest.mark.filterwarnings("ignore")
def test_mo_gymnasium() -> None:
    mo: Any = pytest.importorskip("mo_gymnasium")
    with pytest.raises(EnvironmentSetupError, match=r"step 1, environment 0: DeepSeaTreasure.* LinearReward"):
        PPO("mo_gymnasium:deep-sea-treasure-v0", SMALL).train()

    def weighed() -> Any:
        return mo.wrappers.LinearReward(mo.make("deep-sea-treasure-v0"), weight=np.array([0.5, 0.5]))

    assert PPO(weighed, SMALL).train()["timesteps_total"] == 64
