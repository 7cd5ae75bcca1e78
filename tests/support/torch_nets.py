"""What tests of PyTorch networks share: inputs and weights that are random and yet always the same."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import nn

from anyspace.models import TorchModelV2

Module = TypeVar("Module", bound=nn.Module)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return standard normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def shuffled(module: Module) -> Module:
    """Give every parameter, biases and norms included, random values of size 0.5."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return module


class Dotted(TorchModelV2):
    """A model to be named by its path."""

    def __init__(
        self, obs_space: Any, action_space: Any, num_outputs: Any, model_config: Any, name: str, width: int = 1
    ):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.width = width
