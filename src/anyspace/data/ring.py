"""``Ring``: the latest steps of every environment, stored once, and windows of them that are trajectories again.

Letters: L lanes, one for each environment; N windows; H steps of a window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from anyspace import tree
from anyspace.data.growing import PORTION
from anyspace.data.trajectory import Bools, FinalObs, Floats, Ints, ObsLeaves, Trajectory
from anyspace.errors import ConfigError, counted
from anyspace.models.runtime import NumpyArray
from anyspace.policy.pipeline import Pipeline

S = TypeVar("S", bound=np.generic)


class Ring:
    """Room for the latest ``size`` transitions of each of L lanes.

    Step t of lane l lies in row ``l * (size + 1) + t % (size + 1)``: the newest observation is of no transition yet. An
    observation is stored once, as trajectories store it: of frame stacks the newest frame alone, encoded and not
    expanded. Memory is taken as the ring fills.

    A trajectory's columns go on where the columns of the same lanes ended. Where one does not, because its environment
    was started anew, the last transition before counts as truncated, and a step that does not count lies in between.

    Attributes:
        counts: how many steps were ever written to each lane [L].
        has_gaps: whether any step was written that does not count.

    Args:
        pipeline: whose steps they are; its spaces, views and frame stacks decide what is kept.
        size: transitions of a lane.
        lanes: L.
        lookback: how many steps before it a window looks at.
        dropped: is told which rows [n] windows may no longer begin at, before others are written in their place.
        written: is told, for lanes [n], which steps [T, n] were reached; see :meth:`rows`.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        size: int,
        lanes: int,
        lookback: int,
        dropped: Callable[[Ints], None],
        written: Callable[[Ints, Ints], None],
    ):
        self._views, self._stacks = pipeline.views, pipeline.stacks
        self._size, self._lanes, self._lookback = size, lanes, lookback
        self._dropped, self._written = dropped, written
        self._room, self._like = size + 1, pipeline.any_action()
        self.clear()

    def clear(self) -> None:
        """Forget all steps, and give their memory back."""
        lanes, rows = self._lanes, self._room * self._lanes
        self.counts: Ints = np.zeros(lanes, np.int64)
        self._firsts: Ints = np.zeros(lanes, np.int64)  # the first step of each lane that is still there
        self._places: dict[tuple[int, int], int] = {}
        self._incarnations: Ints = np.full(lanes, -1)
        # By row: reward; terminated, truncated, valid, has a last observation; steps since its episode began.
        self._rewards: Floats = np.zeros(rows, np.float32)
        self._flags: Bools = np.zeros((4, rows), np.bool_)
        self._since: npt.NDArray[np.int32] = np.zeros(rows, np.int32)
        self._obs: ObsLeaves = []
        self._finals: dict[int, ObsLeaves] = {}
        self._actions: list[NumpyArray] = []
        self._viewed: dict[str, ObsLeaves] = {}
        self._collected: dict[str, Floats] = {}
        self.has_gaps = False

    def __len__(self) -> int:
        """Return how many steps are there, those among them that a vector environment spent on resets."""
        return int((self.counts - self._firsts).sum())

    def add(self, trajectory: Trajectory) -> None:
        """Take in the steps of a trajectory; the oldest ones of a full lane make room."""
        if not self._obs:
            self._allocate(trajectory)
        lanes = np.array([self._lane(int(worker), int(number)) for worker, _, number in trajectory.lanes])
        lens, turns = trajectory.lens(), _turns(lanes)
        fresh = trajectory.begins.copy()
        for turn in range(int(turns.max(initial=-1)) + 1):
            (now,) = np.nonzero(turns == turn)
            fresh[now] |= self._incarnations[lanes[now]] != trajectory.lanes[now, 1]
            self._incarnations[lanes[now]] = trajectory.lanes[now, 1]
            if fresh[now].any():
                self._close_episodes(lanes[now[fresh[now]]])
            for length in sorted(set(lens[now].tolist())):
                columns = now[lens[now] == length]
                for first in range(0, length, self._size):  # more than the ring holds
                    part = slice(first, min(first + self._size, length))
                    self._write(trajectory, columns, lanes[columns], part, fresh)

    def _lane(self, worker: int, number: int) -> int:
        place = self._places.setdefault((worker, number), len(self._places))
        if place >= self._lanes:
            raise ConfigError(
                f"replay was made for {counted(self._lanes, 'environment')}, but steps of number {number} of worker"
                f" {worker} came."
            )
        return place

    def _close_episodes(self, lanes: Ints) -> None:
        """Put a step that does not count between the last transition of lanes and what begins anew.

        The observation that the transition led to stays there with it. One that ended no episode is truncated.
        """
        heads = self.counts[lanes]
        before = self.rows(lanes, heads - 1)
        terminated, _, valid, has_final = self._flags[:, before]
        there = (heads > 0) & valid & ~has_final
        if not there.any():
            return
        self._flags[1, before[there & ~terminated]] = True
        self._drop(lanes[there], 1)
        at = self.rows(lanes[there], heads[there])
        self._forget_finals(at)
        self._flags[:, at] = False
        self._rewards[at] = 0
        self.has_gaps = True
        self._move_on(lanes[there], 1)

    def _write(self, trajectory: Trajectory, columns: Ints, lanes: Ints, part: slice, fresh: Bools) -> None:
        """Write the steps ``part`` of some columns into their lanes, and the observations that they led to."""
        steps = part.stop - part.start
        self._drop(lanes, steps)
        rows = self.rows(lanes, self.counts[lanes] + np.arange(steps + 1)[:, None])
        own = rows[:-1]
        self._forget_finals(own)
        for ours, leaf in zip(self._obs, trajectory.obs, strict=True):
            ours[rows] = leaf[part.start : part.stop + 1, columns]
        for ours, leaf in zip(self._actions, tree.leaves(trajectory.actions), strict=True):
            ours[own] = leaf[part, columns]
        for name, leaves in trajectory.columns.items():
            for ours, leaf in zip(self._viewed[name], leaves, strict=True):
                ours[own] = leaf[len(leaf) - len(trajectory.valid) :][part, columns]
        for name, column in trajectory.collected.items():
            self._collected[name][own] = column[part, columns]
        self._rewards[own] = trajectory.rewards[part, columns]
        flags = (trajectory.terminated, trajectory.truncated, trajectory.valid)
        for i, flag in enumerate(flags):
            self._flags[i][own] = flag[part, columns]
        self.has_gaps = self.has_gaps or not trajectory.valid.all()
        self._write_finals(trajectory.final_obs, columns, rows, part)
        if part.start == 0:
            self._since[rows[0, fresh[columns]]] = 0
        restarts = trajectory.restarts()[part, columns]
        for t in range(steps):
            self._since[rows[t + 1]] = np.where(restarts[t], 0, self._since[rows[t]] + 1)
        self._move_on(lanes, steps)

    def _write_finals(self, final: FinalObs, columns: Ints, rows: Ints, part: slice) -> None:
        if not len(final.t):
            return
        for k in np.flatnonzero((final.t >= part.start) & (final.t < part.stop) & np.isin(final.b, columns)).tolist():
            row = int(rows[final.t[k] - part.start, columns.searchsorted(final.b[k])])
            self._flags[3, row] = True
            self._finals[row] = [leaf[k].copy() for leaf in final.leaves]

    def _forget_finals(self, rows: Ints) -> None:
        """Remove the last observations of rows that are written anew."""
        written = self._flags[3, rows]
        if written.any():
            for row in rows[written].tolist():
                del self._finals[row]
            self._flags[3, rows] = False

    def _drop(self, lanes: Ints, steps: int) -> None:
        """Give up the oldest steps of lanes, in whose place ``steps`` new ones are written next.

        Nothing is cut from them from now on, whatever ends the writing.
        """
        firsts = self.counts[lanes] + steps - self._size
        if firsts.max() <= 0:
            return
        before = self.oldest(lanes)
        self._firsts[lanes] = np.maximum(self._firsts[lanes], firsts)
        gone = self.oldest(lanes) - 1 - np.arange(steps + self._lookback)[:, None]
        self._dropped(self.rows(lanes, gone)[gone >= before])

    def _move_on(self, lanes: Ints, steps: int) -> None:
        """Count steps that were written."""
        self.counts[lanes] += steps
        self._written(lanes, self.counts[lanes] - np.arange(steps)[:, None])

    def steps(self, rows: Ints) -> tuple[Ints, Ints]:
        """Return the lanes of rows, and the latest steps of them that lie there, [n] each."""
        lanes = rows // self._room
        latest = self.counts[lanes] - 1
        return lanes, latest - (latest - rows) % self._room

    def oldest(self, lanes: Ints) -> Ints:
        """Return the first steps of lanes before which everything is there that is looked back at."""
        firsts = self._firsts[lanes]
        return np.where(firsts > 0, firsts + self._lookback, 0)

    def are_valid(self, rows: Ints) -> Bools:
        """Return which rows hold steps that count."""
        valid: Bools = self._flags[2, rows]
        return valid

    def rows(self, lanes: Ints, times: Ints) -> Ints:
        """Return where steps of lanes lie."""
        return ring_rows(lanes, times, self._size)

    def _allocate(self, trajectory: Trajectory) -> None:
        self._obs = [self._space(leaf[0]) for leaf in trajectory.obs]
        self._actions = [self._space(leaf[0]) for leaf in tree.leaves(trajectory.actions)]
        self._viewed = {name: [self._space(leaf[0]) for leaf in leaves] for name, leaves in trajectory.columns.items()}
        self._collected = {name: self._space(column[0]) for name, column in trajectory.collected.items()}

    def windows(self, lanes: Ints, times: Ints, horizon: int) -> Trajectory:
        """Return the windows of H = ``horizon`` steps that begin at the steps ``times`` [N] of ``lanes`` [N]."""
        rows = self.rows(lanes, times + np.arange(horizon + 1)[:, None])
        own, since = rows[:-1], self._since[rows[0]]
        terminated, truncated, valid, has_final = self._flags[:, own]
        actions = iter([leaf.take(own, axis=0) for leaf in self._actions])
        return Trajectory(
            obs=[leaf.take(rows, axis=0) for leaf in self._obs],
            actions=tree.map_leaves(lambda _: next(actions), self._like),
            rewards=self._rewards[own],
            terminated=terminated,
            truncated=truncated,
            valid=valid,
            final_obs=self._final_obs(own, has_final),
            begins=since == 0,
            lanes=np.stack([np.zeros_like(lanes), np.zeros_like(lanes), np.arange(len(lanes))], axis=1),
            versions=np.zeros(len(lanes), np.int64),
            collected={name: column.take(own, axis=0) for name, column in self._collected.items()},
            earlier={i: self._before(self._obs[i], lanes, times, k - 1, since) for i, k in self._stacks.items()},
            earlier_obs=self._earlier_obs(lanes, times, since),
            columns=self._columns(lanes, times, own, since),
        )

    def _final_obs(self, own: Ints, has_final: Bools) -> FinalObs:
        t, b = has_final.nonzero()
        if not len(t):
            return FinalObs(t, b, [leaf[:0] for leaf in self._obs])
        found = [self._finals[row] for row in own[t, b].tolist()]
        return FinalObs(t, b, [np.stack([leaves[i] for leaves in found]) for i in range(len(self._obs))])

    def _before(self, leaf: NumpyArray, lanes: Ints, times: Ints, depth: int, since: Ints) -> NumpyArray:
        """Return what was stored in the ``depth`` steps before windows [depth, N]; an episode's first stands in."""
        back = np.minimum(np.arange(depth, 0, -1)[:, None], since)
        found: NumpyArray = leaf.take(self.rows(lanes, times - back), axis=0)
        return found

    def _earlier_obs(self, lanes: Ints, times: Ints, since: Ints) -> ObsLeaves:
        depth = self._views.depth.get("obs", 0)
        if not depth:
            return []
        return [self._before(leaf, lanes, times, depth, since) for leaf in self._obs]

    def _columns(self, lanes: Ints, times: Ints, own: Ints, since: Ints) -> dict[str, ObsLeaves]:
        """Return the columns of windows [depth + H, N]; what was before an episode is filled in."""
        found: dict[str, ObsLeaves] = {}
        for name, leaves in self._viewed.items():
            depth = self._views.depth[name]
            missing, found[name] = np.arange(depth, 0, -1)[:, None] > since, []
            for leaf in leaves:
                before = self._before(leaf, lanes, times, depth, since)
                before[missing] = self._views.fill(name)
                found[name].append(np.concatenate([before, leaf.take(own, axis=0)]))
        return found

    def since(self, mark: Sequence[int] | None) -> Iterator[tuple[dict[str, Any], list[int]]]:
        """Yield the steps after ``mark``, the ``counts`` of an earlier moment; see :class:`Growing`."""
        begin: Ints = self._firsts if mark is None else np.maximum(np.asarray(mark, np.int64), self._firsts)
        viewed = [leaf for leaves in self._viewed.values() for leaf in leaves]
        rooms = [*self._obs, *self._actions, *viewed, *self._collected.values()]
        each = max(1, PORTION // max(1, self._lanes * sum(room[0].nbytes for room in rooms)))
        while (begin < self.counts).any():
            end = np.minimum(begin + each, self.counts)
            yield self._portion(begin, end), end.tolist()
            begin = end

    def outlived(self, mark: Sequence[int]) -> bool:
        """Return whether all steps before ``mark`` have made room for others."""
        return bool((self._firsts >= np.asarray(mark)).all())

    def _portion(self, begin: Ints, end: Ints) -> dict[str, Any]:
        """Return the steps from ``begin`` to ``end`` [L] of all lanes, n in all, by lane and time.

        The step before comes with them, for it may have been truncated since; and the observation after them.
        """
        of_lanes = [np.arange(max(b - 1, f), e + 1) for b, f, e in zip(begin, self._firsts, end, strict=True) if e > b]
        lanes = np.repeat(np.flatnonzero(end > begin), [len(times) for times in of_lanes])
        times = np.concatenate(of_lanes)
        rows = self.rows(lanes, times)
        with_final = np.flatnonzero(self._flags[3, rows])
        finals = [self._finals[row] for row in rows[with_final].tolist()]
        return {
            "lanes": lanes,
            "times": times,
            "obs": [leaf[rows] for leaf in self._obs],
            "actions": [leaf[rows] for leaf in self._actions],
            "viewed": {name: [leaf[rows] for leaf in leaves] for name, leaves in self._viewed.items()},
            "collected": {name: column[rows] for name, column in self._collected.items()},
            "rewards": self._rewards[rows],
            "flags": self._flags[:, rows],
            "since": self._since[rows],
            "with_final": with_final,
            "finals": [np.stack(leaf) for leaf in zip(*finals, strict=True)],
        }

    def load_portion(self, portion: dict[str, Any]) -> None:
        """Write the steps of a portion into their rows; of a lane that is shorter than the portion, the newest.

        Raises:
            ValueError: it is of more lanes than there are.
        """
        lanes, times = portion["lanes"], portion["times"]
        self._require_lanes(int(lanes.max(initial=-1)) + 1, exactly=False)
        if not self._obs:
            self._obs, self._actions = [[*map(self._space, portion[name])] for name in ("obs", "actions")]
            self._viewed = {name: [*map(self._space, leaves)] for name, leaves in portion["viewed"].items()}
            self._collected = {name: self._space(column) for name, column in portion["collected"].items()}
        ends = np.zeros(self._lanes, np.int64)
        np.maximum.at(ends, lanes, times)
        fits = times > ends[lanes] - self._room
        places = self.rows(lanes, times)
        rows = places[fits]  # each only once
        self._forget_finals(rows)
        given = portion["viewed"]
        viewed = [pair for name, own in self._viewed.items() for pair in zip(own, given[name], strict=True)]
        collected = [(column, portion["collected"][name]) for name, column in self._collected.items()]
        plain = [(self._rewards, portion["rewards"]), (self._since, portion["since"])]
        leaves = zip([*self._obs, *self._actions], [*portion["obs"], *portion["actions"]], strict=True)
        for room, values in [*leaves, *viewed, *collected, *plain]:
            room[rows] = values[fits]
        self._flags[:, rows] = portion["flags"][:, fits]
        with_final = portion["with_final"]
        for k in np.flatnonzero(fits[with_final]).tolist():
            self._finals[int(places[with_final[k]])] = [np.array(leaf[k]) for leaf in portion["finals"]]

    def _require_lanes(self, count: int, *, exactly: bool) -> None:
        if count > self._lanes or (exactly and count < self._lanes):
            raise ValueError(
                f"it holds steps of {counted(count, 'environment')}, but there are {self._lanes} here; load it with as"
                " many: `num_envs_per_env_runner`, times `num_env_runners` where there are any"
            )

    def _space(self, like: npt.NDArray[S]) -> npt.NDArray[S]:
        """Return room for the rows of an array [n, ...]; pages of zeros that nobody has written to cost nothing."""
        return np.zeros((self._room * self._lanes, *like.shape[1:]), like.dtype)

    def state(self) -> dict[str, Any]:
        """Return how far each lane was written.

        Whose it is does not matter later: episodes begin anew then, and workers may share the environments otherwise.
        """
        counts = {"counts": self.counts, "firsts": self._firsts, "incarnations": self._incarnations}
        return {**counts, "size": self._size, "has_gaps": self.has_gaps}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned, of a ring of as many lanes, whatever its size.

        Raises:
            ValueError: there are no steps, or they are of another number of lanes.
        """
        self._require_lanes(len(state["counts"]), exactly=True)
        if state["counts"].any() and not self._obs:
            raise ValueError("the files of its steps are missing")
        self.counts[:], self._incarnations[:] = state["counts"], state["incarnations"]
        self._firsts[:] = np.maximum(state["firsts"], self.counts - self._size)
        self._places = {}
        self.has_gaps = bool(state["has_gaps"])


def ring_rows(lanes: Ints, times: Ints, size: int) -> Ints:
    """Return where steps of lanes lie in a ring of some size."""
    rows: Ints = lanes * (size + 1) + times % (size + 1)
    return rows


def _turns(lanes: Ints) -> Ints:
    """Return how many columns of its lane come before each column: 0, 0, 1, 0 for the lanes 3, 1, 3, 2."""
    order = lanes.argsort(kind="stable")
    ordered = lanes[order]
    firsts = np.searchsorted(ordered, ordered)
    turns = np.empty(len(lanes), np.int64)
    turns[order] = np.arange(len(lanes)) - firsts
    return turns
