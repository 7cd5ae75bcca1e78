"""Spaces of somebody's own class: which built-in space each stands for, and how values get from one to the other."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar

import gymnasium as gym
from gymnasium.spaces import Dict, Tuple

from anyspace import tree
from anyspace.errors import ConfigError, UnsupportedSpaceError, nearest
from anyspace.nesting import Space
from anyspace.spaces.kinds.minigrid import MISSION_SPACE, missions
from anyspace.spaces.kinds.parts import iter_parts, with_parts

S = TypeVar("S", bound=Space)

_BUILT_IN = ("gymnasium.spaces.", "anyspace.spaces.")


@dataclass(frozen=True)
class Registration:
    """What `register_space` was told."""

    name: str
    kind: type[Space] | None
    """The class; None where it was never imported here."""
    equivalent: Callable[[Any], Space]
    encode: Callable[[Any, Any], Any] | None = None
    decode: Callable[[Any, Any], Any] | None = None
    arguments: Callable[[Any], Mapping[str, Any]] | None = None


_registered: dict[type, Registration] = {}

_families = {MISSION_SPACE: Registration("MissionSpace", None, missions)}
"""Registrations that are shipped, by ``module:Name`` of their class."""


def register_space(
    kind: type[S],
    equivalent: Callable[[S], Space],
    *,
    encode: Callable[[S, Any], Any] | None = None,
    decode: Callable[[S, Any], Any] | None = None,
    arguments: Callable[[S], Mapping[str, Any]] | None = None,
    name: str | None = None,
) -> None:
    """Say which built-in space a space of a class of your own stands for.

    One line is enough where the values already are what the built-in space holds, as here texts::

        register_space(MissionSpace, lambda space: Text(max_length=80))

    Values of another form are translated, observations by ``encode`` and actions by ``decode``::

        register_space(Hand, lambda space: MultiBinary(52), encode=lambda space, cards: space.as_bits(cards))

    It holds for subclasses too, for observations and actions, wherever in a space one of the class is. Register before
    environments are made, and before a checkpoint is loaded whose values are translated: it holds the name, no code.

    Args:
        kind: the class, a subclass of `gymnasium.Space`.
        equivalent: takes a space of the class, and returns a space of Gymnasium or of this library. Equal spaces must
            give equal ones.
        encode: takes a space of the class and one of its values; returns a value of the built-in space.
        decode: takes a space of the class and a value of the built-in space; returns a value of the class's space.
        arguments: takes a space of the class; returns the keyword arguments that make it again, as JSON can hold them.
            Asked for with ``encode`` or ``decode`` alone, which need the space when a checkpoint acts without its
            environment; left out, the class is called without arguments.
        name: by which checkpoints find the class again; the class's own name by default.

    Raises:
        ConfigError: the class is built in, derives from Dict or Tuple, or is no space; or the name is another class's.
    """
    if not isinstance(kind, type) or not issubclass(kind, gym.Space):
        raise ConfigError(f"register_space takes a subclass of gymnasium.Space, got {kind!r}.")
    if is_built_in(kind):
        raise ConfigError(f"register_space: {kind.__name__} is built in; register a class of your own.")
    if issubclass(kind, Dict | Tuple):
        raise ConfigError(
            f"register_space: {kind.__name__} is a Dict or a Tuple, whose parts are taken one by one. Register the"
            " classes of its parts."
        )
    registration = Registration(name or kind.__name__, kind, equivalent, encode, decode, arguments)
    for other, theirs in _registered.items():
        if theirs.name == registration.name and _path_of(other) != _path_of(kind):
            raise ConfigError(
                f"register_space: {registration.name!r} is the name of {_path_of(other)} already; give another `name`."
            )
    # A class that was defined anew, as in a notebook, takes the place of the former one.
    for other in [other for other, theirs in _registered.items() if theirs.name == registration.name]:
        del _registered[other]
    _registered[kind] = registration


def registered_spaces() -> list[Registration]:
    """Return what was registered, for other processes to take in with `adopt`."""
    return list(_registered.values())


def adopt(registrations: list[Registration]) -> None:
    """Take in what another process has registered."""
    for registration in registrations:
        assert registration.kind is not None
        _registered.setdefault(registration.kind, registration)


class RegisteredSpace(gym.Space[Any]):
    """A space of a registered class whose values are translated.

    Args:
        name: of its registration.
        equivalent: the built-in space.
        arguments: that make the space of the class again.
        own: that space; None makes it again when it is asked for.
    """

    def __init__(self, name: str, equivalent: Space, arguments: Mapping[str, Any], own: Space | None = None) -> None:
        super().__init__(None, None)
        self.name, self.equivalent, self.arguments = name, equivalent, dict(arguments)
        if own is not None:
            self.own = own

    def __getstate__(self) -> dict[str, Any]:
        # A copy makes the space again: spaces of local classes do not reach other processes.
        return {name: value for name, value in vars(self).items() if name != "own"}

    @cached_property
    def own(self) -> Space:
        """The space of the class.

        Raises:
            UnsupportedSpaceError: no class of that name is registered, or it cannot be called with the arguments.
        """
        kind = registration_named(self.name).kind
        assert kind is not None
        try:
            return kind(**self.arguments)
        except Exception as error:
            given = ", ".join(f"{key}={value!r}" for key, value in self.arguments.items())
            raise UnsupportedSpaceError(
                f"a space {self.name} cannot be made again, as a checkpoint has to do: {kind.__name__}({given})"
                f" raised {type(error).__name__}: {error}. Tell register_space the arguments: `arguments=lambda space:"
                " {...}`."
            ) from error

    def encoder(self) -> Callable[[Any], Any]:
        """Return what makes a value of the built-in space of one of the class's space."""
        return self._bound(registration_named(self.name).encode)

    def decoder(self) -> Callable[[Any], Any]:
        """Return what makes a value of the class's space of one of the built-in space."""
        return self._bound(registration_named(self.name).decode)

    def _bound(self, translate: Callable[[Any, Any], Any] | None) -> Callable[[Any], Any]:
        return (lambda value: value) if translate is None else partial(translate, self.own)

    def sample(self, mask: Any = None, probability: Any = None) -> Any:
        """Draw a value of the class's space; masks go to its own ``sample``."""
        given = {key: value for key, value in (("mask", mask), ("probability", probability)) if value is not None}
        return self.own.sample(**given)

    def seed(self, seed: Any = None) -> Any:
        """Seed `sample`."""
        return self.own.seed(seed)

    def contains(self, x: Any) -> bool:
        """Return whether ``x`` is a value of the class's space."""
        return self.own.contains(x)

    @property
    def is_np_flattenable(self) -> bool:
        """Whether Gymnasium can flatten a member to an array: no."""
        return False

    def __repr__(self) -> str:
        return f"{self.name} read as {self.equivalent}"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, RegisteredSpace)
            and (self.name, self.arguments) == (other.name, other.arguments)
            and self.equivalent == other.equivalent
        )


def registration_named(name: str) -> Registration:
    """Return what was registered under a name.

    Raises:
        UnsupportedSpaceError: nothing was; the message has the line to add.
    """
    for registration in _registered.values():
        if registration.name == name:
            return registration
    known = [registration.name for registration in _registered.values()]
    raise UnsupportedSpaceError(
        f"the space {name} is of a class that is not registered in this process.{nearest(name, known)} Register it"
        f" first, as it was when the checkpoint was made: anyspace.register_space({name}, lambda space: ...,"
        " encode=...)."
    )


def known_observations(space: Space) -> Space:
    """Return an observation space in terms of built-in spaces: a registered class gives way to what it stands for.

    Spaces of unknown classes stay as they are.

    Raises:
        UnsupportedSpaceError: what a registered class stands for is no built-in space, or the class cannot be made
            again from its arguments.
    """
    return _known(space, "obs", lambda found: found.encode is not None)


def known_actions(space: Space) -> Space:
    """Return an action space in terms of built-in spaces; see `known_observations`."""
    return _known(space, "action", lambda found: found.decode is not None)


def _known(space: Space, root: str, is_translated: Callable[[Registration], bool]) -> Space:
    """Return a space, which errors call ``root``, in terms of built-in spaces."""

    def known(part: Space, path: tree.Path = ()) -> Space:
        found = _registration_of(type(part))
        if found is None:
            return with_parts(part, known, path)
        return _stand_in(part, found, translated=is_translated(found), place=tree.place(root, path))

    return known(space)


def equivalent(space: Space) -> Space:
    """Return a known space with the built-in spaces in place of those that are translated."""

    def replaced(part: Space, path: tree.Path = ()) -> Space:
        return part.equivalent if isinstance(part, RegisteredSpace) else with_parts(part, replaced, path)

    return replaced(space)


def _stand_in(space: Space, registration: Registration, *, translated: bool, place: str) -> Space:
    result = registration.equivalent(space)
    if not isinstance(result, gym.Space) or any(not _is_known(part) for _, part in iter_parts(result)):
        raise UnsupportedSpaceError(
            f"{place}: register_space says that {type(space).__name__} stands for {result!r}, but that must be a space"
            " of Gymnasium or of anyspace.spaces."
        )
    if not translated:
        return result
    arguments = {} if registration.arguments is None else dict(registration.arguments(space))
    try:
        json.dumps(arguments, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UnsupportedSpaceError(
            f"{place}: the `arguments` that register_space has for {registration.name} are {arguments!r}, which a"
            f" checkpoint cannot hold: {error}. Let them be texts, numbers, None, and lists and dicts of those."
        ) from error
    try:
        remade = registration.equivalent(RegisteredSpace(registration.name, result, arguments).own)
    except UnsupportedSpaceError as error:
        raise UnsupportedSpaceError(f"{place}: {error}") from error.__cause__
    if remade != result:
        raise UnsupportedSpaceError(
            f"{place}: {registration.name} made again from its arguments {arguments} stands for {remade}, not for"
            f" {result}. Tell register_space all arguments that matter: `arguments=lambda space: {{...}}`."
        )
    return RegisteredSpace(registration.name, result, arguments, space)


def _registration_of(kind: type) -> Registration | None:
    """Return the registration of a class or of the nearest class that it derives from; None where that is built in."""
    for base in kind.__mro__:
        if is_built_in(base):
            return None
        found = _registered.get(base) or _families.get(_path_of(base))
        if found is not None:
            return found
    return None


def _is_known(space: Space) -> bool:
    """Return whether a space is of a built-in class or derives from one."""
    return any(is_built_in(base) and base is not gym.Space for base in type(space).__mro__)


def is_built_in(kind: type) -> bool:
    """Return whether a class is Gymnasium's or this library's own."""
    return kind.__module__.startswith(_BUILT_IN)


def _path_of(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"
