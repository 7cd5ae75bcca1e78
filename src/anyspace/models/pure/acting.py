"""Whole networks of the formulas of this folder, as NumPy functions that act one step.

Letters: N rows, F features.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from anyspace.maths.arrays import Bools, Floats
from anyspace.maths.branches import Branches
from anyspace.maths.q_values import branched_logits, expected_values, masked_values
from anyspace.models.architecture import with_log_std
from anyspace.models.input_dict import InputDict
from anyspace.models.pure.activations import Function
from anyspace.models.pure.recurrent import Step
from anyspace.models.runtime import NumpyForward

Features = Callable[[InputDict], Floats]
"""Inputs -> features [N, F]."""


Values = Callable[[Floats, Bools | None], Floats]
"""Features [N, F] and a mask [N, A] or None -> the values of A options [N, A]."""

Heads = tuple[Function | None, Function | None]
"""Heads of a Q network: for the options, and for the state."""


def acting_network(layers: Function, log_std: Floats | None) -> NumpyForward:
    """Return a network on flat observations.

    Args:
        layers: up to the outputs that are computed.
        log_std: the outputs beside these that are parameters; None: there are none.
    """

    def forward(inputs: InputDict, state: list[Floats]) -> tuple[Floats, list[Floats]]:
        # Observations near the largest float overflow as quietly as they do in PyTorch.
        with np.errstate(over="ignore", invalid="ignore"):
            x: Floats = layers(inputs.of_network("obs_flat"))
        return with_log_std(x, log_std), state

    return forward


def acting_memory(features: Features, remember: Step, heads: Function, log_std: Floats | None) -> NumpyForward:
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
        return with_log_std(x, log_std), state_out

    return forward


def acting_values(features: NumpyForward, values: Values) -> NumpyForward:
    """Return Q values on the outputs of a network.

    Args:
        features: the network, with memory or without.
        values: from its outputs and a mask to the values of the options.
    """

    def forward(inputs: InputDict, state: list[Floats]) -> tuple[Floats, list[Floats]]:
        seen, state_out = features(inputs, state)
        with np.errstate(over="ignore", invalid="ignore"):
            return values(seen, inputs.get("action_mask")), state_out

    return forward


def q_values(branches: Branches, heads: Heads, support: Floats | None) -> Values:
    """Return what makes the values of options of features.

    Args:
        branches: how the options are those of several choices.
        heads: to advantages, or None where features are the values themselves; to values of the state, or None.
        support: the returns that Z atoms stand for; None: values are learnt themselves.
    """
    of_actions, of_state = heads

    def values(x: Floats, mask: Bools | None) -> Floats:
        flat: Floats = x if of_actions is None else of_actions(x)
        if of_state is None and support is None and mask is None:
            return flat
        atoms = flat.shape[1] // branches.total
        state = None if of_state is None else of_state(x)
        logits = branched_logits(branches, state, flat.reshape(len(flat), branches.total, atoms), mask)
        means = logits[..., 0] if support is None else expected_values(logits, support)
        q: Floats = masked_values(branches, means, mask)
        return q

    return values
