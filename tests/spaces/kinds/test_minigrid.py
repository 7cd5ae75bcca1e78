"""MiniGrid's missions are known by the name of their class."""

from __future__ import annotations

import pytest
from gymnasium.spaces import Dict, Discrete

from anyspace.spaces import Words
from anyspace.spaces.kinds import minigrid
from anyspace.spaces.kinds.registered import known_observations
from tests.support.missions import BabyAIMissionSpace, MissionSpace


def words(text, most):
    return Words([text], most)


def test_missions_say_what_their_words_are():
    plain = MissionSpace(lambda: "get to the green goal square")
    assert known_observations(Dict(mission=plain))["mission"] == words("get to the green goal square", 6)
    fetch = MissionSpace(
        lambda how, color, kind: f"{how} {color} {kind}",
        [["get a", "go and fetch a"], ["red", "green"], ["key", "big ball"]],
    )
    found = known_observations(fetch)
    assert set(found.vocabulary) == {"get", "a", "go", "and", "fetch", "red", "green", "key", "big", "ball"}
    assert found.max_words == len(["go", "and", "fetch", "a", "red", "big", "ball"])
    assert known_observations(MissionSpace(lambda: "")) == Words([], 1)


def test_babyai_has_the_words_of_all_levels():
    found = known_observations(BabyAIMissionSpace())
    longest = "put the red ball in front of you next to the blue box in front of you"
    both = f"{longest} and {longest}"
    text = f"{both} after you {both}"
    assert found.contains(text)
    assert not found.contains(f"{text} now")
    assert set(text.split()) < set(found.vocabulary)


def test_a_class_of_that_name_elsewhere_is_not_meant():
    class Other(MissionSpace):
        pass

    assert isinstance(known_observations(Other(lambda: "go")), Words)
    Other.__bases__[0].__module__ = "elsewhere"
    try:
        other = Other(lambda: "go")
        assert known_observations(other) is other
    finally:
        Other.__bases__[0].__module__ = "minigrid.core.mission"


def test_the_package_itself():
    package = pytest.importorskip("minigrid.core.mission")
    kind = package.MissionSpace
    assert f"{kind.__module__}:{kind.__qualname__}" == minigrid.MISSION_SPACE
    space = kind(lambda color: f"get the {color} ball", [["red", "blue"]])
    assert known_observations(space) == words("get the red ball blue", 4)
    assert known_observations(Discrete(2)) == Discrete(2)
