"""``Recent``: the latest trajectories, to learn from again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from anyspace import tree
from anyspace.data.growing import PORTION
from anyspace.data.trajectory import FinalObs, Trajectory
from anyspace.models.runtime import Runtime
from anyspace.tree import Tree


class Recent:
    """A ring of trajectories, from which some are drawn at random beside each new one.

    They are kept as they were learnt from: with their rewards clipped and scaled, and with ``action_logp`` of the
    weights that acted.

    Args:
        slots: how many trajectories are kept at most, at least 1.
        proportion: how many are drawn for each new one, at least 0; with 0.4 they are 0, 0, 1, 0, 1 in turn.
        in_checkpoints: whether the latest checkpoint of a run holds them, and not only exact ones; else a run that
            goes on starts without any.
    """

    def __init__(self, slots: int, proportion: float, *, in_checkpoints: bool):
        self._slots, self._proportion, self.in_checkpoints = slots, proportion, in_checkpoints
        self._kept: list[Trajectory] = []
        self._added = 0

    def __len__(self) -> int:
        return len(self._kept)

    def with_earlier(self, trajectory: Trajectory, runtime: Runtime) -> Iterator[Trajectory]:
        """Yield a new trajectory, then those that are drawn, and keep the new one.

        Args:
            trajectory: the new one, with ``action_logp`` if it is to be kept.
            runtime: whose random source for learning draws.
        """
        yield trajectory
        if self._proportion == 0:
            return
        due = int((self._added + 1) * self._proportion) - int(self._added * self._proportion)
        order = runtime.numpy(runtime.permutation(len(self._kept))) if due and self._kept else ()
        for number in range(due if len(order) else 0):
            yield self._kept[order[number % len(order)]]
        self._added += 1
        self._kept = [*self._kept, dataclasses.replace(trajectory, episodes=[], infos={})][-self._slots :]

    def since(self, mark: Sequence[int] | None) -> Iterator[tuple[dict[str, Any], list[int]]]:
        """Yield the trajectories from the number ``mark`` on; see :class:`Growing`."""
        first = self._added - len(self._kept)
        at = first if mark is None else max(first, mark[0])
        portion: list[dict[str, Any]] = []
        size = 0
        for one in self._kept[at - first :]:
            portion.append(vars(one) | {"final_obs": vars(one.final_obs)})
            at, size = at + 1, size + sum(np.asarray(leaf).nbytes for leaf in tree.leaves(portion[-1]))
            if size >= PORTION or at == self._added:
                yield {"kept": portion}, [at]
                portion, size = [], 0

    def outlived(self, mark: Sequence[int]) -> bool:
        """Return whether all trajectories before the number ``mark`` have made room for others."""
        return self._added - len(self._kept) >= mark[0]

    def clear(self) -> None:
        """Forget everything; see :class:`Growing`."""
        self._kept, self._added = [], 0

    def load_portion(self, portion: Mapping[str, Any]) -> None:
        """Take in trajectories that :meth:`since` yielded."""
        self._kept = [*self._kept, *map(_trajectory, portion["kept"])][-self._slots :]

    def state(self) -> dict[str, Any]:
        """Return how many trajectories came so far."""
        return {"added": self._added}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state` returned."""
        self._added = int(state["added"])


def _trajectory(fields: Mapping[str, Any]) -> Trajectory:
    actions, final_obs = _with_tuples(fields["actions"]), FinalObs(**fields["final_obs"])
    return Trajectory(**{**fields, "actions": actions, "final_obs": final_obs})


def _with_tuples(actions: Tree) -> Tree:
    """Return actions with tuples in place of lists: a file has lists alone, and actions have none."""
    if isinstance(actions, dict):
        return {key: _with_tuples(part) for key, part in actions.items()}
    return tuple(map(_with_tuples, actions)) if isinstance(actions, list | tuple) else actions
