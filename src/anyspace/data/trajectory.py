"""``Trajectory``: the one type that flows from the environments to the algorithms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from anyspace import tree
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
    """One array [T+1, B, ...] for each leaf of the observation space."""
    actions: Tree
    """Raw samples of the action distribution, each leaf [T, B, ...]."""
    rewards: Floats
    """[T, B], as the algorithm is to see them."""
    terminated: Bools
    """[T, B] the episode ended for good: no bootstrap."""
    truncated: Bools
    """[T, B] the episode was cut: bootstrap from the value of ``next_obs``."""
    valid: Bools
    """[T, B] False where the action was ignored; such a row enters no loss, statistic or step count."""
    final_obs: FinalObs
    """The observations that ``next_obs`` takes in place of ``obs[t + 1]``."""
    episodes: list[Episode] = field(default_factory=list)
    """Episodes that ended, in order."""
    infos: dict[str, tuple[float, int]] = field(default_factory=dict)
    """Scalar infos of the environments by name: sum and count."""

    @property
    def done(self) -> Bools:
        """[T, B] the episode ended here, for good or cut."""
        return self.terminated | self.truncated

    @property
    def num_steps(self) -> int:
        """Number of environment steps, that is of valid rows."""
        return int(self.valid.sum())

    def next_obs(self, t: int | Ints, b: int | Ints) -> ObsLeaves:
        """Return the encoded observations that the steps ``(t, b)`` led to, each [n, ...].

        At an episode's end this is its last observation, never the first of the next one.
        """
        steps, environments = np.atleast_1d(np.asarray(t), np.asarray(b))
        found = [leaf[steps + 1, environments] for leaf in self.obs]
        width = self.valid.shape[1]
        sparse = {int(key): row for row, key in enumerate(self.final_obs.t * width + self.final_obs.b)}
        for row, key in enumerate(steps * width + environments):
            final_row = sparse.get(int(key))
            if final_row is not None:
                for leaf, final_leaf in zip(found, self.final_obs.leaves, strict=True):
                    leaf[row] = final_leaf[final_row]
        return found

    def all_obs(self) -> ObsLeaves:
        """Return every stored observation as rows: [(T+1)*B, ...] in time order, then the final ones."""
        flat = [leaf.reshape(leaf.shape[0] * leaf.shape[1], *leaf.shape[2:]) for leaf in self.obs]
        if not len(self.final_obs.t):
            return flat
        return [np.concatenate(pair) for pair in zip(flat, self.final_obs.leaves, strict=True)]

    @classmethod
    def side_by_side(cls, parts: Sequence[Trajectory]) -> Trajectory:
        """Join trajectories of equal length along the environment axis."""
        if len(parts) == 1:
            return parts[0]
        offsets = np.cumsum([0, *(part.valid.shape[1] for part in parts[:-1])])
        finals = [part.final_obs for part in parts]
        infos: dict[str, tuple[float, int]] = {}
        for part in parts:
            for name, (total, count) in part.infos.items():
                total_so_far, count_so_far = infos.get(name, (0.0, 0))
                infos[name] = (total_so_far + total, count_so_far + count)
        return cls(
            obs=[np.concatenate(leaf, axis=1) for leaf in zip(*(part.obs for part in parts), strict=True)],
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
            episodes=[episode for part in parts for episode in part.episodes],
            infos=infos,
        )
