"""Spaces of classes of their own, and parts that are left out, from the environment to the checkpoint and back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Tuple
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from anyspace import PPO, Algorithm
from anyspace.errors import CheckpointError, ConfigError, UnsupportedSpaceError
from anyspace.models import TorchModelV2
from anyspace.models.torch.fcnet import FullyConnectedNetwork
from anyspace.spaces import Words
from anyspace.spaces.kinds import registered
from tests.support.missions import Corridor
from tests.support.own_spaces import Draws, Everywhere, as_before, register_hand, register_text

TINY = {"train_batch_size": 32, "minibatch_size": 16, "num_epochs": 1, "num_envs_per_env_runner": 2, "seed": 0}


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    with as_before():
        yield


def acted(algorithm: Algorithm[Any], obs: Any) -> Any:
    found = algorithm.compute_single_action(obs)
    return found[0] if algorithm.policy.views.remembers else found


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"model": {"use_lstm": True}},
        {"vectorization": "async", "observation_filter": "MeanStdFilter"},
        {"_disable_preprocessor_api": True},
        {"ignore": ['obs["mission"]', 'obs["held"][1]']},
    ],
    ids=["plain", "lstm", "async and filter", "no preprocessing", "ignoring"],
)
def test_own_spaces_train_act_and_come_back_from_checkpoints(config: dict[str, Any], tmp_path: Path) -> None:
    register_text()
    register_hand()
    env = Everywhere()
    obs, _ = env.reset(seed=1)
    algorithm = PPO(Everywhere, config={**TINY, **config})
    algorithm.train()
    assert algorithm.evaluate(2)["episode_len_mean"] == 5
    action = acted(algorithm, obs)
    assert env.action_space.contains(action)
    algorithm.save(tmp_path)
    algorithm.close()
    loaded = Algorithm.load(tmp_path)
    assert acted(loaded, obs) == action
    loaded.train()
    loaded.close()


def test_a_checkpoint_of_translated_values_asks_for_the_class(tmp_path: Path) -> None:
    register_text()
    register_hand()
    algorithm = PPO(Everywhere, config=TINY)
    algorithm.save(tmp_path)
    algorithm.close()
    registered._registered.clear()
    with pytest.raises(CheckpointError, match=r"`observation_space`: .*register_space\(Hand, lambda space"):
        Algorithm.load(tmp_path)


def test_a_vector_environment_of_ones_own_has_own_spaces_too() -> None:
    register_text()
    register_hand()
    shared = Everywhere()

    class Member(Draws):
        """Gymnasium wants the spaces of all environments to be equal, which those of own classes are not."""

        def __init__(self) -> None:
            super().__init__(lambda: (shared.observation_space, shared.action_space))

    for mode in AutoresetMode:
        algorithm = PPO(SyncVectorEnv([Member, Member], autoreset_mode=mode), config=TINY)
        algorithm.train()
        assert algorithm.counters.episodes_total >= 4
        algorithm.close()


def test_unknown_classes_are_refused_with_both_doors() -> None:
    register_hand()
    for envs in (1, 2):
        with pytest.raises(UnsupportedSpaceError) as caught:
            PPO(Everywhere, config={**TINY, "num_envs_per_env_runner": envs})
        lines = str(caught.value).splitlines()
        assert lines[0].startswith('obs["mission"]: no encoding for observations of Mission, a class of ')
        assert lines[1] == "    anyspace.register_space(Mission, lambda space: gymnasium.spaces.Text(max_length=100))"
        assert lines[3] == """    ignore=['obs["mission"]']    (on the command line: --ignore 'obs["mission"]')"""
    registered._registered.clear()
    register_text()
    with pytest.raises(UnsupportedSpaceError, match=r"""ignore=\['obs\["held"\]\[1\]'\]"""):
        PPO(Everywhere, config=TINY)
    with pytest.raises(UnsupportedSpaceError, match=r"""action\["play"\]: no decoding for actions of Hand"""):
        PPO(Everywhere, config={**TINY, "ignore": ['obs["held"]']})


class Shown(FullyConnectedNetwork):
    """Keeps what it was shown."""

    def __init__(self, obs_space: Any, *arguments: Any, **keywords: Any) -> None:
        super().__init__(obs_space, *arguments, **keywords)
        self.original = obs_space.original_space

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        self.seen = input_dict["obs"]
        return super().forward(input_dict, state, seq_lens)


def parts() -> tuple[gym.Space[Any], gym.Space[Any]]:
    at = Tuple((Discrete(3), Box(0, 1, (2,)), Discrete(2)))
    return Dict(at=at, more=Dict(x=Box(0, 1, (1,)), y=Discrete(2)), text=Box(0, 1, (3,))), Discrete(2)


def test_ignored_parts_are_nowhere(tmp_path: Path) -> None:
    config = {**TINY, "ignore": ['obs["text"]', 'obs["at"][1]', 'obs["more"]["y"]'], "model": {"custom_model": Shown}}
    algorithm = PPO(lambda: Draws(parts), config=config)
    policy, model = algorithm.policy, algorithm.policy.model
    assert isinstance(model, Shown)
    assert isinstance(model, TorchModelV2)
    assert [spec.place() for spec in policy.encode.specs] == ['obs["at"][0]', 'obs["at"][2]', 'obs["more"]["x"]']
    assert model.original == Dict(at=Tuple((Discrete(3), Tuple(()), Discrete(2))), more=Dict(x=Box(0, 1, (1,))))
    algorithm.train()
    assert model.seen.keys() == {"at", "more"}
    assert model.seen["at"][1] == []
    assert model.seen["more"].keys() == {"x"}

    obs, _ = Draws(parts).reset(seed=3)
    action = algorithm.compute_single_action(obs)
    without = {"at": (obs["at"][0], obs["at"][2]), "more": {"x": obs["more"]["x"]}}
    assert algorithm.compute_single_action(without) == action
    stacked = {"at": (np.array([1, 0]), np.array([0, 1])), "more": {"x": np.zeros((2, 1), np.float32)}}
    assert len(algorithm.compute_actions(stacked)) == 2
    algorithm.save(tmp_path)
    loaded = Algorithm.load(tmp_path, env=lambda: Draws(parts))
    assert loaded.compute_single_action(obs) == action
    assert loaded.evaluate(1)["episode_len_mean"] == 5
    with pytest.raises(CheckpointError, match="the observation space of"):
        Algorithm.load(tmp_path, env=lambda: Draws(parts), config={"ignore": []})


def test_what_a_part_holds_does_not_matter_once_it_is_ignored() -> None:
    class Faulty(Draws):
        def reset(self, **keywords: Any) -> Any:
            return {**super().reset(**keywords)[0], "text": object()}, {}

        def step(self, action: Any) -> Any:
            obs, *rest = super().step(action)
            return {key: value for key, value in obs.items() if key != "text"}, *rest

    for vectorization in ("sync", "async"):
        algorithm = PPO(
            lambda: Faulty(parts), config={**TINY, "ignore": ['obs["text"]'], "vectorization": vectorization}
        )
        algorithm.train()
        algorithm.close()


def test_a_mask_can_be_ignored() -> None:
    def spaces() -> tuple[gym.Space[Any], gym.Space[Any]]:
        return Dict(action_mask=Box(0, 1, (2,), np.int8), x=Box(0, 1, (2,))), Discrete(2)

    algorithm = PPO(lambda: Draws(spaces), config={**TINY, "ignore": ['obs["action_mask"]']})
    algorithm.train()
    assert not algorithm.policy.masking.positions


def test_unknown_parts_are_refused_before_training() -> None:
    with pytest.raises(ConfigError, match=r"""names 'obs\["txt"\]'.*Did you mean.*The parts are obs\["at"\]"""):
        PPO(lambda: Draws(parts), config={**TINY, "ignore": ['obs["txt"]']})
    with pytest.raises(ConfigError, match="leaves nothing of the observation"):
        PPO(lambda: Draws(parts), config={**TINY, "ignore": ['obs["at"]', 'obs["more"]', 'obs["text"]']})


class Angles(Box):
    """A Box that equals only its like."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Angles) and super().__eq__(other)

    __hash__ = None  # type: ignore[assignment]


class Pair(Dict):
    """A Dict by another name."""


def test_subclasses_of_built_in_spaces_are_what_their_bases_are(tmp_path: Path) -> None:
    def spaces() -> tuple[gym.Space[Any], gym.Space[Any]]:
        return Pair(a=Angles(-1, 1, (2,)), b=Discrete(2)), Angles(-2, 2, (1,))

    algorithm = PPO(lambda: Draws(spaces), config=TINY)
    algorithm.train()
    algorithm.save(tmp_path)
    loaded = Algorithm.load(tmp_path, env=lambda: Draws(spaces))
    loaded.train()
    algorithm.load_weights(tmp_path)
    with pytest.raises(CheckpointError, match="the action space of"):
        Algorithm.load(tmp_path, env=lambda: Draws(lambda: (spaces()[0], Angles(-3, 3, (1,)))))


def test_minigrid_trains_as_it_is(tmp_path: Path) -> None:
    algorithm = PPO(Corridor, preset="auto", train_batch_size=64, minibatch_size=32, num_epochs=1, seed=0)
    assert algorithm.policy.observation_space["mission"] == Words(["go to the green goal red"], 5)
    algorithm.train()
    algorithm.save(tmp_path)
    obs, _ = Corridor().reset()
    assert Algorithm.load(tmp_path).compute_single_action(obs) == algorithm.compute_single_action(obs)


@pytest.mark.parametrize("name", ["MiniGrid-Empty-5x5-v0", "minigrid:MiniGrid-Empty-5x5-v0", "BabyAI-GoToLocal-v0"])
def test_the_real_minigrid_trains_as_it_is(name: str) -> None:
    pytest.importorskip("minigrid")
    algorithm = PPO(name, preset="auto", train_batch_size=64, minibatch_size=32, num_epochs=1, seed=0)
    assert algorithm.train()["timesteps_total"] >= 64
    algorithm.close()


# ------------------------------------------------------------------------------------------ endless


def test_an_environment_without_an_end_neither_hangs_nor_stays_unsaid(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anyspace.data.endless.LONG_EPISODE", 100)

    class Endless(Draws):
        def __init__(self) -> None:
            super().__init__(lambda: (Box(-1, 1, (2,)), Discrete(2)), length=10**9)

    config = {"train_batch_size": 60, "minibatch_size": 30, "num_epochs": 1, "seed": 0, "evaluate_every": 60}
    algorithm = PPO(
        Endless, config={**config, "evaluation_max_episode_steps": 50, "evaluation_episodes": 3}, preset="none"
    )
    with caplog.at_level(logging.WARNING, "anyspace"):
        evaluation = algorithm.train()["evaluation"]
    assert evaluation["episodes"] == evaluation["episodes_cut"] == 3
    assert evaluation["episode_return_mean"] == evaluation["episode_len_mean"] == 50
    assert [record.message for record in caplog.records] == [
        message for message in caplog.messages if "3 of 3 evaluation episodes had not ended after 50 steps" in message
    ]
    with caplog.at_level(logging.WARNING, "anyspace"):
        algorithm.train()
        algorithm.train()
    told = [message for message in caplog.messages if "Training goes on" in message]
    assert len(told) == 1
    assert told[0].startswith("Endless: an episode has not ended after 120 steps.")
    assert "max_episode_steps=1000" in told[0]
    assert sum("evaluation episodes" in message for message in caplog.messages) == 1
