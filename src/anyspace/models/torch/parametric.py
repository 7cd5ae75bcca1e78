"""Actions with embeddings: a head on top of any model, with memory or without."""

from __future__ import annotations

import torch
from torch import nn

from anyspace.models.parametric_actions import ParametricActions
from anyspace.models.torch.base import TorchModelV2
from anyspace.models.torch.initializers import normc_


class ParametricActionsModel(ParametricActions, TorchModelV2):
    """Logits of actions by their embeddings; see :class:`anyspace.models.parametric_actions.ParametricActions`.

    Attributes:
        embeddings: the table of learnt embeddings; None where they are given.
    """

    embeddings: nn.Embedding | None

    def _add_table(self, shape: tuple[int, int] | None) -> None:
        self.embeddings = None if shape is None else nn.Embedding(*shape)
        if self.embeddings is not None:
            normc_(self.embeddings.weight)

    def _table(self) -> torch.Tensor | None:
        return None if self.embeddings is None else self.embeddings.weight
