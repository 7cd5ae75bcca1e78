"""Steps of episodes under way, which become lines of files when their episodes are over."""

from __future__ import annotations

import itertools
import logging
import os
import secrets
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from anyspace import tree
from anyspace.data.offline.json_writer import JsonWriter
from anyspace.data.trajectory import Ints
from anyspace.failures import Failures
from anyspace.models.runtime import NumpyArray
from anyspace.policy.policy import Policy
from anyspace.spaces import Decoder, flatten_actions, normalize_action
from anyspace.tree import Tree

_LOG = logging.getLogger("anyspace")

MOST_STEPS = 1000
"""Steps of an environment after which a line is written, whether or not the episode is over."""

MOST_BYTES = 16 * 2**20
"""Bytes likewise. As text they are about 64 MiB, which is where a file ends (`LARGEST_FILE`)."""

MOST_BYTES_IN_ALL = 512 * 2**20
"""Bytes that the steps of all environments may take together; each may take its share."""

Part = dict[str, Any]
"""Steps that follow each other: columns by name, leaves [N, ...], the observations as lists of encoded leaves."""


@dataclass
class _Lane:
    """The episode of an environment that is under way."""

    incarnation: int
    eps_id: int
    steps_before: int = 0
    """Steps of the episode that are in lines already."""
    parts: list[Part] = field(default_factory=list)
    steps: int = 0
    size: int = 0

    def add(self, part: Part) -> None:
        """Take in the next steps."""
        self.parts.append(part)
        self.steps += len(part["rewards"])
        self.size += sum(leaf.nbytes for leaf in tree.leaves(part))


class EpisodeLines:
    """Keeps the steps of each environment until their episode is over, and writes them as a line.

    A line is written sooner where the steps take too much room, or do not go on. Where the disk is full, a warning says
    so once, until a line can be written again; the steps of the lines that could not be written are dropped.

    It holds no policy and no algorithm, so that it may outlive them until it is closed.

    Args:
        writer: of the lines.
        policy: whose steps they are.
    """

    def __init__(self, writer: JsonWriter, policy: Policy):
        self._writer, self._space = writer, policy.action_space
        specs = policy.encode.specs
        self._places = [spec.place() for spec in specs]
        self._alone = policy.preprocessor.is_array and not any(specs[0].start) and specs[0].warp is None
        self._decode = Decoder(policy.action_space, normalize=False)
        self._normalized = policy.config.normalize_actions
        self._failures = Failures()
        self._begin()

    def _begin(self) -> None:
        # Numbers of their own, so that episodes of several runs, or processes, in one folder are told apart.
        first = secrets.randbits(31) << 20
        self._ids, self._unrolls = itertools.count(first), itertools.count(first)
        self._lanes: dict[tuple[int, int], _Lane] = {}
        self._process = os.getpid()

    def add(self, lane: Ints, part: Part, *, begins: bool, over: bool) -> None:
        """Take in steps of an environment.

        Args:
            lane: worker, its incarnation, and the number of the environment there, [3].
            part: the steps; of episodes that end in it the last one is ``over``, or none is.
            begins: an episode begins with the first step.
            over: an episode ends with the last step.
        """
        self._forget_another_process()
        worker, incarnation, number = lane.tolist()
        place = worker, number
        found = self._lanes.get(place)
        if found is None or begins or found.incarnation != incarnation:
            self._end(place)
            found = self._lanes[place] = _Lane(incarnation, next(self._ids))
        found.add(part)
        if over:
            self._end(place)
        elif found.steps >= MOST_STEPS or found.size >= min(MOST_BYTES, MOST_BYTES_IN_ALL // len(self._lanes)):
            self._lanes[place] = _Lane(incarnation, found.eps_id, found.steps_before + found.steps)
            self._write(found)

    def write_all(self) -> None:
        """Write the steps of all episodes that are under way. Further steps of them become lines of their own."""
        self._forget_another_process()
        for place, lane in list(self._lanes.items()):
            self._lanes[place] = _Lane(lane.incarnation, lane.eps_id, lane.steps_before + lane.steps)
            self._write(lane)

    def _forget_another_process(self) -> None:
        """Begin anew when this process was forked: the other one writes what was there."""
        if os.getpid() != self._process:
            self._begin()
            self._writer.begin_file()

    def _end(self, place: tuple[int, int]) -> None:
        lane = self._lanes.pop(place, None)
        if lane is not None:
            self._write(lane)

    def _write(self, lane: _Lane) -> None:
        if not lane.parts:
            return
        try:
            self._writer.write(self._columns(lane))
        except OSError as error:
            if self._failures.add("output", error):
                _LOG.warning(
                    f"{self._writer.folder} cannot be written ({error.strerror or error}). Training goes on, and steps"
                    " are missing in the files there until it can be written again."
                )
        else:
            self._failures.end("output")

    def _columns(self, lane: _Lane) -> dict[str, Any]:
        """Return the columns of a line."""
        columns: Part = tree.map_leaves(lambda *parts: np.concatenate(parts), *lane.parts)
        for name in ("obs", "new_obs"):
            leaves = columns[name]
            columns[name] = leaves[0] if self._alone else dict(zip(self._places, leaves, strict=True))
        columns["actions"] = self._actions(columns["actions"])
        if not np.isfinite(columns["action_logp"]).all():
            del columns["action_logp"]
        done = columns["terminateds"] | columns["truncateds"]
        episode = np.cumsum(done) - done
        ids = [lane.eps_id, *(next(self._ids) for _ in range(episode[-1]))]
        starts = np.concatenate([[-lane.steps_before], np.flatnonzero(done) + 1])
        numbers: dict[str, NumpyArray] = {
            "eps_id": np.array(ids)[episode],
            "t": np.arange(len(done)) - starts[episode],
            "unroll_id": np.full(len(done), next(self._unrolls)),
        }
        return columns | numbers

    def _actions(self, actions: Tree) -> Any:
        if not self._normalized:
            actions = normalize_action(self._space, self._decode(actions))
        return flatten_actions(self._space, actions)
