"""Models that mask by themselves, with nn.Module before TorchModelV2, and a distribution that reads their mask."""

import gymnasium as gym
import numpy as np
import torch
from torch import nn

from anyspace.rllib.models.torch.torch_action_dist import TorchCategorical
from anyspace.rllib.models.torch.torch_modelv2 import TorchModelV2
from anyspace.rllib.utils.torch_utils import FLOAT_MIN


class OpenDoors(gym.Env):
    """Six doors, of which some are open; running into a closed one is an error."""

    observation_space = gym.spaces.Dict(avail=gym.spaces.Box(0, 1, (6,)), place=gym.spaces.Box(-1, 1, (3,)))
    action_space = gym.spaces.Discrete(6)

    def _seen(self):
        self.open = self.np_random.random(6) < 0.4
        self.open[self.np_random.integers(6)] = True
        return {"avail": self.open.astype(np.float32), "place": np.full(3, self.t / 9, np.float32)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._seen(), {}

    def step(self, action):
        assert self.open[action], "a closed door"
        self.t += 1
        return self._seen(), 1.0, self.t == 9, False, {}


class TorchDoorsModel(nn.Module, TorchModelV2):
    """Keeps which doors are open, for the distribution."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name, **kwargs):
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name, **kwargs)
        nn.Module.__init__(self)
        self.logits = nn.Linear(9, num_outputs)
        self.values = nn.Linear(9, 1)

    def forward(self, input_dict, state, seq_lens):
        self.current_mask = input_dict["obs"]["avail"]
        self.features = input_dict["obs_flat"]
        return self.logits(self.features), state

    def value_function(self):
        return self.values(self.features).squeeze(1)


class TorchClosedDoorsModel(TorchDoorsModel):
    """Adds the smallest number to the logits of closed doors."""

    def forward(self, input_dict, state, seq_lens):
        logits, state = super().forward(input_dict, state, seq_lens)
        return logits + torch.clamp(torch.log(self.current_mask), min=FLOAT_MIN), state


class TorchDoors(TorchCategorical):
    """Reads the mask that the model keeps of its latest pass."""

    def __init__(self, inputs, model, temperature=1.0):
        super().__init__(inputs + torch.clamp(torch.log(model.current_mask), min=-1e9), model, temperature)
