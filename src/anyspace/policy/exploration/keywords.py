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
from anyspace.importing import importable_name, is_ours
from anyspace.policy.exploration.contract import name_of, require_factory, require_methods
from anyspace.policy.exploration.protocol import Exploration, Place

Factory = Callable[..., Exploration]
"""Called with the space of raw actions, a place, and keywords."""

SCHEDULE = "epsilon_schedule"
OF_A_SCHEDULE = ("initial_epsilon", "final_epsilon", "warmup_timesteps", "epsilon_timesteps")
"""Keywords of EpsilonGreedy that its schedule takes the place of."""


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
        ConfigError: it takes no such keyword, or refuses a value, or one is of another type or has no effect; it cannot
            be made with these arguments, or lacks a method.
    """
    taken = inspect.signature(factory).parameters
    if not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken.values()):
        known = [name for name, one in taken.items() if one.kind is inspect.Parameter.KEYWORD_ONLY]
        for name in settings.keys() - known:
            raise ConfigError(
                f"config key `{key}` has {name!r}, which {name_of(factory)} does not take."
                f"{_hint(str(name), known)} It takes: {', '.join(known) or 'nothing'}."
            )
    beside = [name for name in OF_A_SCHEDULE if name in settings]
    if beside and settings.get(SCHEDULE) is not None:
        raise ConfigError(
            f"config key `{key}` has `{SCHEDULE}` and `{beside[0]}`, but the schedule takes the place of"
            f" {', '.join(OF_A_SCHEDULE)}; leave one of them out."
        )
    keywords = _settled(key, factory, settings)
    require_factory(key, factory, action_space, place, keywords)
    exploration = factory(action_space, place, **keywords)
    require_methods(key, exploration)
    return exploration


def goes_with(own: object, below: Mapping[str, Any], above: Mapping[str, Any]) -> bool:
    """Return whether options of explorations are of one `type`, so that the latter can be laid over the former.

    Args:
        own: the type where options name none.
        below: options.
        above: others; without a type they are of any.
    """
    one, other = (_spelt(options.get("type") or own) for options in (below, above))
    return above.get("type") is None or one == other


def laid_over(own: object, below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with others laid over them, as :func:`goes_with` takes them; of another type these are all.

    Epsilon's schedule takes the place of the numbers that it stands for, and each of these that of the schedule.
    """
    if not goes_with(own, below, above):
        return dict(above)
    of_numbers = not above.keys().isdisjoint(OF_A_SCHEDULE)
    replaced = OF_A_SCHEDULE if above.get(SCHEDULE) is not None else (SCHEDULE,) if of_numbers else ()
    found = {**{key: value for key, value in below.items() if key not in replaced}, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], Mapping) and isinstance(above[key], Mapping):
            found[key] = laid_over(None, below[key], above[key])
    return found


def _spelt(kind: object) -> object:
    """Return the short name of a class of ours, the path of another one, and anything else as it is."""
    kind = kind.func if isinstance(kind, partial) else kind
    if isinstance(kind, type):
        return kind.__name__ if kind.__module__.startswith(__package__ or "") else importable_name(kind) or kind
    return kind


def _settled(key: str, factory: Factory, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return keywords in the types that the library's explorations take; other keywords are their author's own."""
    kind = factory.func if isinstance(factory, partial) else factory
    lineage = kind.__mro__ if isinstance(kind, type) else ()
    ours = next((one for one in lineage if is_ours(one)), None)
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


_OF_OTHERS = {
    "exploration_fraction": ("epsilon_timesteps", "in environment steps instead of a part of the run"),
    "exploration_initial_eps": ("initial_epsilon", "the same number"),
    "exploration_final_eps": ("final_epsilon", "the same number"),
}
"""What keywords of Stable-Baselines3 are called here, and what they count."""


def _hint(name: str, known: list[str]) -> str:
    ours, counts = _OF_OTHERS.get(name, ("", ""))
    return f" It is `{ours}` here, {counts}." if ours in known else nearest(name, known)
