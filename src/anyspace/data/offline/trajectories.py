"""Writing trajectories as recorded steps."""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np

from anyspace import tree
from anyspace.data.offline.json_writer import LARGEST_FILE, JsonWriter
from anyspace.data.offline.spaces_file import write_spaces
from anyspace.data.trajectory import Ints, Trajectory
from anyspace.maths.gather import Gathered
from anyspace.models.runtime import NumpyArray
from anyspace.policy.policy import Policy
from anyspace.spaces import Decoder, flatten_actions, normalize_action
from anyspace.tree import Tree


class TrajectoryWriter:
    """Writes the steps of trajectories into a folder, with their spaces beside them.

    A line holds the steps of one environment in one trajectory: ``obs`` and ``new_obs``, ``actions`` (samples, those of
    several parts flat), ``rewards`` (the environment's own), ``terminateds``, ``truncateds``, ``eps_id``, ``t`` (the
    number of the step in its episode), ``unroll_id``, and ``action_mask`` and collected infos where there are any.

    An observation that is one array is written as it is. One of several parts, or of indices that do not count from 0,
    is an object with the encoded parts under their places, such as ``obs["camera"]``.

    Args:
        folder: made if it is not there; files that are in it stay.
        policy: whose steps they are.
        largest_file: bytes after which another file is begun.

    Raises:
        ConfigError: the folder holds steps of other spaces, or cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str], policy: Policy, largest_file: int = LARGEST_FILE):
        self._policy = policy
        self._writer = JsonWriter(folder, largest_file=largest_file)
        self.folder = self._writer.folder
        write_spaces(self.folder, policy.observation_space, policy.env_action_space)
        specs = policy.encode.specs
        self._places = [spec.place() for spec in specs]
        self._alone = policy.preprocessor.is_array and not any(specs[0].start) and specs[0].warp is None
        self._decode = Decoder(policy.action_space, normalize=False)
        # Numbers of their own, so that episodes of several runs in one folder are told apart.
        first = secrets.randbits(31) << 20
        self._ids, self._unrolls = itertools.count(first), itertools.count(first)
        self._running: dict[tuple[int, ...], tuple[int, int]] = {}

    def write(self, trajectory: Trajectory) -> None:
        """Write the valid steps of a trajectory.

        Raises:
            OSError: a line or more could not be written. The others are, and the next trajectory may be tried.
        """
        fault: OSError | None = None
        stored, following = trajectory.all_obs(), trajectory.next_rows()
        width = trajectory.valid.shape[1]
        for b in range(width):
            t = np.flatnonzero(trajectory.valid[:, b])
            if not len(t):
                continue
            ids, times = self._episodes(trajectory, t, b)
            columns = {
                "obs": self._obs(stored, t * width + b),
                "new_obs": self._obs(stored, following[t, b]),
                "actions": self._actions(trajectory.actions, t, b),
                "rewards": trajectory.rewards[t, b],
                "terminateds": trajectory.terminated[t, b],
                "truncateds": trajectory.truncated[t, b],
                "eps_id": ids,
                "t": times,
                "unroll_id": np.full(len(t), next(self._unrolls)),
                **{name: column[t, b] for name, column in trajectory.collected.items()},
            }
            if len(stored) > len(self._places):
                columns["action_mask"] = stored[-1][t * width + b]
            logp = None if trajectory.action_logp is None else trajectory.action_logp[t, b]
            if logp is not None and np.isfinite(logp).all():
                columns["action_logp"] = logp
            try:
                self._writer.write(columns)
            except OSError as error:  # the episodes of the other environments are counted on
                fault = error
        if fault is not None:
            raise fault

    def _obs(self, stored: Sequence[NumpyArray | Gathered], rows: Ints) -> Any:
        found = [leaf[rows] for leaf in stored[: len(self._places)]]
        leaves = [leaf.put_together() if isinstance(leaf, Gathered) else leaf for leaf in found]
        return leaves[0] if self._alone else dict(zip(self._places, leaves, strict=True))

    def _actions(self, by_time: Tree, t: Ints, b: int) -> Any:
        space, actions = self._policy.action_space, tree.map_leaves(lambda leaf: leaf[t, b], by_time)
        if not self._policy.config.normalize_actions:
            actions = normalize_action(space, self._decode(actions))
        return flatten_actions(space, actions)

    def _episodes(self, trajectory: Trajectory, t: Ints, b: int) -> tuple[Ints, Ints]:
        """Return the number of each step's episode, and that of the step in its episode."""
        lane = tuple(trajectory.lanes[b].tolist())
        begun = lane not in self._running or bool(trajectory.begins[b])
        first, steps_before = (next(self._ids), 0) if begun else self._running[lane]
        over = trajectory.done[t, b]
        later = np.array([next(self._ids) for _ in range(int(over.sum()))], np.int64)
        episode = np.cumsum(over) - over
        ids = np.concatenate([[first], later])
        starts = np.concatenate([[-steps_before], np.flatnonzero(over) + 1])
        times = np.arange(len(t)) - starts[episode]
        self._running[lane] = (int(later[-1]), 0) if over[-1] else (int(ids[episode[-1]]), int(times[-1]) + 1)
        return ids[episode], times
