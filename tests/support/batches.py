"""The batches that a learner makes of several gradient steps."""

from __future__ import annotations

from collections.abc import Iterator

from anyspace.execution.learner import Group, Losses, Steps
from anyspace.execution.torch_learner import TorchLearner
from anyspace.policy.batch import Batch
from anyspace.policy.policy import Policy


def batches_of(policy: Policy, steps: Steps) -> Iterator[Batch]:
    """Yield the rows of each step, without taking it."""
    return TorchLearner(policy, lambda policy, batch: Losses({}), {"policy": Group(lambda timestep: 0.0)})._batches(
        steps
    )
