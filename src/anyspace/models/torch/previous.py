"""The inputs of a memory from the steps before, as a module: its tables go to the device of the model."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from anyspace.models.previous import PreviousFeatures


class PreviousInputs(nn.Module):
    """Encodes the last actions and rewards; it has no weights.

    Attributes:
        features: encodes them; it takes arrays of NumPy as well.
        width: how many features come out; 0 means that there is nothing to feed, and :meth:`forward` is not called.

    Args:
        features: says how.
    """

    column: torch.Tensor
    option: torch.Tensor
    is_choice: torch.Tensor

    def __init__(self, features: PreviousFeatures):
        super().__init__()
        self.features, self.width = features, features.width
        for name, table in zip(("column", "option", "is_choice"), self.features.tables, strict=True):
            self.register_buffer(name, torch.from_numpy(table), False)

    def forward(self, input_dict: dict[str, Any]) -> torch.Tensor:
        """Return features [N, width], float32; see :meth:`PreviousFeatures.__call__`."""
        features: torch.Tensor = self.features(input_dict, (self.column, self.option, self.is_choice))
        return features
