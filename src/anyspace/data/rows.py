"""``Rows``: the steps of a trajectory as rows that a model evaluates and learns from.

Letters: T steps of B environments; M rows that are evaluated; N steps that are learnt from; S sequences.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from anyspace import tree
from anyspace.data.trajectory import Ints, Trajectory, flattened
from anyspace.data.view_windows import states, windows
from anyspace.distributions import ActionDistribution
from anyspace.maths.gather import rows_of
from anyspace.maths.sequences import chop, ranges
from anyspace.maths.xp import Array, xp
from anyspace.models.runtime import NumpyArray
from anyspace.policy.acting import on_device
from anyspace.policy.batch import Batch
from anyspace.policy.pipeline import Pipeline
from anyspace.policy.sequences import Sequences
from anyspace.spaces.repeated_values import map_arrays
from anyspace.tree import Tree

FEATURES_AT_A_TIME = 2**23
"""Features of all rows together in one pass that records no gradients: 32 MiB of float32."""


class RowLayout(NamedTuple):
    """Which observations of a trajectory are evaluated, and which of them the steps are.

    Two steps of one environment, both learnt from, by a model without states: the observations are rows 0, 1 and 2 (the
    last one is what the second step led to), so ``rows`` is [0, 1, 2], ``own`` is [0, 1] and ``following`` [1, 2].
    """

    rows: Ints
    """[M] rows of `Trajectory.all_obs`: the observations of the steps, and those that the steps led to."""
    own: Ints
    """[N] position in ``rows`` of the observation before each step."""
    following: Ints
    """[N] position in ``rows`` of the observation after each step."""
    steps: Ints
    """[N] number of each step, ``t * B + b``."""
    lens: Ints | None = None
    """[S] lengths of the sequences that the M rows are, for models with states."""
    learnt_lens: Ints | None = None
    """[S] lengths of the sequences that the N steps are: one less, for the last observation is no step."""
    state: list[NumpyArray] | None = None
    """The states before each sequence, [S, ...]."""


@dataclass(frozen=True)
class Evaluated:
    """What one pass in evaluation mode, without gradients, says of the steps."""

    output: Tree
    """The model's output for each step's observation [N, ...]."""
    dist_inputs: Array
    """[N, num_outputs]."""
    distribution: ActionDistribution
    """Of N rows."""
    values: NumpyArray
    """[N] of each step's observation; 0 where no value was asked for."""
    next_values: NumpyArray
    """[N] of the observation after each step; 0 where no value was asked for."""


class Rows:
    """The valid steps of a trajectory as N rows, evaluated in one batched pass.

    Models with states see the sequences that they are to learn from, each with the state that it was acted on. The last
    row of each sequence is the observation after its last step.

    An example: of two environments and two steps, environment 1 ignored the action of step 0. Then N is 3: the steps
    ``(t, b)`` are (0, 0), (1, 0) and (1, 1). ``to_time([5, 6, 7])`` is ``[[5, 0], [6, 7]]``, which ``from_time`` turns
    back.

    Args:
        pipeline: whose model evaluates them.
        trajectory: the steps.
    """

    def __init__(self, pipeline: Pipeline, trajectory: Trajectory):
        self.pipeline, self.trajectory = pipeline, trajectory
        self.layout = _layout(pipeline, trajectory)
        runtime, masking = pipeline.runtime, pipeline.masking
        leaves = [on_device(runtime, leaf) for leaf in trajectory.all_obs()]
        self._stored = Batch(obs=masking.observation(leaves))
        mask = masking.find(leaves)
        if mask is not None:
            self._stored["action_mask"] = mask
        found = windows(trajectory, pipeline.views)
        self._stored["views"] = {name: on_device(runtime, window) for name, window in found.items()}
        self._learnt = self.layout.rows[self.layout.own]

    def batch(self) -> Batch:
        """Return the columns that the model sees, ``actions``, and collected infos by their names, of the N steps."""
        picked = Batch({name: self._picked(column, self._learnt) for name, column in self._stored.items()})
        shown = self.pipeline.views.training_views()
        picked["views"] = {name: picked["views"][name] for name in shown}
        if not shown:
            del picked["views"]
        picked["actions"] = self.actions()
        for name, column in self.trajectory.collected.items():
            picked[name] = self.pipeline.runtime.asarray(self.from_time(column))
        layout, runtime = self.layout, self.pipeline.runtime
        if layout.learnt_lens is not None and layout.state is not None:
            picked["sequences"] = Sequences(layout.learnt_lens, [runtime.asarray(state) for state in layout.state])
        return picked

    def actions(self) -> Tree:
        """Return the raw actions of the N steps on the device."""
        return tree.map_leaves(
            lambda leaf: self.pipeline.runtime.asarray(self.from_time(leaf)), self.trajectory.actions
        )

    def evaluate(self, *, value: bool = True, under: Pipeline | None = None) -> Evaluated:
        """Evaluate all rows at once, without gradients and in evaluation mode.

        Args:
            value: whether to ask for values.
            under: a sibling of the pipeline, whose weights are taken instead.
        """
        pipeline, layout = under or self.pipeline, self.layout
        runtime = pipeline.runtime
        with runtime.no_grad():
            output, values = self._forward(pipeline, value=value)
            own = self._picked(output, layout.own)
            if not pipeline.knows_distribution and len(layout.own) != len(layout.rows):
                pipeline.forward(self.batch(), value=False)  # what the model keeps of its latest pass is of these rows
            mask = self._stored.mask
            mask = None if mask is None else self._picked(mask, self._learnt)
            dist_inputs = pipeline.model.action_inputs(own, mask)
            distribution = pipeline.distribution(dist_inputs, mask)
        found = np.zeros(len(layout.rows), np.float32) if values is None else runtime.numpy(values)
        return Evaluated(own, dist_inputs, distribution, found[layout.own], found[layout.following])

    def to_time(self, values: NumpyArray) -> NumpyArray:
        """Return numbers of the N steps [N] as [T, B], 0 where no step is learnt from."""
        by_time = np.zeros(self.trajectory.valid.size, values.dtype)
        by_time[self.layout.steps] = values
        return by_time.reshape(self.trajectory.valid.shape)

    def from_time(self, array: NumpyArray) -> NumpyArray:
        """Return an array of all steps [T, B, ...] as the N steps that are learnt from, [N, ...]."""
        steps: NumpyArray = flattened(array)[self.layout.steps]
        return steps

    def _forward(self, pipeline: Pipeline, *, value: bool) -> tuple[Tree, Array | None]:
        """Evaluate the M rows, as many at a time as fit a reasonable share of memory."""
        size = max(1, FEATURES_AT_A_TIME // pipeline.preprocessor.size)
        outputs, values = [], []
        for part, sequences in self._parts(size):
            if sequences is None:
                batch = self._stored.of_rows(part)
            else:
                batch = self._stored.of_rows(pipeline.runtime.asarray(self.layout.rows[part]))
                batch["sequences"] = sequences
            output, value_of_part = pipeline.forward(batch, value=value)
            outputs.append(output)
            values.append(value_of_part)
        if len(outputs) == 1:
            return outputs[0], values[0]
        joined = map_arrays(lambda *parts: xp(parts[0]).concatenate(list(parts)), *outputs)
        return joined, xp(values[0]).concatenate(values) if value else None

    def _parts(self, size: int) -> Iterator[tuple[slice, Sequences | None]]:
        """Yield the M rows in slices of about ``size``, whole sequences of them."""
        layout, runtime = self.layout, self.pipeline.runtime
        if layout.lens is None or layout.state is None:
            for first in range(0, len(layout.rows), size):
                yield slice(first, min(first + size, len(layout.rows))), None
            return
        stops = np.cumsum(layout.lens)
        # Padded to the longest, sequences take more room than their rows.
        for some in np.array_split(np.arange(len(stops)), -(-len(stops) * int(layout.lens.max()) // size)):
            if len(some):
                part = slice(int(stops[some[0]] - layout.lens[some[0]]), int(stops[some[-1]]))
                yield part, Sequences(layout.lens[some], [runtime.asarray(state[some]) for state in layout.state])

    def _picked(self, column: Tree, rows: Ints) -> Any:
        """Return some rows of a column on the device; a whole prefix of it is not copied."""
        if len(rows) and rows[-1] == len(rows) - 1 and (np.diff(rows) == 1).all():
            return map_arrays(lambda leaf: leaf[: len(rows)], column)
        index = self.pipeline.runtime.asarray(rows)
        return map_arrays(lambda leaf: rows_of(leaf, index), column)


def with_logp(pipeline: Pipeline, trajectory: Trajectory) -> Trajectory:
    """Return a trajectory with ``action_logp``, so that it can be learnt from when the policy has changed.

    Args:
        pipeline: whose present weights acted, unless the trajectory says more.
        trajectory: what happened.
    """
    if trajectory.action_logp is not None:
        return trajectory
    rows = Rows(pipeline, trajectory)
    with pipeline.runtime.no_grad():
        logp = rows.evaluate(value=False).distribution.logp_of(rows.actions())
    by_time = rows.to_time(pipeline.runtime.numpy(logp)).astype(np.float32)
    return dataclasses.replace(trajectory, action_logp=by_time)


def _layout(pipeline: Pipeline, trajectory: Trajectory) -> RowLayout:
    steps, width = trajectory.valid.shape
    following = trajectory.next_rows()
    if not pipeline.views.recurrent:
        learnt = np.flatnonzero(trajectory.valid)
        rows = np.arange((steps + 1) * width + len(trajectory.final_obs.t))
        return RowLayout(rows, learnt, following.reshape(-1)[learnt], learnt)
    begins = np.concatenate([np.ones((1, width), np.bool_), trajectory.restarts()[:-1]])
    t, b, lens = chop(trajectory.valid, begins, pipeline.max_seq_len)
    learnt = ranges(t * width + b, lens, width)
    places = ranges(np.cumsum(lens + 1) - (lens + 1), lens)
    rows = np.empty(lens.sum() + len(lens), np.int64)
    rows[places] = learnt
    rows[np.cumsum(lens + 1) - 1] = following[t + lens - 1, b]
    return RowLayout(rows, places, places + 1, learnt, lens + 1, lens, states(trajectory, pipeline.views, t, b))
