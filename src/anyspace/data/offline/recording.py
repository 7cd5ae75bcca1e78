"""``Recording``: recorded steps as a policy stores steps, and recordings as a trajectory.

Letters: N steps, one after the other, of one or more pieces of episodes; P pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from anyspace import tree
from anyspace.data.trajectory import Bools, FinalObs, Floats, Ints, ObsLeaves, Trajectory
from anyspace.models.runtime import NumpyArray
from anyspace.policy.history import Columns, History
from anyspace.policy.policy import Policy
from anyspace.tree import Tree


class Ends(NamedTuple):
    """Where the pieces of recorded steps end, and what they led to.

    An example: of five rows the second one ended an episode for good, and the fifth one is the last that was recorded.
    With ``new_obs`` recorded all rows are kept, the ends are ``[1, 4]``, and the last row is truncated. Without it the
    observation of the fifth row is what the fourth one led to: rows 0 to 3 are kept and the ends are ``[1, 3]``.
    """

    kept: Ints
    """[N] the rows that are steps."""
    last: Ints
    """[P] which of the N steps end a piece."""
    led_to: Ints
    """[P] the row whose ``new_obs``, or without it whose ``obs``, the last step of each piece led to."""


def ends_of(ends: Bools, terminated: Bools, *, has_next: bool) -> Ends:
    """Return where pieces end.

    Args:
        ends: [N] the rows after which a piece ends; the last one does in any case.
        terminated: [N] the rows after which there is nothing more to earn.
        has_next: whether it is known which observation each row led to. Otherwise a row that ends a piece, but no
            episode for good, gives its observation to the row before it, and is no step itself.
    """
    ends = ends.copy()
    ends[-1:] = True
    lost = np.zeros_like(ends) if has_next else ends & ~terminated
    kept = np.flatnonzero(~lost)
    is_last = ends.copy()
    is_last[:-1] |= lost[1:]
    last = np.flatnonzero(is_last[kept])
    rows = kept[last]
    return Ends(kept, last, np.where(has_next | terminated[rows], rows, rows + 1))


@dataclass(frozen=True)
class Recording:
    """N steps of one policy's spaces, encoded."""

    obs: ObsLeaves
    """Each [N, ...]; a mask that is no part of the observation comes last."""
    actions: Tree
    """What the policy's distribution would have drawn, each leaf [N, ...]."""
    rewards: Floats
    terminated: Bools
    truncated: Bools
    """[N] where a piece ends without its episode: the last step that was recorded, or the time was up."""
    final_obs: ObsLeaves
    """What the last step of each of the P pieces led to, each [P, ...]."""
    action_logp: Floats
    """[N] log-probability of the action under the policy that acted; NaN where it was not recorded."""
    collected: dict[str, Floats]
    """Numbers of infos by name, [N]."""

    @property
    def num_steps(self) -> int:
        """N."""
        return len(self.rewards)


def trajectory_of(policy: Policy, recordings: Sequence[Recording]) -> Trajectory:
    """Return recordings as one column of steps, one after the other.

    Each piece begins as an episode does, with the model's initial states and nothing to look back at; so does each
    sequence of ``max_seq_len`` steps within it, because other weights than the policy's remembered what was before.
    """
    obs = _joined([recording.obs for recording in recordings])
    final = _joined([recording.final_obs for recording in recordings])
    actions = tree.map_leaves(lambda *parts: np.concatenate(parts), *(recording.actions for recording in recordings))
    rewards, terminated, truncated, logp = (
        np.concatenate([getattr(recording, name) for recording in recordings])
        for name in ("rewards", "terminated", "truncated", "action_logp")
    )
    last = np.flatnonzero(terminated | truncated)
    before = History.before(policy.views, policy.masking.observation([leaf[:1] for leaf in obs])).windows
    columns = _viewed(policy, obs, actions, rewards, before)
    for name, flags in (("terminateds", terminated), ("truncateds", truncated)):
        if name in columns:
            columns[name][0][len(before[name][0]) :] = flags[:, None]
    return Trajectory(
        obs=[np.concatenate([leaf, end[-1:]])[:, None] for leaf, end in zip(obs, final, strict=True)],
        actions=tree.map_leaves(lambda leaf: leaf[:, None], actions),
        rewards=rewards[:, None],
        terminated=terminated[:, None],
        truncated=truncated[:, None],
        valid=np.ones((len(rewards), 1), np.bool_),
        final_obs=FinalObs(last, np.zeros_like(last), final),
        begins=np.ones(1, np.bool_),
        lanes=np.full((1, 3), -1),  # no environment's
        versions=np.full(1, -1),
        action_logp=logp[:, None],
        collected={
            name: np.concatenate([recording.collected[name] for recording in recordings])[:, None]
            for name in recordings[0].collected
        },
        earlier_obs=before.get("obs", []),
        columns=columns,
    )


def _viewed(policy: Policy, obs: ObsLeaves, actions: Tree, rewards: Floats, before: Columns) -> Columns:
    """Return what views look at of the steps, with the steps before the first one at the head, [L + N, 1, ...]."""
    states: list[NumpyArray] = [np.broadcast_to(state, (len(rewards), *state.shape)) for state in policy.views.initial]
    found = policy.views.columns(policy.masking.observation(obs), actions, rewards, states)
    return {
        name: [np.concatenate([old, leaf[:, None]]) for old, leaf in zip(before[name], leaves, strict=True)]
        for name, leaves in found.items()
        if name != "obs"
    }


def _joined(parts: Sequence[ObsLeaves]) -> ObsLeaves:
    return [np.concatenate(leaf) for leaf in zip(*parts, strict=True)]
