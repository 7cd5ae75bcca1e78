"""Gathering what models declare: views of other steps, and states, for the rows of a trajectory.

Letters: T steps of B environments; R rows of ``Trajectory.all_obs``; S sequences.
"""

from __future__ import annotations

import numpy as np

from anyspace.data.trajectory import Bools, Ints, ObsLeaves, Trajectory, flattened
from anyspace.maths.gather import Gathered, Window
from anyspace.models.runtime import NumpyArray
from anyspace.models.view_requirement import ViewRequirement
from anyspace.policy.history import ModelViews


def windows(trajectory: Trajectory, views: ModelViews) -> dict[str, Window]:
    """Return what each view shows to each row of ``trajectory.all_obs()``, as windows of R rows."""
    return {
        name: _of_obs(trajectory, view) if view.data_col == "obs" else _of_steps(trajectory, view)
        for name, view in views.rows.items()
    }


def _of_obs(trajectory: Trajectory, view: ViewRequirement) -> Window:
    t, b = (column[:, None] for column in trajectory.times())
    width, offsets = trajectory.valid.shape[1], np.array(view.offsets)
    before = len(trajectory.earlier_obs[0]) if trajectory.earlier_obs else 0
    first = trajectory.firsts()[:, None]
    # Before its episode a row sees the first observation; rows of earlier ones lie ahead of the trajectory's.
    past = np.maximum(t + np.minimum(offsets, 0), np.where(first < 0, -before, first))
    index = (before + past) * width + b
    index = np.where(offsets == 0, before * width + np.arange(len(t))[:, None], index)
    ahead, there = _ahead(trajectory, offsets - 1)
    index = np.where(offsets > 0, before * width + trajectory.next_rows()[ahead, b], index)
    missing = (offsets > 0) & ~there
    stored: list[NumpyArray | Gathered] = list(trajectory.all_obs())
    if before:
        earlier = [flattened(leaf) for leaf in trajectory.earlier_obs]
        stored = [np.concatenate([old, new]) for old, new in zip(earlier, stored, strict=False)]
    return Window(stored, index, missing if missing.any() else None)


def _of_steps(trajectory: Trajectory, view: ViewRequirement) -> Window:
    leaves = trajectory.columns[str(view.data_col)]
    steps, width = trajectory.valid.shape
    before, offsets = len(leaves[0]) - steps, np.array(view.offsets)
    t, b = (column[:, None] for column in trajectory.times())
    first = trajectory.firsts()[:, None]
    ahead, there = _ahead(trajectory, offsets)
    time = np.where(offsets < 0, t + offsets, ahead)
    missing = np.where(offsets < 0, (first >= 0) & (t + offsets < first), ~there)
    index = np.clip(before + time, 0, len(leaves[0]) - 1) * width + b
    return Window([flattened(leaf) for leaf in leaves], index, missing if missing.any() else None)


def _ahead(trajectory: Trajectory, offsets: Ints) -> tuple[Ints, Bools]:
    """Return the steps at ``offsets`` from each row, [R, k] in 0..T-1, and whether they are of its episode."""
    steps, width = trajectory.valid.shape
    over = trajectory.done.copy()
    over[-1] = True
    over[:-1] |= ~trajectory.valid[1:]
    last = np.where(over, np.arange(steps)[:, None], steps)
    last = np.minimum.accumulate(last[::-1])[::-1]  # when the episode of each step ends
    last[~trajectory.valid] = -1
    # The rows after the last step, and last observations, have no steps ahead.
    none = np.full(width + len(trajectory.final_obs.t), -1)
    limit = np.concatenate([last.reshape(-1), none])[:, None]
    time = trajectory.times()[0][:, None] + offsets
    return np.clip(time, 0, steps - 1), time <= limit


def states(trajectory: Trajectory, views: ModelViews, t: Ints, b: Ints) -> ObsLeaves:
    """Return the model's states before the steps ``(t, b)`` [S]: [S, ...] each, [S, k, ...] for several steps."""
    first = trajectory.firsts()[t * trajectory.valid.shape[1] + b]
    found = []
    for view in views.states:
        (column,) = trajectory.columns[str(view.data_col)]
        before = len(column) - len(trajectory.valid)
        time = t[:, None] + np.array(view.offsets)
        missing = (first >= 0)[:, None] & (time < first[:, None])
        state = column[before + time, b[:, None]]
        state[missing] = views.fill(str(view.data_col))
        found.append(state[:, 0] if view.single else state)
    return found
