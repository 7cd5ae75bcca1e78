"""Masks that nobody reads are told, and names of masks that lead to none are refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary
from gymnasium.vector import SyncVectorEnv
from gymnasium.wrappers import DtypeObservation, FilterObservation, FlattenObservation, TimeAwareObservation, TimeLimit

from anyspace import PPO, check_env
from anyspace.data.environments import EnvSpec
from anyspace.errors import ConfigError
from tests.support.environments import Samples

SMALL: dict[str, Any] = {"train_batch_size": 8, "minibatch_size": 8, "num_epochs": 1, "seed": 0, "preset": "none"}
X, LEGAL = Box(-1, 1, (2,)), MultiBinary(4)


class Allowing(Samples):
    """Everything is allowed, for where a mask is does not matter here.

    Args:
        spaces: parts of the observation, masks among them.
        info: what every info holds.
        actions: the action space.
    """

    def __init__(self, info: Any = None, actions: Any = None, **spaces: Any):
        super().__init__(Dict(x=X, **spaces), actions or Discrete(4))
        self.info = info or {}

    def reset(self, **options: Any) -> Any:
        return super().reset(**options)[0], self.info

    def step(self, action: Any) -> Any:
        return *super().step(action)[:4], self.info


def plain() -> gym.Env[Any, Any]:
    return Allowing()


NEAR: list[tuple[str, str, Callable[[], gym.Env[Any, Any]]]] = [
    ('obs["o"]["action_mask"]', "move it to the top", lambda: Allowing(o=Dict(action_mask=LEGAL, y=X))),
    ('obs["action_masks"]', "`action_mask_key` to 'action_masks'", lambda: Allowing(action_masks=LEGAL)),
    ("info['action_masks']", "`action_mask_key` to 'action_masks'", lambda: Allowing({"action_masks": np.ones(4)})),
]


@pytest.mark.parametrize(("place", "advice", "env"), NEAR)
@pytest.mark.parametrize("vector", [False, True])
def test_what_looks_like_a_mask_is_told_once(
    place: str, advice: str, env: Any, vector: bool, caplog: pytest.LogCaptureFixture
) -> None:
    algorithm = PPO(SyncVectorEnv([env] * 2) if vector else env, **SMALL)
    algorithm.train()
    algorithm.train()
    algorithm.evaluate(1)
    (message,) = [message for message in caplog.messages if "is not read as a mask" in message]
    assert message.startswith(place)
    assert advice in message
    found = check_env(SyncVectorEnv([env] * 2) if vector else env, steps=20).findings
    assert [str(one) for one in found if "is not read" in one.what] == [f"warning, reset(): {message}"]


@pytest.mark.parametrize("env", [plain, lambda: Allowing({"step": 1, "action": 2}, mask=LEGAL), "CartPole-v1"])
def test_nothing_is_said_of_other_parts(env: Any, caplog: pytest.LogCaptureFixture) -> None:
    PPO(env, **SMALL).train()
    assert "mask" not in caplog.text


MISSING = (
    r'no mask of that name: no obs\["legall"\], no info\[\'legall\'\] after a reset and no method action_masks\(\)'
)
GIVEN: list[tuple[str, Any]] = [
    (MISSING, plain),
    (MISSING, SyncVectorEnv([plain])),
    (r'no mask of that name. obs\["legal"\] is not read .* to \'legal\'', lambda: Allowing(legal=LEGAL)),
    (r"no mask of that name. info\['legal'\] is not read .* to 'legal'", lambda: Allowing({"legal": np.ones(4)})),
    ("the action has no separate options that a mask could forbid", lambda: Allowing(actions=X)),
]


@pytest.mark.parametrize(("message", "env"), GIVEN)
def test_the_name_of_a_mask_that_is_nowhere_is_refused(message: str, env: Any) -> None:
    algorithm = PPO(env, action_mask_key="legall", **SMALL)
    with pytest.raises(ConfigError, match=f"`action_mask_key` is 'legall', but .*{message}") as caught:
        algorithm.train()
    assert not hasattr(caught.value, "__notes__")
    (error,) = check_env(EnvSpec(env, action_mask_key="legall"), steps=20).errors
    assert str(error) == f"error, reset(): {caught.value}"


def test_a_mask_that_is_not_there_is_no_feature(caplog: pytest.LogCaptureFixture) -> None:
    PPO(plain, model={"mask_as_feature": False}, **SMALL)
    PPO(lambda: Allowing(action_mask=LEGAL), model={"mask_as_feature": True}, **SMALL)
    assert not caplog.messages
    PPO(plain, model={"mask_as_feature": True}, **SMALL)
    (message,) = caplog.messages
    assert "mask_as_feature` is True, but it has no effect: the observation holds no mask" in message


def masked() -> gym.Env[Any, Any]:
    return Allowing(action_mask=LEGAL)


class WithMethod(Allowing):
    def action_masks(self) -> Any:
        return np.ones(4)


LOSING: dict[str, tuple[Any, dict[str, Any]]] = {
    "FlattenObservation": (masked, {"wrappers": [FlattenObservation]}),
    "FilterObservation": (lambda: TimeLimit(FilterObservation(masked(), ["x"]), 9), {}),
    "TimeAwareObservation": (lambda: TimeAwareObservation(TimeLimit(masked(), 9)), {"vectorization": "async"}),
    "FlattenObservation below": (
        SyncVectorEnv([lambda: DtypeObservation(FlattenObservation(masked()), np.float32)]),
        {},
    ),
    "FlattenObservation of a vector": (gym.wrappers.vector.FlattenObservation(SyncVectorEnv([masked] * 2)), {}),
}


@pytest.mark.parametrize("name", LOSING)
def test_a_wrapper_that_loses_the_mask_is_named(name: str, caplog: pytest.LogCaptureFixture) -> None:
    env, settings = LOSING[name]
    algorithm = PPO(env, **settings, **SMALL)
    algorithm.train()
    algorithm.train()
    (message,) = caplog.messages
    wrapper = name.partition(" ")[0]
    assert message.startswith(f'{wrapper} around the environment returns observations without obs["action_mask"]')
    assert str(check_env(EnvSpec(env, wrappers=settings.get("wrappers", ())), steps=20).findings[0]).endswith(message)
    caplog.clear()
    with closing(algorithm), closing(PPO(env, action_mask_key=None, **settings, **SMALL)) as unmasked:
        unmasked.train()
    assert not caplog.messages


@pytest.mark.parametrize("env", [lambda: WithMethod(action_mask=LEGAL), lambda: Allowing({"action_mask": np.ones(4)})])
def test_a_wrapper_loses_no_mask_of_methods_and_infos(env: Any, caplog: pytest.LogCaptureFixture) -> None:
    PPO(env, wrappers=[FlattenObservation], **SMALL).train()
    assert not caplog.messages
