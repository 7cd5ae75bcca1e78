"""Texts, by characters or by words, and values of classes that are not built in: one raw value for each row.

Letters: M values handed over at once.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
from gymnasium.spaces import Text

from anyspace import tree
from anyspace.maths.arrays import NumpyArray
from anyspace.spaces.encoding.leaf import LeafSpecEncoder, NodeEncoder, Slots
from anyspace.spaces.encoding.misfit import Misfit
from anyspace.spaces.encoding.ragged import Elements, RowsEncoder
from anyspace.spaces.kinds.registered import RegisteredSpace
from anyspace.spaces.kinds.words import Words, words_of
from anyspace.spaces.leaves import LeafSpec, Repeat

_MOST_KNOWN = 10_000
"""How many texts an encoder remembers the words of."""


class TextEncoder(RowsEncoder):
    """Text: strings, stored as positions in the space's list of characters.

    Args:
        node: the text.
        space: its space.
    """

    def __init__(self, node: Repeat, space: Text) -> None:
        super().__init__(node.count.path[:-1], (str,), f"a str for {space}")
        assert isinstance(node.element, LeafSpec)
        self._elements = Elements(node, _CharacterEncoder(node.element, space), "characters")

    def __call__(self, values: Any, stacked: bool, at: Slots | None, out: list[NumpyArray]) -> None:
        """Encode texts, see `leaf.NodeEncoder`."""
        self.require(values)
        # Four bytes a character are the code points themselves.
        code_points = np.frombuffer("".join(values).encode("utf-32-le", "surrogatepass"), np.uint32)
        self._elements(code_points, True, list(map(len, values)), at, out)


class _CharacterEncoder(LeafSpecEncoder):
    """The characters of a Text, from code points [M]."""

    def __init__(self, spec: LeafSpec, space: Text) -> None:
        super().__init__(spec)
        known = np.array(list(map(ord, space.character_list)), np.int64)
        self._space = space
        self._positions = np.full(known.max(initial=-1) + 2, -1, np.int32)  # the last one: anything beyond
        self._positions[known] = np.arange(len(known))

    def __call__(self, values: Any, stacked: bool, at: Slots | None, out: list[NumpyArray]) -> None:
        positions = self._positions[np.minimum(values, len(self._positions) - 1)]
        if positions.min(initial=0) < 0:
            index = int((positions < 0).argmax())
            raise Misfit(self.spec.path, f"expected a character of {self._space}, got {chr(values[index])!r}", index)
        super().__call__(positions, stacked, at, out)


class WordsEncoder(RowsEncoder):
    """Words: strings, stored as the numbers of their words.

    Args:
        node: the words.
        space: their space.
    """

    def __init__(self, node: Repeat, space: Words) -> None:
        super().__init__(node.count.path[:-1], (str,), f"a str for {space}")
        assert isinstance(node.element, LeafSpec)
        self._elements = Elements(node, LeafSpecEncoder(node.element), "words")
        self._numbers = space.numbers
        # The text of an episode comes at every one of its steps.
        self._known: dict[str, list[int]] = {}

    def __call__(self, values: Any, stacked: bool, at: Slots | None, out: list[NumpyArray]) -> None:
        """Encode texts, see `leaf.NodeEncoder`."""
        self.require(values)
        texts = [self._known.get(text) or self._read(text) for text in values]
        numbers = np.fromiter(chain.from_iterable(texts), np.int32)
        self._elements(numbers, True, list(map(len, texts)), at, out)

    def _read(self, text: str) -> list[int]:
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[text] = found = [self._numbers.get(word, 0) for word in words_of(text)]
        return found


class TranslatingEncoder(RowsEncoder):
    """Values of a registered class: each is translated, then encoded as the built-in space's.

    Args:
        space: the space.
        built_in: the encoder of the space that it stands for.
        path: where it is.
    """

    def __init__(self, space: RegisteredSpace, built_in: NodeEncoder, path: tree.Path) -> None:
        super().__init__(path, (object,), f"a value of {space.name}")
        self._translate, self._built_in, self._name = space.encoder(), built_in, space.name

    def __call__(self, values: Any, stacked: bool, at: Slots | None, out: list[NumpyArray]) -> None:
        """Encode values, see `leaf.NodeEncoder`."""
        self.require(values)
        translated = [self._translated(value, index) for index, value in enumerate(values)]
        self._built_in(translated, False, Slots.whole(len(translated)) if at is None else at, out)

    def _translated(self, value: Any, index: int) -> Any:
        try:
            return self._translate(value)
        except Exception as error:
            what = f"`encode` of {self._name} raised {type(error).__name__} ({error}) for {value!r:.80}"
            raise Misfit(self._path, what, index) from error
