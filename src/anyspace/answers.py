"""Answers where other libraries' names are used here: attributes, arguments, constructors, modules."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from anyspace.errors import ConfigError, nearest
from anyspace.foreign_names import ARGUMENTS, CALLS, MODULE, POLICIES
from anyspace.metaclasses import BesideProtocols

F = TypeVar("F", bound=Callable[..., Any])


def unknown_argument(called: str, name: str, known: Collection[str]) -> TypeError:
    """Return the error for an argument that a function does not take.

    Args:
        called: the function, as :data:`ARGUMENTS` has it.
        name: of the argument.
        known: those that the function takes.
    """
    answer = ARGUMENTS[called].get(name)
    more = f".{nearest(name, known)}" if answer is None else f"; {answer}."
    return TypeError(f"there is no argument {name!r} of {called}{more}")


def absent(module: str, name: str) -> AttributeError:
    """Return the error for a name that a module of this library does not have, with what stands for it."""
    hint = f". {MODULE[name]}" if name in MODULE else ""
    return AttributeError(f"module {module!r} has no attribute {name!r}{hint}")


def answers(called: str) -> Callable[[F], F]:
    """Let a function answer what other libraries' functions of its kind take; its signature stays as it is.

    Args:
        called: the function, as :data:`ARGUMENTS` has it.
    """

    def answering(function: F) -> F:
        parameters = inspect.signature(function).parameters.values()
        takes_all = any(one.kind is one.VAR_KEYWORD for one in parameters)
        names = [one.name for one in parameters]
        most = sum(one.kind is one.POSITIONAL_OR_KEYWORD for one in parameters)
        needed = {one.name for one in parameters if one.kind is one.KEYWORD_ONLY and one.default is one.empty}

        @functools.wraps(function)
        def answered(*given: Any, **named: Any) -> Any:
            unknown = [] if takes_all else [name for name in named if name not in names]
            if unknown:
                raise unknown_argument(called, unknown[0], names)
            if called in CALLS and (len(given) > most or not needed <= named.keys()):
                raise TypeError(f"{called} is not called so: {CALLS[called]}.")
            return function(*given, **named)

        return cast(F, answered)

    return answering


class Explains:
    """Base of what says, of an attribute that it lacks, what to write in place of another library's name."""

    _foreign: ClassVar[Mapping[str, str]] = {}

    def _explained(self, name: str) -> str:
        """Return what to write in place of an attribute, sentences; empty: nothing is known of it."""
        return self._foreign.get(name, "")

    if not TYPE_CHECKING:  # type checkers refuse what is unknown

        def __getattr__(self, name):
            try:
                return super().__getattribute__(name)  # again: a property may have raised an error of its own
            except AttributeError as error:
                hint = self._explained(name) if error.obj is self and error.name == name else ""
                if not hint:
                    raise
                raise AttributeError(f"{error}. {hint}", name=name, obj=self) from None


class ExplainsOnClass(BesideProtocols):
    """Says the same of an attribute that the class itself lacks: some libraries load by a method of the class."""

    _foreign: ClassVar[Mapping[str, str]] = {}
    """Of a class that has none of its own."""

    if not TYPE_CHECKING:

        def __getattr__(cls, name):
            hint = cls._foreign.get(name, "")
            text = f"type object {cls.__name__!r} has no attribute {name!r}{hint and f'. {hint}'}"
            raise AttributeError(text, name=name, obj=cls)


def takes_no_policy(init: F) -> F:
    """Let a constructor answer a policy of Stable-Baselines3 in front of the environment; its signature stays."""

    @functools.wraps(init)
    def answered(self: object, *given: Any, **named: Any) -> None:
        name = _policy_name(given[0]) if given else None
        if name is not None:
            kind, memory = type(self).__name__, ", model={'use_lstm': True}" if "Lstm" in name else ""
            raise ConfigError(
                f"{kind}({name!r}, ...): leave {name!r} out: {kind}(env{memory}). The network follows from the"
                " environment's spaces; settings are named."
            )
        init(self, *given, **named)

    return cast(F, answered)


def _policy_name(given: object) -> str | None:
    """Return the name of a policy of Stable-Baselines3; None: it is none."""
    if isinstance(given, type) and given.__name__.endswith("Policy") and is_of_stable_baselines(given):
        return given.__name__
    return given if isinstance(given, str) and given in POLICIES else None


def is_of_stable_baselines(kind: type) -> bool:
    """Return whether a class is of Stable-Baselines3, or derived from one that is."""
    return any(one.__module__.partition(".")[0] in ("stable_baselines3", "sb3_contrib") for one in kind.__mro__)
