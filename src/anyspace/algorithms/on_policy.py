"""What the policy-gradient algorithms share: a trajectory becomes rows to learn from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from anyspace import tree
from anyspace.data.trajectory import Trajectory
from anyspace.execution.learner import Batch
from anyspace.maths.gather import Gathered
from anyspace.maths.returns import gae
from anyspace.maths.xp import Array, xp
from anyspace.models.runtime import NumpyArray
from anyspace.policy.policy import Evaluation, Policy


def training_rows(policy: Policy, trajectory: Trajectory, *, gamma: float, lambda_: float, use_critic: bool) -> Batch:
    """Return the valid steps of a trajectory as rows [N, ...] with all that a loss needs.

    Values, log-probabilities and distribution inputs come from one batched pass in evaluation mode, which is
    exact because no state feeds back into these models. Advantages are not standardised. Without a critic
    the values are 0, so that the advantages are the discounted returns.

    Returns:
        ``obs`` (encoded leaves), ``actions``, ``action_logp``, ``action_dist_inputs``, ``vf_preds``,
        ``advantages``, ``value_targets``.
    """
    runtime = policy.runtime
    steps, width = trajectory.valid.shape
    obs = [_on_device(policy, leaf) for leaf in trajectory.all_obs()]
    actions = tree.map_leaves(
        lambda leaf: runtime.asarray(leaf.reshape(steps * width, *leaf.shape[2:])), trajectory.actions
    )
    with runtime.no_grad():
        evaluation = _evaluate(policy, obs, value=use_critic)
        dist_inputs = evaluation.dist_inputs[: steps * width]
        own = [leaf[: steps * width] for leaf in obs]
        logp = policy.distribution(dist_inputs, policy.mask(own)).logp(actions)
    values = (
        np.zeros(len(evaluation.dist_inputs), np.float32)
        if evaluation.values is None
        else runtime.numpy(evaluation.values)
    )
    by_time, next_values = _values(trajectory, values)
    advantages, value_targets = gae(
        trajectory.rewards,
        by_time,
        next_values,
        trajectory.terminated,
        trajectory.done,
        gamma=gamma,
        lambda_=lambda_,
    )
    batch: Batch = {
        "obs": own,
        "actions": actions,
        "action_logp": logp,
        "action_dist_inputs": dist_inputs,
        "vf_preds": runtime.asarray(by_time.reshape(-1)),
        "advantages": runtime.asarray(advantages.reshape(-1)),
        "value_targets": runtime.asarray(value_targets.reshape(-1)),
    }
    if trajectory.valid.all():
        return batch
    return take(batch, runtime.asarray(np.flatnonzero(trajectory.valid)))


def _on_device(policy: Policy, leaf: NumpyArray | Gathered) -> Array | Gathered:
    if isinstance(leaf, Gathered):
        return Gathered(policy.runtime.asarray(leaf.stored), policy.runtime.asarray(leaf.index))
    return policy.runtime.asarray(leaf)


def _evaluate(policy: Policy, obs: list[Array | Gathered], *, value: bool) -> Evaluation:
    """Evaluate all rows, as many at a time as fit a reasonable share of memory."""
    rows, size = len(obs[0]), max(1, FEATURES_AT_A_TIME // policy.preprocessor.size)
    if rows <= size:
        return policy.evaluate(obs, value=value)
    parts = [
        policy.evaluate([leaf[first : first + size] for leaf in obs], value=value) for first in range(0, rows, size)
    ]
    ns = xp(parts[0].dist_inputs)
    values = [part.values for part in parts if part.values is not None]
    return Evaluation(ns.concatenate([part.dist_inputs for part in parts]), ns.concatenate(values) if values else None)


FEATURES_AT_A_TIME = 2**23
"""Features of all rows together in one pass that records no gradients: 32 MiB of float32."""


def _values(trajectory: Trajectory, values: NumpyArray) -> tuple[NumpyArray, NumpyArray]:
    """Split V of ``trajectory.all_obs()`` into V(obs_t) and V(next_obs_t), each [T, B]."""
    steps, width = trajectory.valid.shape
    by_time = values[: (steps + 1) * width].reshape(steps + 1, width)
    next_values = by_time[1:].copy()
    next_values[trajectory.final_obs.t, trajectory.final_obs.b] = values[(steps + 1) * width :]
    return by_time[:-1], next_values


def take(batch: Batch, rows: object) -> Batch:
    """Return the given rows of every column."""
    return {name: tree.map_leaves(lambda leaf: leaf[rows], column) for name, column in batch.items()}


def minibatches(policy: Policy, batch: Batch, size: int | None) -> Iterator[Batch]:
    """Shuffle the rows once, then yield them in slices of ``size``; no row is dropped.

    A remainder of fewer than two rows joins the last slice, so that no gradient rests on a single row.
    """
    count = len(batch["action_logp"])
    shuffled = take(batch, policy.runtime.permutation(count))
    size = size or count
    starts = list(range(0, count, size))
    if len(starts) > 1 and count - starts[-1] == 1:
        starts.pop()
    for start, stop in zip(starts, [*starts[1:], count], strict=True):
        yield take(shuffled, slice(start, stop))
