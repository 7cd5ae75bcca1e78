"""A network on the observation without its mask, whose forbidden logits are minus infinity, nearly."""

import torch
from gymnasium.spaces import Dict
from ray.rllib.models.torch.fcnet import FullyConnectedNetwork
from ray.rllib.models.torch.misc import SlimFC
from ray.rllib.models.torch.torch_modelv2 import TorchModelV2
from ray.rllib.utils.annotations import override
from torch import nn


class MaskedModel(TorchModelV2, nn.Module):
    def __init__(self, obs_space, action_space, num_outputs, model_config, name, embed_size=8):
        original = getattr(obs_space, "original_space", obs_space)
        assert isinstance(original, Dict)
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
        nn.Module.__init__(self)
        inner = original["observations"]
        self.shelves = inner["robot"].n
        self.embed = nn.Embedding(self.shelves, embed_size)
        self.stock = SlimFC(self.shelves + 1, 16, activation_fn="tanh")
        self.internal = FullyConnectedNetwork(
            _flat(16 + embed_size), action_space, num_outputs, model_config, name + "_internal"
        )

    @override(TorchModelV2)
    def forward(self, input_dict, state, seq_lens):
        obs = input_dict["obs"]
        inner = obs["observations"]
        robot = inner["robot"].argmax(dim=-1)
        numbers = torch.cat([inner["stock"], inner["time"]], dim=-1)
        features = torch.cat([self.stock(numbers), self.embed(robot)], dim=-1)
        logits, _ = self.internal({"obs": features})
        mask = torch.clamp(torch.log(obs["action_mask"]), min=-1e9)
        options = logits.shape[1] - 1
        return torch.cat([logits[:, :options] + mask, logits[:, options:]], dim=1), state

    @override(TorchModelV2)
    def value_function(self):
        return self.internal.value_function()


def _flat(size):
    from gymnasium.spaces import Box

    return Box(-1.0, 1.0, (size,))
