"""What the policy-gradient algorithms share: a trajectory becomes rows to learn from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from anyspace import tree
from anyspace.data.trajectory import Ints, Trajectory
from anyspace.data.views import states, windows
from anyspace.execution.learner import Batch
from anyspace.maths.returns import gae
from anyspace.maths.sequences import chop, ranges
from anyspace.maths.xp import xp
from anyspace.models.runtime import NumpyArray
from anyspace.policy.policy import Evaluation, Policy
from anyspace.policy.sequences import Sequences

FEATURES_AT_A_TIME = 2**23
"""Features of all rows together in one pass that records no gradients: 32 MiB of float32."""


class _Plan(NamedTuple):
    """Which rows of ``Trajectory.all_obs`` are evaluated, in one batch."""

    rows: Ints
    """[M] rows of `all_obs`; the steps that are learnt from and what they led to."""
    own: Ints
    """[N] where among them each step lies that is learnt from."""
    following: Ints
    """[N] where among them that lies which the step led to."""
    steps: Ints
    """[N] which step it is, ``t * B + b``."""
    lens: Ints | None = None
    """[S] lengths of the sequences that the M rows are, for models with states."""
    learnt_lens: Ints | None = None
    """[S] lengths of the sequences that the N steps are."""
    state: list[NumpyArray] | None = None
    """The states before each sequence, [S, ...]."""


def training_rows(policy: Policy, trajectory: Trajectory, *, gamma: float, lambda_: float, use_critic: bool) -> Batch:
    """Return the valid steps of a trajectory as rows [N, ...] with all that a loss needs.

    Values, log-probabilities and distribution inputs come from one batched pass in evaluation mode. Models with states
    see the sequences that they are to learn from, each with the state that it was acted on; what a sequence led to is
    one more step of it. Advantages are not standardised. Without a critic the values are 0, so that the advantages are
    the discounted returns.

    Returns:
        ``obs`` (encoded leaves), ``actions``, ``action_logp``, ``action_dist_inputs``, ``vf_preds``,
        ``advantages``, ``value_targets``; ``views`` and ``sequences`` where the model has them.
    """
    runtime, plan = policy.runtime, _plan(policy, trajectory)
    obs = [policy.to_device(leaf) for leaf in trajectory.all_obs()]
    views = {name: policy.to_device(window) for name, window in windows(trajectory, policy.views).items()}
    actions = tree.map_leaves(
        lambda leaf: runtime.asarray(leaf.reshape(-1, *leaf.shape[2:])[plan.steps]), trajectory.actions
    )
    with runtime.no_grad():
        evaluation = _evaluate(policy, {"obs": obs, "views": views}, plan, value=use_critic)
        dist_inputs = _picked(policy, evaluation.dist_inputs, plan.own)
        learnt = plan.rows[plan.own]
        own = [_picked(policy, leaf, learnt) for leaf in obs]
        logp = policy.distribution(dist_inputs, policy.mask(own)).logp(actions)
    values = np.zeros(len(plan.rows), np.float32) if evaluation.values is None else runtime.numpy(evaluation.values)
    advantages, value_targets = _advantages(trajectory, plan, values, gamma=gamma, lambda_=lambda_)
    batch: Batch = {
        "obs": own,
        "actions": actions,
        "action_logp": logp,
        "action_dist_inputs": dist_inputs,
        "vf_preds": runtime.asarray(values[plan.own]),
        "advantages": runtime.asarray(advantages),
        "value_targets": runtime.asarray(value_targets),
    }
    if shown := policy.views.shown(training=True):
        batch["views"] = {name: _picked(policy, views[name], learnt) for name in shown}
    if plan.learnt_lens is not None and plan.state is not None:
        batch["sequences"] = Sequences(plan.learnt_lens, [runtime.asarray(state) for state in plan.state])
    return batch


def _plan(policy: Policy, trajectory: Trajectory) -> _Plan:
    steps, width = trajectory.valid.shape
    following = trajectory.next_rows()
    if not policy.views.recurrent:
        learnt = np.flatnonzero(trajectory.valid)
        rows = np.arange((steps + 1) * width + len(trajectory.final_obs.t))
        return _Plan(rows, learnt, following.reshape(-1)[learnt], learnt)
    begins = np.concatenate([np.ones((1, width), np.bool_), trajectory.begins()[:-1]])
    t, b, lens = chop(trajectory.valid, begins, policy.max_seq_len)
    learnt = ranges(t * width + b, lens, width)
    places = ranges(np.cumsum(lens + 1) - (lens + 1), lens)
    rows = np.empty(lens.sum() + len(lens), np.int64)
    rows[places] = learnt
    rows[np.cumsum(lens + 1) - 1] = following[t + lens - 1, b]
    return _Plan(rows, places, places + 1, learnt, lens + 1, lens, states(trajectory, policy.views, t, b))


def _evaluate(policy: Policy, batch: Batch, plan: _Plan, *, value: bool) -> Evaluation:
    """Evaluate all rows, as many at a time as fit a reasonable share of memory."""
    size = max(1, FEATURES_AT_A_TIME // policy.preprocessor.size)
    parts = []
    for part, sequences in _parts(policy, plan, size):
        if sequences is None:
            parts.append(policy.evaluate(take(batch, part), value=value))
        else:
            rows = take(batch, policy.runtime.asarray(plan.rows[part]))
            parts.append(policy.evaluate({**rows, "sequences": sequences}, value=value))
    ns = xp(parts[0].dist_inputs)
    values = [part.values for part in parts if part.values is not None]
    return Evaluation(ns.concatenate([part.dist_inputs for part in parts]), ns.concatenate(values) if values else None)


def _parts(policy: Policy, plan: _Plan, size: int) -> Iterator[tuple[slice, Sequences | None]]:
    """Yield the rows of the plan in slices of about ``size``, whole sequences of them."""
    if plan.lens is None or plan.state is None:
        for first in range(0, len(plan.rows), size):
            yield slice(first, min(first + size, len(plan.rows))), None
        return
    stops = np.cumsum(plan.lens)
    # Padded to the longest, sequences take more room than their rows.
    for some in np.array_split(np.arange(len(stops)), -(-len(stops) * int(plan.lens.max()) // size)):
        if len(some):
            part = slice(int(stops[some[0]] - plan.lens[some[0]]), int(stops[some[-1]]))
            yield part, Sequences(plan.lens[some], [policy.runtime.asarray(state[some]) for state in plan.state])


def _advantages(
    trajectory: Trajectory, plan: _Plan, values: NumpyArray, *, gamma: float, lambda_: float
) -> tuple[NumpyArray, NumpyArray]:
    """Return advantages and value targets of the steps that are learnt from, [N] each."""
    by_time, following = np.zeros((2, trajectory.valid.size), np.float32)
    by_time[plan.steps], following[plan.steps] = values[plan.own], values[plan.following]
    shape = trajectory.valid.shape
    advantages, targets = gae(
        trajectory.rewards,
        by_time.reshape(shape),
        following.reshape(shape),
        trajectory.terminated,
        trajectory.done,
        gamma=gamma,
        lambda_=lambda_,
    )
    return advantages.reshape(-1)[plan.steps], targets.reshape(-1)[plan.steps]


def _picked(policy: Policy, column: Any, rows: Ints) -> Any:
    """Return some rows of a column on the device; those of a whole prefix are not copied."""
    if len(rows) and rows[-1] == len(rows) - 1 and (np.diff(rows) == 1).all():
        return column[: len(rows)]
    return column[policy.runtime.asarray(rows)]


def take(batch: Batch, rows: object) -> Batch:
    """Return the given rows of every column."""
    return {name: tree.map_leaves(lambda leaf: leaf[rows], column) for name, column in batch.items()}


def minibatches(policy: Policy, batch: Batch, size: int | None) -> Iterator[Batch]:
    """Shuffle the rows once, then yield them in slices of ``size``; no row is dropped.

    A remainder of fewer than two rows joins the last slice, so that no gradient rests on a single row. Rows that are
    steps of sequences stay together: whole sequences are shuffled, and cut where a slice has at least ``size`` rows.
    """
    if "sequences" in batch:
        yield from _of_sequences(policy, batch, size)
        return
    count = len(batch["action_logp"])
    shuffled = take(batch, policy.runtime.permutation(count))
    for start, stop in _slices(count, size or count):
        yield take(shuffled, slice(start, stop))


def _slices(count: int, size: int) -> list[tuple[int, int]]:
    starts = list(range(0, count, size))
    if len(starts) > 1 and count - starts[-1] == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], count], strict=True))


def _of_sequences(policy: Policy, batch: Batch, size: int | None) -> Iterator[Batch]:
    columns = {name: column for name, column in batch.items() if name != "sequences"}
    sequences: Sequences = batch["sequences"]
    order = policy.runtime.numpy(policy.runtime.permutation(len(sequences.lens))).astype(np.int64)
    sequences, rows = sequences.pick(order, policy.runtime)
    shuffled = take(columns, policy.runtime.asarray(rows))
    stops = np.cumsum(sequences.lens)
    # As many slices as rows would make, of whole sequences.
    borders = [stop for _, stop in _slices(len(rows), size or len(rows))]
    cuts = _of_two_rows(np.unique(np.searchsorted(stops, borders) + 1), stops)
    for start, stop in itertools.pairwise(cuts):
        first = int(stops[start] - sequences.lens[start])
        yield {**take(shuffled, slice(first, int(stops[stop - 1]))), "sequences": sequences[start:stop]}


def _of_two_rows(cuts: Ints, stops: Ints) -> list[int]:
    """Return where slices of sequences begin and end, without the cuts that would leave one of them a single row."""
    kept, rows = [0], 0
    for cut in map(int, cuts):
        if stops[cut - 1] - rows > 1:
            kept.append(cut)
            rows = stops[cut - 1]
    if kept[-1] != len(stops):
        kept[-1 if len(kept) > 1 else 1 :] = [len(stops)]
    return kept
