"""A categorical distribution whose temperature is the model's last output."""

import torch
from anyspace.rllib.models.torch.torch_action_dist import TorchDistributionWrapper
from anyspace.rllib.utils.annotations import override


class TemperedCategorical(TorchDistributionWrapper):
    @override(TorchDistributionWrapper)
    def __init__(self, inputs, model=None):
        super().__init__(inputs, model)
        most = self.model.model_config["custom_model_config"].get("hottest", 2.0) if model is not None else 2.0
        temperature = torch.exp(self.inputs[:, -1:]).clamp(0.1, most)
        self.dist = torch.distributions.Categorical(logits=self.inputs[:, :-1] / temperature)

    @override(TorchDistributionWrapper)
    def deterministic_sample(self):
        self.last_sample = self.dist.probs.argmax(dim=1)
        return self.last_sample

    @staticmethod
    @override(TorchDistributionWrapper)
    def required_model_output_shape(action_space, model_config):
        return action_space.n + 1
