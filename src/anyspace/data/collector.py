"""Policy and environments -> Trajectory."""

from __future__ import annotations

from typing import Any

import numpy as np

from anyspace import tree
from anyspace.data.batching import environment
from anyspace.data.frames import FrameStack
from anyspace.data.masks import InfoMasks
from anyspace.data.rewards import RewardTransform
from anyspace.data.trajectory import Bools, Episode, FinalObs, Floats, Ints, ObsLeaves, Trajectory
from anyspace.data.vector import Step, VectorSource, blame
from anyspace.errors import NonFiniteError, ObservationError
from anyspace.models.runtime import NumpyArray
from anyspace.policy.history import Columns, History
from anyspace.policy.policy import Policy
from anyspace.tree import Tree

LAST = "last observation of the episode"


class Collector:
    """Steps a source with a policy; episodes go on from one call to the next.

    Messages count vector steps from 1: step k is the k-th call of the vector environment's ``step`` in this
    run, and names what that call returned, the observation as well as the reward. Where an episode ended in
    it, that holds for its last observation and, unless the source spends a step on it, for the first one of
    the next episode too. Step 0 is the first reset; later resets bear the number of the step before them.

    Args:
        source: the environments.
        policy: chooses the actions.
        rewards: what the algorithm is to see of the rewards.
        seed: of the environments' first reset.
        steps_before: vector steps of this run before this collector, for messages.
    """

    def __init__(
        self,
        source: VectorSource,
        policy: Policy,
        rewards: RewardTransform,
        seed: int | None = None,
        steps_before: int = 0,
    ):
        self.source = source
        self.policy = policy
        self.rewards = rewards
        self._seed = seed
        self._masks = InfoMasks(policy.masking, source.num_envs)
        self._leaves: ObsLeaves | None = None
        self._history = History(policy.views, {})
        self._returns = np.zeros(source.num_envs)
        self._lengths = np.zeros(source.num_envs, np.int64)
        self._steps_before = steps_before

    def gather(self, steps: int, *, explore: bool = True) -> Trajectory:
        """Return ``steps`` steps of every environment.

        Raises:
            ObservationError: an observation is outside its space, NaN or infinite; names step and environment.
            NonFiniteError: a reward is NaN or infinite.
        """
        leaves = self._start() if self._leaves is None else self._leaves
        self._leaves = None  # if this call fails, the next one starts new episodes
        record = _Record(leaves, self._history, steps, self.policy.stacks)
        with self.policy.acting("acting"):
            noise = self.policy.draw_noise(steps, self.source.num_envs) if explore else None
            for t in range(steps):
                record.add(*self._step(record, explore, None if noise is None else noise[t]))
        trajectory = self._finish(record)
        self._leaves, self._history = record.current, record.history
        return trajectory

    def gather_episodes(self, min_steps: int, *, explore: bool = True) -> Trajectory:
        """Return whole episodes: at least ``min_steps`` steps, and on until every episode has ended.

        Every environment starts a new episode first. What follows an environment's last episode is not valid.
        """
        self._leaves = None
        first = self._start()
        record = _Record(first, self._history, 1 + min_steps // self.source.num_envs, self.policy.stacks)
        running = np.ones(self.source.num_envs, np.bool_)
        with self.policy.acting("acting"):
            while running.any():
                raw, step = self._step(record, explore, None)
                record.add(raw, step._replace(ignored=step.ignored | ~running))
                if record.valid_steps >= min_steps:
                    running = running & ~(step.game_over | step.ignored)
        return self._finish(record)

    def _start(self) -> ObsLeaves:
        """Start new episodes everywhere and return their first observations."""
        try:
            obs, infos = self.source.reset(self._seed)
            leaves = [*self.policy.encode(obs, environment), *self._masks.first(infos)]
        except Exception as error:
            blame(error, self._name(0), self.source.num_envs)
        self._seed = None
        self._history = self.policy.begin(leaves)
        self._returns[:] = 0
        self._lengths[:] = 0
        self.rewards.restart()
        return leaves

    def _step(self, record: _Record, explore: bool, noise: NumpyArray | None) -> tuple[Tree, Step]:
        seen = record.current
        try:
            acted = self.policy.act(seen, record.history, explore=explore, noise=noise)
            actions = self.policy.to_env(acted.raw)
        except Exception as error:
            self._require_valid_obs(record, error)
            raise
        try:
            step = self.source.step(actions)
            if len(step.ended):
                final = self.policy.encode(step.final_obs, lambda row: f"{environment(step.ended[row])}, {LAST}")
                record.end(step.ended, [*final, *self._masks.final(step)])
            record.follow([*self.policy.encode(step.obs, environment), *self._masks.later(step)], step)
        except Exception as error:
            # A bad observation makes bad actions, at which environments may trip: name the cause, not the fall.
            self._require_valid_obs(record, error)
            blame(error, self._name(record.t + 1), self.source.num_envs)
        if self.policy.views.depth:
            columns = self.policy.columns(seen, acted, step.rewards)
            record.remember(columns, self.policy.follow(record.history, columns, step.begun, record.current))
        return acted.raw, step

    def _finish(self, record: _Record) -> Trajectory:
        self._require_valid_obs(record)
        trajectory = record.trajectory()
        wrong = np.argwhere(~np.isfinite(trajectory.rewards))
        if len(wrong):
            t, b = wrong[0]
            raise NonFiniteError(
                f"{self._name(t + 1)}, environment {b}: the reward is {trajectory.rewards[t, b]};"
                " rewards must be finite. Nothing was learnt from this batch."
            )
        trajectory.episodes = self._ended_episodes(trajectory, record.life_lost())
        trajectory.rewards = self.rewards(trajectory.rewards, trajectory.done, trajectory.valid)
        self._steps_before += len(trajectory.rewards)
        return trajectory

    def _require_valid_obs(self, record: _Record, cause: Exception | None = None) -> None:
        final, obs = record.final_obs(), [leaf[: record.t + 1] for leaf in record.obs]
        try:
            self.policy.require_valid(obs, lambda row: f"{self._name(row[0])}, {environment(row[1])}")
            self.policy.require_valid(
                final.leaves,
                lambda row: f"{self._name(final.t[row[0]] + 1)}, {environment(final.b[row[0]])}, {LAST}",
            )
            used = record.used(now=cause is not None)
            self.policy.require_choice(
                [leaf[: len(used)] for leaf in obs],
                used,
                lambda row: f"{self._name(row[0])}, {environment(row[1])}",
            )
        except ObservationError as error:
            raise error from cause

    def _name(self, t: int) -> str:
        """Name the step that led to ``obs[t]`` of the trajectory that is being written."""
        return f"step {self._steps_before + t}"

    def _ended_episodes(self, trajectory: Trajectory, life_lost: Bools) -> list[Episode]:
        """Return the episodes that end in the trajectory and carry the others' sums on, over lost lives too."""
        done = trajectory.done & trajectory.valid & ~life_lost
        rewards = np.cumsum(trajectory.rewards, axis=0, dtype=np.float64)
        lengths = np.cumsum(trajectory.valid, axis=0)
        episodes = []
        for t, b in np.argwhere(done):
            total, length = self._returns[b] + rewards[t, b], self._lengths[b] + lengths[t, b]
            episodes.append(Episode(float(total), int(length)))
            self._returns[b], self._lengths[b] = -rewards[t, b], -lengths[t, b]
        self._returns += rewards[-1]
        self._lengths += lengths[-1]
        return episodes


class _Record:
    """The arrays of a trajectory being written; they grow where the number of steps is not known.

    Args:
        first: the observations to act on first.
        history: the steps before them.
        steps: how many steps there is room for.
        stacks: for each leaf that is a stack of frames, by its position, their number k: only the newest is stored.
    """

    def __init__(self, first: ObsLeaves, history: History, steps: int, stacks: dict[int, int]):
        self.t = 0
        self.valid_steps = 0
        self.history = history
        """The steps before the latest observations."""
        self._before = history.windows
        self._columns: list[Columns] = []
        self._stacks = {position: FrameStack(first[position], k) for position, k in stacks.items()}
        newest = [self._stacks[i].newest if i in stacks else leaf for i, leaf in enumerate(first)]
        self.obs = [np.empty((steps + 1, *leaf.shape), leaf.dtype) for leaf in newest]
        for buffer, leaf in zip(self.obs, newest, strict=True):
            buffer[0] = leaf
        self.current = self._latest_obs(first)
        """The latest observations, each [B, ...]."""
        self._raw_actions: list[Tree] = []
        self._steps: list[tuple[Floats, Bools, Bools, Bools]] = []
        self._lives: list[Bools] = []
        self._finals: list[tuple[int, Ints, ObsLeaves]] = []
        self._infos: dict[str, tuple[float, int]] = {}
        self._latest: Step | None = None

    def end(self, ended: Ints, leaves: ObsLeaves) -> None:
        """Write the last observations [n, ...] of the episodes that a step ended in ``ended``; before `follow`."""
        stored = [self._stacks[i].last(leaf, ended) if i in self._stacks else leaf for i, leaf in enumerate(leaves)]
        self._finals.append((self.t, ended, [np.array(leaf) for leaf in stored]))

    def follow(self, leaves: ObsLeaves, step: Step) -> None:
        """Write the observations [B, ...] that a step led to."""
        if self.t + 1 == len(self.obs[0]):
            self.obs = [np.concatenate([buffer, np.empty_like(buffer)]) for buffer in self.obs]
        for i, leaf in enumerate(leaves):
            self.obs[i][self.t + 1] = self._stacks[i].follow(leaf, step.begun) if i in self._stacks else leaf
        self.current = self._latest_obs(leaves, self.t + 1)

    def _latest_obs(self, leaves: ObsLeaves, t: int = 0) -> ObsLeaves:
        # What was not cut is read from the record: a source may write its next step into the same arrays.
        return [leaf if i in self._stacks else self.obs[i][t] for i, leaf in enumerate(leaves)]

    def remember(self, columns: Columns, history: History) -> None:
        """Write what views look at of a step, [B, ...], and take the history after it."""
        self._columns.append(columns)
        self.history = history

    def add(self, raw: Tree, step: Step) -> None:
        """Write the rest of a step and move on to the next."""
        valid = ~step.ignored
        self._raw_actions.append(raw)
        self._steps.append((step.rewards, step.terminated, step.truncated, valid))
        self._lives.append(step.life_lost)
        self._latest = step
        self.valid_steps += int(np.count_nonzero(valid))
        if step.infos:
            self._add_infos(step, valid)
        self.t += 1

    def _add_infos(self, step: Step, valid: Bools) -> None:
        # Where an environment was reset within the step, its last infos are under "final_info" and the ones
        # beside it belong to the reset.
        final = step.infos.get("final_info")
        if isinstance(final, dict):
            ended = np.zeros_like(valid)
            ended[step.ended] = True
            _add_scalars(self._infos, final, valid & ended)
            valid = valid & ~ended
        _add_scalars(self._infos, step.infos, valid)

    def used(self, *, now: bool) -> Bools:
        """Return on which observations an action was taken that counted, [t, B]; ``now``: on the latest as well."""
        used = [step[3] for step in self._steps]
        width = self.obs[0].shape[1]
        if now:
            used.append(np.ones(width, np.bool_) if self._latest is None else self._latest.acting)
        return np.array(used, np.bool_).reshape(-1, width)

    def life_lost(self) -> Bools:
        """Return which steps ended an episode with a life, but not the game, [t, B]."""
        return np.stack(self._lives)

    def trajectory(self) -> Trajectory:
        """Return what was written."""
        rewards, terminated, truncated, valid = (np.stack(column) for column in zip(*self._steps, strict=True))
        obs = [buffer[: self.t + 1] for buffer in self.obs]
        return Trajectory(
            obs=obs,
            actions=tree.map_leaves(lambda *steps: np.stack(steps), *self._raw_actions),
            rewards=np.where(valid, rewards, np.float32(0)),  # an ignored row may hold anything
            terminated=terminated & valid,
            truncated=truncated & valid,
            valid=valid,
            final_obs=self.final_obs(),
            infos=self._infos,
            earlier={position: stack.earlier for position, stack in self._stacks.items()},
            earlier_obs=self._before.get("obs", []),
            columns=self._viewed(terminated & valid, truncated & valid),
        )

    def _viewed(self, terminated: Bools, truncated: Bools) -> Columns:
        """Return the columns of all steps and of those before, [L + T, B, ...], but for observations."""
        flags = {"terminateds": terminated, "truncateds": truncated}
        found: Columns = {}
        for source, before in self._before.items():
            if source != "obs":
                steps = zip(*(columns[source] for columns in self._columns), strict=True)
                stacked = [flags[source]] if source in flags else [np.stack(leaf) for leaf in steps]
                found[source] = [np.concatenate([old, new]) for old, new in zip(before, stacked, strict=True)]
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


def _add_scalars(sums: dict[str, tuple[float, int]], infos: dict[str, Any], valid: Bools) -> None:
    """Add the scalar infos of one vector step; Gymnasium marks who gave one by a ``_name`` mask."""
    for name, values in infos.items():
        if name.startswith("_") or not isinstance(values, np.ndarray) or values.shape != valid.shape:
            continue
        given = values[valid & infos.get(f"_{name}", True)]
        if values.dtype == object and all(isinstance(value, bool | np.bool_) for value in given):
            given = given.astype(np.bool_)  # NumPy's booleans, such as an `is_success`, come as objects
        if len(given) and given.dtype.kind in "biuf":
            total, count = sums.get(name, (0.0, 0))
            sums[name] = (total + float(given.sum()), count + len(given))
