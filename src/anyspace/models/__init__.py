"""Models: the contract, the configuration, the catalogue and the networks."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from anyspace.models import placeholders
from anyspace.models.catalog import ModelCatalog
from anyspace.models.config import MODEL_DEFAULTS, ModelConfig
from anyspace.models.input_dict import InputDict
from anyspace.models.modelv2 import ModelV2
from anyspace.models.networks import public
from anyspace.models.view_requirement import ViewRequirement

if TYPE_CHECKING:
    from anyspace.models.jax.base import JaxModelV2
    from anyspace.models.tf.base import TFModelV2
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
    "JaxModelV2",
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
    """Import the models of a framework when they are first used: most of this package needs no framework."""
    if name not in __all__:
        raise AttributeError(f"module 'anyspace.models' has no attribute {name!r}")
    needed = _NEEDED.get(name)
    if needed is not None and find_spec(needed) is None:
        return getattr(placeholders, name)
    return public(name)


_NEEDED = {"TFModelV2": "tensorflow", "JaxModelV2": "jax"}
"""Which package a base class needs; without it a stand-in says so when a model is built."""
