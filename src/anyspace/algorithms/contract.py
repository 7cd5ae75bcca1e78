"""What a class of algorithms must be like, checked before training starts.

Each slip is named in terms of the class that somebody wrote: ``A2C.groups() must return ...``.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from typing import Any, Protocol

from anyspace.algorithms.config import AlgorithmConfig
from anyspace.errors import ConfigError
from anyspace.execution.learner import Group, spelt
from anyspace.policy.plan import Plan

_LOG = logging.getLogger("anyspace")

_KEPT = ("policy", "learner", "rewards", "counters", "seed")
"""Attributes that an algorithm has before its ``setup()`` and that training goes by."""

ALWAYS = ("policy", "learner", "rewards", "counters")
"""The parts that every algorithm has."""


class Written(Protocol):
    """What is checked of an algorithm."""

    def setup(self) -> None:
        """Prepare what the algorithm keeps between iterations."""

    def parts(self) -> dict[str, Any]:
        """Return everything that a further iteration depends on."""


def config_class_of(kind: type[Any]) -> type[AlgorithmConfig]:
    """Return the configuration class of a class of algorithms.

    Raises:
        ConfigError: it names none, or what it names is no class of configurations, or lacks its decorator.
    """
    name, found = kind.__name__, getattr(kind, "config_class", None)
    if found is None:
        raise ConfigError(
            f"{name} does not say what its configuration is: add `config_class = {name}Config`, a frozen dataclass"
            " derived from OnPolicyConfig, or from the configuration of the algorithm that yours is like."
        )
    if not (isinstance(found, type) and issubclass(found, AlgorithmConfig)):
        raise ConfigError(
            f"{name}.config_class must be a class derived from AlgorithmConfig, such as OnPolicyConfig or PPOConfig,"
            f" but it is {found!r}."
        )
    for parent in found.__mro__:
        if "__dataclass_fields__" not in vars(parent) and inspect.get_annotations(parent):
            raise ConfigError(
                f"{parent.__name__} has keys of its own, but is no dataclass: write @dataclass(frozen=True) above it."
            )
    return found


def require_steps(settings: AlgorithmConfig) -> None:
    """Raise :class:`ConfigError` unless settings say how many steps are collected before learning."""
    steps = settings.steps_per_round
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ConfigError(
            f"{type(settings).__name__}.steps_per_round must be a whole number of at least 1, but it is {steps!r}."
        )


def require_plan(kind: type[Any], plan: object) -> Plan:
    """Return what ``plan()`` returned.

    Raises:
        ConfigError: it is no plan, or something in it cannot be called.
    """
    if not isinstance(plan, Plan):
        raise ConfigError(
            f"{_method(kind, 'plan')} must return a Plan, but returned {plan!r}: return Plan(), with what differs from"
            " the defaults."
        )
    for field in ("build", "distribution", "exploration"):
        value = getattr(plan, field)
        if not callable(value):
            raise ConfigError(f"{_method(kind, 'plan')}: Plan({field}=...) must be a function, but is {value!r}.")
    return plan


def require_groups(kind: type[Any], groups: object) -> dict[str, Group]:
    """Return what ``groups()`` returned.

    Raises:
        ConfigError: it is no dict of names and groups, or an empty one.
    """
    where = _method(kind, "groups")
    if not isinstance(groups, Mapping) or not groups:
        raise ConfigError(f'{where} must return {{"policy": Group(lr), ...}}, but returned {groups!r}.')
    for name, group in groups.items():
        if not isinstance(name, str) or not isinstance(group, Group):
            raise ConfigError(
                f'{where} must return names and groups, as {{"policy": Group(lr)}}, but {name!r} is {group!r}.'
            )
    return dict(groups)


def require_signatures(kind: type[Any]) -> None:
    """Raise :class:`ConfigError` unless ``updates`` and ``losses`` can be called as they are called."""
    for method, arguments in (("updates", ("policy", "trajectory")), ("losses", ("policy", "batch"))):
        try:
            inspect.signature(getattr(kind, method)).bind("self", *arguments)
        except TypeError as error:
            raise ConfigError(
                f"{_method(kind, method)} is called with ({', '.join(arguments)}), but cannot be: {error}. Write"
                f" `def {method}(self, {', '.join(arguments)})`."
            ) from error


def set_up(algorithm: Written) -> dict[str, Any]:
    """Call ``setup()`` and return ``parts()``.

    Raises:
        ConfigError: ``setup()`` replaces what training goes by, or hides a method; ``parts()`` reads what ``setup()``
            has not set, returns no dict, or leaves out the parts that every algorithm has.
    """
    kind, before = type(algorithm), dict(vars(algorithm))
    algorithm.setup()
    where = _method(kind, "setup")
    for name, value in vars(algorithm).items():
        if name in _KEPT and before[name] is not value:
            raise ConfigError(f"{where} replaces self.{name}, which training goes by; give yours another name.")
        if name not in before and callable(getattr(kind, name, None)):
            raise ConfigError(f"{where} sets self.{name}, which hides the method {name}(); give it another name.")
    return _parts_of(algorithm)


def _parts_of(algorithm: Written) -> dict[str, Any]:
    kind = type(algorithm)
    where = _method(kind, "parts")
    try:
        parts: object = algorithm.parts()
    except AttributeError as error:
        if error.obj is not algorithm:
            raise
        raise ConfigError(
            f"{where} reads self.{error.name}, which no setup() has set: set it there, and call super().setup() if the"
            " class that yours derives from sets it."
        ) from error
    if not isinstance(parts, dict):
        raise ConfigError(f"{where} must return a dict of names and parts, but returned {parts!r}.")
    missing = [name for name in ALWAYS if name not in parts]
    if missing:
        raise ConfigError(
            f"{where} leaves out {', '.join(missing)}: return {{**super().parts(), ...}}, with yours in place of ..."
        )
    return parts


def tell_of_own_init(kind: type[Any]) -> None:
    """Warn if a class that is loaded has an ``__init__`` of somebody's: loading does not run it."""
    if kind.__init__.__module__.partition(".")[0] != "anyspace":
        _LOG.warning(
            "%s does not run where an algorithm is loaded: what it sets is not there. Set it in setup(self), which runs"
            " both times.",
            _method(kind, "__init__"),
        )


def require_concrete(kind: type[Any]) -> None:
    """Raise :class:`ConfigError` if a class of algorithms lacks a method that it has to have."""
    missing = sorted(getattr(kind, "__abstractmethods__", ()))
    if missing:
        raise ConfigError(
            f"{kind.__name__} has no {' and no '.join(f'{name}()' for name in missing)}: an algorithm says what it"
            " learns from in updates(self, policy, trajectory), and its losses in losses(self, policy, batch)."
        )


def _method(kind: type[Any], name: str) -> str:
    return f"{spelt(getattr(kind, name))}()"
