"""Recurrent models: one on the base class for these, one that adds the axis of time itself."""

import numpy as np

from anyspace.rllib.models.modelv2 import ModelV2
from anyspace.rllib.models.preprocessors import get_preprocessor
from anyspace.rllib.models.torch.misc import SlimFC
from anyspace.rllib.models.torch.recurrent_net import RecurrentNetwork as TorchRNN
from anyspace.rllib.models.torch.torch_modelv2 import TorchModelV2
from anyspace.rllib.policy.rnn_sequencing import add_time_dimension
from anyspace.rllib.policy.sample_batch import SampleBatch
from anyspace.rllib.policy.view_requirement import ViewRequirement
from anyspace.rllib.utils.annotations import override
from anyspace.rllib.utils.framework import try_import_torch
from anyspace.rllib.utils.torch_utils import one_hot

torch, nn = try_import_torch()


class TorchLSTMModel(TorchRNN, nn.Module):
    def __init__(self, obs_space, action_space, num_outputs, model_config, name, fc_size=64, lstm_state_size=256):
        nn.Module.__init__(self)
        super().__init__(obs_space, action_space, num_outputs, model_config, name)

        self.obs_size = get_preprocessor(obs_space)(obs_space).size
        self.fc_size = fc_size
        self.lstm_state_size = lstm_state_size

        self.fc1 = nn.Linear(self.obs_size, self.fc_size)
        self.lstm = nn.LSTM(self.fc_size, self.lstm_state_size, batch_first=True)
        self.action_branch = nn.Linear(self.lstm_state_size, num_outputs)
        self.value_branch = nn.Linear(self.lstm_state_size, 1)
        # What the latest forward pass made of the inputs, [B, T, lstm_state_size].
        self._features = None

    @override(ModelV2)
    def get_initial_state(self):
        # On the device of the weights.
        h = self.fc1.weight.new(1, self.lstm_state_size).zero_().squeeze(0)
        c = self.fc1.weight.new(1, self.lstm_state_size).zero_().squeeze(0)
        return [h, c]

    @override(ModelV2)
    def value_function(self):
        assert self._features is not None, "must call forward() first"
        return torch.reshape(self.value_branch(self._features), [-1])

    @override(TorchRNN)
    def forward_rnn(self, inputs, state, seq_lens):
        if isinstance(seq_lens, np.ndarray):
            seq_lens = torch.Tensor(seq_lens).int()
        x = nn.functional.relu(self.fc1(inputs))
        self._features, [h, c] = self.lstm(x, [torch.unsqueeze(state[0], 0), torch.unsqueeze(state[1], 0)])
        return self.action_branch(self._features), [torch.squeeze(h, 0), torch.squeeze(c, 0)]


class TorchGRUModel(TorchModelV2, nn.Module):
    """Sees the last action and reward as well, which `forward_rnn` would not be given."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name, cell_size=16):
        nn.Module.__init__(self)
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.cell_size = cell_size
        self.gru = nn.GRU(int(np.prod(obs_space.shape) + action_space.n + 1), cell_size)
        self.logits = SlimFC(cell_size, num_outputs)
        self.values = SlimFC(cell_size, 1)
        self._features = None

        self.view_requirements[SampleBatch.PREV_ACTIONS] = ViewRequirement(
            SampleBatch.ACTIONS, space=self.action_space, shift=-1
        )
        self.view_requirements[SampleBatch.PREV_REWARDS] = ViewRequirement(SampleBatch.REWARDS, shift=-1)

    @override(ModelV2)
    def get_initial_state(self):
        return [np.zeros(self.cell_size, np.float32)]

    @override(ModelV2)
    def forward(self, input_dict, state, seq_lens):
        prev_actions = one_hot(input_dict[SampleBatch.PREV_ACTIONS], self.action_space)
        prev_rewards = torch.reshape(input_dict[SampleBatch.PREV_REWARDS].float(), [-1, 1])
        rows = torch.cat([input_dict["obs_flat"].float(), prev_actions, prev_rewards], dim=1)
        inputs = add_time_dimension(rows, seq_lens=seq_lens, framework="torch", time_major=self.time_major)
        if not self.time_major:
            inputs = inputs.transpose(0, 1)
        features, h = self.gru(inputs, torch.unsqueeze(state[0], 0))
        if not self.time_major:
            features = features.transpose(0, 1)
        self._features = torch.reshape(features, [-1, self.cell_size])
        return self.logits(self._features), [torch.squeeze(h, 0)]

    @override(ModelV2)
    def value_function(self):
        return torch.reshape(self.values(self._features), [-1])
