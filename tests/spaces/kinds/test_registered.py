"""Spaces of somebody's own class stand for built-in ones."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, OneOf, Text, Tuple
from gymnasium.vector.utils import batch_space

from anyspace.errors import ConfigError, ObservationError, UnsupportedSpaceError
from anyspace.spaces import BoundedGraph, BoundedSequence, Encoder, Repeated, decode, from_json, register_space, to_json
from anyspace.spaces.decoding import one_by_one
from anyspace.spaces.kinds import registered
from anyspace.spaces.kinds.registered import (
    RegisteredSpace,
    adopt,
    equivalent,
    known_actions,
    known_observations,
    registered_spaces,
)
from tests.support.own_spaces import (
    Hand,
    LargeHand,
    Mission,
    as_before,
    as_bits,
    as_cards,
    register_hand,
    register_text,
)


@pytest.fixture(autouse=True)
def clean():
    with as_before():
        yield


def bits(cards):
    return RegisteredSpace("Hand", MultiBinary(cards), {"cards": cards})


def test_without_translation_the_built_in_space_takes_the_place():
    register_text()
    space = Dict(says=Mission(), at=Tuple([Discrete(2), Repeated(Mission(), 3), OneOf([Mission(), Discrete(2)])]))
    text = Text(max_length=20, charset="abcdefghijklmnopqrstuvwxyz ")
    known = known_observations(space)
    assert known == Dict(says=text, at=Tuple([Discrete(2), Repeated(text, 3), OneOf([text, Discrete(2)])]))
    assert known_observations(known) is known


def test_every_place_is_found():
    register_hand()
    graph = BoundedGraph(Hand(2), Hand(3), max_nodes=2, max_edges=2)
    found = known_observations(Tuple([BoundedSequence(Hand(4), 2), graph]))
    assert found[0] == BoundedSequence(bits(4), 2)
    assert (found[1].node_space, found[1].edge_space) == (bits(2), bits(3))
    assert equivalent(found)[0] == BoundedSequence(MultiBinary(4), 2)


def test_values_are_translated_in_both_directions():
    register_hand()
    space = known_observations(Dict(held=Tuple([LargeHand(3), Repeated(Hand(2), 2)])))
    hands = (frozenset({0, 2}), frozenset()), ([frozenset({1})], [])
    stacked = {"held": hands}
    first, count, listed = Encoder(space)(stacked)
    np.testing.assert_array_equal(first, [[1, 0, 1], [0, 0, 0]])
    np.testing.assert_array_equal(count, [1, 0])
    np.testing.assert_array_equal(listed, [[[0, 1], [0, 0]], [[0, 0], [0, 0]]])
    single = Encoder(space).single({"held": (frozenset({0, 2}), [frozenset({1})])})
    np.testing.assert_array_equal(single[0], [1, 0, 1])

    actions = known_actions(Dict(move=Discrete(3), play=Hand(3)))
    played = decode(actions, {"move": np.array([2, 0]), "play": np.array([[1, 1, 0], [0, 0, 1]])})
    assert played["play"] == (frozenset({0, 1}), frozenset({2}))
    assert one_by_one(actions, played, 2)[1] == {"move": 0, "play": frozenset({2})}


def test_a_nested_built_in_space_serves_as_well():
    class Card(Hand):
        pass

    register_space(
        Card,
        lambda space: Dict(suit=Discrete(4), rank=Box(0, 1, (1,))),
        encode=lambda space, card: {"suit": card[0], "rank": np.array([card[1] / 13], np.float32)},
        decode=lambda space, card: (int(card["suit"]), float(card["rank"][0])),
        arguments=lambda space: {"cards": space.cards},
    )
    leaves = Encoder(known_observations(Card(52)))([(3, 13), (0, 0)])
    np.testing.assert_array_equal(leaves[0], [3, 0])
    np.testing.assert_array_equal(leaves[1], [[1], [0]])
    actions = known_actions(Card(52))
    assert decode(actions, {"suit": np.array([3]), "rank": np.array([[1.0]])}) == ((3, 1.0),)


def test_direction_decides_what_is_translated():
    register_space(Hand, lambda space: MultiBinary(3), encode=as_bits, arguments=lambda space: {"cards": space.cards})
    assert known_observations(Hand(3)) == bits(3)
    assert known_actions(Hand(3)) == MultiBinary(3)


def test_the_nearest_class_decides():
    register_hand()
    assert known_observations(LargeHand(3)) == bits(3)
    register_space(LargeHand, lambda space: Discrete(2))
    assert known_observations(LargeHand(3)) == Discrete(2)
    assert known_observations(Hand(3)) == bits(3)


def test_subclasses_of_built_in_classes_stay_what_they_are_unless_registered():
    class Angles(Box):
        pass

    class Pair(Tuple):
        pass

    space = Pair((Angles(-1, 1, (2,)), Discrete(2)))
    assert known_observations(space) is space
    register_space(Angles, lambda space: Discrete(3), encode=lambda space, angle: int(angle[0] > 0), name="angles")
    with pytest.raises(UnsupportedSpaceError, match=r"obs\[0\].*arguments"):
        known_observations(space)


def test_a_registered_subclass_of_box_is_translated_stacked_or_not():
    class Sign(Box):
        def __init__(self):
            super().__init__(-1, 1, (2,))

    register_space(Sign, lambda space: Discrete(2), encode=lambda space, value: int(value[0] > 0))
    encoder = Encoder(known_observations(Dict(sign=Sign())))
    stacked = np.array([[0.5, 0], [-0.5, 0]], np.float32)
    np.testing.assert_array_equal(encoder({"sign": stacked})[0], [1, 0])
    np.testing.assert_array_equal(encoder({"sign": tuple(stacked)})[0], [1, 0])


def test_a_space_of_a_registered_class_behaves_like_its_own():
    register_hand()
    space = known_observations(Hand(3))
    space.seed(1)
    own = Hand(3)
    own.seed(1)
    assert space.sample() == own.sample()
    assert space.contains(frozenset({2}))
    assert not space.contains(frozenset({3}))
    assert space == bits(3) != bits(4)
    assert space != RegisteredSpace("Hand", MultiBinary(3), {"cards": 3, "more": 1})
    assert not space.is_np_flattenable
    assert repr(space) == "Hand read as MultiBinary(3)"
    assert len(batch_space(space, 2).sample()) == 2
    for again in (
        pickle.loads(pickle.dumps(space)),
        copy.deepcopy(space),
        from_json(json.loads(json.dumps(to_json(space)))),
    ):
        assert again == space
        assert "own" not in vars(again)
        assert again.own.cards == 3


def test_a_class_that_is_not_registered_when_its_space_is_read_is_asked_for():
    register_hand()
    written = to_json(known_observations(Hand(3)))
    registered._registered.clear()
    with pytest.raises(UnsupportedSpaceError, match=r"Hand is of a class that is not registered.*register_space\(Hand"):
        from_json(written)
    register_space(Mission, lambda space: Text(3), name="Hands")
    with pytest.raises(UnsupportedSpaceError, match="Did you mean 'Hands'"):
        from_json(written)


def test_what_a_checkpoint_could_not_make_again_is_refused():
    register_space(Hand, lambda space: MultiBinary(space.cards), encode=as_bits)
    with pytest.raises(UnsupportedSpaceError, match=r"Hand\(\) raised TypeError.*arguments=lambda space"):
        known_observations(Hand(3))
    register_space(Hand, lambda space: MultiBinary(space.cards), encode=as_bits, arguments=lambda space: {"cards": 2})
    with pytest.raises(UnsupportedSpaceError, match=r"stands for MultiBinary\(2\), not for MultiBinary\(3\)"):
        known_observations(Hand(3))
    register_space(
        Hand, lambda space: MultiBinary(space.cards), encode=as_bits, arguments=lambda space: {"cards": np.array(3)}
    )
    with pytest.raises(UnsupportedSpaceError, match=r"obs: the `arguments`.*which a checkpoint cannot hold"):
        known_observations(Hand(3))


def test_what_stands_for_a_space_has_to_be_known():
    register_space(Hand, lambda space: Tuple([Mission()]))
    with pytest.raises(UnsupportedSpaceError, match=r'obs\["held"\]: register_space says that Hand stands for'):
        known_observations(Dict(held=Hand(2)))
    register_space(Hand, lambda space: 3)  # type: ignore[arg-type, return-value]
    with pytest.raises(UnsupportedSpaceError, match="action: register_space says that Hand stands for 3"):
        known_actions(Hand(2))


@pytest.mark.parametrize(
    ("kind", "message"),
    [(Box, "Box is built in"), (Repeated, "Repeated is built in"), (int, "got <class 'int'>"), (Hand(2), "got <")],
)
def test_only_classes_of_ones_own_are_registered(kind, message):
    with pytest.raises(ConfigError, match=message):
        register_space(kind, lambda space: Discrete(2))


def test_dicts_and_tuples_are_not_registered():
    class Parts(Dict):
        pass

    with pytest.raises(ConfigError, match="Register the classes of its parts"):
        register_space(Parts, lambda space: Discrete(2))


def test_names_are_unique_and_a_class_defined_anew_takes_over():
    register_hand()
    with pytest.raises(ConfigError, match=r"'Hand' is the name of .*own_spaces:Hand already; give another `name`"):
        register_space(Mission, lambda space: Text(3), name="Hand")

    def define(n):
        class Coin(Hand):
            pass

        register_space(Coin, lambda space: Discrete(n))
        return Coin

    first, second = define(2), define(3)
    assert known_observations(second(1)) == Discrete(3)
    assert known_observations(first(1)) == bits(1)


def test_another_process_takes_registrations_in():
    register_hand()
    known = registered_spaces()
    registered._registered.clear()
    adopt(known)
    assert known_observations(Hand(2)) == bits(2)


def test_what_encode_raises_names_the_place_and_the_value():
    register_hand()
    encoder = Encoder(known_observations(Dict(held=Hand(3))))
    with pytest.raises(ObservationError, match=r'row 1: obs\["held"\]: `encode` of Hand raised TypeError .* for 7'):
        encoder({"held": (frozenset(), 7)})
    assert as_cards(Hand(2), [1, 0]) == frozenset({0})
