import json

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Text, Tuple
from hypothesis import given, settings

from anyspace.errors import UnsupportedSpaceError
from anyspace.spaces import from_json, to_json
from catalogue import ACTION_SPACES, OBSERVATION_SPACES, action_spaces, observation_spaces

ALL = {f"obs {name}": space for name, space in OBSERVATION_SPACES.items()} | {
    f"action {name}": space for name, space in ACTION_SPACES.items()
}


def written_and_read(space):
    return from_json(json.loads(json.dumps(to_json(space), allow_nan=False)))


def assert_identical(one, other):
    assert one == other
    assert type(one) is type(other)
    assert one.dtype == other.dtype
    if isinstance(other, Dict):
        assert list(one.spaces) == list(other.spaces)
        for key in other.spaces:
            assert_identical(one[key], other[key])
    elif isinstance(other, Tuple):
        for part, original in zip(one, other, strict=True):
            assert_identical(part, original)
    elif isinstance(other, Box):
        for name in ("low", "high", "bounded_below", "bounded_above"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    elif isinstance(other, Discrete | MultiDiscrete):
        np.testing.assert_array_equal(one.start, other.start)


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


def test_other_spaces_are_refused():
    with pytest.raises(UnsupportedSpaceError, match=r"Supported: Box, Discrete"):
        to_json(Tuple((Discrete(2), Text(3))))
    with pytest.raises(UnsupportedSpaceError, match="got 'Blob'"):
        from_json({"type": "Blob"})
