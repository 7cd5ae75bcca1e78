"""From the config key `exploration_config` to an exploration."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import gymnasium as gym

from anyspace.config import import_path, is_path
from anyspace.errors import ConfigError, nearest
from anyspace.policy.exploration.epsilon import EpsilonGreedy, PerWorkerEpsilonGreedy
from anyspace.policy.exploration.noise import GaussianNoise, OrnsteinUhlenbeckNoise
from anyspace.policy.exploration.protocol import Exploration, Place
from anyspace.policy.exploration.sampling import Random, SoftQ, StochasticSampling

Factory = Callable[..., Exploration]
"""Called with the space of raw actions, a place, and keywords."""

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
    "SlateEpsilonGreedy": _SLATES,
    "SlateSoftQ": _SLATES,
    "ThompsonSampling": _BANDITS,
    "UCB": _BANDITS,
    "UpperConfidenceBound": _BANDITS,
    "ParameterNoise": "it acts with other weights than those that learn, which acting does not offer; noisy=True of DQN"
    " puts learnt noise on the weights of its heads",
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
    settings = dict(config)
    given = settings.pop("type", None)
    factory = default if given is None else _resolved(given)
    if isinstance(default, partial) and factory is default.func:
        factory = default
    taken = inspect.signature(factory).parameters
    if not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken.values()):
        known = [name for name, one in taken.items() if one.kind is inspect.Parameter.KEYWORD_ONLY]
        for key in settings.keys() - known:
            raise ConfigError(
                f"config key `exploration_config` has {key!r}, which {_name(factory)} does not take."
                f"{nearest(str(key), known)} It takes: {', '.join(known) or 'nothing'}."
            )
    return factory(action_space, place, **settings)


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


def _name(factory: Factory) -> str:
    made = factory.func if isinstance(factory, partial) else factory
    return getattr(made, "__name__", repr(made))
