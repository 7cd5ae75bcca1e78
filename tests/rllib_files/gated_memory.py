"""A recurrent model of an older release: gates, noisy heads, and the axis of time by the longest length."""

import logging

import numpy as np

from anyspace.rllib.models.modelv2 import ModelV2, restore_original_dimensions
from anyspace.rllib.models.torch.misc import AppendBiasLayer, SlimFC, normc_initializer
from anyspace.rllib.models.torch.modules.gru_gate import GRUGate
from anyspace.rllib.models.torch.modules.multi_head_attention import MultiHeadAttention
from anyspace.rllib.models.torch.modules.noisy_layer import NoisyLayer
from anyspace.rllib.models.torch.modules.skip_connection import SkipConnection
from anyspace.rllib.models.torch.torch_modelv2 import TorchModelV2
from anyspace.rllib.models.utils import get_activation_fn, get_initializer
from anyspace.rllib.policy.rnn_sequencing import add_time_dimension
from anyspace.rllib.policy.sample_batch import SampleBatch
from anyspace.rllib.utils.annotations import DeveloperAPI, override
from anyspace.rllib.utils.deprecation import DEPRECATED_VALUE, deprecation_warning
from anyspace.rllib.utils.framework import try_import_tf, try_import_torch
from anyspace.rllib.utils.numpy import SMALL_NUMBER
from anyspace.rllib.utils.spaces.space_utils import flatten_space, get_base_struct_from_space
from anyspace.rllib.utils.torch_ops import FLOAT_MIN, convert_to_torch_tensor, huber_loss, one_hot, sequence_mask
from anyspace.rllib.utils.typing import ModelConfigDict, TensorType

torch, nn = try_import_torch()
tf1, tf, tfv = try_import_tf()
logger = logging.getLogger(__name__)


class KerasGate(tf.keras.layers.Layer if tf else object):
    """Beside it, as such files have it."""


@DeveloperAPI
class TorchGatedModel(TorchModelV2, nn.Module):
    def __init__(
        self,
        obs_space,
        action_space,
        num_outputs,
        model_config: ModelConfigDict,
        name,
        cell_size=8,
        cells=DEPRECATED_VALUE,
    ):
        if cells != DEPRECATED_VALUE:
            deprecation_warning(old="cells", new="cell_size", error=False)
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
        nn.Module.__init__(self)
        struct = get_base_struct_from_space(getattr(obs_space, "original_space", obs_space))
        assert set(struct) == {"position", "room"}
        assert len(flatten_space(obs_space.original_space)) == 2
        self.room = struct["room"]
        self.cell_size = cell_size
        width = int(np.prod(struct["position"].shape)) + self.room.n
        self.embed = SlimFC(width, cell_size, initializer=normc_initializer(1.0), activation_fn="tanh")
        self.attend = SkipConnection(MultiHeadAttention(cell_size, cell_size, 2, 4), GRUGate(cell_size, 2.0))
        self.cell = nn.GRU(cell_size, cell_size, batch_first=not model_config["_time_major"])
        self.mix = SkipConnection(
            nn.Sequential(nn.Linear(cell_size, cell_size), get_activation_fn("relu", framework="torch")()),
            GRUGate(cell_size),
        )
        get_initializer("xavier_uniform", framework="torch")(self.cell.weight_hh_l0)
        self.logits = NoisyLayer(cell_size, num_outputs, 0.1, activation=None)
        self.values = nn.Sequential(SlimFC(cell_size, 1), AppendBiasLayer(1))
        self._features: TensorType = None

    @override(ModelV2)
    def get_initial_state(self):
        return [torch.zeros(self.cell_size)]

    @override(ModelV2)
    def forward(self, input_dict, state, seq_lens):
        obs = restore_original_dimensions(input_dict[SampleBatch.OBS], self.obs_space, "torch")
        rooms = obs["room"] if obs["room"].dim() == 2 else one_hot(obs["room"], self.room).float()
        x = self.embed(torch.cat([obs["position"].float(), rooms], dim=-1))
        longest = x.shape[0] // seq_lens.shape[0]
        time_major = self.is_time_major()
        steps = add_time_dimension(x, max_seq_len=longest, framework="torch", time_major=time_major)
        real = sequence_mask(convert_to_torch_tensor(seq_lens), longest, time_major=time_major)
        steps = torch.where(real[..., None], steps, torch.zeros_like(steps) + SMALL_NUMBER)
        batch = steps.transpose(0, 1) if time_major else steps
        # One step at a time sees no others: attention would make acting and learning differ.
        batch = self.attend(batch.reshape(-1, 1, self.cell_size)).reshape(batch.shape)
        steps = batch.transpose(0, 1) if time_major else batch
        output, h = self.cell(steps, state[0].unsqueeze(0))
        self._features = self.mix(output.reshape(-1, self.cell_size))
        logits = torch.clamp(self.logits(self._features), min=FLOAT_MIN)
        return logits, [h.squeeze(0)]

    @override(ModelV2)
    def value_function(self):
        return self.values(self._features)[:, 0]

    @override(ModelV2)
    def custom_loss(self, policy_loss, loss_inputs):
        self.smooth = huber_loss(self.cell.weight_hh_l0).mean()
        return [loss + 0.1 * self.smooth for loss in policy_loss]

    @override(ModelV2)
    def metrics(self):
        return {"smooth": self.smooth.item()}
