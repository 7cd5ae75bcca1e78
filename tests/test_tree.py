import collections

import pytest

from anyspace.tree import Part, iter_leaves, leaves, map_leaves, place, prefixed, under

NESTED = {"z": (1, [2, 3]), "a": {"k": 4}, "empty": {}}


def test_map_keeps_the_structure_and_the_order():
    doubled = map_leaves(lambda leaf: 2 * leaf, NESTED)
    assert doubled == {"z": (2, [4, 6]), "a": {"k": 8}, "empty": {}}
    assert list(doubled) == ["z", "a", "empty"]
    assert type(doubled["z"]) is tuple
    assert type(doubled["z"][1]) is list
    assert map_leaves(str, 5) == "5"


def test_several_trees_are_walked_side_by_side_by_key():
    assert map_leaves(lambda x, y: (x, y), {"a": 1, "b": (2,)}, {"b": (20,), "a": 10}) == {
        "a": (1, 10),
        "b": ((2, 20),),
    }


def test_special_containers_become_plain_ones():
    Point = collections.namedtuple("Point", "x y")
    mapped = map_leaves(lambda leaf: leaf, collections.OrderedDict(p=Point(1, 2)))
    assert type(mapped) is dict
    assert type(mapped["p"]) is tuple


@pytest.mark.parametrize("other", [(1,), (1, 2, 3)])
def test_tuples_of_other_lengths_do_not_match(other):
    with pytest.raises(ValueError, match="zip"):
        map_leaves(lambda x, y: x, (1, 2), other)


def test_leaves_come_depth_first_in_key_order():
    assert list(iter_leaves(NESTED)) == [(("z", 0), 1), (("z", 1, 0), 2), (("z", 1, 1), 3), (("a", "k"), 4)]
    assert leaves(NESTED) == [1, 2, 3, 4]
    assert list(iter_leaves(7)) == [((), 7)]
    assert list(iter_leaves(7, ("x",))) == [(("x",), 7)]


def test_places_are_spelt_as_users_index():
    assert place("obs", ("cart", 0, "x")) == 'obs["cart"][0]["x"]'
    assert place("action", ()) == "action"


def test_elements_are_spelt_by_their_numbers():
    path = ("team", ..., "items", ..., Part("length"))
    assert place("obs", path) == 'obs["team"][...]["items"][...].length'
    assert place("obs", path, [2]) == 'obs["team"][2]["items"][...].length'
    assert place("obs", path, (2, 0)) == 'obs["team"][2]["items"][0].length'


def test_parts_are_told_from_keys():
    assert place("obs", ("g", Part("nodes"), ..., "nodes")) == 'obs["g"].nodes[...]["nodes"]'


def test_names_under_a_prefix():
    state = {**prefixed("model", {"a/b": 1, "c": 2}), **prefixed("models", {"c": 3})}
    assert state == {"model/a/b": 1, "model/c": 2, "models/c": 3}
    assert under("model", state) == {"a/b": 1, "c": 2}


def test_keys_with_quotes_are_spelt_so_that_they_can_be_pasted():
    assert place("obs", ('a"b', "c'd", "e\\f", "")) == """obs['a"b']["c'd"]['e\\\\f'][""]"""
