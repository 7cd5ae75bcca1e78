"""The PyTorch side of the models."""

import importlib
import os


def _load_torch() -> None:
    """Import PyTorch, and let OpenMP's threads wait for each other asleep rather than awake.

    As it comes, two of them on a busy machine keep each other from working: a gradient step may take twenty times as
    long. This is how long OpenMP itself lets them wait awake where there are more threads than cores; it knows nothing
    of other processes. Where nothing else runs, SAC's updates take a tenth longer with it, and beside two other
    processes on two cores less than a fifth of the time. OpenMP reads the variable when it is loaded, and never again,
    so the environment of the process is left as it was. Who sets the variable, or imports PyTorch first, decides.
    """
    if "GOMP_SPINCOUNT" in os.environ:
        return
    os.environ["GOMP_SPINCOUNT"] = "1000"
    try:
        importlib.import_module("torch")
    finally:
        del os.environ["GOMP_SPINCOUNT"]


_load_torch()

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
