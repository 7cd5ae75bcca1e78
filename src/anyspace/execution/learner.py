"""The protocol of a learner: one gradient step at a time, whatever the framework."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from anyspace.errors import ModelError
from anyspace.maths.xp import Array
from anyspace.models.modelv2 import InputDict, ModelV2
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
        """Take one gradient step on ``batch`` and return the losses' metrics.

        ``total_loss`` is added, and ``grad_norm``, before clipping, where gradients are clipped.
        """

    def set_learning_rate(self, learning_rate: float) -> None:
        """Use ``learning_rate`` from the next step on."""

    def is_finite(self) -> bool:
        """Whether every parameter is finite; a NaN gradient leaves a NaN behind for good."""

    def state(self) -> dict[str, NumpyArray]:
        """Return the optimisers' state by name."""

    def load_state(self, state: dict[str, NumpyArray]) -> None:
        """Restore what :meth:`state` returned."""


def with_custom_loss(policy: Policy, losses: dict[str, Array], batch: Batch) -> list[Array]:
    """Return the losses to descend: the algorithm's, passed through the model's ``custom_loss``.

    Raises:
        ModelError: ``custom_loss`` does not return as many losses as it was given.
    """
    given = list(losses.values())
    if type(policy.model).custom_loss is ModelV2.custom_loss:
        return given
    columns = {name: value for name, value in batch.items() if name != "obs"}
    inputs = InputDict(columns, {"obs": lambda: policy.model_inputs(batch["obs"])["obs_flat"]})
    changed = policy.model.custom_loss(given, inputs)
    if not isinstance(changed, list) or len(changed) != len(given):
        raise ModelError(
            f"{type(policy.model).__name__}.custom_loss() must return a list of {len(given)} losses, as many as it"
            f" was given, but returned {changed!r}."
        )
    return changed
