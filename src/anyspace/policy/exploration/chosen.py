"""From the config key `exploration_config` to an exploration."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import gymnasium as gym

from anyspace.errors import ConfigError, nearest
from anyspace.importing import import_path, is_path
from anyspace.policy.exploration.epsilon import EpsilonGreedy, PerWorkerEpsilonGreedy
from anyspace.policy.exploration.keywords import Factory, made
from anyspace.policy.exploration.noise import GaussianNoise, OrnsteinUhlenbeckNoise
from anyspace.policy.exploration.parameter_noise import ParameterNoise
from anyspace.policy.exploration.protocol import Exploration, Place
from anyspace.policy.exploration.sampling import Random, SoftQ, StochasticSampling

BY_NAME: dict[str, Factory] = {
    kind.__name__: kind
    for kind in (
        StochasticSampling,
        Random,
        EpsilonGreedy,
        PerWorkerEpsilonGreedy,
        SoftQ,
        GaussianNoise,
        OrnsteinUhlenbeckNoise,
        ParameterNoise,
    )
}
"""The explorations that have short names."""

_SLATES = (
    "it chooses among slates, which are no actions here; list the slates as a Discrete, and take EpsilonGreedy or SoftQ"
)
_BANDITS = "it belongs to bandit algorithms, which are not offered; take EpsilonGreedy or SoftQ"

NOT_OFFERED = {
    "Curiosity": "it changes rewards, and needs a model of its own; add the bonus in a wrapper of the environment",
    "RE3": "it changes rewards, and needs an encoder of its own; add the bonus in a wrapper of the environment",
    "PerWorkerGaussianNoise": "workers differ by their noise already; take GaussianNoise",
    "PerWorkerOrnsteinUhlenbeckNoise": "workers differ by their noise already; take OrnsteinUhlenbeckNoise",
    "SlateEpsilonGreedy": _SLATES,
    "SlateSoftQ": _SLATES,
    "ThompsonSampling": _BANDITS,
    "UCB": _BANDITS,
    "UpperConfidenceBound": _BANDITS,
}
"""Explorations of other libraries, and what to do without them."""


def exploration_of(
    default: Factory, config: Mapping[str, Any], action_space: gym.Space[Any], place: Place
) -> Exploration:
    """Return the exploration that a configuration asks for.

    Args:
        default: the algorithm's, taken where ``config`` has no ``type``. Keys of ``config`` are laid over its keywords,
            also where ``type`` names the same exploration.
        config: ``type``, a short name, ``package.module:Class`` or the class itself, and its keywords.
        action_space: of raw actions.
        place: which of several collecting processes it is for.

    Raises:
        ConfigError: there is no such exploration, or it takes no such keyword, or refuses a value.
    """
    settings = {key: value for key, value in config.items() if key != "type"}
    factory = kind_of(default, config)
    if isinstance(default, partial) and factory is default.func:
        factory = default
    return made("exploration_config", factory, settings, action_space, place)


def kind_of(default: Factory, config: Mapping[str, Any]) -> Factory:
    """Return the class of the exploration that a configuration asks for; arguments are as for `exploration_of`.

    Raises:
        ConfigError: there is none.
    """
    given = config.get("type")
    return default if given is None else _resolved(given)


def _resolved(given: object) -> Factory:
    if isinstance(given, str) and given in NOT_OFFERED:
        raise ConfigError(f"config key `exploration_config` is of type {given!r}: {NOT_OFFERED[given]}.")
    if isinstance(given, str) and given not in BY_NAME and not is_path(given):
        raise ConfigError(
            f"config key `exploration_config` is of type {given!r}, which is unknown.{nearest(given, BY_NAME)} Known"
            f" are {', '.join(BY_NAME)}; or give `package.module:Class`."
        )
    found = BY_NAME.get(given) or import_path(given) if isinstance(given, str) else given
    if not callable(found):
        raise ConfigError(
            f"config key `exploration_config`: its type must be a class of explorations, but is {given!r}."
        )
    factory: Factory = found
    return factory
