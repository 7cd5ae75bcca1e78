"""The protocol of a learner: one gradient step at a time, whatever the framework."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from anyspace.errors import ModelError
from anyspace.maths.xp import Array
from anyspace.models.modelv2 import InputDict
from anyspace.models.runtime import NumpyArray
from anyspace.policy.policy import Policy
from anyspace.policy.sequences import Padding, Sequences

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
    if not policy.model.has_custom_loss():
        return given
    changed = policy.model.custom_loss(given, _loss_inputs(policy, batch))
    if not isinstance(changed, list) or len(changed) != len(given):
        raise ModelError(
            f"{type(policy.model).__name__}.custom_loss() must return a list of {len(given)} losses, as many as it"
            f" was given, but returned {changed!r}."
        )
    for loss in changed:
        if np.shape(loss) != ():
            raise ModelError(
                f"{type(policy.model).__name__}.custom_loss() returned a loss of shape {np.shape(loss)}; a loss is"
                " one number: take the mean over the rows."
            )
    return changed


def _loss_inputs(policy: Policy, batch: Batch) -> InputDict:
    """Return a minibatch as models get to see it: observations flat, sequences padded."""
    columns = {name: column for name, column in batch.items() if name not in ("obs", "views", "sequences")}
    seen = policy.model_inputs(batch["obs"], batch.get("views", {}))
    views = {name: lambda name=name: seen[name] for name in batch.get("views", {})}
    inputs = InputDict(columns, {"obs": lambda: seen["obs_flat"], **views})
    sequences: Sequences | None = batch.get("sequences")
    if sequences is None:
        return inputs
    padding = Padding(sequences.lens, policy.runtime, time_major=policy.model.is_time_major())
    padded = padding.of_inputs(inputs)
    padded["seq_lens"] = padding.seq_lens
    padded.update({f"state_in_{i}": state for i, state in enumerate(sequences.state)})
    return padded
