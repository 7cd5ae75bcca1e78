"""A distribution of one's own: a categorical one of a sharpness that the model's configuration gives."""

from anyspace.rllib.models.action_dist import ActionDistribution
from anyspace.rllib.models.torch.torch_action_dist import TorchDistributionWrapper
from anyspace.rllib.utils.annotations import override
from anyspace.rllib.utils.framework import try_import_torch
from anyspace.rllib.utils.typing import List, ModelConfigDict, TensorType

torch, nn = try_import_torch()


class TorchSharpCategorical(TorchDistributionWrapper):
    """Its inputs are one logit per action, and one more: the logarithm of what they are multiplied by."""

    @override(ActionDistribution)
    def __init__(self, inputs: List[TensorType], model):
        super().__init__(inputs, model)
        limit = model.model_config["custom_model_config"].get("largest_sharpness", 2.0)
        sharpness = torch.exp(self.inputs[:, -1:]).clamp(max=limit)
        self.dist = torch.distributions.Categorical(logits=self.inputs[:, :-1] * sharpness)

    @override(ActionDistribution)
    def deterministic_sample(self) -> TensorType:
        self.last_sample = self.dist.probs.argmax(dim=1)
        return self.last_sample

    @staticmethod
    @override(ActionDistribution)
    def required_model_output_shape(action_space, model_config: ModelConfigDict) -> int:
        return action_space.n + 1
