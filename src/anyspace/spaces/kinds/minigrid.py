"""The missions of MiniGrid and BabyAI: texts of a class of their own, which is not imported here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from anyspace.spaces.kinds.words import Words, words_of

MISSION_SPACE = "minigrid.core.mission:MissionSpace"
"""The class of the missions of all environments, from which BabyAI's derives."""

BABYAI_VOCABULARY = (
    "go to open pick up put next the a object key ball box door"
    " red green blue purple yellow grey in front of behind you on your left right , then and after"
)
BABYAI_WORDS = 72
"""Most words of an instruction: two times two of "put the red ball in front of you next to the ...", joined."""


class Missions(Protocol):
    """What a mission space says of its texts."""

    mission_func: Callable[..., str]
    """Makes a mission of one word for each placeholder."""
    ordered_placeholders: list[list[str]] | None
    """Which words each placeholder may be."""


def missions(space: Missions) -> Words:
    """Return the words that the missions of a space are made of.

    The spaces of BabyAI's levels do not say what their missions are: those have the words of all levels.
    """
    if space.__class__.__name__ == "BabyAIMissionSpace":
        return Words([BABYAI_VOCABULARY], BABYAI_WORDS)
    choices = space.ordered_placeholders or []
    first = [options[0] for options in choices]
    plain = space.mission_func(*first)
    texts, longest = [plain], len(words_of(plain))
    for place, options in enumerate(choices):
        filled = [space.mission_func(*first[:place], option, *first[place + 1 :]) for option in options]
        texts += filled
        longest += max(len(words_of(text)) for text in filled) - len(words_of(plain))
    return Words(texts, max(longest, 1))
