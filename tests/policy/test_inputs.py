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
