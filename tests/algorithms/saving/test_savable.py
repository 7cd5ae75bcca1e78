"""What a checkpoint could not give back is refused when an algorithm is made, by its place, type and what to do."""

from __future__ import annotations

import datetime
import functools
import logging
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from anyspace import PPO, Algorithm
from anyspace.errors import CheckpointError, ConfigError
from anyspace.models import FullyConnectedNetwork
from tests.support.tasks import Countdown

SMALL: dict[str, Any] = {
    "train_batch_size": 8,
    "minibatch_size": 8,
    "num_epochs": 1,
    "seed": 0,
    "model": {"fcnet_hiddens": [4]},
}


class Tagged(FullyConnectedNetwork):
    """Takes any settings, and keeps them."""

    def __init__(self, obs_space: Any, action_space: Any, num_outputs: Any, model_config: Any, name: str, **given: Any):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.given = given


class Noted(Countdown):
    """Takes any settings."""

    def __init__(self, **given: Any):
        super().__init__()
        self.given = given


class Odd(spaces.Box):
    """A space of a user's own."""

    def __init__(self) -> None:
        super().__init__(0, 1, (2,))
        self.more = 3


def holding_itself() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(250):
        value = [value]
    return value


UNSAVABLE: dict[str, Any] = {
    "object": object(),
    "lock": threading.Lock(),
    "open file": open(__file__),  # noqa: SIM115
    "random source": np.random.default_rng(0),
    "tensor": torch.zeros(2),
    "dtype of torch": torch.float32,
    "date": datetime.date(2020, 1, 1),
    "array of objects": np.array([None, {}], object),
    "default dict": defaultdict(list),
    "list of a class of its own": type("Odd", (list,), {})(),
    "space of a class of its own": Odd(),
    "space with such a space": spaces.Dict(a=Odd()),
    "holds itself": holding_itself(),
    "too deep": deep(),
    "enormous number": 10**5000,
}


@pytest.mark.parametrize("key", ["env_config", "custom_model_config"])
@pytest.mark.parametrize("kind", UNSAVABLE)
def test_values_that_cannot_be_given_back_are_refused_before_training(kind: str, key: str) -> None:
    value = {"here": {3: UNSAVABLE[kind]}}
    config = {"env_config": value} if key == "env_config" else {"model": {"custom_model": Tagged, key: value}}
    with pytest.raises(ConfigError) as caught:
        PPO(Noted, SMALL, **config)
    message = str(caught.value)
    place = key if key == "env_config" else f"model.{key}"
    if "deep" in kind or "itself" in kind:
        assert message.startswith(f"config key `{place}` is of type dict")
        assert "nested" in message
    else:
        assert message.startswith(f'config key `{place}["here"][3]')
    assert "which a checkpoint cannot hold and give back" in message
    assert "Give numbers, texts" in message


def test_nothing_is_made_of_an_environment_before_its_settings_are_tried() -> None:
    with pytest.raises(ConfigError, match="env_config"):
        PPO("CartPole-v1", SMALL, env_config={"x": object()}).train()


EVERY: dict[str, Any] = {
    "space": spaces.Dict(a=spaces.Discrete(3), b=spaces.Box(-1, np.inf, (2,))),
    "tuple": (1, (2, "a")),
    "numbers": {1: "a", 2.5: (None, float("inf")), (1, 2): np.float32(3)},
    "arrays": [np.arange(3), np.zeros((2, 2), np.float16)],
    "path": Path("a/b"),
    "set": {1, 2},
    "bytes": b"\x00",
    "class": nn.Tanh,
    "function": len,
}


def test_everything_else_comes_back_equal_and_of_its_type(tmp_path: Path) -> None:
    algorithm = PPO(Noted, SMALL, env_config=EVERY, model={"custom_model": Tagged, "custom_model_config": EVERY})
    algorithm.save(tmp_path)
    loaded = Algorithm.load(tmp_path)
    for given in (loaded.config.env_config, loaded.config.model.custom_model_config, loaded.policy.model.given):
        assert repr(given) == repr(EVERY)
        assert given["tuple"] == EVERY["tuple"]
        assert type(given["numbers"][1, 2]) is np.float32
    assert loaded.train()["training_iteration"] == 1


# ----------------------------------------------------------------------------------- code without a name


def without_names() -> dict[str, Any]:
    class Local(Tagged):
        pass

    def wrapper(env: Any) -> Any:
        return gym.Wrapper(env)

    return {
        "env": lambda **given: Noted(**given),
        "wrappers": [functools.partial(gym.wrappers.TimeLimit, max_episode_steps=3), wrapper],
        "env_config": {"reward": lambda x: x, "size": 5, "nested": {"f": Countdown().reset, "n": (1, 2)}},
        "model": {"custom_model": Local, "custom_model_config": {"build": functools.partial(nn.Linear, 2), "width": 8}},
    }


def test_code_without_a_name_trains_saves_and_is_asked_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    given = without_names()
    with caplog.at_level(logging.INFO, "anyspace"):
        algorithm = PPO(config={**SMALL, **given, "model": {**SMALL["model"], **given["model"]}}, preset="none")
        algorithm.train()
        assert not caplog.records
        algorithm.save(tmp_path)
        algorithm.save(tmp_path)
    (record,) = caplog.records
    said = record.getMessage()
    for place in ("env (<lambda>)", "wrappers[0] (", 'env_config["reward"] (', "model.custom_model (", '["build"] ('):
        assert place in said
    assert "Loading will ask for it" in said

    with pytest.raises(CheckpointError) as caught:
        Algorithm.load(tmp_path)
    message = str(caught.value)
    for line in (
        "env: <lambda>, which",
        'env_config["nested"]["f"]: Countdown.reset of ',
        "wrappers[1]: without_names",
    ):
        assert f"  {line}" in message
    assert "trust" not in message
    assert "Hand over what it needs:" in message
    with pytest.raises(CheckpointError, match="which cannot be imported by a name"):
        Algorithm.load(tmp_path, trust=True)

    handed = {
        "wrappers": given["wrappers"],
        "env_config": {"reward": given["env_config"]["reward"], "nested": {"f": given["env_config"]["nested"]["f"]}},
        "model": {"custom_model": given["model"]["custom_model"], "custom_model_config": {"build": nn.Linear}},
    }
    loaded = Algorithm.load(tmp_path, env=given["env"], config=handed)
    assert loaded.config.env_config == given["env_config"], "what is recorded beside the code stays"
    assert loaded.config.model.custom_model_config == {"build": nn.Linear, "width": 8}
    assert loaded.train()["training_iteration"] == 2


def test_a_dict_that_needs_no_code_is_replaced(tmp_path: Path) -> None:
    PPO(Noted, SMALL, env_config={"a": 1, "b": {"c": 2}}).save(tmp_path)
    assert Algorithm.load(tmp_path, env_config={"b": {"d": 3}}).config.env_config == {"b": {"d": 3}}
    PPO(Noted, SMALL, env_config={"a": 1, "f": lambda: 1, "g": lambda: 2}).save(tmp_path)
    assert Algorithm.load(tmp_path, env_config={"x": 1}).config.env_config == {"x": 1}
    with pytest.raises(CheckpointError, match=r'env_config\["f"\]'):
        Algorithm.load(tmp_path, lr=0.1)
    filled = Algorithm.load(tmp_path, config={"env_config": {"f": 1}}, env_config={"f": 2, "g": 3})
    assert filled.config.env_config == {"a": 1, "f": 2, "g": 3}


def test_a_dict_whose_code_is_trusted_is_replaced(tmp_path: Path) -> None:
    PPO(Noted, SMALL, env_config={"a": 1, "f": len}).save(tmp_path)
    assert Algorithm.load(tmp_path, trust=True).config.env_config == {"a": 1, "f": len}
    assert Algorithm.load(tmp_path, trust=True, env_config={"f": 2}).config.env_config == {"f": 2}


def test_a_local_environment_is_no_obstacle_to_acting(tmp_path: Path) -> None:
    PPO(lambda: Countdown(), SMALL).save(tmp_path)
    loaded = Algorithm.load(tmp_path)
    assert loaded.compute_single_action(1) in (0, 1)
    with pytest.raises(ConfigError, match=r"Algorithm\.load\(path, env=\.\.\.\)"):
        loaded.train()


def test_classes_of_a_script_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Countdown, "__module__", "__main__")
    PPO(Countdown, SMALL, model={"custom_model": type("Mine", (Tagged,), {"__module__": "__main__"})}).save(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        Algorithm.load(tmp_path)
    assert "model.custom_model: Mine of __main__, which cannot be imported by a name" in str(caught.value)
    assert f"Algorithm.load({str(tmp_path)!r}, env=Countdown" in str(caught.value)
    loaded = Algorithm.load(tmp_path, env=Countdown, config={"model": {"custom_model": Tagged}})
    assert loaded.train()["training_iteration"] == 1
