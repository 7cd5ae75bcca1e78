"""What soft actor-critic asks of a model, in any framework, and how the model's parts are configured.

Letters: N rows, K joint options of the discrete parts of an action, d numbers in its continuous parts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol, cast

import gymnasium as gym
from gymnasium import spaces

from anyspace import nesting
from anyspace.config import require
from anyspace.distributions.joint import DrawnActions, JointActions
from anyspace.errors import ConfigError, ModelError, UnsupportedSpaceError
from anyspace.maths.xp import Array
from anyspace.models.catalog import ModelCatalog, custom_class
from anyspace.models.config import ModelConfig
from anyspace.models.modelv2 import ModelV2
from anyspace.models.networks import network
from anyspace.spaces.decoding import options
from anyspace.spaces.leaves import LeafSpec
from anyspace.spaces.restore import structure_of
from anyspace.tree import Tree

MAX_CHOICES = 1024
"""The most joint options of an action: a Q network has one output for each."""

ON_TOP = ("use_lstm", "use_gru", "use_attention", "parametric_actions")
"""Keys that ask for something on top of a model: of soft actor-critic's model, on top of each of its networks."""

_PLAIN = ModelConfig()


class SoftActorCritic(Protocol):
    """A policy, one or two Q networks, and a temperature for each kind of parts of an action."""

    joint: JointActions
    log_alphas: Mapping[str, Any]
    """Logarithms of the temperatures by kind, scalars."""

    def get_q_values(self, model_out: Tree, actions: Array | None = None) -> Array:
        """Return the values [N, K] of all joint options, beside numbers [N, d] where there are any."""

    def get_twin_q_values(self, model_out: Tree, actions: Array | None = None) -> Array:
        """Return the values of the second Q network."""

    def entropy_targets(self, drawn: DrawnActions) -> dict[str, Array | float]:
        """Return the entropy that each kind of parts is held at, a number or [N]."""


def soft_actor_critic(model: ModelV2) -> SoftActorCritic:
    """Return a model that `build` built, as what soft actor-critic works with."""
    return cast(SoftActorCritic, model)


def joint_actions(action_space: gym.Space[Any]) -> JointActions:
    """Return what is enumerated of actions and what is sampled.

    Raises:
        UnsupportedSpaceError: there are more than `MAX_CHOICES` joint options, or nothing to choose.
    """
    found = JointActions(action_space, [options(leaf, path) for path, leaf in nesting.iter_leaves(action_space)])
    if found.choices > MAX_CHOICES:
        other = "take PPO, which chooses" if found.width else "take PPO or DQN, which choose"
        raise UnsupportedSpaceError(
            f"action: SAC enumerates all discrete parts of an action jointly, at most {MAX_CHOICES:,} options, but"
            f" {action_space} has {found.choices:,}: {other} part by part, or offer fewer options."
        )
    if not found.kinds:
        raise UnsupportedSpaceError(f"action: {action_space} holds no value to choose.")
    return found


def given_targets(target: float | str | Mapping[str, float] | None, kinds: tuple[str, ...]) -> dict[str, float]:
    """Return the target entropies that are not found by themselves, by kind.

    Args:
        target: one number for the only kind, numbers by kind, or None or "auto", which find all of them.
        kinds: of the parts of the actions.

    Raises:
        ConfigError: it is something else, or does not say which kind it is for.
    """
    if target is None or target == "auto":
        return {}
    require(not isinstance(target, str), "target_entropy", target, "it is a number, 'auto' or None")
    assert not isinstance(target, str)
    if isinstance(target, Mapping):
        known = target.keys() <= {*kinds}
        require(known, "target_entropy", target, f"the parts of these actions are {' and '.join(kinds)}")
        return {kind: float(number) for kind, number in target.items()}
    if len(kinds) > 1:
        raise ConfigError(
            f"config key `target_entropy` is {target!r}, but these actions have choices and numbers, each kept at an"
            ' entropy of its own: give both, as {"discrete": 1.0, "continuous": -2.0}.'
        )
    return {kinds[0]: float(target)}


def build(
    obs_space: gym.Space[Any],
    action_space: gym.Space[Any],
    num_outputs: int,
    model_config: ModelConfig,
    framework: str,
    *,
    policy_model_config: Mapping[str, Any],
    q_model_config: Mapping[str, Any],
    **keywords: Any,
) -> ModelV2:
    """Return the model of soft actor-critic; memory and parametric actions become parts of its networks.

    Args:
        obs_space: as for every model.
        action_space: as for every model.
        num_outputs: as for every model.
        model_config: of the whole; a ``custom_model`` derives from the framework's.
        framework: of the model.
        policy_model_config: keys that the policy's configuration changes.
        q_model_config: keys that the Q networks' configuration changes.
        keywords: further arguments of the model's constructor.

    Raises:
        ModelError: a custom model is no model of soft actor-critic.
    """
    given = {key: getattr(model_config, key) for key in ON_TOP if getattr(model_config, key)}
    whole = replace(model_config, **{key: getattr(_PLAIN, key) for key in given})
    kind = network("soft actor-critic", framework)
    if whole.custom_model is not None:
        custom = custom_class(whole.custom_model, framework)
        if not issubclass(custom, kind):
            raise ModelError(
                f"custom_model {custom.__name__} has no Q networks. Derive it from {kind.__name__}, or give it as"
                " `custom_model` in `policy_model_config` and `q_model_config`, each of which configures one network."
            )
    return ModelCatalog.get_model_v2(
        obs_space,
        action_space,
        num_outputs,
        whole,
        framework,
        default_model=kind,
        policy_model_config={**given, **policy_model_config},
        q_model_config={**given, **q_model_config},
        **keywords,
    )


def sub_config(model_config: dict[str, Any], overrides: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the configuration of one network."""
    # A second stack for a value that no algorithm asks for would never be trained.
    handed_on: dict[str, Any] = {"custom_model": None, "custom_model_config": {}, "vf_share_layers": True}
    return {**model_config, **handed_on, **(overrides or {})}


def is_vector(obs_space: gym.Space[Any]) -> bool:
    """Whether observations are one vector, and not several parts side by side."""
    one_leaf = isinstance(structure_of(obs_space), LeafSpec)
    return one_leaf and isinstance(obs_space, spaces.Box) and len(obs_space.shape) == 1


def vector(width: int | None) -> spaces.Box:
    """Return the space of vectors of a width."""
    assert width is not None
    return spaces.Box(-math.inf, math.inf, (width,))


def require_no_more_than_observations(model: ModelV2, key: str) -> None:
    """Refuse a network that needs more than the present observation."""
    more = [name for name, view in model.view_requirements.items() if name != "obs" or view.offsets != (0,)]
    if len(model.get_initial_state()):
        more.append("a state")
    if more:
        raise ModelError(
            f"{type(model).__name__} of `{key}` needs {', '.join(more)} beside the present observation, but SAC's"
            " networks see that alone. Switch previous actions off, or give a model without such views."
        )
