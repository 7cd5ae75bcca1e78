from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from anyspace import PPO
from anyspace.algorithms.presets import GENERAL, general_preset, named_preset, preset_names
from anyspace.algorithms.settings import preset_for
from anyspace.config import merge
from anyspace.data.environments import EnvSpec
from anyspace.errors import ConfigError
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.batch import Batch
from anyspace.policy.policy import Policy
from anyspace.spaces import Repeated

BOX = spaces.Box(-1, 1, (3,))


@pytest.mark.parametrize("name", preset_names("ppo"))
def test_every_shipped_preset_is_a_valid_configuration(name: str) -> None:
    merge(PPO.config_class(), named_preset("ppo", name).settings).validate()


@pytest.mark.parametrize(
    ("observation", "action", "expected"),
    [
        (BOX, spaces.Discrete(2), "discrete"),
        (spaces.Discrete(4), spaces.Box(0, 5, (2,), "int32"), "discrete"),
        (BOX, BOX, "continuous"),
        (spaces.Tuple([BOX, BOX]), spaces.Dict({"a": spaces.Discrete(2), "b": BOX}), "discrete"),
        (spaces.Dict({"a": spaces.Box(0, 255, (8, 8, 3), "uint8")}), BOX, "image"),
    ],
)
def test_the_general_preset_goes_by_the_spaces(observation: spaces.Space, action: spaces.Space, expected: str) -> None:
    assert general_preset("ppo", observation, action).name == expected


@pytest.mark.parametrize(
    "action",
    [BOX, spaces.MultiBinary(3), spaces.Dict(a=spaces.Discrete(3), b=BOX), spaces.Tuple([BOX, BOX])],
    ids=["box", "bits", "mixed", "boxes"],
)
def test_the_general_preset_builds_a_policy(action: spaces.Space) -> None:
    config = merge(PPO.config_class(), general_preset("ppo", BOX, action).settings)
    assert Policy(BOX, action, config, TorchRuntime("cpu")).num_outputs > 0


@pytest.mark.parametrize("action", [spaces.Discrete(2), BOX])
def test_networks_of_parts_get_a_layer_on_top(action: spaces.Space) -> None:
    flat = spaces.Dict(a=BOX, b=spaces.MultiDiscrete([2, 3]), c=spaces.Tuple([spaces.Discrete(2)]))
    assert "post_fcnet_hiddens" not in general_preset("ppo", flat, action).settings["model"]
    for part in (Repeated(BOX, 3), spaces.Sequence(BOX), spaces.OneOf([BOX, BOX]), spaces.Box(0, 1, (2, 2))):
        preset = general_preset("ppo", spaces.Dict(a=BOX, b=part), action)
        assert preset.settings["model"]["post_fcnet_hiddens"] == [64]


def test_what_parts_mean_together_can_be_learnt() -> None:
    space = spaces.Dict(a=BOX, b=Repeated(BOX, 2))
    config = merge(PPO.config_class(), general_preset("ppo", space, spaces.Discrete(2)).settings)
    policy = Policy(space, spaces.Discrete(2), merge(config, {"observation_filter": "NoFilter"}), TorchRuntime("cpu"))
    low, high = np.full(3, -0.9, np.float32), np.full(3, 0.9, np.float32)
    obs = [policy.encode.single({"a": a, "b": [b]}) for a in (low, high) for b in (low, high)]
    leaves = [torch.from_numpy(np.stack(leaf)) for leaf in zip(*obs, strict=True)]
    logits = policy.evaluate(Batch(obs=leaves), value=False).output.detach()
    # Of a sum of what each part says alone, this difference of differences is 0.
    assert (logits[0] - logits[1] - logits[2] + logits[3]).abs().max() > 1e-4


def test_a_subclass_has_the_presets_of_the_algorithm_that_it_changes() -> None:
    class Mine(PPO):
        pass

    assert Mine("CartPole-v1", preset="auto").config == PPO("CartPole-v1", preset="auto").config
    assert preset_for(Mine.__mro__, EnvSpec("CartPole-v1")).name == "CartPole-v1"


def test_a_preset_and_a_whole_configuration_are_not_mixed() -> None:
    with pytest.raises(ConfigError, match="`config` is a whole configuration"):
        PPO("CartPole-v1", PPO.config_class(lr=0.1), preset="auto")


def test_names() -> None:
    assert {"CartPole-v1", "Pendulum-v1", *GENERAL} <= set(preset_names("ppo"))
    with pytest.raises(ConfigError, match="Did you mean 'CartPole-v1'"):
        named_preset("ppo", "CartPole-v0")


def test_a_preset_lies_between_defaults_and_own_settings() -> None:
    plain, auto = PPO("CartPole-v1"), PPO("CartPole-v1", {"gamma": 0.5}, preset="auto")
    assert plain.config == PPO.config_class()
    assert auto.config.train_batch_size == named_preset("ppo", "CartPole-v1").settings["train_batch_size"]
    assert auto.config.gamma == 0.5


def test_an_environment_without_a_preset_gets_the_general_one() -> None:
    assert preset_for(PPO.__mro__, EnvSpec("Acrobot-v1")).name == "discrete"
    assert PPO("MountainCarContinuous-v0", preset="auto").config.normalize_rewards is True
