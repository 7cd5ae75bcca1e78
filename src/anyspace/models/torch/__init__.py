"""The PyTorch side of the models."""

import os

# How long one of PyTorch's threads waits awake for the others; OpenMP reads it when it is loaded. As it comes, two of
# them on a busy machine keep each other from working: a gradient step may take twenty times as long.
os.environ.setdefault("GOMP_SPINCOUNT", "100000")

from anyspace.models.torch.attention import AttentionWrapper, GTrXLNet
from anyspace.models.torch.base import TorchModelV2
from anyspace.models.torch.complex_input import ComplexInputNetwork
from anyspace.models.torch.dqn_model import DQNTorchModel
from anyspace.models.torch.fcnet import FullyConnectedNetwork
from anyspace.models.torch.parametric import ParametricActionsModel
from anyspace.models.torch.recurrent import RecurrentNetwork, RecurrentWrapper
from anyspace.models.torch.sac_model import SACTorchModel
from anyspace.models.torch.visionnet import VisionNetwork

__all__ = [
    "AttentionWrapper",
    "ComplexInputNetwork",
    "DQNTorchModel",
    "FullyConnectedNetwork",
    "GTrXLNet",
    "ParametricActionsModel",
    "RecurrentNetwork",
    "RecurrentWrapper",
    "SACTorchModel",
    "TorchModelV2",
    "VisionNetwork",
]
