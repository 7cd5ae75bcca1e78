"""Encoders: from what a model sees, or part of it, to features.

Letters: N rows, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from anyspace.maths.xp import Array
from anyspace.models.architecture import Stack
from anyspace.models.pure.dense import Parameters, dense
from anyspace.models.pure.drawing import Drawing
from anyspace.tree import Tree


class Encoder(Protocol):
    """Maps part of an observation, restored to its structure, to features [N, F]; it knows its weights by name."""

    width: int
    """F."""

    def __call__(self, p: Parameters, x: Tree) -> Array:
        """Return the features of ``x`` under weights ``p``."""


class DenseStack:
    """Dense layers on a vector [N, width_in].

    Args:
        draw: draws the weights.
        name: of the row of layers.
        stacks: the layers, at least one stack, which may be empty.
        first: the place of the first layer in the row.
    """

    def __init__(self, draw: Drawing, name: str, stacks: Sequence[Stack], first: int = 0):
        self.layers = draw.stacks(name, stacks, first)
        self.width = stacks[-1].width

    def __call__(self, p: Parameters, x: Array) -> Array:
        """Return [N, F]."""
        return dense(p, self.layers)(x)
