import copy
import pickle

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Tuple
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array

from anyspace.spaces import Repeated
from tests.support.catalogue import OBSERVATION_SPACES

NUMBERS = Repeated(Discrete(3, start=2), 3)


def test_members_are_lists_and_arrays_of_at_most_the_longest_length():
    pairs = Repeated(Box(-1, 1, (2,)), 2)
    one = np.array([0.5, -0.5], np.float32)
    for member in ([], [one], [one, one], np.stack([one, one]), np.zeros((0, 2), np.float32)):
        assert member in pairs
    for other in ([one] * 3, (one,), np.ones((1, 3)), [2 * one + 2], [one[:1]]):
        assert other not in pairs
    for other in (np.float32(1), np.array(1.0), None, "ab", {0: one}):
        assert other not in pairs


def test_lengths_are_drawn_from_one_to_the_longest():
    NUMBERS.seed(0)
    samples = [NUMBERS.sample() for _ in range(300)]
    assert all(type(sample) is list and sample in NUMBERS for sample in samples)
    counts = np.bincount([len(sample) for sample in samples], minlength=4)
    assert counts[0] == 0
    assert (counts[1:] > 70).all()
    assert {value for sample in samples for value in sample} == {2, 3, 4}


def test_masks_and_probabilities_are_those_of_the_elements():
    NUMBERS.seed(0)
    assert set(NUMBERS.sample(mask=np.array([0, 1, 0], np.int8))) == {3}
    assert set(NUMBERS.sample(probability=np.array([0, 0, 1.0]))) == {4}


def test_seeds_repeat_and_tell_lengths_from_elements():
    space = Repeated(Box(-1, 1, (2,)), 5)
    first = [space.sample() for _ in range(3) if space.seed(7)]
    again = [space.sample() for _ in range(3) if space.seed(7)]
    np.testing.assert_array_equal(np.concatenate(first), np.concatenate(again))
    own, child = space.seed((7, 8))
    assert (own, child) == (7, 8)
    assert len(space.sample()) == len(first[0])
    assert Repeated(Box(-1, 1, (2,)), 5, seed=7).sample()[0].tolist() == first[0][0].tolist()
    space.seed()
    assert space.sample() in space


def test_equality_and_text():
    assert Repeated(Discrete(3, start=2), 3) == NUMBERS
    for other in (Repeated(Discrete(3), 3), Repeated(Discrete(3, start=2), 4), Discrete(3), None):
        assert other != NUMBERS
    assert str(Dict(a=NUMBERS)) == "Dict('a': Repeated(Discrete(3, start=2), 3))"
    assert not Tuple((NUMBERS,)).is_np_flattenable


@pytest.mark.parametrize("max_len", [0, -1, 2.5, "3", None])
def test_the_longest_length_is_at_least_one(max_len):
    with pytest.raises(ValueError, match=f"max_len is {max_len!r}, but it must be a whole number of at least 1"):
        Repeated(Discrete(2), max_len)


def test_vector_environments_batch_it_as_a_tuple():
    space = Dict(items=NUMBERS, x=Box(-1, 1, (2,)))
    batched = batch_space(space, 2)
    assert batched.sample() in batched
    samples = [space.sample() for _ in range(2)]
    stacked = concatenate(space, samples, create_empty_array(space, 2))
    assert stacked["items"] == tuple(sample["items"] for sample in samples)
    assert create_empty_array(NUMBERS, 2) == ([], [])


@pytest.mark.parametrize("name", OBSERVATION_SPACES)
def test_spaces_and_their_members_travel_between_processes(name):
    space = OBSERVATION_SPACES[name]
    space.seed(0)
    again = pickle.loads(pickle.dumps(space))
    assert again == copy.deepcopy(space) == space
    assert type(again) is type(space)
    np.testing.assert_equal(again.sample(), pickle.loads(pickle.dumps(space.sample())))
