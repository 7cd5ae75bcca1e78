"""Parts of observations are left out."""

from __future__ import annotations

import json

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, Sequence, Text, Tuple
from gymnasium.vector.utils import concatenate, create_empty_array

from anyspace.errors import ConfigError, ObservationError
from anyspace.spaces import Encoder, from_json, to_json
from anyspace.spaces.kinds.ignored import IgnoredPart, PartialDict, ignoring
from anyspace.spaces.prepared import prepared

SPACE = Dict(
    [
        ("text", Text(5)),
        ("at", Tuple((Discrete(3), Box(0, 1, (2,)), Dict(x=Discrete(2), y=MultiBinary(2))))),
        (3, Discrete(4)),
        ('a"b', Discrete(2)),
    ]
)
OBS = {"text": 7, "at": (1, np.array([0, 1], np.float32), {"x": 1, "y": np.array([1, 0])}), 3: 2, 'a"b': 1}


def test_nothing_to_ignore_leaves_the_very_space():
    assert ignoring(SPACE, []) is SPACE


def test_keys_go_and_positions_stay():
    space = ignoring(SPACE, ['obs["text"]', 'obs["at"][1]', 'obs["at"][2]["x"]', "obs[3]", "obs['a\"b']"])
    assert isinstance(space, PartialDict)
    assert list(space) == ["at"]
    assert space.ignored == {"text", 3, 'a"b'}
    assert space["at"] == Tuple((Discrete(3), IgnoredPart(), Dict(y=MultiBinary(2))))
    assert [spec.place() for spec in Encoder(space).specs] == ['obs["at"][0]', 'obs["at"][2]["y"]']
    assert space.contains(OBS)
    assert space.contains({"at": OBS["at"]})
    assert not space.contains({"at": OBS["at"], "other": 1})


def test_whole_branches_go():
    assert ignoring(SPACE, ['obs["at"]']).ignored == {"at"}
    assert ignoring(Tuple((SPACE, Discrete(2))), ["obs[0]"]) == Tuple((IgnoredPart(), Discrete(2)))


def test_values_may_hold_the_part_or_not():
    encoder = Encoder(ignoring(SPACE, ['obs["text"]', 'obs["at"][1]']))
    wanted = [1, 1, [1, 0], 2, 1]
    without = {**OBS, "at": (OBS["at"][0], OBS["at"][2])}
    del without["text"]
    for obs in (OBS, without, {**OBS, "text": object(), "at": [1, "nonsense", OBS["at"][2]]}):
        for leaf, value in zip(encoder.single(obs), wanted, strict=True):
            np.testing.assert_array_equal(leaf, value)


def test_values_inside_of_single_ragged_observations_may_hold_the_part_or_not():
    space = ignoring(
        Dict(inner=Dict(a=Text(3), b=Discrete(2)), t=Tuple((Text(2), Discrete(3)))),
        ['obs["inner"]["b"]', 'obs["t"][0]'],
    )
    encoder = Encoder(space)
    for inner, t in (({"a": "xy", "b": 5}, ("ab", 2)), ({"a": "xy"}, (2,))):
        leaves = encoder.single({"inner": inner, "t": t})
        assert [int(leaf) for leaf in (leaves[0], leaves[2])] == [2, 2]


@pytest.mark.parametrize(
    ("obs", "message"),
    [
        ({**OBS, "more": 1}, "got keys"),
        ({"at": OBS["at"], 3: 2}, "got keys"),
        ({**OBS, "at": (1,)}, "expected a tuple of length 3, got 1"),
        ({**OBS, "at": (1, 2, 3, 4)}, "expected a tuple of length 3, got 4"),
    ],
)
def test_everything_else_is_still_required(obs, message):
    encoder = Encoder(ignoring(SPACE, ['obs["text"]', 'obs["at"][1]']))
    with pytest.raises(ObservationError, match=message):
        encoder.single(obs)


def test_gymnasium_stacks_what_is_left():
    space = ignoring(SPACE, ['obs["text"]', 'obs["at"][1]'])
    stacked = concatenate(space, [OBS, OBS], create_empty_array(space, 2))
    assert stacked["at"][1] == ()
    assert "text" not in stacked
    np.testing.assert_array_equal(Encoder(space)(stacked)[0], [1, 1])


def test_what_is_ignored_already_may_be_named_again():
    places = ['obs["text"]', 'obs["at"][1]', 'obs["at"][2]']
    space = ignoring(SPACE, places)
    assert ignoring(space, places) == space
    assert ignoring(space, places).ignored == {"text"}
    assert ignoring(space, ['obs["at"][2]["x"]']) is space
    assert ignoring(ignoring(SPACE, ['obs["at"]']), ['obs["at"][0]', "obs[3]"]).ignored == {"at", 3}


@pytest.mark.parametrize("place", ['obs["txt"]', 'obs["at"][3]', 'obs["at"][0][1]', "text", 'obs["text"][0]', "obs"])
def test_unknown_places_are_refused_with_those_there_are(place):
    with pytest.raises(ConfigError) as caught:
        ignoring(SPACE, [place])
    assert repr(place) in str(caught.value)
    assert (
        """obs["text"], obs["at"], obs["at"][0], obs["at"][1], obs["at"][2], obs["at"][2]["x"], obs["at"][2]["y"],"""
        in str(caught.value)
    )
    with pytest.raises(ConfigError, match="neither a Dict nor a Tuple"):
        ignoring(Discrete(2), [place])


def test_something_has_to_be_left():
    with pytest.raises(ConfigError, match=r'leaves nothing of the observation: obs\["a"\], obs\["b"\] is all of it'):
        ignoring(Dict(a=Discrete(2), b=Dict(c=Discrete(3))), ['obs["a"]', 'obs["b"]'])


def test_spaces_with_parts_left_out_are_written_and_read():
    space = ignoring(SPACE, ['obs["text"]', 'obs["at"][1]', "obs[3]"])
    again = from_json(json.loads(json.dumps(to_json(space))))
    assert again == space
    assert again.ignored == space.ignored
    assert type(again) is PartialDict
    assert type(again["at"][1]) is IgnoredPart
    assert IgnoredPart().contains("anything")
    assert repr(IgnoredPart()) == "IgnoredPart()"


def test_lengths_of_parts_that_stay_are_given_in_places_of_the_whole():
    space = prepared(Tuple((Text(3), Sequence(Discrete(2)), Discrete(2))), max_len={"obs[1]": 4}, ignore=["obs[0]"])
    assert space[1].max_len == 4
    assert space[0] == IgnoredPart()
    assert prepared(space, max_len={"obs[1]": 4}, ignore=["obs[0]"]) == space
