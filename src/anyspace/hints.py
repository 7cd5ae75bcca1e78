"""What to write in place of a configuration key that there is not."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from anyspace.errors import near, nearest


class Spelling(Protocol):
    """How a key is written where somebody looks for it: in Python or on the command line."""

    def __call__(self, path: str, value: str | None = None) -> str:
        """Return a key, with those it is nested in before it, and a value in Python's spelling if there is one."""


def in_python(path: str, value: str | None = None) -> str:
    """Return how a key is given in Python, such as ```model={'use_lstm': True}```; see :class:`Spelling`."""
    outer, *nested = path.split(".")
    if value is None and not nested:
        return f"`{outer}`"
    text = value if value is not None and len(value) <= _SHORT_VALUE else "..."
    for key in reversed(nested):
        text = f"{{{key!r}: {text}}}"
    return f"`{outer}={text}`"


_SHORT_VALUE = 40
_SHORT_ITEMS = 120


Foreign = Mapping[str, str | tuple[str, ...]]
"""What to say of the keys of other libraries; see :attr:`Hints.foreign`."""

_NO_SUCH_KEY = "Nothing of this algorithm is like it; leave it out."


@dataclass(frozen=True)
class Hints:
    """What to write in place of keys that a configuration does not have.

    A key comes as a path, with those it is nested in before it, such as ``model.use_lstn``, and a value as Python
    spells it; None is not shown. Texts begin with a space, and are empty where there is nothing to say.
    """

    paths: Sequence[str]
    """Every key of the configuration as a path, the outermost level first."""
    renamed: Mapping[str, str]
    """Former names of keys of the outermost level."""
    foreign: Foreign = field(default_factory=dict)
    """What to say of keys that other libraries have; ``{lr}`` and ``{lr=1e-3}`` in it stand for keys. Of several texts
    the first counts whose keys the configuration has."""
    spell: Spelling = in_python
    owners: Callable[[str], Sequence[str]] = lambda key: ()
    """The names of what else has a key of the outermost level."""
    arguments: str = ""
    """The key whose value is the arguments of something else, which may stand beside it by mistake; empty: none is."""

    def whereabouts(self, path: str, value: str | None = None) -> str:
        """Return where a key belongs that stands in a wrong place, or what stands for another library's key."""
        outer, key = _split(path)
        if path in self.paths:  # The dot was in the key that came.
            return f" Nested keys are given as a dict: {self.spell(path, value)}."
        elsewhere, same = self._elsewhere(outer), self.renamed.get(key, key)
        if not outer and same != key and same in self.paths:
            return f" It is called {self.spell(same, value)} here."
        if same in elsewhere:
            return f" It belongs {_where(elsewhere[same], outer)}: {self.spell(elsewhere[same], value)}."
        common = same.lower().replace("-", "_")
        explained = self._explained(common) if common in self.foreign else ""
        if owners := self.owners(common):
            return f" It is a key of {_joined(owners)}. {explained or _NO_SUCH_KEY}"
        return explained and f" {explained}"

    def of(self, path: str, value: str | None = None) -> str:
        """Return where a key belongs, or else which key may be meant by it."""
        if sure := self.whereabouts(path, value):
            return sure
        outer, key = _split(path)
        if close := nearest(key, [name for place, name in map(_split, self.paths) if place == outer]):
            return close
        elsewhere = self._elsewhere(outer)
        if found := near(key, elsewhere):
            other = elsewhere[found[0]]
            return f" Did you mean {found[0]!r} {_where(other, outer)}: {self.spell(other, value)}?"
        found = near(key, self.foreign)
        return f" If it is what others call `{found[0]}`: {self._explained(found[0])}" if found else ""

    def of_arguments(self, values: Mapping[str, str]) -> str:
        """Return how keys of the outermost level are given that may be arguments; see :attr:`arguments`."""
        items = "{" + ", ".join(f"{name!r}: {value}" for name, value in values.items()) + "}"
        shown = f": {items}" if len(items) <= _SHORT_ITEMS else ""
        return self.arguments and f" Arguments of the environment stand in {self.spell(self.arguments)}{shown}."

    def _elsewhere(self, outer: str) -> dict[str, str]:
        """Return the keys of other levels, and their paths; the outermost level takes precedence."""
        found = [(path, *_split(path)) for path in reversed(self.paths)]
        return {name: path for path, place, name in found if place != outer}

    def _explained(self, key: str) -> str:
        texts = self.foreign[key]
        for text in (texts,) if isinstance(texts, str) else texts:
            if {*self.paths} >= {found[1] for found in _KEY_IN_TEXT.finditer(text)}:
                return _KEY_IN_TEXT.sub(lambda found: self.spell(found[1], found[2]), text)
        return _NO_SUCH_KEY


def _split(path: str) -> tuple[str, str]:
    place, _, key = path.rpartition(".")
    return place, key


def _joined(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _where(path: str, outer: str) -> str:
    place = _split(path)[0]
    return f"under `{place}`" if place else f"beside `{outer}`"


_KEY_IN_TEXT = re.compile(r"\{([a-z_.]+)(?:=((?:[^{}]|\{[^{}]*\})*))?\}")
