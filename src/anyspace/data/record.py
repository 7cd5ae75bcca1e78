"""``Record``: the arrays of a trajectory while it is being written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from anyspace import tree
from anyspace.data.batching import environment
from anyspace.data.frames import FrameCutter
from anyspace.data.infos import Infos, Numbers, by_step, numbers, numbers_of_step
from anyspace.data.stepping import Stepped
from anyspace.data.trajectory import Bools, FinalObs, Ints, ObsLeaves, Trajectory
from anyspace.data.vector import Step
from anyspace.data.vector_values import LARGEST
from anyspace.errors import ObservationError
from anyspace.models.runtime import NumpyArray
from anyspace.policy.history import Columns
from anyspace.tree import Tree


class Record:
    """Room for the steps of B environments; it grows where their number is not known.

    Args:
        first: the observations to act on first, [B, ...] each.
        before: what views look at of the steps before them, leaves [L, B, ...] by column.
        steps: how many steps there is room for.
        stacks: for each leaf that is a stack of frames, by its position, their number k: only the newest is stored.
        collect: names of infos whose numbers are written for every step.

    Attributes:
        t: how many steps were written.
        obs: the observations, [steps + 1, B, ...] each, of which t + 1 are there.
        last_infos: numbers among the infos of the last step of each episode that ended, by name, by (t, environment).
    """

    def __init__(
        self,
        first: ObsLeaves,
        before: Columns,
        steps: int,
        stacks: dict[int, int],
        collect: Sequence[str] = (),
    ):
        self.t = 0
        self._stacks = {position: FrameCutter(first[position], k) for position, k in stacks.items()}
        newest = [self._stacks[i].newest if i in stacks else leaf for i, leaf in enumerate(first)]
        self._width, self._room = len(first[0]), steps
        self.obs = [np.empty((steps + 1, *leaf.shape), leaf.dtype) for leaf in newest]
        for buffer, leaf in zip(self.obs, newest, strict=True):
            buffer[0] = leaf
        self._rewards = np.empty((steps, self._width), np.float32)
        # What a step says of each environment: terminated, truncated, ignored, and whether a life ended, not the game.
        self._flags = np.zeros((4, steps, self._width), np.bool_)
        self._before = before
        self._columns: dict[str, list[NumpyArray]] = {}
        self._like: Tree = None
        self._actions: list[NumpyArray] = []
        self._finals: list[tuple[int, Ints, ObsLeaves]] = []
        self._infos: dict[str, tuple[float, int]] = {}
        self._collected = {name: np.zeros((steps, self._width), np.float32) for name in collect}
        self.last_infos: dict[tuple[int, int], dict[str, float]] = {}
        self._acting: Bools | None = None
        self._ignores = False

    def add(self, raw: Tree, stepped: Stepped, ignored: Bools) -> None:
        """Write a step.

        Args:
            raw: the raw actions, each leaf [B, ...].
            stepped: what the step brought.
            ignored: bool [B], where the step does not count.
        """
        step, t = stepped.step, self.t
        if t == self._room:
            self._grow()
        if t == 0:
            self._allocate(raw, stepped.columns)
        if stepped.final:
            self._end(step.ended, stepped.final)
        for i, leaf in enumerate(stepped.leaves):
            self.obs[i][t + 1] = self._stacks[i].push(leaf, step.begun) if i in self._stacks else leaf
        if isinstance(raw, np.ndarray):
            self._actions[0][t] = raw
        else:
            for buffer, leaf in zip(self._actions, tree.leaves(raw), strict=True):
                buffer[t] = leaf
        for name, buffers in self._columns.items():
            for buffer, leaf in zip(buffers, stepped.columns[name], strict=True):
                buffer[len(self._before[name][0]) + t] = leaf
        self._rewards[t] = step.rewards
        if step.eventful or ignored is not step.ignored:
            self._ignores = True
            flags = self._flags
            flags[0, t], flags[1, t], flags[2, t], flags[3, t] = (
                step.terminated,
                step.truncated,
                ignored,
                step.life_lost,
            )
        self._acting = step.acting if step.eventful else None
        if step.infos or self._collected:
            self._add_infos(step, ~ignored)
        self.t += 1

    def _allocate(self, raw: Tree, columns: Columns) -> None:
        self._like = raw
        self._actions = [np.empty((self._room, *leaf.shape), leaf.dtype) for leaf in tree.leaves(raw)]
        for name, leaves in columns.items():
            if name == "obs":  # they are written once, with those that nobody looks back at
                continue
            before = self._before[name]
            self._columns[name] = [
                np.concatenate([old, np.empty((self._room, *leaf.shape), leaf.dtype)])
                for old, leaf in zip(before, leaves, strict=True)
            ]

    def _grow(self) -> None:
        """Double the room."""

        def doubled(buffer: npt.NDArray[Any]) -> npt.NDArray[Any]:
            more: npt.NDArray[Any] = np.empty((self._room, *buffer.shape[1:]), buffer.dtype)
            return np.concatenate([buffer, more])

        self.obs = [doubled(buffer) for buffer in self.obs]
        self._actions = [doubled(buffer) for buffer in self._actions]
        self._columns = {name: [doubled(buffer) for buffer in leaves] for name, leaves in self._columns.items()}
        self._collected = {name: doubled(column) for name, column in self._collected.items()}
        self._rewards = doubled(self._rewards)
        self._flags = np.concatenate([self._flags, np.zeros_like(self._flags)], axis=1)
        self._room *= 2

    def _end(self, ended: Ints, leaves: ObsLeaves) -> None:
        """Write the last observations [n, ...] of the episodes that a step ended in ``ended``."""
        stored = [self._stacks[i].last(leaf, ended) if i in self._stacks else leaf for i, leaf in enumerate(leaves)]
        self._finals.append((self.t, ended, [np.array(leaf) for leaf in stored]))

    def _add_infos(self, step: Step, valid: Bools) -> None:
        over = step.game_over if step.eventful else None
        for name, who, values in numbers_of_step(step.infos, valid, step.ended):
            self._add_numbers(name, who, values, over)
        for name in self._collected:
            self._collect(name, by_step(step.infos, valid, step.ended))

    def _add_numbers(self, name: str, who: Ints, values: Numbers, over: Bools | None) -> None:
        """Add numbers [n] of the environments ``who`` to the sums; keep them where an episode is over."""
        total, count = self._infos.get(name, (0.0, 0))
        self._infos[name] = (total + float(values.sum()), count + len(values))
        if over is not None:
            for b, value in zip(who.tolist(), values.tolist(), strict=True):
                if over[b]:
                    self.last_infos.setdefault((self.t, b), {})[name] = value

    def _collect(self, name: str, given: list[tuple[Infos, Bools]]) -> None:
        """Write the numbers of an info that every step has to give."""
        for infos, rows in given:
            who, values = numbers(infos, name, rows)
            fits = np.abs(values) <= LARGEST
            if np.count_nonzero(fits) < np.count_nonzero(rows):
                missing = min(set(np.flatnonzero(rows).tolist()) - set(who[fits].tolist()))
                raise ObservationError(
                    f"{environment(missing)}: its info holds no finite number {name!r}, which `collect_infos` asks for"
                    " at every step; give 0 where there is none."
                )
            self._collected[name][self.t, who] = values

    def used(self, *, now: bool) -> Bools:
        """Return on which observations an action was taken that counted, [t, B]; ``now``: on the latest as well."""
        used = ~self._flags[2, : self.t]
        if not now:
            return used
        latest = np.ones(self._width, np.bool_) if self._acting is None else self._acting
        return np.concatenate([used, latest[None]])

    def life_lost(self) -> Bools:
        """Return which steps ended an episode with a life, but not the game, [t, B]."""
        return self._flags[3, : self.t]

    def trajectory(self, begins: Bools, lanes: Ints, version: int) -> Trajectory:
        """Return what was written.

        Args:
            begins: bool [B], where an episode begins with the first observation.
            lanes: [B, 3], see `Trajectory.lanes`.
            version: of the weights that acted.
        """
        t = self.t
        terminated, truncated, ignored, _ = self._flags[:, :t]
        valid, rewards = ~ignored, self._rewards[:t]
        if self._ignores:  # an ignored row may hold anything
            terminated, truncated = terminated & valid, truncated & valid
            rewards = np.where(valid, rewards, np.float32(0))
        actions = iter([buffer[:t] for buffer in self._actions])
        return Trajectory(
            obs=[buffer[: t + 1] for buffer in self.obs],
            actions=tree.map_leaves(lambda _: next(actions), self._like),
            rewards=rewards,
            terminated=terminated,
            truncated=truncated,
            valid=valid,
            final_obs=self.final_obs(),
            begins=begins,
            lanes=lanes,
            versions=np.full(self._width, version),
            infos=self._infos,
            collected={name: np.where(valid, column[:t], np.float32(0)) for name, column in self._collected.items()},
            earlier={position: stack.earlier for position, stack in self._stacks.items()},
            earlier_obs=self._before.get("obs", []),
            columns=self._viewed(terminated, truncated),
        )

    def _viewed(self, terminated: Bools, truncated: Bools) -> Columns:
        """Return the columns of all steps and of the steps before, [L + T, B, ...], but for observations."""
        found: Columns = {}
        for name, buffers in self._columns.items():
            before = len(self._before[name][0])
            found[name] = [buffer[: before + self.t] for buffer in buffers]
            if name in ("terminateds", "truncateds"):
                found[name][0][before:] = terminated if name == "terminateds" else truncated
        return found

    def final_obs(self) -> FinalObs:
        """Return the last observations of the episodes whose place the next ones took."""
        if not self._finals:
            return FinalObs.none(self.obs, lead=2)
        times = [np.full(len(ended), t) for t, ended, _ in self._finals]
        leaves = zip(*(leaves for _, _, leaves in self._finals), strict=True)
        return FinalObs(
            np.concatenate(times),
            np.concatenate([ended for _, ended, _ in self._finals]),
            [np.concatenate(leaf) for leaf in leaves],
        )
