"""Batches as a learner makes them of several gradient steps, and sequences cut after each of their steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch

from anyspace.execution.groups import Group
from anyspace.execution.learner import Losses, Steps
from anyspace.execution.torch_learner import TorchLearner
from anyspace.policy.batch import Batch
from anyspace.policy.pipeline import Pipeline
from anyspace.policy.policy import Policy
from anyspace.policy.sequences import take_sequences


def batches_of(policy: Policy, steps: Steps) -> Iterator[Batch]:
    """Yield the rows of each step, without taking it."""
    return TorchLearner(policy, lambda policy, batch: Losses({}), {"policy": Group(lambda timestep: 0.0)})._batches(
        steps
    )


def unrolled(pipeline: Pipeline, batch: Batch, last: Callable[[Batch], torch.Tensor]) -> torch.Tensor:
    """Return what ``last`` gives [1, ...] for each sequence, cut after each of its steps: [N, ...]."""
    values = []
    for number, length in enumerate(batch["sequences"].lens):
        alone = take_sequences(batch, np.array([number]), pipeline.runtime)
        for stop in range(1, length + 1):
            part = alone.of_rows(slice(0, stop))
            part["sequences"] = type(alone["sequences"])(np.array([stop]), alone["sequences"].state)
            values.append(last(part))
    return torch.cat(values)
