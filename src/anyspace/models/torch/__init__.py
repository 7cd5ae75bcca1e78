"""The PyTorch side of the models."""

from anyspace.models.torch.base import TorchModelV2
from anyspace.models.torch.fcnet import FullyConnectedNetwork

__all__ = ["FullyConnectedNetwork", "TorchModelV2"]
