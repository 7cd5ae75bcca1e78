"""The protocol of a learner: gradient steps, whatever the framework."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol

import numpy as np

from anyspace.config import require
from anyspace.errors import ConfigError, ModelError
from anyspace.maths.xp import Array
from anyspace.models.input_dict import InputDict
from anyspace.models.runtime import NumpyArray
from anyspace.policy.batch import Batch
from anyspace.policy.pipeline import Pipeline
from anyspace.policy.policy import Policy
from anyspace.policy.sequences import Padding, Sequences


@dataclass(frozen=True)
class Group:
    """How the parameters that one loss trains are moved.

    Which parameters they are says the model (``ModelV2.group_of``); by default all belong to the first group.
    """

    lr: Callable[[int], float]
    """Learning rate by the number of sampled environment steps."""
    optimiser: Literal["adam", "rmsprop", "sgd"] = "adam"
    """Adam (Kingma and Ba, 2015), RMSProp (Tieleman and Hinton, 2012) or plain gradient descent."""
    grad_clip: float | None = None
    """Largest global norm of the group's gradients; None does not clip."""
    epsilon: float = 1e-8
    """Stabiliser of Adam and RMSProp, above 0."""
    decay: float = 0.99
    """RMSProp's share of the old squared gradients, in [0, 1)."""
    momentum: float = 0.0
    """Of RMSProp and plain gradient descent, in [0, 1)."""

    def __post_init__(self) -> None:
        require(self.epsilon > 0, "epsilon", self.epsilon, "it must be above 0")
        for key in ("decay", "momentum"):
            require(0 <= getattr(self, key) < 1, key, getattr(self, key), "it lies in [0, 1)")


@dataclass(frozen=True)
class Losses:
    """What an algorithm makes of a batch."""

    by_group: dict[str, Array]
    """The scalar loss of each group of parameters. Each group takes the gradient of its own loss alone."""
    metrics: dict[str, Array | float] = field(default_factory=dict)
    """Scalars to report, tensors or plain numbers."""
    rows: dict[str, Array] = field(default_factory=dict)
    """Numbers of each row [N] that `updates` is sent back, such as the errors by which replay is prioritised."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the losses by group and the metrics: ``losses, metrics = super().losses(policy, batch)``."""
        yield from (self.by_group, self.metrics)


LossFunction = Callable[[Policy, Batch], Losses | tuple[dict[str, Array], dict[str, Array | float]]]
"""An algorithm's losses; a pair of losses by group and metrics will do."""


@dataclass(frozen=True)
class Steps:
    """Several gradient steps that need no result in between, for one call of the learner.

    Five rows in minibatches of two, one epoch: ``order`` is [[3, 0], [4, 1], [2, 2]], and ``counted`` is False for the
    last of these entries.
    """

    rows: Batch
    """All rows, in the order of time."""
    order: NumpyArray
    """[S, N] which rows each step takes; which sequences, where the rows are steps of sequences."""
    counted: NumpyArray
    """[S, N] booleans: False for entries that fill a step up. Those that count come first."""
    tau: NumpyArray | None = None
    """[S] how far the siblings' weights follow the policy's after each step; None: they stay."""


@dataclass(frozen=True)
class Result:
    """What one or more gradient steps report."""

    metrics: dict[str, Array]
    """Scalars that are still tensors; of S steps, [S] each."""
    rows: dict[str, Array] = field(default_factory=dict)
    """Numbers of each row [N]; of S steps [S, N], N as in ``Steps.order``, or the most rows of a step where it counts
    sequences; NaN where an entry does not count."""


class Learner(Protocol):
    """Owns the optimisers; everything else of training lives in the algorithm."""

    def step(self, batch: Batch) -> Result:
        """Take one gradient step on ``batch``.

        ``total_loss``, the sum of the groups' losses, is added to the metrics, and ``grad_norm``, before clipping,
        where gradients are clipped. Of several groups each has its own, as in ``grad_norm_critic``.
        """

    def steps(self, steps: Steps) -> Result:
        """Take all of several gradient steps."""

    def at(self, timestep: int) -> None:
        """Take in how many environment steps were sampled so far: learning rates go by it."""

    def learning_rates(self) -> dict[str, float]:
        """Return the present learning rate of each group."""

    def follow(self, target: Pipeline, tau: float) -> None:
        """Move a sibling's weights towards the policy's: ``tau`` of the way, 1 all of it."""

    def is_finite(self) -> bool:
        """Whether every parameter is finite; a NaN gradient leaves a NaN behind for good."""

    def state(self) -> dict[str, NumpyArray]:
        """Return the optimisers' state by name."""

    def load_state(self, state: dict[str, NumpyArray]) -> None:
        """Restore what :meth:`state` returned."""


def as_losses(found: Losses | tuple[dict[str, Array], dict[str, Array | float]], groups: Mapping[str, Group]) -> Losses:
    """Return what an algorithm's ``losses`` returned as :class:`Losses`.

    Raises:
        ConfigError: it returned something else, or losses of other groups than the algorithm has.
    """
    if isinstance(found, tuple) and len(found) == 2:
        found = Losses(*found)
    if not isinstance(found, Losses) or not isinstance(found.by_group, dict):
        raise ConfigError(
            f"losses() must return Losses(...), or a pair of losses by group and metrics, but returned"
            f" {type(found).__name__}: return {{{next(iter(groups))!r}: total}}, metrics."
        )
    if found.by_group.keys() != groups.keys():
        raise ConfigError(
            f"losses() returned the groups {', '.join(found.by_group)}, but the algorithm has the groups"
            f" {', '.join(groups)}: give one loss for each. Terms that train the same parameters are added up."
        )
    return found


def with_custom_loss(policy: Policy, losses: dict[str, Array], batch: Batch) -> dict[str, Array]:
    """Return the losses to descend: the algorithm's, passed through the model's ``custom_loss``.

    Raises:
        ModelError: ``custom_loss`` does not return as many losses as it was given.
    """
    if not policy.model.has_custom_loss():
        return losses
    given = list(losses.values())
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
    return dict(zip(losses, changed, strict=True))


def _loss_inputs(policy: Policy, batch: Batch) -> InputDict:
    """Return a minibatch as models get to see it: observations of several parts flat, sequences padded."""
    columns = {name: column for name, column in batch.items() if name not in ("obs", "views", "sequences")}
    seen = policy.model_inputs(batch["obs"], batch.mask, batch.get("views", {}))
    views = {name: lambda name=name: seen[name] for name in batch.get("views", {})}
    observed = "obs" if policy.preprocessor.is_array else "obs_flat"
    scaled = seen.scaled()
    if scaled:
        scaled["obs"] = scaled[observed]
    inputs = InputDict(columns, {"obs": partial(seen.__getitem__, observed), **views}, scaled)
    # Models that are called with it nest its observations, and change nothing in it.
    inputs.taken = inputs.owned = True
    sequences: Sequences | None = batch.get("sequences")
    if sequences is None:
        return inputs
    padding: Padding = sequences.padding(policy.runtime, time_major=policy.model.is_time_major())
    padded = padding.of_inputs(inputs)
    padded["seq_lens"] = padding.seq_lens
    padded.update({f"state_in_{i}": state for i, state in enumerate(sequences.state)})
    return padded
