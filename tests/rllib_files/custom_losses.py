"""Two models with losses of their own: one imitates an expert, one reconstructs what it observes."""

import numpy as np

from anyspace.rllib.models.modelv2 import ModelV2, restore_original_dimensions
from anyspace.rllib.models.torch.fcnet import FullyConnectedNetwork as TorchFC
from anyspace.rllib.models.torch.misc import SlimFC, normc_initializer
from anyspace.rllib.models.torch.torch_action_dist import TorchCategorical
from anyspace.rllib.models.torch.torch_modelv2 import TorchModelV2
from anyspace.rllib.policy.sample_batch import SampleBatch
from anyspace.rllib.utils.annotations import override
from anyspace.rllib.utils.framework import try_import_torch

torch, nn = try_import_torch()


class TorchImitatingModel(TorchModelV2, nn.Module):
    """Its `reader.next()` gives batches of an expert's observations and actions."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name, reader, imitation_coeff=10.0):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        nn.Module.__init__(self)
        self.reader = reader
        self.imitation_coeff = imitation_coeff
        self.fcnet = TorchFC(self.obs_space, self.action_space, num_outputs, model_config, name="fcnet")
        self.policy_loss_metric = self.imitation_loss_metric = None

    @override(ModelV2)
    def forward(self, input_dict, state, seq_lens):
        return self.fcnet(input_dict, state, seq_lens)

    @override(ModelV2)
    def value_function(self):
        return self.fcnet.value_function()

    @override(ModelV2)
    def custom_loss(self, policy_loss, loss_inputs):
        batch = self.reader.next()
        device = policy_loss[0].device
        obs = restore_original_dimensions(
            torch.from_numpy(batch[SampleBatch.OBS]).float().to(device), self.obs_space, tensorlib="torch"
        )
        logits, _ = self.forward({"obs": obs}, [], None)
        action_dist = TorchCategorical(logits, self)
        imitation_loss = torch.mean(-action_dist.logp(torch.from_numpy(batch[SampleBatch.ACTIONS]).to(device)))
        self.imitation_loss_metric = imitation_loss.item()
        self.policy_loss_metric = np.mean([loss.item() for loss in policy_loss])
        return [loss + self.imitation_coeff * imitation_loss for loss in policy_loss]

    def metrics(self):
        return {"policy_loss": self.policy_loss_metric, "imitation_loss": self.imitation_loss_metric}


class TorchReconstructingModel(TorchModelV2, nn.Module):
    """Policy and value see a short code, from which the observation is to be decoded; weights are to be small."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name, code_size=8, l2_coeff=1e-2):
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
        nn.Module.__init__(self)
        self.l2_coeff = l2_coeff
        size = int(np.prod(obs_space.shape))
        self.encoder = nn.Sequential(
            SlimFC(size, 32, initializer=normc_initializer(1.0), activation_fn="tanh"),
            SlimFC(32, code_size, initializer=normc_initializer(1.0), activation_fn="tanh"),
        )
        self.decoder = SlimFC(code_size, size)
        self.logits = SlimFC(code_size, num_outputs, initializer=normc_initializer(0.01))
        self.values = SlimFC(code_size, 1, initializer=normc_initializer(0.01))
        self._code = None
        self._metrics = {}

    @override(ModelV2)
    def forward(self, input_dict, state, seq_lens):
        self._code = self.encoder(input_dict["obs_flat"].float())
        return self.logits(self._code), state

    @override(ModelV2)
    def value_function(self):
        return self.values(self._code).squeeze(-1)

    @override(ModelV2)
    def custom_loss(self, policy_loss, loss_inputs):
        # The code of the latest forward pass is that of the rows of this batch.
        reconstruction_loss = nn.functional.mse_loss(self.decoder(self._code), loss_inputs["obs"].float())
        l2_loss = sum(p.pow(2).sum() for n, p in self.named_parameters() if n.endswith("weight"))
        self._metrics = {"reconstruction_loss": reconstruction_loss.item(), "l2_loss": l2_loss.item()}
        return [loss + reconstruction_loss + self.l2_coeff * l2_loss for loss in policy_loss]

    def metrics(self):
        return self._metrics
