"""Models: the contract, the configuration, the catalogue and the networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anyspace.models.catalog import ModelCatalog
from anyspace.models.config import MODEL_DEFAULTS, ModelConfig
from anyspace.models.modelv2 import InputDict, ModelV2

if TYPE_CHECKING:
    from anyspace.models.torch import FullyConnectedNetwork, TorchModelV2

__all__ = [
    "MODEL_DEFAULTS",
    "FullyConnectedNetwork",
    "InputDict",
    "ModelCatalog",
    "ModelConfig",
    "ModelV2",
    "TorchModelV2",
]


def __getattr__(name: str) -> Any:
    """Import the PyTorch models when they are first used: most of this package needs no framework."""
    if name not in ("FullyConnectedNetwork", "TorchModelV2"):
        raise AttributeError(f"module 'anyspace.models' has no attribute {name!r}")
    from anyspace.models import torch

    return getattr(torch, name)
