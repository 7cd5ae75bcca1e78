"""An exploration from what makes it and keywords that users wrote."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import gymnasium as gym

from anyspace.errors import ConfigError, nearest
from anyspace.policy.exploration.protocol import Exploration, Place

Factory = Callable[..., Exploration]
"""Called with the space of raw actions, a place, and keywords."""


def made(
    key: str, factory: Factory, settings: Mapping[str, Any], action_space: gym.Space[Any], place: Place
) -> Exploration:
    """Return what ``factory`` makes with the keywords ``settings``.

    Args:
        key: the config key that holds them, for messages.
        factory: a class of explorations, or a partial of one.
        settings: keywords.
        action_space: of raw actions.
        place: which of several collecting processes it is for.

    Raises:
        ConfigError: it takes no such keyword, or refuses a value.
    """
    taken = inspect.signature(factory).parameters
    if not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken.values()):
        known = [name for name, one in taken.items() if one.kind is inspect.Parameter.KEYWORD_ONLY]
        for name in settings.keys() - known:
            raise ConfigError(
                f"config key `{key}` has {name!r}, which {_name(factory)} does not take."
                f"{nearest(str(name), known)} It takes: {', '.join(known) or 'nothing'}."
            )
    return factory(action_space, place, **settings)


def _name(factory: Factory) -> str:
    kind = factory.func if isinstance(factory, partial) else factory
    return getattr(kind, "__name__", repr(kind))
