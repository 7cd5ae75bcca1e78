"""What ``algo.get_policy()`` gives a script: the policy, with RLlib's methods around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from anyspace._rllib import advice
from anyspace.algorithms import Algorithm
from anyspace.distributions import ActionDistribution
from anyspace.errors import ConfigError, ObservationError
from anyspace.models.runtime import NumpyArray
from anyspace.policy.history import PolicyState
from anyspace.policy.policy import Policy
from anyspace.policy.seeing import ActingOptions

ONLY_POLICY = "default_policy"
"""The name of the policy."""


class ScriptPolicy:
    """A policy as old scripts ask one. Whatever is not here is the policy's own: ``model``, ``observation_space``.

    The methods that act return ``(actions, states, info)``, as RLlib's do, with an empty ``info``. They take the
    deterministic action unless ``explore`` is True.

    Args:
        algorithm: whose policy it is.
        policy_id: its name.

    Raises:
        ConfigError: the name is another one.
    """

    def __init__(self, algorithm: Algorithm[Any], policy_id: str = ONLY_POLICY):
        require_only_policy(policy_id)
        self._algorithm = algorithm

    @property
    def _policy(self) -> Policy:
        return self._algorithm.policy

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what copies a policy asks for these before there is an algorithm
            raise AttributeError(name)
        try:
            return getattr(self._policy, name)
        except AttributeError:
            hint = advice.POLICY.get(name, _THERE)
            raise AttributeError(
                f"get_policy().{name}: policies have no such attribute here. {hint} docs/porting.md says more."
            ) from None

    def compute_actions(
        self,
        obs_batch: Any,
        state_batches: Any = None,
        prev_action_batch: Any = None,
        prev_reward_batch: Any = None,
        info_batch: Any = None,
        episodes: Any = None,
        explore: bool | None = None,
        timestep: int | None = None,
    ) -> tuple[Any, Any, dict[str, Any]]:
        """Return actions for stacked observations [N, ...], what to hand in as states next, and an empty dict.

        Args:
            obs_batch: raw observations, as the environment returns them.
            state_batches: what the previous call returned, or :meth:`get_initial_state`.
            prev_action_batch: not read, since the states hold the last action.
            prev_reward_batch: rewards [N] of the previous step, where the model looks at them.
            info_batch: infos of this step, from which masks are read.
            episodes: not read.
            explore: sample, instead of taking the deterministic action.
            timestep: not read.
        """
        return self._acted(
            self._policy.compute_actions, obs_batch, state_batches, prev_reward_batch, info_batch, explore
        )

    def compute_single_action(
        self,
        obs: Any = None,
        state: Any = None,
        prev_action: Any = None,
        prev_reward: float | None = None,
        info: Mapping[str, Any] | None = None,
        *,
        episode: Any = None,
        explore: bool | None = None,
        timestep: int | None = None,
    ) -> tuple[Any, Any, dict[str, Any]]:
        """Return the action for one observation, what to hand in as its state next, and an empty dict.

        See :meth:`compute_actions`.
        """
        return self._acted(self._policy.compute_single_action, obs, state, prev_reward, info, explore)

    def _acted(
        self, act: Any, obs: Any, state: Any, reward: Any, info: Any, explore: bool | None
    ) -> tuple[Any, Any, dict[str, Any]]:
        found = act(obs, own_state(self, state), **acting_options(explore, prev_reward=reward, info=info))
        return (*found, {}) if self.is_recurrent() else (found, [], {})

    def dist_class(self, inputs: Any, model: Any = None) -> ActionDistribution:
        """Return the action distribution of its inputs [N, num_outputs]: logits, means and the like."""
        return self._policy.distribution(inputs)

    def get_weights(self) -> dict[str, NumpyArray]:
        """Return the weights by name."""
        return self._algorithm.get_weights()

    def set_weights(self, weights: Mapping[str, NumpyArray]) -> None:
        """Take over what :meth:`get_weights` returned."""
        self._algorithm.set_weights(weights)

    def get_initial_state(self) -> list[NumpyArray]:
        """Return what to hand in as the state of a first observation: the model's initial states."""
        return [state.copy() for state in self._policy.views.initial]

    def is_recurrent(self) -> bool:
        """Whether the policy remembers earlier steps."""
        return self._policy.views.remembers

    def num_state_tensors(self) -> int:
        """Return how many states the model has."""
        return len(self._policy.views.initial)

    @property
    def view_requirements(self) -> Mapping[str, Any]:
        """The model's views."""
        return self._policy.model.view_requirements


_THERE = (
    "The weights, the states and what acts are there: get_weights, set_weights, get_initial_state, compute_actions,"
    " compute_single_action, model; predict_values, evaluate_actions and get_distribution give values,"
    " log-probabilities and logits."
)


class Weights(dict[str, Any]):
    """Weights by name; under the name of the one policy, where RLlib's algorithms had them, is the dict itself."""

    def __missing__(self, name: str) -> Weights:
        if name != ONLY_POLICY:
            raise KeyError(name)
        return self


def require_only_policy(policy_id: object) -> None:
    """Raise :class:`ConfigError` for the name of another policy than the one that there is."""
    if policy_id != ONLY_POLICY:
        raise ConfigError(
            f"there is no policy {policy_id!r}: an algorithm has one, {ONLY_POLICY!r}. docs/porting.md says what takes"
            " the place of several."
        )


def acting_options(explore: bool | None, **more: Any) -> ActingOptions:
    """Return options of acting, those of ``more`` that are not None among them."""
    return {"explore": bool(explore), **{name: value for name, value in more.items() if value is not None}}  # type: ignore[typeddict-item]


def own_state(policy: ScriptPolicy, state: Any) -> Any:
    """Return the state of a call: None at first, for which scripts give nothing, zeros or the initial states.

    Raises:
        ObservationError: arrays came that make no state.
    """
    if not isinstance(state, Sequence) or isinstance(state, str):
        return state
    if len(state) == 1 and isinstance(state[0], PolicyState):
        return state[0]
    initial = policy.get_initial_state()
    given = [np.asarray(part) for part in state]
    is_initial = len(given) == len(initial) and all(
        part.size % max(1, first.size) == 0 and (part.reshape(-1, first.size) == first.reshape(-1)).all()
        for part, first in zip(given, initial, strict=True)
    )
    if not is_initial and any(np.any(part) for part in given):
        raise ObservationError(
            "the state of a policy is what the call before returned, which also holds the steps that the model"
            " looks at; arrays of your own make no state, but for the initial ones."
        )
    return None
