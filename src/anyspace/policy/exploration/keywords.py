"""An exploration from what makes it and keywords that users wrote."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import gymnasium as gym

from anyspace import config as configs
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
        ConfigError: it takes no such keyword, or refuses a value, or one is of another type.
    """
    taken = inspect.signature(factory).parameters
    if not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken.values()):
        known = [name for name, one in taken.items() if one.kind is inspect.Parameter.KEYWORD_ONLY]
        for name in settings.keys() - known:
            raise ConfigError(
                f"config key `{key}` has {name!r}, which {_name(factory)} does not take."
                f"{_hint(str(name), known)} It takes: {', '.join(known) or 'nothing'}."
            )
    return factory(action_space, place, **_settled(key, factory, settings))


def _settled(key: str, factory: Factory, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return keywords in the types that the library's explorations take; other keywords are their author's own."""
    kind = factory.func if isinstance(factory, partial) else factory
    lineage = kind.__mro__ if isinstance(kind, type) else ()
    ours = next((one for one in lineage if one.__module__.startswith("anyspace.")), None)
    hints = {} if ours is None else configs.type_hints(ours)
    found = dict(settings)
    for name in settings.keys() & hints.keys():
        value, hint = settings[name], hints[name]
        if not configs.matches(value, hint):
            came = f"{value!r} ({type(value).__name__})"
            raise ConfigError(f"config key `{key}`: `{name}` takes {configs.spell(hint)}, but {came} came.")
        found[name] = configs.settled(value, hint)
        finite = not isinstance(value, float) or math.isfinite(value)
        configs.require(finite, name, value, "it must be a finite number")
    return found


def _name(factory: Factory) -> str:
    kind = factory.func if isinstance(factory, partial) else factory
    return getattr(kind, "__name__", repr(kind))


_OF_OTHERS = {
    "exploration_fraction": ("epsilon_timesteps", "in environment steps instead of a part of the run"),
    "exploration_initial_eps": ("initial_epsilon", "the same number"),
    "exploration_final_eps": ("final_epsilon", "the same number"),
}
"""What keywords of Stable-Baselines3 are called here, and what they count."""


def _hint(name: str, known: list[str]) -> str:
    ours, counts = _OF_OTHERS.get(name, ("", ""))
    return f" It is `{ours}` here, {counts}." if ours in known else nearest(name, known)
