"""Random spaces that hold no others, each of at most so many elements."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete, Text
from hypothesis import strategies as st

from anyspace.spaces import Image, Simplex, StackedFrames, Words
from tests.fuzz.sampling import option_counts
from tests.support import catalogue

INF = float("inf")
Draw = Callable[[st.SearchStrategy[Any]], Any]

FLOATS = st.sampled_from([np.float32, np.float16, np.float64])
INTEGERS = st.sampled_from([np.uint64, np.uint32, np.uint16, np.int16, np.int32, np.int8, np.int64])
INDICES = st.sampled_from([np.int64, np.int32, np.int16, np.int8, np.uint8])
SHAPES = [(), (1,), (2,), (3,), (1, 2), (2, 2), (3, 1), (2, 1, 2), (2, 2, 1), (1, 2, 1, 2), (2, 1, 2, 2)]


def shape(draw: Draw, elements: int, ranks: Sequence[int] = (0, 1, 2, 3, 4)) -> tuple[int, ...]:
    """Draw a shape of at most so many elements."""
    rank = draw(st.sampled_from(ranks))
    fitting = [one for one in SHAPES if len(one) == rank and math.prod(one) <= elements]
    return draw(st.sampled_from(fitting)) if fitting else (1,) * rank


def spread(draw: Draw, of_one: st.SearchStrategy[Any], shape: tuple[int, ...]) -> list[Any]:
    """Draw up to three values and repeat them until there is one for each component."""
    few = draw(st.lists(of_one, min_size=1, max_size=min(3, max(1, math.prod(shape)))))
    return [few[i % len(few)] for i in range(math.prod(shape))]


@st.composite
def _float_bounds(draw: Draw, dtype: type[np.floating[Any]]) -> tuple[Any, Any]:
    """Bounds of one component: both, either or none, equal ones, or the extremes of the dtype."""
    largest = float(min(np.finfo(dtype).max, np.finfo(np.float32).max))
    low = draw(st.integers(-50, 50)) / 7
    high = low + draw(st.integers(1, 50)) / 3
    bounds = [(low, high), (-INF, INF), (low, INF), (-INF, high), (low, low), (-largest, largest), (low, largest)]
    low, high = draw(st.sampled_from(bounds))
    return dtype(low), dtype(high)


def float_box(draw: Draw, elements: int) -> Box:
    """A Box of floats, any bounds."""
    dtype, size = draw(FLOATS), shape(draw, elements)
    bounds = spread(draw, _float_bounds(dtype), size)
    low, high = (np.array([pair[i] for pair in bounds], dtype).reshape(size) for i in (0, 1))
    return Box(low, high, dtype=dtype)


@st.composite
def _integer_bounds(draw: Draw, info: Any, widest: int | None) -> tuple[int, int]:
    """Bounds of one component, at most ``widest`` apart."""
    low = draw(st.sampled_from([0, -3, 5, 100, info.min, info.max, info.max - 4]))
    low = max(low, info.min)
    high = low + draw(st.integers(0, 9))
    if widest is None:
        high = draw(st.sampled_from([high, info.max]))
    return low, min(high, info.max)


def integer_box(draw: Draw, elements: int, widest: int | None = None) -> Box:
    """A Box of integers; the extremes of its dtype may be its bounds."""
    dtype, size = draw(INTEGERS), shape(draw, elements)
    bounds = spread(draw, _integer_bounds(np.iinfo(dtype), widest), size)
    low, high = (np.array([pair[i] for pair in bounds], dtype).reshape(size) for i in (0, 1))
    return Box(low, high, dtype=dtype)


def bool_box(draw: Draw, elements: int) -> Box:
    """A Box of booleans, some of them always the same."""
    size = shape(draw, elements)
    bounds = spread(draw, st.sampled_from([(False, True), (False, False), (True, True)]), size)
    low, high = (np.array([pair[i] for pair in bounds], np.bool_).reshape(size) for i in (0, 1))
    return Box(low, high, dtype=np.bool_)


def byte_box(draw: Draw, elements: int) -> Box:
    """A table of bytes, too small for a picture."""
    fitting = [one for one in [(), (2,), (2, 3)] if math.prod(one) <= elements]
    return Box(0, 255, draw(st.sampled_from(fitting)), np.uint8)


def flat_picture(draw: Draw, elements: int) -> Box:
    """A picture without an axis of channels."""
    return Box(0, 255, draw(st.sampled_from([(8, 8), (9, 8)])), np.uint8)


def picture(draw: Draw, elements: int) -> Box:
    """A picture that does not say where its channels are: last or first, by its shape."""
    shapes = [(2, 2, 1), (1, 3, 2), (1, 2, 2), (2, 3, 4), (1, 2, 1, 2), (2, 1, 2, 2), (12, 10, 3), (3, 12, 10)]
    return Box(0, 255, draw(st.sampled_from([one for one in shapes if math.prod(one) <= elements])), np.uint8)


def image(draw: Draw, elements: int) -> Image:
    """A picture that says where its channels are."""
    shapes = [(2, 2, 1), (1, 2, 2), (2, 1, 2), (1, 2, 2, 1), (2, 8, 9)]
    fitting = [one for one in shapes if math.prod(one) <= elements]
    return Image(draw(st.sampled_from(fitting)), channels_first=draw(st.booleans()))


def stacked_frames(draw: Draw, elements: int) -> StackedFrames:
    """Frames side by side, of bytes or floats."""
    stack, channels = draw(st.integers(1, 3)), draw(st.integers(1, 2)) if elements >= 12 else 1
    size = (*draw(st.sampled_from([(), (1,), (2,), (1, 2)]) if elements >= 12 else st.just(())), channels * stack)
    if draw(st.booleans()):
        return StackedFrames(0, 255, size, stack=stack)
    return StackedFrames(-1, INF, size, np.float32, stack=stack)


def discrete(draw: Draw, elements: int) -> Discrete[Any]:
    """A Discrete that starts anywhere, the ends of its dtype included."""
    dtype = draw(INDICES)
    info, n = np.iinfo(dtype), min(draw(st.sampled_from([2, 1, 3, 5, 17, 120])), elements)
    start = draw(st.sampled_from([0, 1, -2, 7, info.min, info.max - n]))
    return catalogue.discrete(n, max(start, info.min), dtype)


def multi_discrete(draw: Draw, elements: int) -> MultiDiscrete[Any]:
    """A MultiDiscrete of any rank, its components of different sizes and starts."""
    dtype, size = draw(INDICES), shape(draw, elements // 2, (1, 2, 3, 4))
    info, most = np.iinfo(dtype), max(1, min(6, elements // math.prod(size)))
    starts = st.sampled_from([0, 1, -3, 9, info.min, info.max - most]).map(lambda start: max(start, info.min))
    components = spread(draw, st.tuples(st.integers(1, most), starts), size)
    nvec, start = (np.array([pair[i] for pair in components], dtype).reshape(size) for i in (0, 1))
    return MultiDiscrete(nvec, start=start, dtype=dtype)


def multi_binary(draw: Draw, elements: int) -> MultiBinary:
    """A MultiBinary of any rank."""
    size = shape(draw, elements, (1, 2, 3, 4))
    return MultiBinary(size[0] if len(size) == 1 and draw(st.booleans()) else size)


def simplex(draw: Draw, elements: int) -> Simplex:
    """Shares of one whole or of several."""
    fitting = [one for one in [(1,), (2,), (4,), (2, 3), (3, 1)] if math.prod(one) <= elements]
    return Simplex(draw(st.sampled_from(fitting)), dtype=draw(FLOATS))


def text(draw: Draw, elements: int) -> Text:
    """A Text, possibly of one length, possibly of one character."""
    least, more = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    charset = draw(st.sampled_from(["ab", "z", "\N{SNOWMAN}x\N{GRINNING FACE}", " \"'\\\n", "0123456789"]))
    return Text(max(1, least + more), min_length=least, charset=charset)


def words(draw: Draw, elements: int) -> Words:
    """Words, of none, one or two that are known."""
    return Words(draw(st.sampled_from([[], ["go"], ["go", "home"]])), draw(st.integers(1, 2)))


def features(space: gym.Space[Any]) -> int:
    """Return how many numbers a leaf of an observation becomes, indices one-hot."""
    match space:
        case Discrete():
            return int(space.n)
        case MultiDiscrete():
            return int(space.nvec.astype(int).sum())
        case Text():
            return 1 + space.max_length * len(space.character_list)
        case Words():
            return 1 + space.max_words * (1 + len(space.vocabulary))
    return math.prod(space.shape or ())


def outputs(space: gym.Space[Any]) -> int:
    """Return how many model outputs a leaf of an action takes."""
    return sum(option_counts(space)) or 2 * math.prod(space.shape or ())


@dataclass(frozen=True)
class LeafTable:
    """The kinds of leaves.

    Args:
        kinds: for each kind the least size that it takes, how often it is drawn, and how, of at most a size.
        size: measures a leaf.
    """

    kinds: list[tuple[int, int, Callable[[Draw, int], gym.Space[Any]]]]
    size: Callable[[gym.Space[Any]], int]

    def draw(self, draw: Draw, size: int) -> gym.Space[Any]:
        """Draw a leaf of at most ``size``."""
        fitting = [of_kind for least, weight, of_kind in self.kinds if least <= size for _ in range(weight)]
        return draw(st.sampled_from(fitting))(draw, size)


OBSERVATION_LEAVES = LeafTable(
    [
        (1, 1, discrete),
        (1, 3, float_box),
        (1, 5, integer_box),
        (1, 1, byte_box),
        (1, 1, bool_box),
        (72, 1, flat_picture),
        (4, 1, picture),
        (4, 1, image),
        (6, 1, stacked_frames),
        (2, 3, multi_discrete),
        (1, 1, multi_binary),
        (41, 1, text),
        (7, 1, words),
        (1, 1, simplex),
    ],
    features,
)

ACTION_LEAVES = LeafTable(
    [
        (1, 1, discrete),
        (2, 2, lambda draw, size: float_box(draw, size // 2)),
        (10, 2, lambda draw, size: integer_box(draw, size // 10, widest=9)),
        (256, 1, lambda draw, size: byte_box(draw, size // 256)),
        (2, 1, lambda draw, size: bool_box(draw, size // 2)),
        (2, 2, multi_discrete),
        (2, 1, lambda draw, size: multi_binary(draw, size // 2)),
        (1, 1, simplex),
    ],
    outputs,
)
