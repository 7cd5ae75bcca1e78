import enum
import json

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Graph, Sequence, Text, Tuple
from hypothesis import given, settings

from anyspace.errors import UnsupportedSpaceError
from anyspace.spaces import Encoder, Image, Repeated, StackedFrames, from_json, to_json
from anyspace.spaces.kinds.atari import AtariPixels, AtariRam
from anyspace.spaces.serialize import same_space
from tests.fuzz.generator import action_spaces, observation_spaces
from tests.support.catalogue import ACTION_SPACES, OBSERVATION_SPACES

ALL = {f"obs {name}": space for name, space in OBSERVATION_SPACES.items()} | {
    f"action {name}": space for name, space in ACTION_SPACES.items()
}


def written_and_read(space):
    return from_json(json.loads(json.dumps(to_json(space), allow_nan=False)))


def assert_identical(one, other):
    """Assert that two spaces agree in every attribute, the order of keys included, but for their random sources."""
    if isinstance(other, np.ndarray | np.generic):
        np.testing.assert_array_equal(one, other, strict=True)
        return
    assert type(one) is type(other)
    if isinstance(other, gym.Space):
        assert one == other
        assert repr(one) == repr(other)  # which Boxes then keep among their attributes
        one, other = (
            {key: value for key, value in vars(space).items() if key != "_np_random"} for space in (one, other)
        )
    if isinstance(other, dict):
        assert list(one) == list(other)
        one, other = list(one.values()), list(other.values())
    if isinstance(other, list | tuple):
        assert len(one) == len(other)
        for part, original in zip(one, other, strict=True):
            assert_identical(part, original)
    else:
        assert one == other


@pytest.mark.parametrize("name", ALL)
def test_spaces_survive(name):
    assert_identical(written_and_read(ALL[name]), ALL[name])


@given(observation_spaces() | action_spaces())
@settings(deadline=None, max_examples=60)
def test_random_spaces_survive(space):
    assert_identical(written_and_read(space), space)


def test_an_image_is_short():
    image = Box(0, 255, (210, 160, 3), np.uint8)
    assert to_json(image) == {"type": "Box", "low": 0, "high": 255, "shape": [210, 160, 3], "dtype": "uint8"}
    assert_identical(written_and_read(image), image)


def test_infinite_bounds_are_strings():
    space = Box(np.array([0, -np.inf], np.float32), np.array([np.inf, np.inf], np.float32))
    assert (to_json(space)["low"], to_json(space)["high"]) == ([0.0, "-inf"], "inf")


UNBOUNDED = Tuple(
    (
        Sequence(Box(-1, 1, (2,)), stack=True),
        Sequence(Repeated(Discrete(3, start=1), 4)),
        Graph(Discrete(3), Box(0, 1, ())),
        Graph(Dict([("z", Discrete(2)), ("a", Text(3, min_length=0))]), None),
        AtariRam(),
        AtariPixels((250, 160, 3), dim=42, grayscale=True, zero_mean=False),
        Image((3, 8, 9), channels_first=True),
        StackedFrames(-np.inf, 5, (2, 4), np.int32, stack=2),
    )
)


@pytest.mark.parametrize("number", range(len(UNBOUNDED.spaces)))
def test_what_the_catalogue_lacks_survives(number):
    assert_identical(written_and_read(UNBOUNDED[number]), UNBOUNDED[number])


def test_characters_keep_their_order():
    space = Text(3, charset="zay\N{SNOWMAN}\ud800b")
    assert written_and_read(space).character_list == space.character_list == tuple("zay\N{SNOWMAN}\ud800b")
    encoded = [Encoder(one).single("b\ud800z")[1].tolist() for one in (space, written_and_read(space))]
    assert encoded == [[5, 4, 0]] * 2


def test_other_spaces_are_refused():
    with pytest.raises(UnsupportedSpaceError, match=r"Supported: Box, StackedFrames, .* BoundedGraph, Text"):
        to_json(Tuple((Discrete(2), gym.Space((2,), np.float32))))
    with pytest.raises(UnsupportedSpaceError, match="got 'Blob'"):
        from_json({"type": "Blob"})


class Loud(str):
    """A str that prints otherwise."""

    def __str__(self):
        return "LOUD"


class Named(enum.StrEnum):
    A = "a"


class Numbered(enum.IntEnum):
    ONE = 1


KEYS = [
    ("x", 1),
    None,
    True,
    0.5,
    10,
    "10",
    np.int64(7),
    np.float64(2.5),
    np.str_("n"),
    Named.A,
    Numbered.ONE,
    Loud("l"),
]


@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_keys_come_back_equal(key):
    space = Dict([(key, Discrete(2)), ("rest", Discrete(3))])
    again = written_and_read(space)
    assert again == space
    assert list(again.spaces) == [key, "rest"]
    assert again[key] == Discrete(2)


@pytest.mark.parametrize(
    "key", [b"bytes", ("x", b"bytes"), frozenset(), object()], ids=["bytes", "tuple", "set", "object"]
)
def test_keys_that_json_cannot_hold_are_refused(key):
    with pytest.raises(UnsupportedSpaceError, match="which no checkpoint can hold: let its keys be texts"):
        to_json(Dict([(key, Discrete(2))]))


def test_bounds_of_wide_floats_survive():
    space = Box(-1, np.longdouble("inf"), (2,), np.longdouble)
    assert written_and_read(space) == space


DISCRETE = to_json(Discrete(2))


@pytest.mark.parametrize("size", [1e12, "1000000000000", [1e12], True, 10**12], ids=repr)
@pytest.mark.parametrize(
    "data",
    [
        {"type": "Box", "low": 0, "high": 1, "dtype": "float32", "shape": None},
        {"type": "MultiBinary", "n": None},
        {"type": "Text", "max_length": None, "min_length": 0, "characters": ["a"]},
        {"type": "Words", "vocabulary": ["a"], "max_words": None},
        {"type": "Repeated", "child_space": DISCRETE, "max_len": None},
        {"type": "BoundedSequence", "feature_space": DISCRETE, "stack": False, "max_len": None},
        {"type": "BoundedGraph", "node_space": DISCRETE, "edge_space": None, "max_edges": 1, "max_nodes": None},
        {"type": "BoundedGraph", "node_space": DISCRETE, "edge_space": DISCRETE, "max_nodes": 2, "max_edges": None},
        {"type": "AtariPixels", "shape": [9, 9, 3], "grayscale": False, "zero_mean": True, "dim": None},
    ],
    ids=lambda data: data["type"],
)
def test_sizes_are_whole_numbers_that_memory_has_room_for(data, size):
    with pytest.raises(UnsupportedSpaceError):
        from_json({key: size if value is None and key != "edge_space" else value for key, value in data.items()})


class Angles(Box):
    """A Box that equals nothing."""

    def __eq__(self, other):
        return False


def test_a_subclass_is_the_same_space_as_its_base():
    assert same_space(Angles(-1, 1, (2,)), Box(-1, 1, (2,)))
    assert not same_space(Angles(-1, 1, (2,)), Box(-1, 2, (2,)))
    assert not same_space(Box(0, 255, (8, 8, 4), np.uint8), StackedFrames(0, 255, (8, 8, 4), stack=2))
    unknown = gym.Space()
    assert same_space(unknown, unknown)
    assert not same_space(unknown, gym.Space())
