"""Acting from outside a rollout: raw observations in, the environment's actions out, memory in the caller's hands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from anyspace.errors import ObservationError
from anyspace.models.runtime import NumpyArray
from anyspace.policy.history import History, PolicyState
from anyspace.spaces.decoding import one_action
from anyspace.spaces.encoding import batch_shape
from anyspace.tree import Tree

if TYPE_CHECKING:
    from anyspace.policy.policy import Policy


def compute_actions(
    policy: Policy,
    observations: Tree,
    state: PolicyState | None,
    info: dict[str, Any] | None,
    mask: Any,
    prev_reward: NumpyArray | None,
    explore: bool,
) -> Any:
    """Return environment actions for stacked raw observations; see `Policy.compute_actions`."""
    leaves = policy.encode(observations, "observation {}".format)
    batch = batch_shape(policy.encode.specs[0], leaves[0])
    if len(batch) != 1:
        raise ObservationError(
            f"obs: expected stacked observations [N, ...], got batch dimensions {batch}; compute_single_action"
            " takes one observation."
        )
    policy.require_valid(leaves, lambda row: f"observation {row[0]}")
    given = policy.masking.given(mask, info, batch[0])
    actions, new_state = _chosen(policy, [*leaves], state, given, prev_reward, explore)
    return (actions, new_state) if policy.views.remembers else actions


def compute_single_action(
    policy: Policy,
    observation: Tree,
    state: PolicyState | None,
    info: dict[str, Any] | None,
    mask: Any,
    prev_reward: float | None,
    explore: bool,
) -> Any:
    """Return the environment action for one raw observation; see `Policy.compute_actions`."""
    leaves = policy.encode.single(observation)
    policy.require_valid(leaves, lambda _: "the observation")
    rows = [leaf[None] for leaf in leaves]
    given = policy.masking.given(mask, info, 1, single=True)
    actions, new_state = _chosen(policy, rows, state, given, prev_reward, explore)
    action = one_action(policy.action_space, actions, 0)
    return (action, new_state) if policy.views.remembers else action


def _chosen(
    policy: Policy,
    leaves: list[NumpyArray],
    state: PolicyState | None,
    given: NumpyArray | None,
    rewards: Any,
    explore: bool,
) -> tuple[Tree, PolicyState]:
    """Return the environment actions for encoded observations, and the state for the next call."""
    if given is not None:
        leaves = [*policy.masking.observation(leaves), given]
    everybody = np.ones(len(leaves[0]), np.bool_)
    policy.require_choice(leaves, everybody, lambda row: f"observation {row[0]}")
    # Old callers hand an empty list to a policy without memory.
    history = _continued(policy, state, leaves, rewards) if state else policy.begin(leaves)
    with policy.runtime.threads_for(len(leaves[0])), policy.acting():
        acted = policy.act(leaves, history, explore=explore)
        # An environment may write its next observation into the same arrays.
        kept = [np.array(leaf) for leaf in leaves] if policy.views.remembers else leaves
        return policy.to_env(acted.raw), PolicyState(history, kept, acted, ~everybody)


def _continued(policy: Policy, state: PolicyState, leaves: list[NumpyArray], rewards: Any) -> History:
    """Return the history that leads to ``leaves``."""
    if not policy.views.remembers:
        raise ValueError("a state was given, but this policy has no memory; leave `state` out.")
    if not isinstance(state, PolicyState) or len(state.begun) != len(leaves[0]):
        came = repr(state) if isinstance(state, PolicyState) else f"a {type(state).__name__}"
        raise ValueError(
            f"state: expected what the previous call for {len(leaves[0])} observations returned, got {came}. Begin with"
            " None, and hand back the second thing that each call returns."
        )
    if rewards is None and policy.views.depth.get("rewards"):
        raise ValueError(
            "this policy's model looks at rewards: give the one that the previous step earned as `prev_reward`."
        )
    earned = np.zeros(len(leaves[0])) if rewards is None else np.broadcast_to(rewards, (len(leaves[0]),))
    step = policy.columns(state.leaves, state.acted, earned.astype(np.float32))
    return policy.follow(state.history, step, state.begun, leaves)
