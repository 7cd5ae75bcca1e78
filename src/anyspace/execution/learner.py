"""The protocol of a learner: one gradient step at a time, whatever the framework."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, Protocol

import numpy as np

from anyspace.errors import ModelError
from anyspace.maths.xp import Array
from anyspace.models.modelv2 import InputDict, ModelV2
from anyspace.models.runtime import NumpyArray
from anyspace.policy.policy import Policy
from anyspace.policy.sequences import Padding, Sequences
from anyspace.tree import Tree

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
    changed = policy.model.custom_loss(given, _loss_inputs(policy, batch))
    if not isinstance(changed, list) or len(changed) != len(given):
        raise ModelError(
            f"{type(policy.model).__name__}.custom_loss() must return a list of {len(given)} losses, as many as it"
            f" was given, but returned {changed!r}."
        )
    return changed


def _loss_inputs(policy: Policy, batch: Batch) -> InputDict:
    """Return a minibatch as models get to see it, computed when touched: observations flat, sequences padded."""
    sequences: Sequences | None = batch.get("sequences")
    views = batch.get("views", {})

    @cache
    def seen() -> InputDict:
        return policy.model_inputs(batch["obs"], views)

    @cache
    def padding() -> Padding | None:
        if sequences is None:
            return None
        return Padding(sequences.lens, policy.runtime, time_major=policy.model.is_time_major())

    def column(name: str) -> Tree:
        value = seen()["obs_flat"] if name == "obs" else seen()[name] if name in views else batch[name]
        pad = padding()
        return value if pad is None else pad.of_tree(value)

    names = [*(name for name in batch if name not in ("views", "sequences")), *views]
    lazy: dict[str, Callable[[], Any]] = {name: partial(column, name) for name in names}
    if sequences is not None:
        lazy["seq_lens"] = lambda: policy.runtime.asarray(sequences.lens.astype(np.int32))
        lazy |= {f"state_in_{i}": partial(sequences.state.__getitem__, i) for i in range(len(sequences.state))}
    return InputDict({}, lazy)
