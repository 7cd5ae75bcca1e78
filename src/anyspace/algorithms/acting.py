"""How an algorithm acts: by the words of this library, and by those that others' users bring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

import numpy as np

from anyspace.errors import ObservationError
from anyspace.models.runtime import NumpyArray
from anyspace.policy.history import PolicyState
from anyspace.policy.policy import ActingOptions, Policy
from anyspace.tree import Tree


class Acts:
    """Acts with a policy."""

    policy: Policy

    def compute_single_action(
        self, observation: Tree, state: PolicyState | None = None, **options: Unpack[ActingOptions]
    ) -> Any:
        """Return the environment action for one raw observation; see :meth:`Policy.compute_actions`."""
        return self.policy.compute_single_action(observation, state, **options)

    def compute_actions(
        self, observations: Tree, state: PolicyState | None = None, **options: Unpack[ActingOptions]
    ) -> Any:
        """Return environment actions for stacked raw observations; see :meth:`Policy.compute_actions`."""
        return self.policy.compute_actions(observations, state, **options)

    def predict(
        self,
        observation: Tree,
        state: PolicyState | None = None,
        episode_start: Any = None,
        deterministic: bool = False,
        action_masks: Any = None,
        *,
        prev_reward: Any = None,
        info: Any = None,
    ) -> tuple[Any, PolicyState | None]:
        """Return ``(action, state)``, or actions for stacked observations, as Stable-Baselines3's users know it.

        Args:
            observation: one raw observation, or several that are stacked as a vector environment stacks them.
            state: what the previous call returned; None at first. A policy without memory returns None.
            episode_start: whether an episode begins with the observation, one boolean each; None: with none of them,
                but where there is no ``state``.
            deterministic: take the likeliest action instead of sampling.
            action_masks: which choices are allowed, as the method ``action_masks()`` of an environment returns them;
                False allows everything.
            prev_reward: the reward of the previous step, one each; needed where the model looks at rewards.
            info: what ``reset`` and ``step`` returned beside the observation, of which masks are read.

        Raises:
            ObservationError: see :meth:`Policy.compute_actions`; or ``episode_start`` has another length.
        """
        if state is not None and episode_start is not None:
            state = state.restarted(_starts(episode_start, len(state.begun)))
        found = self.policy.compute_either(
            observation,
            state,
            mask_name="action_masks",
            mask=action_masks,
            prev_reward=prev_reward,
            info=info,
            explore=not deterministic,
        )
        return found if self.policy.views.remembers else (found, None)

    def get_weights(self) -> dict[str, NumpyArray]:
        """Return copies of the weights, buffers and filter statistics, by name."""
        return self.policy.weights()

    def set_weights(self, weights: Mapping[str, NumpyArray]) -> None:
        """Take over what :meth:`get_weights` returned, of this algorithm or another one with the same model.

        Raises:
            CheckpointError: they do not fit the model or the filter.
        """
        self.policy.load_weights(weights)


def _starts(given: Any, count: int) -> Any:
    starts = np.asarray(given, np.bool_).reshape(-1)
    if len(starts) != count:
        raise ObservationError(
            f"episode_start: expected one boolean for each of {count} observations, but {len(starts)} came: {given!r}."
        )
    return starts
