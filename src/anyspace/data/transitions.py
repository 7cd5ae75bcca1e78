"""From windows of replayed steps to rows that off-policy losses learn from.

Letters: N rows; H steps of B windows; M rows of whole windows; n steps that a return sums up.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anyspace import tree
from anyspace.data.trajectory import Floats, Ints, Trajectory, flattened
from anyspace.data.view_windows import states, windows
from anyspace.maths.gather import rows_of
from anyspace.maths.returns import n_step
from anyspace.maths.sequences import chop, ranges
from anyspace.maths.xp import Array, xp
from anyspace.models.runtime import NumpyArray, Runtime
from anyspace.policy.acting import on_device
from anyspace.policy.batch import NEXT, Batch
from anyspace.policy.pipeline import Evaluation, Pipeline
from anyspace.policy.sequences import Sequences
from anyspace.spaces.repeated_values import map_arrays
from anyspace.tree import Tree


def transitions(
    pipeline: Pipeline,
    trajectory: Trajectory,
    *,
    n: int,
    gamma: float,
    burn_in: int = 0,
    lookahead: int = 0,
    weights: Floats | None = None,
) -> Batch:
    """Return what is learnt from in windows: the columns of :meth:`Rows.batch`, and those of n-step returns.

    ``returns`` [N] is the sum over j < m of gamma^j r_{t+j}, and ``discounts`` [N] is gamma^m, or 0 after termination:
    ``returns + discounts * V(what the m steps led to)`` is the target. m is n, or less where the episode ends first.

    A model without states learns from the first step of each window, H = n + lookahead. What the m steps led to stands
    in the columns ``next_obs``, ``next_action_mask`` and ``next_views``; :meth:`Batch.following` has them as a batch.

    A model with states learns from the steps ``burn_in`` to H - n - lookahead of each window. The rows are all steps of
    these sequences, so that states are computed from the one that was stored; ``counted`` is 1 where a row is learnt
    from, and ``ahead`` says how many rows later lies what the m steps led to. Two sequences of one counted step, n = 1
    and without burn-in, are the rows ``[a0, a1, b0, b1]`` with ``counted`` [1, 0, 1, 0] and ``ahead`` [1, 0, 1, 0].

    Args:
        pipeline: whose model learns.
        trajectory: windows as columns, as `Replay.draw` returns them.
        n: at least 1.
        gamma: discount per step.
        burn_in: steps at the head of each window that are not learnt from; 0 without states.
        lookahead: steps at its tail that views alone look at.
        weights: importance weights of the windows [B], which become the column ``weights``; None: ones.
    """
    returns, discounts, steps = n_step(trajectory.rewards, trajectory.terminated, trajectory.done, n=n, gamma=gamma)
    width = trajectory.valid.shape[1]
    columns = {
        "returns": returns,
        "discounts": discounts,
        "weights": np.broadcast_to(np.ones(width, np.float32) if weights is None else weights, returns.shape),
        **trajectory.collected,
    }
    if pipeline.views.recurrent:
        return _sequences(pipeline, trajectory, columns, steps, burn_in, n + lookahead)
    stored, first = _stored(pipeline, trajectory), slice(0, width)
    led_to = trajectory.next_rows()[steps[0] - 1, np.arange(width)]
    batch = _learnt(pipeline, trajectory, stored, columns, first, first)
    for name, column in stored.items():
        batch[f"{NEXT}{name}"] = _picked(pipeline.runtime, column, led_to)
    return batch


def following(pipeline: Pipeline, batch: Batch) -> Evaluation:
    """Return what a pipeline says of what the transitions of a batch led to, N rows, without gradients.

    Args:
        pipeline: the policy, or a sibling of it.
        batch: as :func:`transitions` makes them. Of rows that are not counted the result means nothing.
    """
    output, mask = following_output(pipeline, batch)
    with pipeline.runtime.no_grad():
        return Evaluation(output, pipeline.distribution_of(output, mask), None, mask)


def following_output(pipeline: Pipeline, batch: Batch) -> tuple[Tree, Array | None]:
    """Return the model's output for what transitions led to, N rows, and the mask [N, A]; see :func:`following`."""
    with pipeline.runtime.no_grad():
        if "ahead" not in batch:
            batch = batch.following()
            output, mask = pipeline.forward(batch, value=False)[0], batch.mask
        else:
            ahead, ns = batch["ahead"], xp(batch["ahead"])
            rows = ns.places(ahead) + ahead
            output = map_arrays(lambda leaf: ns.take_rows(leaf, rows), pipeline.forward(batch, value=False)[0])
            mask = None if batch.mask is None else ns.take_rows(batch.mask, rows)
        return map_arrays(lambda array: xp(array).stop_gradient(array), output), mask


def _stored(pipeline: Pipeline, trajectory: Trajectory) -> Batch:
    """Return the observations of windows, with masks and views, as rows in the order of `Trajectory.all_obs`."""
    leaves, masking = trajectory.all_obs(), pipeline.masking
    stored = Batch(obs=masking.observation(leaves))
    mask = masking.find(leaves)
    if mask is not None:
        stored["action_mask"] = mask
    shown = pipeline.views.training_views()
    if shown:
        found = windows(trajectory, pipeline.views)
        stored["views"] = {name: found[name] for name in shown}
    return stored


def _learnt(
    pipeline: Pipeline,
    trajectory: Trajectory,
    stored: Batch,
    columns: dict[str, NumpyArray],
    rows: Ints | slice,
    steps: Ints | slice,
) -> Batch:
    """Return the columns of rows, on the device.

    Args:
        pipeline: whose they are.
        trajectory: the windows.
        stored: what there is of each observation.
        columns: what there is of each step, [H, B].
        rows: which observations, [N].
        steps: which steps, ``t * B + b``, [N].
    """
    runtime = pipeline.runtime
    batch = Batch({name: _picked(runtime, column, rows) for name, column in stored.items()})
    batch["actions"] = tree.map_leaves(lambda leaf: runtime.asarray(flattened(leaf)[steps]), trajectory.actions)
    for name, column in columns.items():
        batch[name] = runtime.asarray(flattened(column)[steps])
    return batch


def _picked(runtime: Runtime, column: Tree, rows: Ints | slice) -> Any:
    """Return some rows of a column on the device."""
    return tree.map_leaves(lambda leaf: on_device(runtime, rows_of(leaf, rows)), column)


def _sequences(
    pipeline: Pipeline, trajectory: Trajectory, columns: dict[str, NumpyArray], m: Ints, burn_in: int, tail: int
) -> Batch:
    """Return the rows of whole windows as sequences; those without a step that is learnt from are left out.

    Of the last ``tail`` steps of a window the first one alone is learnt from.
    """
    length, width = trajectory.valid.shape
    begins = np.concatenate([np.ones((1, width), np.bool_), trajectory.restarts()[:-1]])
    t, b, lens = chop(trajectory.valid, begins, length)
    counts = trajectory.valid.copy()
    counts[:burn_in] = counts[length - tail + 1 :] = False
    before = np.concatenate([np.zeros((1, width), np.int64), counts.cumsum(axis=0)])
    kept = before[t + lens, b] > before[t, b]
    if not kept.any():
        return Batch(obs=[leaf[:0] for leaf in trajectory.obs])
    t, b, lens = t[kept], b[kept], lens[kept]
    # The last row of each sequence is what its last step led to; it stands for no step.
    own = ranges(t * width + b, lens, width)
    places, ends = ranges(np.cumsum(lens + 1) - (lens + 1), lens), np.cumsum(lens + 1) - 1
    rows, steps = np.empty(len(own) + len(lens), np.int64), np.empty(len(own) + len(lens), np.int64)
    rows[places] = steps[places] = own
    steps[ends] = (t + lens - 1) * width + b
    rows[ends] = trajectory.next_rows().reshape(-1)[steps[ends]]
    counted = counts.reshape(-1)[steps]
    counted[ends] = False
    runtime = pipeline.runtime
    batch = _learnt(pipeline, trajectory, _stored(pipeline, trajectory), columns, rows, steps)
    batch["counted"] = runtime.asarray(counted.astype(np.float32))
    batch["windows"] = np.where(counted, steps % width, -1)
    batch["ahead"] = runtime.asarray(np.where(counted, m.reshape(-1)[steps], 0))
    found: list[Any] = states(trajectory, pipeline.views, t, b)
    batch["sequences"] = Sequences(lens + 1, [runtime.asarray(state) for state in found])
    return batch
