"""What memories of PyTorch share: the heads, and previous actions and rewards."""

from __future__ import annotations

import torch
from torch import nn

from anyspace.models import memories
from anyspace.models.architecture import with_log_std
from anyspace.models.previous import PreviousFeatures
from anyspace.models.torch.base import TorchModelV2
from anyspace.models.torch.layers import free_log_std, xavier
from anyspace.models.torch.old_names import OldName
from anyspace.models.torch.old_views import layer_of
from anyspace.models.torch.previous import PreviousInputs


class Remembering(memories.Remembering, TorchModelV2):
    """Linear logits and a linear value on what is remembered.

    Subclasses call :meth:`add_heads` when they are built and :meth:`heads` when they are run. With
    ``num_outputs=None`` there are no logits: the output is what is remembered.
    """

    logits: nn.Module | None
    log_std: nn.Parameter | None
    """The second half of the outputs where `free_log_std` is on, else None."""

    _logits_branch = OldName("logits", layer_of)
    _value_branch = OldName("value_head", layer_of)
    _features = OldName("_remembered")

    def add_heads(self, width: int) -> None:
        """Put logits and a value on ``width`` features, weights Xavier uniform, biases zero."""
        outputs, self.log_std = free_log_std(self.num_outputs, self.model_config)
        self.logits = xavier(width, outputs, bias=True) if outputs else None
        self.num_outputs = self.num_outputs or width
        self.value_head: nn.Module = xavier(width, 1, bias=True)
        self._parts_are_built = True

    def _output_of(self, remembered: torch.Tensor) -> torch.Tensor:
        logits = remembered if self.logits is None else self.logits(remembered)
        output: torch.Tensor = with_log_std(logits, self.log_std)
        return output

    def _value_of(self, remembered: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = self.value_head(remembered)
        return value.flatten()


class MemoryWrapper(memories.OnFeatures, Remembering):
    """A memory on the features of a model without one; see :class:`anyspace.models.memories.OnFeatures`."""

    base: TorchModelV2

    def _encoder_of(self, previous: PreviousFeatures) -> PreviousInputs:
        return PreviousInputs(previous)
