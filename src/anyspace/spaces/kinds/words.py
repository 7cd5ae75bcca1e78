"""``Words``: texts as words of a vocabulary."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector.utils import create_empty_array

from anyspace.spaces.kinds.repeated import required_length

_WORD = re.compile(r"\w+|[^\w\s]")


def words_of(text: str) -> list[str]:
    """Return the words and the punctuation marks of a text, in small letters."""
    return _WORD.findall(text.lower())


class Words(gym.Space[str]):
    """Texts of at most ``max_words`` words. Capital letters mean the same as small ones; punctuation marks are words.

    A word outside the vocabulary is allowed: all such words count as one, which is word number 0.

    Args:
        vocabulary: the words, such as ``["go", "to", "the", "red", "ball"]``; texts are taken apart into their words.
            The order says which word has which number, from 1.
        max_words: most words of a text, at least 1.
        seed: the seed of `sample`.

    Raises:
        ValueError: ``vocabulary`` is not several texts, or ``max_words`` no whole number of at least 1.
    """

    def __init__(
        self, vocabulary: Iterable[str], max_words: int, seed: int | np.random.Generator | None = None
    ) -> None:
        texts = None if isinstance(vocabulary, str) or not isinstance(vocabulary, Iterable) else [*vocabulary]
        if texts is None or not all(isinstance(text, str) for text in texts):
            raise ValueError(f'Words: expected a vocabulary such as ["go", "left"], got {vocabulary!r}.')
        self.vocabulary = tuple(dict.fromkeys(word for text in texts for word in words_of(text)))
        self.max_words = required_length("max_words", max_words)
        self.numbers = {word: number for number, word in enumerate(self.vocabulary, 1)}
        super().__init__(None, str, seed)

    @property
    def is_np_flattenable(self) -> bool:
        """Whether Gymnasium can flatten a member to an array: no."""
        return False

    def sample(self, mask: None = None, probability: None = None) -> str:
        """Draw a text of 1 to ``max_words`` words of the vocabulary, each length as likely; "" where there is none.

        Raises:
            ValueError: ``mask`` or ``probability`` is given; there are none for words.
        """
        if mask is not None or probability is not None:
            raise ValueError("Words are sampled without `mask` and `probability`.")
        if not self.vocabulary:
            return ""
        length = int(self.np_random.integers(1, self.max_words + 1))
        return " ".join(self.vocabulary[i] for i in self.np_random.integers(len(self.vocabulary), size=length))

    def contains(self, x: Any) -> bool:
        """Return whether ``x`` is a text of at most ``max_words`` words."""
        return isinstance(x, str) and len(words_of(x)) <= self.max_words

    def __repr__(self) -> str:
        return f"Words({len(self.vocabulary)} words, at most {self.max_words})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Words) and self.vocabulary == other.vocabulary and self.max_words == other.max_words


@create_empty_array.register(Words)
def _(space: Words, n: int = 1, fn: Any = np.zeros) -> tuple[str, ...]:
    return ("",) * n
