"""Models: the contract, the configuration, the catalogue and the networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anyspace.models.catalog import ModelCatalog
from anyspace.models.config import MODEL_DEFAULTS, ModelConfig
from anyspace.models.modelv2 import InputDict, ModelV2
from anyspace.models.placeholders import TFModelV2
from anyspace.models.views import ViewRequirement

if TYPE_CHECKING:
    from anyspace.models.torch import (
        ComplexInputNetwork,
        FullyConnectedNetwork,
        GTrXLNet,
        RecurrentNetwork,
        TorchModelV2,
        VisionNetwork,
    )

__all__ = [
    "MODEL_DEFAULTS",
    "ComplexInputNetwork",
    "FullyConnectedNetwork",
    "GTrXLNet",
    "InputDict",
    "ModelCatalog",
    "ModelConfig",
    "ModelV2",
    "RecurrentNetwork",
    "TFModelV2",
    "TorchModelV2",
    "ViewRequirement",
    "VisionNetwork",
]


def __getattr__(name: str) -> Any:
    """Import the PyTorch models when they are first used: most of this package needs no framework."""
    if name not in __all__:
        raise AttributeError(f"module 'anyspace.models' has no attribute {name!r}")
    from anyspace.models import torch

    return getattr(torch, name)
