"""What memories over arrays share: the heads, and how a memory acts in NumPy."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from anyspace.maths.arrays import Floats
from anyspace.maths.xp import Array
from anyspace.models import memories
from anyspace.models.architecture import outputs_of, with_log_std
from anyspace.models.input_dict import InputDict
from anyspace.models.pure.acting import Features, acting_memory
from anyspace.models.pure.base import ArrayModel, in_numpy
from anyspace.models.pure.dense import Dense, Parameters, dense
from anyspace.models.pure.drawing import Drawing
from anyspace.models.pure.recurrent import Step
from anyspace.models.runtime import NumpyForward


class Remembering(memories.Remembering, ArrayModel):
    """Linear logits and a linear value on what is remembered.

    Subclasses call :meth:`add_heads` when they are built and :meth:`heads` when they are run. With
    ``num_outputs=None`` there are no logits: the output is what is remembered.
    """

    logits: Dense | None
    value_head: Dense

    def add_heads(self, draw: Drawing, width: int) -> None:
        """Put logits and a value on ``width`` features, weights Xavier uniform, biases zero."""
        outputs, log_std = outputs_of(self.num_outputs, self.model_config)
        self.logits = draw.xavier("logits", width, outputs, bias=True) if outputs else None
        self.num_outputs = self.num_outputs or width
        self.value_head = draw.xavier("value_head", width, 1, bias=True)
        if log_std:
            draw.value("log_std", [0.0] * log_std)

    def _output_of(self, remembered: Array) -> Array:
        output = dense(self.weights, self._logits)(remembered)
        return with_log_std(output, self.weights.get("log_std"))

    def _value_of(self, remembered: Array) -> Array:
        return dense(self.weights, [self.value_head])(remembered)[:, 0]

    @property
    def _logits(self) -> list[Dense]:
        return [self.logits] if self.logits else []

    @abstractmethod
    def acting_step(self, p: Parameters) -> Step:
        """Return one step of the memory in NumPy, made of weights once."""

    def acting_on(self, features: Features) -> NumpyForward:
        """Return features, memory and logits for one step in NumPy, made of weights once."""
        p = in_numpy(self.weights)
        return acting_memory(features, self.acting_step(p), dense(p, self._logits), p.get("log_std"))


class MemoryWrapper(memories.OnFeatures, Remembering):
    """A memory on the features of a model without one; see :class:`anyspace.models.memories.OnFeatures`."""

    def forward_pass(self) -> NumpyForward:
        """Return base, memory and logits alone, made once."""
        assert isinstance(self.base, ArrayModel)
        beneath, previous = self.base.forward_pass(), self.previous

        def features(inputs: InputDict) -> Floats:
            seen, _ = beneath(inputs, [])
            return np.concatenate([seen, previous(inputs)], axis=1) if previous.width else seen

        return self.acting_on(features)
