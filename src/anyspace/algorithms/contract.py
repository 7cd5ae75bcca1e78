"""What a class of algorithms must be like, checked before training starts.

Each slip is named in terms of the class that somebody wrote: ``A2C.groups() must return ...``.
"""

from __future__ import annotations

import dataclasses
import inspect
import logging
from collections.abc import Mapping
from typing import Any, Protocol

from anyspace.algorithms.config import AlgorithmConfig
from anyspace.config import type_hints
from anyspace.errors import ConfigError
from anyspace.execution.groups import Group
from anyspace.execution.learner import group_of, spelt
from anyspace.importing import is_ours
from anyspace.policy.plan import Plan
from anyspace.policy.policy import Policy

_LOG = logging.getLogger("anyspace")

ALWAYS = ("policy", "learner", "rewards", "counters")
"""The parts that every algorithm has."""

_KEPT = (*ALWAYS, "seed")
"""Attributes that an algorithm has before its ``setup()`` and that training goes by."""


class Grouped(Protocol):
    """What says its groups."""

    def groups(self) -> dict[str, Group]:
        """Return how the parameters of each loss are moved."""


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
    own = [parent for parent in found.__mro__ if parent is not object and not is_ours(parent)]
    library = next(parent for parent in found.__mro__ if is_ours(parent))
    for parent in own:
        if "__dataclass_fields__" not in vars(parent) and inspect.get_annotations(parent):
            raise ConfigError(
                f"{parent.__name__} has keys of its own, but is no dataclass: write @dataclass(frozen=True) above it."
            )
        _require_keys(parent, library)
    for field in dataclasses.fields(found):
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{found.__name__}.{field.name} has no default: write `{field.name}: float = 1.0`.")
    hinted: type = found
    try:
        type_hints(hinted)
    except NameError as error:
        raise ConfigError(
            f"{found.__name__}: the type of a key cannot be read: {error}. Import it where the class is, outside of"
            " `if TYPE_CHECKING` and of functions."
        ) from error
    return found


def _require_keys(own: type, library: type) -> None:
    """Refuse what is no key of a configuration, and keys that have the name of something else.

    Args:
        own: a class of somebody's.
        library: the class of this library that it derives from.

    Raises:
        ConfigError: naming the key.
    """
    keys, inherited = inspect.get_annotations(own), {field.name for field in dataclasses.fields(library)}
    for name, value in vars(own).items():
        is_constant = name.startswith("_") or name.isupper() or (hasattr(library, name) and name not in inherited)
        if name not in keys and not is_constant and isinstance(value, bool | int | float | str | None):
            kind = "float | None" if value is None else type(value).__name__
            raise ConfigError(
                f"{own.__name__}.{name} is no key, for it has no type: write `{name}: {kind} = {value!r}`, or"
                f" `{name}: ClassVar = {value!r}` for what is none."
            )
    for name in keys:
        taken = hasattr(library, name) and name not in inherited and "ClassVar" not in str(keys[name])
        if taken or name in _NO_KEYS:
            what = "a property or a method" if taken else "an argument of the algorithm, or a flag,"
            raise ConfigError(
                f"{own.__name__} has a key {name!r}, but there is {what} of that name; give yours another one."
            )


_NO_KEYS = (
    *("env", "config", "preset", "trust", "path", "algo", "steps", "out", "overwrite", "seeds", "resume"),
    *("resume_latest", "weights_from", "callback", "video_every", "progress", "evaluate", "help"),
    *("trials", "ranges", "prune"),
)
"""Names of arguments of constructors and ``load()``, and of flags of the command line, which keys stand beside."""


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


def groups_of(algorithm: Grouped) -> dict[str, Group]:
    """Call ``groups()``.

    Raises:
        ConfigError: it returned no dict of names and groups, or an empty one, or it reads what ``setup()`` has yet to
            set.
    """
    where = _method(type(algorithm), "groups")
    try:
        groups: object = algorithm.groups()
    except AttributeError as error:
        if error.obj is not algorithm:
            raise
        raise ConfigError(
            f"{where} reads self.{error.name}, but it is called before setup(): read that within the function that"
            " Group(lr) takes, which is called later, or compute it of self.config."
        ) from error
    if not isinstance(groups, Mapping) or not groups:
        raise ConfigError(f'{where} must return {{"policy": Group(lr), ...}}, but returned {groups!r}.')
    for name, group in groups.items():
        if not isinstance(name, str) or not isinstance(group, Group):
            raise ConfigError(
                f'{where} must return names and groups, as {{"policy": Group(lr)}}, but {name!r} is {group!r}.'
            )
    return dict(groups)


def require_parameters(policy: Policy, groups: Mapping[str, Group]) -> None:
    """Raise :class:`ConfigError` for the first of several groups that no parameter of the model belongs to."""
    model = policy.model
    trained = {group_of(model, parameter, groups) for parameter in sorted(policy.runtime.trained(model))}
    for name in groups:
        if len(groups) > 1 and name not in trained:
            raise ConfigError(
                f"no parameter that is trained belongs to the group {name!r}, so that its loss would train nothing: let"
                f" {type(model).__name__}.group_of(name) return {name!r} for its parameters."
            )


def require_methods(kind: type[Any]) -> None:
    """Raise :class:`ConfigError` unless ``updates`` and ``losses`` can be called as they are called.

    It is also raised for a method that nothing calls, if its name is nearly that of one that is called.
    """
    _require_names(kind)
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
            has not set, returns no dict, leaves out the parts that every algorithm has, or gives the name of a part of
            this library's to another thing.
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
    where, library = _method(kind, "parts"), next(each for each in kind.__mro__ if is_ours(each))
    try:
        parts: object = algorithm.parts()
        inherited: dict[str, Any] = library.parts(algorithm)  # type: ignore[attr-defined]
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
    for name, part in parts.items():
        if not isinstance(name, str) or "/" in name:
            raise ConfigError(f"{where}: the names of parts are texts without a slash, but {name!r} came.")
        if name in inherited and part is not inherited[name]:
            raise ConfigError(
                f"{where} gives the name {name!r} to another thing than {library.__name__}.parts() does, so that a"
                " checkpoint would lack that; give yours another name."
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


def _require_names(kind: type[Any]) -> None:
    """Raise :class:`ConfigError` for a name that is nearly one that is overridden, where that one is not."""
    own = {name for each in kind.__mro__ if each is not object and not is_ours(each) for name in vars(each)}
    # A class that overrides something may call methods of its own as it likes.
    ambiguous = {} if own & _OVERRIDDEN else _NEARLY
    for wrong, right in {**_SLIPS, **ambiguous}.items():
        if wrong in own and right not in own:
            raise ConfigError(f"nothing reads {kind.__name__}.{wrong}: what is overridden is called {right}.")


_OVERRIDDEN = {"plan", "updates", "losses", "groups", "setup", "parts", "config_class"}
_NEARLY = {"loss": "losses", "compute_loss": "losses", "update": "updates", "group": "groups", "part": "parts"}
_SLIPS = {"set_up": "setup", "plans": "plan", "configclass": "config_class", "configuration_class": "config_class"}
"""Names that own methods and classes of configurations have by mistake, and what is called."""


def _method(kind: type[Any], name: str) -> str:
    return f"{spelt(getattr(kind, name))}()"
