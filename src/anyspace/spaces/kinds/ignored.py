"""Dicts and Tuples of which some parts are left out: observations may hold them, nobody looks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gymnasium.spaces import Dict, Tuple

from anyspace import nesting, tree
from anyspace.errors import ConfigError, nearest
from anyspace.nesting import Space


class PartialDict(Dict):
    """A Dict without some of the keys that its values may have.

    Args:
        spaces: the parts that are there.
        ignored: the keys that are not.
    """

    def __init__(self, spaces: Mapping[Any, Space] | Iterable[tuple[Any, Space]], ignored: Iterable[Any]) -> None:
        super().__init__(spaces)  # type: ignore[arg-type]
        self.ignored = frozenset(ignored)

    def contains(self, x: Any) -> bool:
        """Return whether ``x`` is a dict of the parts that are there, with ignored ones or without."""
        return isinstance(x, dict) and super().contains({k: v for k, v in x.items() if k not in self.ignored})


class IgnoredPart(Tuple):  # type: ignore[type-arg]
    """What stands for an ignored part of a Tuple: the empty Tuple, so that the other parts keep their positions."""

    def __init__(self) -> None:
        super().__init__(())

    def contains(self, x: Any) -> bool:
        """Return True: nobody looks at the value."""
        return True

    def __repr__(self) -> str:
        return "IgnoredPart()"


def ignoring(space: Space, places: Iterable[str]) -> Space:
    """Return an observation space without some of its parts.

    A Dict loses the key. A Tuple keeps the position, at which nothing is left (`IgnoredPart`). What was ignored
    already may be named again.

    Args:
        space: an observation space.
        places: the parts, spelt as error messages spell them: ``obs["mission"]``, ``obs[2]``, ``obs["a"]["b"]``. A part
            of a list, a graph or a OneOf cannot be left out by itself.

    Raises:
        ConfigError: there is no such part (the message lists those there are), or no part is left.
    """
    wanted = dict.fromkeys(places)
    if not wanted:
        return space
    known: list[str] = []
    gone: list[str] = []
    result = _without(space, (), wanted, known, gone)
    for place in wanted:
        if place not in known and not place.startswith(tuple(f"{part}[" for part in gone)):
            raise ConfigError(
                f"config key `ignore` names {place!r}, which is no part of the observation.{nearest(place, known)}"
                f" The parts are {', '.join(known) or 'none: it is neither a Dict nor a Tuple'}."
            )
    if not nesting.leaves(result):
        raise ConfigError(f"config key `ignore` leaves nothing of the observation: {', '.join(wanted)} is all of it.")
    return result


def _without(space: Space, path: tree.Path, wanted: Mapping[str, None], known: list[str], gone: list[str]) -> Space:
    """Return ``space`` without the wanted parts.

    Args:
        space: the space.
        path: where it sits in the observation space.
        wanted: the places of the parts to leave out.
        known: takes the places that there are.
        gone: takes the places of what had been left out before.
    """
    children = nesting.parts(space)
    if children is None:
        return space
    ignored = set(space.ignored) if isinstance(space, PartialDict) else set()
    before = [tree.place("obs", (*path, key)) for key in sorted(ignored, key=str)]
    known += before
    gone += before
    parts: dict[Any, Space] = {}
    for key, child in children.items():
        place = tree.place("obs", (*path, key))
        known.append(place)
        kept = _without(child, (*path, key), {} if place in wanted else wanted, known, gone)
        if isinstance(child, IgnoredPart):
            gone.append(place)
        if place in wanted:
            ignored.add(key)
        else:
            parts[key] = kept
    if parts.keys() == children.keys() and all(part is children[key] for key, part in parts.items()):
        return space
    if isinstance(space, Dict):
        return PartialDict(list(parts.items()), ignored) if ignored else Dict(list(parts.items()))
    return Tuple([parts.get(key, IgnoredPart()) for key in children])
