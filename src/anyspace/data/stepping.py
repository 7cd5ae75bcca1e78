"""``Stepping``: what acts and what answers, one step of B environments at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from anyspace.data.batching import environment
from anyspace.data.masks import InfoMasks
from anyspace.data.trajectory import Bools, ObsLeaves
from anyspace.data.vector import Step, VectorSource
from anyspace.errors import CheckpointError
from anyspace.models.runtime import NumpyArray
from anyspace.policy.acting import Actor
from anyspace.policy.history import Acted, Columns, History
from anyspace.policy.masking import MaskOrigin
from anyspace.policy.policy import Policy
from anyspace.spaces.kinds.registered import known_actions
from anyspace.spaces.prepared import prepared
from anyspace.spaces.serialize import same_space

LAST_OBSERVATION = "last observation of the episode"


class Stepped(NamedTuple):
    """What one step brought."""

    step: Step
    leaves: ObsLeaves
    """The observations to act on next, encoded, [B, ...] each, and their mask if the infos give one. The source may
    write its next step into the same arrays."""
    final: ObsLeaves
    """The last observations [n, ...] of ``step.ended``, encoded; no leaves where n is 0."""
    columns: Columns
    """What views look at of the step, [B, ...]; nothing where they look at no step."""


class Stepping:
    """The loop body of collecting, evaluating and recording: observe, act, decode, step, encode, remember.

    Nothing is checked here: collecting checks a whole rollout at once, evaluating every step.

    Args:
        source: the environments.
        policy: whose spaces, masks and memory they are.

    Attributes:
        leaves: the observations to act on next, and their mask if the infos give one.
        history: the steps before them.
        begun: bool [B], where an episode begins with them.
    """

    def __init__(self, source: VectorSource, policy: Policy):
        self.source, self.policy = source, policy
        self._masks = InfoMasks(policy.masking, source)
        self._looks_back = bool(policy.views.depth)
        self.leaves: ObsLeaves = []
        self.history = History(policy.views, {})
        self.begun: Bools = np.ones(source.num_envs, np.bool_)

    def reset(self, seed: int | None) -> None:
        """Start new episodes everywhere."""
        obs, infos = self.source.reset(seed)
        self.begun = np.ones(self.source.num_envs, np.bool_)
        self._take([*self.policy.encode.rows(obs, self.source.num_envs, environment), *self._masks.first(infos)])
        self.history = History.before(self.policy.views, self.policy.masking.observation(self.leaves))

    @property
    def mask_origin(self) -> MaskOrigin:
        """Where the masks of the running episodes come from."""
        return self._masks.origin

    def act(self, act: Actor, *, explore: bool, noise: NumpyArray | None = None) -> Acted:
        """Return the actions for the present observations; see :class:`Actor`."""
        return act(self.leaves, self.history, explore=explore, noise=noise, begun=self.begun)

    def step(self, acted: Acted) -> Stepped:
        """Step every environment with what was acted, and move on to what that leads to."""
        policy, seen, encode = self.policy, self.leaves, self.policy.encode
        step = self.source.step(policy.to_env(acted.raw))
        obs = encode.rows(step.obs, self.source.num_envs, environment)
        final: ObsLeaves = []
        if ended := len(step.ended):
            last = encode.rows(step.final_obs, ended, lambda row: f"{environment(step.ended[row])}, {LAST_OBSERVATION}")
            self.source.last_observations.look(last, seen, obs, step.ended)
            final = [*last, *self._masks.final(step)]
        self.begun = step.begun
        self._take([*obs, *self._masks.later(step)])
        if not self._looks_back:
            return Stepped(step, self.leaves, final, {})
        before, after = policy.masking.observation(seen), policy.masking.observation(self.leaves)
        columns = policy.views.columns(before, acted.raw, step.rewards, acted.state_out)
        self.history = self.history.after(columns, self.begun, after)
        return Stepped(step, self.leaves, final, columns)

    def _take(self, leaves: ObsLeaves) -> None:
        # A model that looks back, and what looks at last observations, see them once more after the next step, which
        # may be written into the same arrays.
        again = self._looks_back or self.source.last_observations.looks
        self.leaves = [leaf.copy() for leaf in leaves] if again else leaves


def differing_space(
    policy: Policy, observation_space: gym.Space[Any], action_space: gym.Space[Any]
) -> tuple[str, gym.Space[Any], gym.Space[Any]] | None:
    """Return which space of a policy is not that of some environments, the policy's and theirs; None: both are."""
    config = policy.config
    observations = prepared(observation_space, max_len=config.max_len, ignore=config.ignore)
    for kind, mine, theirs in (
        ("observation", policy.observation_space, observations),
        ("action", policy.env_action_space, known_actions(action_space)),
    ):
        if not same_space(mine, theirs):
            return kind, mine, theirs
    return None


def require_same_spaces(
    policy: Policy, observation_space: gym.Space[Any], action_space: gym.Space[Any], name: str
) -> None:
    """Raise :class:`CheckpointError` unless a policy that was loaded has the spaces of environments called ``name``."""
    differing = differing_space(policy, observation_space, action_space)
    if differing is not None:
        kind, mine, theirs = differing
        raise CheckpointError(
            f"the {kind} space of {name} is {theirs}, but the checkpoint was trained with {mine}; use the environment"
            " it was trained on, or start a new run."
        )
