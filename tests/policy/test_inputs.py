"""What models of users do to their inputs stays with them."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete
from torch import nn

from anyspace import PPO
from anyspace.models import RecurrentNetwork, TorchModelV2, ViewRequirement
from anyspace.models.input_dict import of_network

NESTED = Dict(p=Box(-9, 9, (3,)), q=Box(0, 255, (2, 2, 3), "uint8"))


class Counting(gym.Env[Any, Any]):
    """Observes the number of steps."""

    observation_space = Box(-np.inf, np.inf, (3,))
    action_space = Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return np.full(3, self.t, np.float32), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return np.full(3, self.t, np.float32), 1.0, self.t == 7, False, {}


class InPlace(TorchModelV2):
    """Divides what it is given in place."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        self.layer = nn.Linear(3, self.num_outputs or 1)
        self.values = nn.Linear(3, 1)
        self.given: list[np.ndarray] = []

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        self.given.append(input_dict["obs"].numpy().copy())
        self.seen = input_dict["obs"].div_(10)
        return self.layer(self.seen), state

    def value_function(self) -> torch.Tensor:
        return self.values(self.seen).squeeze(1)


def test_a_model_may_change_its_observations_in_place() -> None:
    algorithm = PPO(
        Counting, model={"custom_model": InPlace}, train_batch_size=32, minibatch_size=8, num_epochs=2, preset="none"
    )
    model = algorithm.policy.model
    assert isinstance(model, InPlace)
    model.given.clear()
    algorithm.train()
    assert {float(x) for given in model.given for x in given.flat} <= {float(t) for t in range(8)}
    mine = np.full(3, 5, np.float32)
    algorithm.compute_single_action(mine)
    assert mine.tolist() == [5, 5, 5]


class Summing(RecurrentNetwork):
    """Adds up what it sees, in place or not; its state is a window where ``shift`` is one."""

    def __init__(self, *args: Any, in_place: bool, shift: Any = -1):
        super().__init__(*args)
        self.layer, self.values = nn.Linear(3, self.num_outputs or 1), nn.Linear(3, 1)
        self.in_place = in_place
        self.view_requirements["state_in_0"] = ViewRequirement("state_out_0", shift=shift)

    def get_initial_state(self) -> list[torch.Tensor]:
        return [torch.zeros(3)]

    def forward_rnn(self, inputs: Any, state: Any, seq_lens: Any) -> Any:
        latest = state[0].view(len(inputs), -1)[:, -3:]  # a view wants contiguous memory
        kept = []
        for t in range(inputs.shape[1]):
            latest = latest.mul_(0.5).add_(inputs[:, t]) if self.in_place else latest * 0.5 + inputs[:, t]
            kept.append(latest.clone())
        self.features = torch.stack(kept, 1).flatten(0, 1)
        return self.layer(self.features).view(*inputs.shape[:2], -1), [latest.clone()]

    def value_function(self) -> torch.Tensor:
        return self.values(self.features).squeeze(1)


@pytest.mark.parametrize("shift", [-1, "-3:-1"])
def test_a_model_may_change_its_states_in_place(shift: Any) -> None:
    found = []
    for in_place in (False, True):
        model = {"custom_model": Summing, "custom_model_config": {"in_place": in_place, "shift": shift}}
        algorithm = PPO(
            Counting, model=model, train_batch_size=32, minibatch_size=8, num_epochs=2, seed=3, preset="none"
        )
        for _ in range(2):
            result = algorithm.train()
        found.append((result["learner"]["total_loss"], result["learner"]["ratio_error"]))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5, atol=1e-6)
    assert found[0][1] < 1


class LastTwo(InPlace):
    """Looks at the observation before."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        self.view_requirements["before"] = ViewRequirement("obs", shift=-1)

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        self.before = input_dict["before"].clone()
        return super().forward(input_dict, state, seq_lens)


def test_an_observation_array_may_be_used_again() -> None:
    algorithm = PPO(Counting, model={"custom_model": LastTwo}, train_batch_size=32, minibatch_size=8, preset="none")
    obs = np.full(3, 1, np.float32)
    _, state = algorithm.compute_single_action(obs)
    obs[:] = 2
    algorithm.compute_single_action(obs, state)
    model = algorithm.policy.model
    assert isinstance(model, LastTwo)
    assert model.before.tolist() == [[1, 1, 1]]
    assert repr(state) == "<PolicyState of 1 episodes>"


class Window(TorchModelV2):
    """Is shown the last three observations as its observation."""

    def __init__(self, *args: Any, width: int):
        super().__init__(*args)
        self.view_requirements["obs"] = ViewRequirement("obs", shift="-2:0")
        self.layer, self.values = nn.Linear(3 * width, self.num_outputs or 1), nn.Linear(3 * width, 1)

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        obs, flat = input_dict["obs"], input_dict["obs_flat"]
        parts = list(obs.values()) if isinstance(obs, dict) else [obs]
        self.shapes = [tuple(part.shape[1:]) for part in parts], getattr(flat, "shape", None)
        assert of_network(input_dict, "obs") is obs
        self.features = torch.cat([part.flatten(1) for part in parts], 1)
        return self.layer(self.features), state

    def value_function(self) -> torch.Tensor:
        return self.values(self.features).squeeze(1)


class Observing(Counting):
    """Has observations of a given space."""

    def __init__(self, space: gym.Space[Any]):
        self.observation_space = space

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        return self.observation_space.sample(), *super().step(action)[1:]


@pytest.mark.parametrize(
    ("space", "raw", "shapes", "flat"),
    [
        (Box(-9, 9, (4,)), False, [(3, 4)], 12),
        (Box(-9, 9, (4,)), True, [(3, 4)], None),
        (Dict(p=Box(-9, 9, (4,)), q=Discrete(2)), False, [(3, 6)], 18),
        (Dict(p=Box(-9, 9, (4,)), q=Box(-9, 9, (2,))), True, [(3, 4), (3, 2)], None),
        (Box(0, 255, (8, 8, 3), "uint8"), False, [(3, 8, 8, 3)], 3 * 192),
    ],
)
def test_a_view_called_obs_takes_the_place_of_the_observation(space: Any, raw: bool, shapes: Any, flat: Any) -> None:
    width = sum(int(np.prod(shape)) // 3 for shape in shapes)
    model = {"custom_model": Window, "custom_model_config": {"width": width}}
    keys: Any = {"train_batch_size": 8, "minibatch_size": 8, "num_epochs": 1, "preset": "none"}
    algorithm = PPO(lambda: Observing(space), model=model, _disable_preprocessor_api=raw, **keys)
    model = algorithm.policy.model
    for learn in (True, False):
        algorithm.train() if learn else algorithm.compute_single_action(space.sample())
        assert model.shapes[0] == shapes
        assert (model.shapes[1] or [None])[-1] == (shapes[0][-1] if raw and len(shapes) == 1 else flat)
