"""A dense model with batch normalisation, which it switches itself."""

import numpy as np

from anyspace.rllib.models.torch.misc import SlimFC
from anyspace.rllib.models.torch.misc import normc_initializer as torch_normc_initializer
from anyspace.rllib.models.torch.torch_modelv2 import TorchModelV2
from anyspace.rllib.utils.annotations import override
from anyspace.rllib.utils.framework import try_import_torch

torch, nn = try_import_torch()


class TorchBatchNormModel(TorchModelV2, nn.Module):
    def __init__(self, obs_space, action_space, num_outputs, model_config, name, **kwargs):
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
        nn.Module.__init__(self)
        layers = []
        prev_layer_size = int(np.prod(obs_space.shape))
        for size in [32, 32]:
            layers.append(
                SlimFC(
                    in_size=prev_layer_size,
                    out_size=size,
                    initializer=torch_normc_initializer(1.0),
                    activation_fn=nn.ReLU,
                )
            )
            layers.append(nn.BatchNorm1d(size))
            prev_layer_size = size

        self._logits = SlimFC(
            in_size=prev_layer_size,
            out_size=self.num_outputs,
            initializer=torch_normc_initializer(0.01),
            activation_fn=None,
        )
        self._value_branch = SlimFC(
            in_size=prev_layer_size, out_size=1, initializer=torch_normc_initializer(1.0), activation_fn=None
        )
        self._hidden_layers = nn.Sequential(*layers)
        self._hidden_out = None

    @override(TorchModelV2)
    def forward(self, input_dict, state, seq_lens):
        self._hidden_layers.train(mode=bool(input_dict.get("is_training", False)))
        self._hidden_out = self._hidden_layers(input_dict["obs"])
        return self._logits(self._hidden_out), []

    @override(TorchModelV2)
    def value_function(self):
        return torch.reshape(self._value_branch(self._hidden_out), [-1])
