"""What `anyspace inspect` shows of a policy."""

from __future__ import annotations

import io
import re
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from rich.console import Console

from anyspace import PPO
from anyspace.execution.inspection import pipeline_tree
from anyspace.models import ModelConfig
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.config import PolicyConfig
from anyspace.policy.policy import Policy
from anyspace.spaces import spec
from tests.support.catalogue import ACTION_SPACES, OBSERVATION_SPACES

OBSERVATION = Dict(
    [
        ("cart", Dict([("speed", Box(-1, 1, (3,))), ("gear", Discrete(5, start=-1))])),
        ("hands", Tuple((MultiDiscrete([2, 4]), MultiBinary(6)))),
        (7, Box(0, 9, (2,), np.int64)),
    ]
)
ACTION = Tuple(
    (
        Dict([("turn", Box(-2, 2, (1,))), ("push", Box(-float("inf"), float("inf"), (2,)))]),
        Discrete(3, start=4),
        Discrete(2),
        Box(3, 8, (2,), np.int32),
    )
)


def shown(observation: gym.Space[Any], action: gym.Space[Any], title: str = "PPO", **config: Any) -> list[str]:
    settings = PolicyConfig(model=ModelConfig(fcnet_hiddens=[12, 8]), **config)
    return drawn(Policy(observation, action, settings, TorchRuntime("cpu")), title)


def drawn(policy: Policy, title: str = "PPO") -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=200).print(pipeline_tree(policy, title))
    return [re.sub(r"^[│├└─ ]+", "", line).rstrip() for line in stream.getvalue().splitlines()]


def test_every_leaf_of_the_observation() -> None:
    lines = shown(OBSERVATION, ACTION)
    assert lines[1:8] == [
        "observation -> preprocessor -> filter",
        'obs["cart"]["speed"]  Box(-1.0, 1.0, (3,), float32)  ->  float32 (3,)',
        'obs["cart"]["gear"]  Discrete(5, start=-1)  ->  one-hot, 5 values',
        'obs["hands"][0]  MultiDiscrete([2 4])  ->  2 one-hots, 6 values',
        'obs["hands"][1]  MultiBinary(6)  ->  float32 (6,)',
        "obs[7]  Box(0, 9, (2,), int64)  ->  float32 (2,)",
        "flat: 22 float32 values (DictFlatteningPreprocessor)",
    ]


def test_the_filter_and_its_leaves() -> None:
    filtered = [line for line in shown(OBSERVATION, ACTION, observation_filter="MeanStdFilter") if "normalised" in line]
    assert [line.split(" ")[0] for line in filtered] == ['obs["cart"]["speed"]', "obs[7]"]
    assert not any("normalised" in line for line in shown(OBSERVATION, ACTION))


def test_preprocessing_switched_off() -> None:
    lines = shown(MultiBinary(4), ACTION, preprocessor_pref=None)
    assert "obs  MultiBinary(4)  ->  int8 (4,)" in lines
    assert "preprocessing is off: the model sees the structure as it is" in lines
    assert not any(line.startswith("flat") for line in lines)


def test_every_layer_and_the_number_of_parameters() -> None:
    lines = shown(Box(-1, 1, (5,)), Discrete(3))
    first = lines.index(next(line for line in lines if line.startswith("model ")))
    layers = lines[first + 1 : lines.index(next(line for line in lines if line.startswith("distribution ")))]
    counts = [int(re.search(r"([\d,]+) parameters$", line).group(1).replace(",", "")) for line in layers]  # type: ignore[union-attr]
    # Shared layers of 12 and 8, then 3 logits and a value.
    assert sorted(counts) == sorted([5 * 12 + 12, 12 * 8 + 8, 8 * 3 + 3, 8 + 1])
    assert f"FullyConnectedNetwork, {sum(counts)} parameters, torch on cpu" in lines[first]
    assert all("Linear" in line and "weight" in line for line in layers)


def test_every_distribution_and_action() -> None:
    lines = shown(OBSERVATION, ACTION)
    start = lines.index("distribution MultiActionDistribution, takes 23 model outputs")
    assert lines[start + 1 :] == [
        'action[0]["turn"]  DiagGaussian',
        'action[0]["push"]  DiagGaussian',
        "action[1]  Categorical",
        "action[2]  Categorical",
        "action[3]  MultiCategorical",
        "action -> environment",
        'action[0]["turn"]  Box(-2.0, 2.0, (1,), float32)  <-  scaled from [-1, 1] to the bounds, clipped',
        'action[0]["push"]  Box(-inf, inf, (2,), float32)  <-  clipped',
        "action[1]  Discrete(3, start=4)  <-  index, start added",
        "action[2]  Discrete(2)  <-  index",
        "action[3]  Box(3, 8, (2,), int32)  <-  index, low added",
    ]


@pytest.mark.parametrize(
    ("config", "origin"),
    [
        ({}, "scaled from [-1, 1] to the bounds, clipped"),
        ({"normalize_actions": False, "clip_actions": True}, "clipped"),
        ({"normalize_actions": False}, "as sampled"),
    ],
)
def test_how_an_action_comes_about(config: dict[str, Any], origin: str) -> None:
    lines = shown(Box(-1, 1, (1,)), Box(-2, 2, (1,)), **config)
    assert lines[-1] == f"action  Box(-2.0, 2.0, (1,), float32)  <-  {origin}"
    assert "distribution DiagGaussian, takes 2 model outputs" in lines


def test_names_that_look_like_markup() -> None:
    lines = shown(Dict({"[red]:cat:": Discrete(2)}), Dict({"[/]": Discrete(2)}), title="PPO on [bold]x[/y]")
    assert lines[0] == "PPO on [bold]x[/y]"
    assert any(line.startswith('obs["[red]:cat:"]  Discrete(2)') for line in lines)
    assert any(line.startswith('action["[/]"]  Categorical') for line in lines)


@pytest.mark.parametrize("name", ACTION_SPACES)
def test_any_action_space(name: str) -> None:
    lines = shown(Discrete(2), ACTION_SPACES[name])
    assert lines.count("action -> environment") == 1
    assert sum("  <-  " in line for line in lines) == len(leaves(ACTION_SPACES[name]))


@pytest.mark.parametrize("name", OBSERVATION_SPACES)
def test_any_observation_space(name: str) -> None:
    lines = shown(OBSERVATION_SPACES[name], Discrete(2))
    text = "\n".join(lines)
    assert text.count("  ->  ") == len(spec(OBSERVATION_SPACES[name]))
    assert all(f"\n{leaf.place()}  " in text for leaf in spec(OBSERVATION_SPACES[name]))


def leaves(space: gym.Space[Any]) -> list[gym.Space[Any]]:
    if isinstance(space, Dict):
        return [leaf for child in space.spaces.values() for leaf in leaves(child)]
    if isinstance(space, Tuple):
        return [leaf for child in space.spaces for leaf in leaves(child)]
    return [space]


class Announced(gym.Env[Any, Any]):
    """Says in its infos, or by a method of a name, that everything is allowed."""

    observation_space, action_space = Box(-1, 1, (3,)), Discrete(4)

    def __init__(self, infos: bool = False, method: str | None = None):
        self.info = {"action_mask": np.ones(4)} if infos else {}
        if method is not None:
            setattr(self, method, lambda: np.ones(4))

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return np.zeros(3, np.float32), self.info

    def step(self, action: Any) -> Any:
        return np.zeros(3, np.float32), 0.0, True, False, self.info


NO_MASKS = 'masks of actions: no masks: there is no obs["action_mask"], no method action_masks() and no'


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize(
    ("env", "line"),
    [
        ({"method": "action_masks"}, "masks of actions: the environment's method action_masks(), 4 entries"),
        ({"infos": True}, "masks of actions: info['action_mask'] of the environment, 4 entries"),
        ({}, f"{NO_MASKS} info['action_mask'] after a reset"),
        ({"method": "action_mask"}, f"{NO_MASKS} info['action_mask'] after a reset"),
    ],
)
def test_where_masks_come_from_is_found_by_looking_at_the_environment(
    env: dict[str, Any], line: str, trained: bool
) -> None:
    algorithm = PPO(lambda: Announced(**env), train_batch_size=8, minibatch_size=8, num_epochs=1)
    if trained:
        algorithm.train()
    assert line in drawn(algorithm.policy)


def test_masks_of_observations_and_masks_that_cannot_be() -> None:
    space = Dict(action_mask=MultiBinary(4), x=Box(-1, 1, (3,)))
    lines = shown(space, Discrete(4))
    assert 'masks of actions: obs["action_mask"], 4 entries' in lines
    mask = 'obs["action_mask"]  MultiBinary(4)  ->  mask of the action, int8 (4,)'
    assert f"{mask}, no feature of the model" in lines
    assert "flat: 3 float32 values (NoPreprocessor)" in lines
    settings = PolicyConfig(model=ModelConfig(fcnet_hiddens=[4], mask_as_feature=True))
    lines = drawn(Policy(space, Discrete(4), settings, TorchRuntime("cpu")))
    assert f"{mask}, a feature of the model as well" in lines
    assert "flat: 7 float32 values (DictFlatteningPreprocessor)" in lines
    plain = Box(-1, 1, (3,))
    assert "masks of actions: none, for the action has no separate options" in shown(plain, Box(-1, 1, (2,)))
    assert "masks of actions: none are looked for, as `action_mask_key` is None" in shown(
        plain, Discrete(4), action_mask_key=None
    )
    assert "masks of actions: not known before the first reset" in shown(plain, Discrete(4))


def test_the_filter_of_parts_beside_a_mask() -> None:
    space = Dict([("action_mask", Box(0, 1, (4,), np.int8)), ("x", Box(-1, 1, (3,))), ("y", Discrete(2))])
    lines = shown(space, Discrete(4), observation_filter="MeanStdFilter")
    assert [line.split(" ")[0] for line in lines if "normalised" in line] == ['obs["x"]']
