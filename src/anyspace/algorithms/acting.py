"""How an algorithm acts: by the words of this library, and by those that others' users bring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

import numpy as np

from anyspace.answers import answers
from anyspace.data.contract import described
from anyspace.errors import CheckpointError
from anyspace.models.runtime import NumpyArray
from anyspace.policy.history import PolicyState
from anyspace.policy.policy import Policy
from anyspace.policy.seeing import ActingOptions
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

    @answers("predict()")
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
        ended: Any = None,
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
            ended: whether the episode is over with the observation, one each; its mask may allow nothing then.

        Raises:
            ObservationError: see :meth:`Policy.compute_actions`; or ``episode_start`` has another length.
        """
        found = self.policy.compute_either(
            observation,
            state,
            episode_start=episode_start,
            mask_name="action_masks",
            mask=action_masks,
            prev_reward=prev_reward,
            info=info,
            ended=ended,
            explore=not deterministic,
        )
        return found if self.policy.views.remembers else (found, None)

    def get_weights(self) -> dict[str, NumpyArray]:
        """Return copies of the weights, buffers and filter statistics, by name."""
        return self.policy.weights()

    def set_weights(self, weights: Mapping[str, NumpyArray]) -> None:
        """Take over what :meth:`get_weights` returned, of this algorithm or another one with the same model.

        Args:
            weights: by name, arrays or what NumPy makes arrays of: lists, detached tensors.

        Raises:
            CheckpointError: they do not fit the model or the filter, hold NaN, or are no arrays by name.
        """
        if not isinstance(weights, Mapping):
            raise CheckpointError(
                "set_weights: expected a dict of arrays by name, as get_weights() returns it, got"
                f" {described(weights)}."
            )
        self.policy.load_weights({name: _weight(name, value) for name, value in weights.items()})


def _weight(name: Any, given: Any) -> NumpyArray:
    """Return one of the weights as an array."""
    if str(name).partition("/")[0] not in ("model", "filter", "timestep", "version"):
        raise CheckpointError(
            f"set_weights: {name!r} is no name of a weight; get_weights() returns `model/...`, `filter/...`, `timestep`"
            " and `version`."
        )
    try:
        array = np.asarray(given)
    except Exception as error:  # tensors of any framework
        raise CheckpointError(
            f"set_weights: {name!r} is no array that NumPy can read ({error}). Of a tensor hand over"
            " `tensor.detach().cpu().numpy()`."
        ) from error
    if array.dtype.kind not in "biuf":
        raise CheckpointError(f"set_weights: {name!r}: expected an array of numbers, got {described(given)}.")
    if np.isnan(array).any():
        raise CheckpointError(f"set_weights: {name!r} holds NaN, of which no action can be made.")
    return array
