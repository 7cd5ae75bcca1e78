"""Environments of other packages, where they are installed."""

from __future__ import annotations

import logging
import re
from typing import Any

import numpy as np
import pytest

from anyspace import PPO
from anyspace.data.environments import EnvSpec
from anyspace.data.rendering import pictured
from anyspace.errors import EnvironmentSetupError

SMALL = {"train_batch_size": 64, "minibatch_size": 32, "num_epochs": 1, "num_envs_per_env_runner": 2, "seed": 0}


@pytest.mark.filterwarnings("ignore")
def test_lunar_lander_leaves_the_box_that_it_declares(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("Box2D")
    for seed in range(4):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "anyspace"):
            assert PPO("LunarLander-v3", preset="none", seed=seed).evaluate(3)["episodes"] == 3
        if caplog.messages:
            break
    (told,) = caplog.messages
    assert re.match(r"evaluation step \d+, environment \d: obs: expected a value in \[.*\], got .* at component", told)


@pytest.mark.filterwarnings("ignore")
def test_bipedal_walker_trains() -> None:
    pytest.importorskip("Box2D")
    algo = PPO("BipedalWalker-v3", SMALL, preset="none")
    assert algo.train()["timesteps_total"] == 64
    assert algo.evaluate(1)["episodes"] == 1


@pytest.mark.filterwarnings("ignore")
def test_mo_gymnasium() -> None:
    mo: Any = pytest.importorskip("mo_gymnasium")
    with pytest.raises(EnvironmentSetupError, match=r"step 1, environment 0: DeepSeaTreasure.*LinearReward"):
        PPO("mo_gymnasium:deep-sea-treasure-v0", SMALL).train()

    def weighed() -> Any:
        return mo.wrappers.LinearReward(mo.make("deep-sea-treasure-v0"), weight=np.array([0.5, 0.5]))

    assert PPO(weighed, SMALL).train()["timesteps_total"] == 64


@pytest.mark.parametrize(
    ("name", "settings", "camera"),
    [
        ("Hopper-v5", {}, "track"),
        ("HalfCheetah-v5", {}, "track"),
        ("HalfCheetah-v5", {"camera_id": -1}, None),
        ("InvertedPendulum-v5", {}, None),
    ],
)
def test_the_camera_of_a_film_follows_a_robot(name: str, settings: dict[str, Any], camera: str | None) -> None:
    pytest.importorskip("mujoco")
    spec = pictured(EnvSpec(name, settings))
    assert spec.env_config == {**settings, "render_mode": "rgb_array", **({"camera_name": camera} if camera else {})}
    spec.make().close()
