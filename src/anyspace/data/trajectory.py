"""``Trajectory``: the one type that flows from the environments to the algorithms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from anyspace import tree
from anyspace.maths.gather import Gathered
from anyspace.tree import Tree

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
ObsLeaves = list[npt.NDArray[np.generic]]


class Episode(NamedTuple):
    """A finished episode."""

    total_reward: float
    """Sum of the environment's rewards, before any clipping or scaling."""
    length: int
    """Number of steps."""
    infos: dict[str, float] = {}  # noqa: RUF012
    """Numbers among the infos of the last step, by name; never written to."""


@dataclass
class FinalObs:
    """Last observations of episodes, where the source put the next episode's first one in their place."""

    t: Ints
    """[n] time of the step that ended the episode."""
    b: Ints
    """[n] environment index."""
    leaves: ObsLeaves
    """Encoded observations, each [n, ...]."""

    @classmethod
    def none(cls, like: ObsLeaves, lead: int) -> FinalObs:
        """Return an empty one for leaves with ``lead`` leading dimensions."""
        index = np.zeros(0, np.int64)
        return cls(index, index, [np.zeros((0, *leaf.shape[lead:]), leaf.dtype) for leaf in like])


@dataclass
class Trajectory:
    """T steps of B environments, time-major, observations encoded (not expanded) and stored once.

    Whichever way a source resets itself, ``obs[t + 1]`` follows ``obs[t]`` unless ``final_obs`` says
    otherwise, and a row whose action was ignored is not ``valid``. Recurrences and memories are cut where
    ``done`` is set.
    """

    obs: ObsLeaves
    """One array [T+1, B, ...] for each leaf of the observation space; of frame stacks the newest frame alone. Masks
    that are no part of the observation come last, as bool [T+1, B, A]."""
    actions: Tree
    """Raw samples of the action distribution, each leaf [T, B, ...]."""
    rewards: Floats
    """[T, B], as the environment gave them; an algorithm is handed a trajectory with clipped and scaled ones."""
    terminated: Bools
    """[T, B] the episode ended for good: no bootstrap."""
    truncated: Bools
    """[T, B] the episode was cut: bootstrap from the value of ``next_obs``."""
    valid: Bools
    """[T, B] False where the action was ignored; such a row enters no loss, statistic or step count."""
    final_obs: FinalObs
    """The observations that ``next_obs`` takes in place of ``obs[t + 1]``."""
    begins: Bools
    """[B] an episode begins with ``obs[0]``."""
    lanes: Ints
    """[B, 3] which environment a column is: worker, the worker's incarnation, number among its environments. A column
    goes on where a former one of the same lane ended, unless an episode begins with it. Where steps of a worker were
    dropped, what comes after them counts as of another incarnation."""
    versions: Ints
    """[B] version of the weights that acted."""
    action_logp: Floats | None = None
    """[T, B] log-probability that the weights that acted gave to the action. None: the learner's own weights acted and
    sampled their distribution, so that the learner can compute it."""
    reward_moments: npt.NDArray[np.float64] | None = None
    """[B, 3] count, mean and sum of squared deviations of the discounted returns of clipped rewards, where rewards are
    scaled."""
    episodes: list[Episode] = field(default_factory=list)
    """Episodes that ended, in order."""
    infos: dict[str, tuple[float, int]] = field(default_factory=dict)
    """Scalar infos of the environments by name: sum and count."""
    collected: dict[str, Floats] = field(default_factory=dict)
    """Numbers of the infos of each step, [T, B], by the names that ``collect_infos`` asks for; 0 where a step is not
    valid."""
    earlier: dict[int, npt.NDArray[np.generic]] = field(default_factory=dict)
    """Of each leaf that is a stack of k frames, by its position: the k - 1 frames before ``obs[0]``, oldest first,
    [k - 1, B, ...]. The first frame of an episode stands in for those before it."""
    earlier_obs: ObsLeaves = field(default_factory=list)
    """Where views look back at observations: those before ``obs[0]``, oldest first, each leaf [L, B, ...]. The first
    one of an episode stands in for those before it."""
    columns: dict[str, ObsLeaves] = field(default_factory=dict)
    """What views and states take from steps, by name: leaves [L + T, B, ...], with the L steps before the first one at
    the head. What was before an episode is filled in there."""

    @property
    def done(self) -> Bools:
        """[T, B] the episode ended here, for good or cut."""
        return self.terminated | self.truncated

    def __repr__(self) -> str:
        return f"<Trajectory [{', '.join(map(str, self.rewards.shape))}]: {self.num_steps:,} steps>"

    @property
    def num_steps(self) -> int:
        """Number of environment steps, that is of valid rows."""
        return int(self.valid.sum())

    def lens(self) -> Ints:
        """Return how many steps each column has [B], without those that fill up a fragment that ended early.

        Such a filling follows a transition on which no episode ended.
        """
        steps, width = self.valid.shape
        if self.valid[-1].all():
            return np.full(width, steps)
        last: Ints = steps - 1 - self.valid[::-1].argmax(axis=0)
        fills = self.valid.any(axis=0) & ~self.done[last, np.arange(width)]
        return np.where(fills, last + 1, steps)

    def next_obs(self, t: int | Ints, b: int | Ints) -> ObsLeaves:
        """Return the encoded observations that the steps ``(t, b)`` led to, each [n, ...].

        At an episode's end this is its last observation, never the first of the next one.
        """
        steps, environments = np.atleast_1d(np.asarray(t), np.asarray(b))
        found = [leaf[self.next_rows()[steps, environments]] for leaf in self.all_obs()]
        return [leaf.put_together() if isinstance(leaf, Gathered) else leaf for leaf in found]

    def all_obs(self) -> list[npt.NDArray[np.generic] | Gathered]:
        """Return every stored observation as rows: [(T+1)*B, ...] in time order, then the final ones."""
        return [self._rows(position) for position in range(len(self.obs))]

    def next_rows(self) -> Ints:
        """Return which of `all_obs` each step led to, [T, B]."""
        count, width = self.valid.shape
        rows = np.arange(width, (count + 1) * width).reshape(count, width)
        rows[self.final_obs.t, self.final_obs.b] = (count + 1) * width + np.arange(len(self.final_obs.t))
        return rows

    def restarts(self) -> Bools:
        """Return which steps lead to the first observation of an episode in ``obs[t + 1]``, [T, B]."""
        restarts = ~self.valid  # an ignored action leads to a new episode's first observation
        restarts[self.final_obs.t, self.final_obs.b] = True
        return restarts

    def firsts(self) -> Ints:
        """Return when the episode of each of `all_obs` began, [rows]; -1: before the trajectory.

        Three steps of one environment, whose second step ended an episode and led to the next one's first observation
        within the same step: [-1, -1, 2, 2], and -1 for the last observation of the episode that ended.
        """
        count, width = self.valid.shape
        first = np.full((count + 1, width), -1)
        first[0, self.begins] = 0
        first[1:] = np.where(self.restarts(), 1 + np.arange(count)[:, None], -1)
        first = np.maximum.accumulate(first)
        return np.concatenate([first.reshape(-1), first[self.final_obs.t, self.final_obs.b]])

    def times(self) -> tuple[Ints, Ints]:
        """Return time and environment of each of `all_obs`, [rows] each."""
        count, width = self.valid.shape
        t = np.concatenate([np.repeat(np.arange(count + 1), width), self.final_obs.t + 1])
        return t, np.concatenate([np.tile(np.arange(width), count + 1), self.final_obs.b])

    def _rows(self, position: int) -> npt.NDArray[np.generic] | Gathered:
        leaf, earlier = self.obs[position], self.earlier.get(position)
        parts = [flattened(leaf)] if earlier is None else [flattened(earlier), flattened(leaf)]
        if len(self.final_obs.t):
            parts.append(self.final_obs.leaves[position])
        stored = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return stored if earlier is None else Gathered(stored, self._stacks(len(earlier)))

    def _stacks(self, before: int) -> Ints:
        """Return where the frames of each row of `all_obs` lie among those stored, [rows, before + 1]."""
        width = self.valid.shape[1]
        t, b = self.times()
        first = self.firsts()
        earliest = np.where(first < 0, -before, first)
        rows: Ints = (before + np.maximum(t[:, None] + np.arange(-before, 1), earliest[:, None])) * width + b[:, None]
        # The newest frame of a last observation lies among the last observations.
        rows[:, -1] = before * width + np.arange(len(t))
        return rows

    @classmethod
    def side_by_side(cls, parts: Sequence[Trajectory]) -> Trajectory:
        """Join trajectories along the environment axis; shorter ones are filled up with rows that are not valid."""
        if len(parts) == 1:
            return parts[0]
        steps = max(len(part.valid) for part in parts)
        parts = [part._filled(steps) for part in parts]
        offsets = np.cumsum([0, *(part.valid.shape[1] for part in parts[:-1])])
        finals = [part.final_obs for part in parts]
        logps = [part.action_logp for part in parts if part.action_logp is not None]
        moments = [part.reward_moments for part in parts if part.reward_moments is not None]
        return cls(
            obs=_joined([part.obs for part in parts]),
            actions=tree.map_leaves(lambda *leaf: np.concatenate(leaf, axis=1), *(part.actions for part in parts)),
            rewards=np.concatenate([part.rewards for part in parts], axis=1),
            terminated=np.concatenate([part.terminated for part in parts], axis=1),
            truncated=np.concatenate([part.truncated for part in parts], axis=1),
            valid=np.concatenate([part.valid for part in parts], axis=1),
            final_obs=FinalObs(
                np.concatenate([final.t for final in finals]),
                np.concatenate([final.b + offset for final, offset in zip(finals, offsets, strict=True)]),
                [np.concatenate(leaf) for leaf in zip(*(final.leaves for final in finals), strict=True)],
            ),
            begins=np.concatenate([part.begins for part in parts]),
            lanes=np.concatenate([part.lanes for part in parts]),
            versions=np.concatenate([part.versions for part in parts]),
            action_logp=np.concatenate(logps, axis=1) if len(logps) == len(parts) else None,
            reward_moments=np.concatenate(moments) if len(moments) == len(parts) else None,
            episodes=[episode for part in parts for episode in part.episodes],
            infos=summed_infos([part.infos for part in parts]),
            collected={
                name: np.concatenate([part.collected[name] for part in parts], axis=1) for name in parts[0].collected
            },
            earlier={key: np.concatenate([part.earlier[key] for part in parts], axis=1) for key in parts[0].earlier},
            earlier_obs=_joined([part.earlier_obs for part in parts]),
            columns={name: _joined([part.columns[name] for part in parts]) for name in parts[0].columns},
        )

    def _filled(self, steps: int) -> Trajectory:
        """Return a trajectory of ``steps`` steps, whose new ones are not valid."""
        missing = steps - len(self.valid)
        if missing == 0:
            return self

        def longer(leaf: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return np.concatenate([leaf, np.repeat(leaf[-1:], missing, axis=0)])

        nobody = np.zeros((missing, self.valid.shape[1]), np.bool_)
        return replace(
            self,
            obs=[longer(leaf) for leaf in self.obs],
            actions=tree.map_leaves(longer, self.actions),
            rewards=np.concatenate([self.rewards, np.zeros(nobody.shape, np.float32)]),
            terminated=np.concatenate([self.terminated, nobody]),
            truncated=np.concatenate([self.truncated, nobody]),
            valid=np.concatenate([self.valid, nobody]),
            action_logp=None if self.action_logp is None else longer(self.action_logp),
            collected={name: longer(column) for name, column in self.collected.items()},
            columns={name: [longer(leaf) for leaf in leaves] for name, leaves in self.columns.items()},
        )


def _joined(parts: Sequence[ObsLeaves]) -> ObsLeaves:
    """Join leaves [T, B, ...] along the environment axis."""
    return [np.concatenate(leaf, axis=1) for leaf in zip(*parts, strict=True)]


def summed_infos(parts: Sequence[dict[str, tuple[float, int]]]) -> dict[str, tuple[float, int]]:
    """Add sums and counts by name."""
    infos: dict[str, tuple[float, int]] = {}
    for part in parts:
        for name, (total, count) in part.items():
            total_so_far, count_so_far = infos.get(name, (0.0, 0))
            infos[name] = (total_so_far + total, count_so_far + count)
    return infos


def flattened(leaf: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Join the axes of time and environment: [T, B, ...] to [T * B, ...], parts without values too."""
    return leaf.reshape(leaf.shape[0] * leaf.shape[1], *leaf.shape[2:])
