"""Writing trajectories as recorded steps."""

from __future__ import annotations

import os
import weakref

import numpy as np

from anyspace import tree
from anyspace.data.offline.episode_lines import EpisodeLines, Part
from anyspace.data.offline.json_writer import LARGEST_FILE, JsonWriter
from anyspace.data.offline.spaces_file import write_spaces
from anyspace.data.trajectory import Ints, Trajectory
from anyspace.maths.gather import Gathered
from anyspace.models.runtime import NumpyArray
from anyspace.policy.policy import Policy


class TrajectoryWriter:
    """Writes the steps of trajectories into a folder, with their spaces beside them.

    A line holds one or more whole episodes of an environment, however short the trajectories are that they come in:
    ``obs`` and ``new_obs``, ``actions`` (samples, those of several parts flat), ``rewards`` (the environment's own),
    ``terminateds``, ``truncateds``, ``eps_id``, ``t`` (the number of the step in its episode), ``unroll_id`` (of the
    line), and ``action_mask`` and collected infos where there are any.

    The steps of an episode that is under way are kept until it is over, up to `MOST_STEPS` steps or `MOST_BYTES` of an
    environment, and no longer than until :meth:`close`, which is also called where the writer is deleted or the
    interpreter exits. Steps that do not go on end their line.

    An observation that is one array is written as it is. One of several parts, or of indices that do not count from 0,
    is an object with the encoded parts under their places, such as ``obs["camera"]``.

    Where the disk is full, a warning says so once, until there is room again. The steps of that time are missing.

    Args:
        folder: made if it is not there; files that are in it stay.
        policy: whose steps they are.
        largest_file: bytes after which another file is begun.

    Raises:
        ConfigError: the folder holds steps of other spaces, or cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str], policy: Policy, largest_file: int = LARGEST_FILE):
        writer = JsonWriter(folder, largest_file=largest_file)
        write_spaces(writer.folder, policy.observation_space, policy.env_action_space)
        self._lines, self._leaves = EpisodeLines(writer, policy), len(policy.encode.specs)
        weakref.finalize(self, self._lines.write_all)

    def write(self, trajectory: Trajectory) -> None:
        """Take in the valid steps of a trajectory, and write the episodes that ended in it."""
        stored, following, done = trajectory.all_obs(), trajectory.next_rows(), trajectory.done
        for b, (lane, begins) in enumerate(zip(trajectory.lanes, trajectory.begins.tolist(), strict=True)):
            t = np.flatnonzero(trajectory.valid[:, b])
            ends = np.flatnonzero(done[t, b])
            ended = int(ends[-1]) + 1 if len(ends) else 0
            for times, over in ((t[:ended], True), (t[ended:], False)):
                if len(times):
                    part = self._part(trajectory, stored, following[times, b], times, b)
                    self._lines.add(lane, part, begins=begins, over=over)

    def close(self) -> None:
        """Write the steps of episodes that are under way; further steps of them become lines of their own."""
        self._lines.write_all()

    def _part(
        self, trajectory: Trajectory, stored: list[NumpyArray | Gathered], following: Ints, t: Ints, b: int
    ) -> Part:
        rows, leaves = t * trajectory.valid.shape[1] + b, stored[: self._leaves]
        masks = {"action_mask": stored[-1]} if len(stored) > self._leaves else {}
        logp = trajectory.action_logp
        return {
            "obs": [_at(leaf, rows) for leaf in leaves],
            "new_obs": [_at(leaf, following) for leaf in leaves],
            "actions": tree.map_leaves(lambda leaf: leaf[t, b], trajectory.actions),
            "rewards": trajectory.rewards[t, b],
            "terminateds": trajectory.terminated[t, b],
            "truncateds": trajectory.truncated[t, b],
            "action_logp": np.full(len(t), np.nan, np.float32) if logp is None else logp[t, b],
            **{name: column[t, b] for name, column in trajectory.collected.items()},
            **{name: _at(mask, rows) for name, mask in masks.items()},
        }


def _at(leaf: NumpyArray | Gathered, rows: Ints) -> NumpyArray:
    found = leaf[rows]
    return found.put_together() if isinstance(found, Gathered) else found
