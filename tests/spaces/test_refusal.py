"""What is refused names the doors that there are."""

from __future__ import annotations

import re

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Text, Tuple

from anyspace.errors import UnsupportedSpaceError
from anyspace.models import ModelCatalog
from anyspace.spaces import Encoder, Repeated, check_action_space
from tests.support.own_spaces import Hand, Mission


def refusal(space):
    with pytest.raises(UnsupportedSpaceError) as caught:
        Encoder(space)
    return str(caught.value)


def test_an_unknown_class_names_the_line_that_registers_it():
    assert "    anyspace.register_space(Mission, lambda space: gymnasium.spaces.Text(max_length=100))" in refusal(
        Mission()
    )
    assert "register_space(Hand, lambda space: gymnasium.spaces.Box(-numpy.inf, numpy.inf, (8,)))" in refusal(Hand(3))
    with pytest.raises(UnsupportedSpaceError, match=r"action\[1\]: no decoding for actions of Hand, a class of tests"):
        check_action_space(Tuple((Discrete(2), Hand(3))))


@pytest.mark.parametrize("given", [3, None, Discrete, [Discrete(2)]], ids=repr)
def test_what_is_no_space_is_said_to_be_none(given):
    message = re.escape(f"expected a space, got {given!r}. Supported: ")
    with pytest.raises(UnsupportedSpaceError, match=f"^obs: {message}"):
        Encoder(given)
    with pytest.raises(UnsupportedSpaceError, match=f"^action: {message}"):
        check_action_space(given)


def test_a_space_of_numbers_is_guessed_to_be_a_box():
    class Torus(gym.Space):
        def __init__(self):
            super().__init__((3, 2), np.float32)

    assert "Box(-numpy.inf, numpy.inf, (3, 2)))" in refusal(Torus())


@pytest.mark.parametrize(
    ("space", "place"),
    [
        (Dict(a=Dict(b=Mission())), 'obs["a"]["b"]'),
        (Tuple((Discrete(2), Mission())), "obs[1]"),
        (Dict(a=Repeated(Dict(b=Mission()), 2)), 'obs["a"]'),
    ],
)
def test_what_can_be_left_out_is_named(space, place):
    text = refusal(space)
    assert f"    ignore=[{place!r}]    (on the command line: --ignore '{place}')" in text.replace(
        "obs[1])", "'obs[1]')"
    )


def test_the_whole_observation_cannot_be_left_out():
    assert "ignore" not in refusal(Mission())


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (Discrete(10**12), "has 1,000,000,000,000 values, which would be one-hot encoded; at most 1,000,000 are"),
        (MultiDiscrete([2**40, 3]), "which would be one-hot encoded"),
        (Text(3, min_length=0, charset=""), "has no value to observe"),
    ],
)
def test_what_could_not_be_encoded_is_refused_where_it_is(space, message):
    text = refusal(Dict(a=Discrete(2), b=space))
    assert text.startswith('obs["b"]: ')
    assert message in text
    assert """ignore=['obs["b"]']""" in text


def test_more_actions_than_a_model_has_outputs_are_refused():
    with pytest.raises(UnsupportedSpaceError, match=r"action\[0\]: Discrete\(1000000000000\) has more than 10,000,000"):
        ModelCatalog.get_action_dist(Tuple((Discrete(10**12), Box(0, 1, (1,)))), {})
