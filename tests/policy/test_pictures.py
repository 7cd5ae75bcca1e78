"""Custom models see pictures as RLlib showed them, 0 to 255; built-in networks, in custom models too, scale them."""

from __future__ import annotations

import json
import logging
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete
from torch import nn

from anyspace import PPO, SAC, Algorithm
from anyspace.config import merge
from anyspace.models import ModelCatalog, TorchModelV2, VisionNetwork
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.batch import Batch
from anyspace.policy.config import PolicyConfig
from anyspace.policy.policy import Policy
from anyspace.rllib.models.torch.fcnet import FullyConnectedNetwork

PICTURE, TWO = Box(0, 255, (10, 10, 3), np.uint8), Discrete(2)
PARTS = Dict(image=PICTURE, speed=Box(-1.0, 1.0, (2,)))
CONFIG: dict[str, Any] = {
    "train_batch_size": 32,
    "minibatch_size": 16,
    "num_epochs": 1,
    "num_envs_per_env_runner": 2,
    "seed": 0,
}


class Screens(gym.Env[Any, Any]):
    """Random observations."""

    action_space = TWO

    def __init__(self, parts: bool = False):
        self.observation_space = PARTS if parts else PICTURE

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.observation_space.seed(0)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return self.observation_space.sample(), 1.0, self.t == 5, False, {}


class Watching(TorchModelV2, nn.Module):
    """Keeps the largest numbers of each picture it sees, also in its loss."""

    def __init__(self, obs_space: Any, action_space: Any, num_outputs: int, model_config: Any, name: str):
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
        nn.Module.__init__(self)
        self.out, self.val = nn.Linear(300, num_outputs or 4), nn.Linear(300, 1)
        self.num_outputs = num_outputs or 4
        self.seen: list[Any] = []

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        obs = input_dict["obs"]
        picture = obs["image"] if isinstance(obs, dict) else obs
        self.seen.append(
            (picture.dtype, tuple(picture.shape[1:]), float(picture.max()), float(input_dict["obs_flat"].max()))
        )
        self.x = picture.flatten(1) / 255.0
        return self.out(self.x), state

    def value_function(self) -> torch.Tensor:
        return self.val(self.x).squeeze(1)

    def custom_loss(self, policy_loss: Any, loss_inputs: Any) -> Any:
        obs = loss_inputs["obs"]
        self.in_loss = obs.dtype, tuple(obs.shape[1:]), float(obs.max())
        return policy_loss


@pytest.mark.parametrize(("scale", "largest"), [("auto", (250.0, 255.0)), (True, (0.98, 1.0)), (False, (250.0, 255.0))])
@pytest.mark.parametrize("parts", [False, True])
@pytest.mark.parametrize("lstm", [False, True])
def test_what_a_custom_model_sees(scale: Any, largest: tuple[float, float], parts: bool, lstm: bool) -> None:
    model = {"custom_model": Watching, "use_lstm": lstm, "lstm_cell_size": 4, "max_seq_len": 4}
    with closing(PPO(Screens, env_config={"parts": parts}, model=model, scale_images=scale, **CONFIG)) as algorithm:
        net = algorithm.policy.model.base if lstm else algorithm.policy.model
        net.seen.clear()
        algorithm.train()
        algorithm.compute_single_action(algorithm.policy.observation_space.sample())
    low, high = largest
    assert len(net.seen) > 5
    for dtype, shape, picture, flat in net.seen:
        assert (dtype, shape) == (torch.float32, (10, 10, 3))
        assert low <= picture <= high
        assert low <= flat <= high
    dtype, shape, highest = net.in_loss
    assert (dtype, shape) == (torch.float32, (302,) if parts else (10, 10, 3))
    assert low <= highest <= high


class Inner(TorchModelV2, nn.Module):
    """A built-in network in it gets the inputs themselves, a copy of them, or a picture that was changed."""

    def __init__(self, *args: Any, how: str = "itself"):
        TorchModelV2.__init__(self, *args)
        nn.Module.__init__(self)
        self.how = how
        obs_space, action_space, num_outputs, config, _ = args
        self.inner = ModelCatalog.get_model_v2(obs_space, action_space, num_outputs, {**config, "custom_model": None})

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        given = {
            "itself": lambda: input_dict,
            "copy": lambda: input_dict.copy(shallow=True),
            "scaled": lambda: {"obs": input_dict["obs"] / 255.0},
        }
        if self.how == "set":
            input_dict["obs"] = input_dict["obs"] / 255.0
        return self.inner(given.get(self.how, given["itself"])(), state, seq_lens)

    def value_function(self) -> torch.Tensor:
        return self.inner.value_function()


class Derived(VisionNetwork):
    """Sees bytes, and leaves the rest to the network that it derives from."""

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        assert input_dict["obs"].max() > 1 or not input_dict["obs"].any()
        return super().forward(input_dict, state, seq_lens)


def policy(model: dict[str, Any], space: Any = PICTURE, **config: Any) -> Policy:
    settings = merge(PolicyConfig(), {"model": {"fcnet_hiddens": [8], **model}, **config})
    return Policy(space, TWO, settings, TorchRuntime("cpu"), seed=0)


def pixels(space: Any = PICTURE) -> list[torch.Tensor]:
    draws = np.random.default_rng(0)
    picture = torch.from_numpy(draws.integers(0, 256, (4, *PICTURE.shape), np.uint8))
    return [picture] if space is PICTURE else [picture, torch.from_numpy(draws.random((4, 2), np.float32))]


@pytest.mark.parametrize("how", ["itself", "copy", "scaled", "set"])
def test_networks_in_a_custom_model_see_what_they_see_alone(how: str) -> None:
    alone, within = policy({}), policy({"custom_model": Inner, "custom_model_config": {"how": how}})
    within.model.inner.load_state_dict(alone.model.state_dict())
    batch = Batch(obs=pixels())
    wanted, found = alone.evaluate(batch), within.evaluate(batch)
    torch.testing.assert_close(found.output, wanted.output)
    torch.testing.assert_close(found.values, wanted.values)


@pytest.mark.parametrize("observation_filter", ["NoFilter", "MeanStdFilter"])
def test_so_do_networks_for_several_parts_and_dense_ones(observation_filter: str) -> None:
    for kind in (None, FullyConnectedNetwork):
        alone = policy({"custom_model": kind}, PARTS, observation_filter=observation_filter, scale_images=True)
        within = policy({"custom_model": kind or Inner}, PARTS, observation_filter=observation_filter)
        for one in (alone, within):
            one.push([leaf.numpy() for leaf in pixels(PARTS)])
        (within.model if kind else within.model.inner).load_state_dict(alone.model.state_dict())
        batch = Batch(obs=pixels(PARTS))
        tolerance = {"atol": 1e-3, "rtol": 1e-3} if alone.filter.active else {}
        torch.testing.assert_close(within.evaluate(batch).output, alone.evaluate(batch).output, **tolerance)
        leaves = [leaf.numpy() for leaf in pixels(PARTS)]
        actions = []
        for one in (alone, within):
            with one.acting() as act:
                assert (act.network.twin is not None) is (kind is not None)
                actions.append(act(leaves, explore=False).raw.tolist())
        assert actions[0] == actions[1]


def test_a_class_derived_from_the_network_learns_as_the_network_does(monkeypatch: pytest.MonkeyPatch) -> None:
    # What a model of the user's may draw is taken from the source that actions are drawn from.
    monkeypatch.setattr(TorchRuntime, "own_randomness", lambda *_: nullcontext())
    results = []
    for kind in (None, Derived):
        with closing(PPO(Screens, model={"custom_model": kind}, **CONFIG)) as algorithm:
            algorithm.train()
            results.append(algorithm.policy.runtime.parameters(algorithm.policy.model))
    assert all(np.array_equal(results[0][name], results[1][name]) for name in results[0])


def test_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "anyspace"):
        with closing(PPO(Screens, env_config={"parts": True}, model={"custom_model": Watching}, **CONFIG)) as algorithm:
            algorithm.train()
        for scale in (True, False):
            policy({"custom_model": Inner}, scale_images=scale)
        policy({})
        policy({}, Box(0.0, 255.0, (10, 10, 3)))
    told = [record.message for record in caplog.records if "scale_images" in record.message]
    assert len(told) == 1
    assert told[0].startswith('obs["image"]: Watching gets pictures as numbers from 0 to 255')


@pytest.mark.parametrize(
    ("model", "filtered", "largest", "said"),
    [
        ({}, "NoFilter", 1.0, ["the custom networks of SAC get pictures as numbers from 0 to 1"]),
        ({"use_lstm": True}, "NoFilter", 255.0, ["a custom network of SAC gets pictures as numbers from 0 to 255"]),
        ({}, "MeanStdFilter", None, []),
    ],
)
def test_it_is_said_of_a_network_of_sac_what_that_sees(
    model: dict[str, Any], filtered: str, largest: float | None, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    networks = {"policy_model_config": {"custom_model": Watching}, "q_model_config": {"fcnet_hiddens": [4]}}
    with (
        caplog.at_level(logging.WARNING, "anyspace"),
        closing(SAC(Screens, {"model": model, **networks}, observation_filter=filtered, preset="none")) as algorithm,
    ):
        seen = next(part for part in algorithm.policy.model.modules() if isinstance(part, Watching)).seen
        seen.clear()
        algorithm.policy.compute_actions(np.full((1, 10, 10, 3), 255, np.uint8))
    told = [record.message for record in caplog.records if "scale_images" in record.message]
    assert [message.partition(": ")[2].partition(",")[0].partition(";")[0] for message in told] == said
    assert largest is None or [picture for _, _, picture, _ in seen] == [largest]


def test_a_checkpoint_that_was_trained_on_scaled_pictures_goes_on_with_them(tmp_path: Path) -> None:
    with closing(PPO(Screens, model={"custom_model": Watching}, **CONFIG)) as algorithm:
        algorithm.train()
        algorithm.save(tmp_path / "saved")
    state = json.loads((tmp_path / "saved" / "state.json").read_text())
    assert state["config"]["scale_images"] == "auto"
    state["config"]["scale_images"] = True  # what configurations said when everything was scaled
    (tmp_path / "saved" / "state.json").write_text(json.dumps(state))
    with closing(
        Algorithm.load(tmp_path / "saved", env=Screens, config={"model": {"custom_model": Watching}})
    ) as loaded:
        loaded.policy.model.seen.clear()
        loaded.compute_single_action(np.full((10, 10, 3), 255, np.uint8))
        assert [picture for _, _, picture, _ in loaded.policy.model.seen] == [1.0]
