"""Whole networks of the formulas of this folder, as NumPy functions that act one step.

Letters: N rows, F features.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from anyspace.models.input_dict import InputDict
from anyspace.models.pure.dense import Function
from anyspace.models.pure.recurrent import Step
from anyspace.models.runtime import CompiledForward, Floats

Features = Callable[[InputDict], Floats]
"""Inputs -> features [N, F]."""


def acting_network(layers: Function, log_std: Floats | None) -> CompiledForward:
    """Return a network on flat observations.

    Args:
        layers: up to the outputs that are computed.
        log_std: the outputs beside these that are parameters; None: there are none.
    """

    def forward(inputs: InputDict, state: list[Floats]) -> tuple[Floats, list[Floats]]:
        # Observations near the largest float overflow as quietly as they do in PyTorch.
        with np.errstate(over="ignore", invalid="ignore"):
            x: Floats = layers(inputs.of_network("obs_flat"))
        return _with_log_std(x, log_std), state

    return forward


def acting_memory(features: Features, remember: Step, heads: Function, log_std: Floats | None) -> CompiledForward:
    """Return a memory on features, with a network on what it remembers.

    Args:
        features: what the memory is given.
        remember: one step of the memory.
        heads: from what is remembered to the outputs that are computed.
        log_std: as for :func:`acting_network`.
    """

    def forward(inputs: InputDict, state: list[Floats]) -> tuple[Floats, list[Floats]]:
        seen = features(inputs)
        with np.errstate(over="ignore", invalid="ignore"):
            remembered, state_out = remember(seen, state)
            x: Floats = heads(remembered)
        return _with_log_std(x, log_std), state_out

    return forward


def _with_log_std(x: Floats, log_std: Floats | None) -> Floats:
    return x if log_std is None else np.concatenate([x, np.broadcast_to(log_std, (len(x), len(log_std)))], axis=1)
