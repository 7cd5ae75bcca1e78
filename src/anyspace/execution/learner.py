"""The protocol of a learner: one gradient step at a time, whatever the framework."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from anyspace.maths.xp import Array
from anyspace.models.runtime import NumpyArray
from anyspace.policy.policy import Policy

Batch = dict[str, Any]
"""Training rows by the seed's column names; each a tree of tensors [N, ...], ``obs`` encoded."""

Result = dict[str, Array]
"""What a step reports: scalars that are still tensors."""

Losses = Callable[[Policy, Batch], tuple[dict[str, Array], Result]]
"""An algorithm's losses: scalar by parameter group, and metrics."""


class Learner(Protocol):
    """Owns the optimisers; everything else of training lives in the algorithm."""

    def step(self, batch: Batch) -> Result:
        """Take one gradient step on ``batch`` and return the metrics, ``total_loss`` and ``grad_norm`` added."""

    def set_learning_rate(self, learning_rate: float) -> None:
        """Use ``learning_rate`` from the next step on."""

    def is_finite(self) -> bool:
        """Whether every parameter is finite; a NaN gradient leaves a NaN behind for good."""

    def state(self) -> dict[str, NumpyArray]:
        """Return the optimisers' state by name."""

    def load_state(self, state: dict[str, NumpyArray]) -> None:
        """Restore what :meth:`state` returned."""
