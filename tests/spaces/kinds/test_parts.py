"""The parts of any space, by their places."""

from __future__ import annotations

from gymnasium.spaces import Box, Dict, Discrete, Graph, OneOf, Sequence, Tuple

from anyspace import tree
from anyspace.spaces import BoundedGraph, BoundedSequence, Repeated
from anyspace.spaces.kinds.ignored import PartialDict
from anyspace.spaces.kinds.parts import iter_parts, with_parts
from tests.support.catalogue import OBSERVATION_SPACES

PART = Discrete(2)
SPACE = Dict(
    a=Tuple((PART, OneOf([PART, Repeated(PART, 2)]))),
    b=PartialDict({"c": Sequence(PART, stack=True)}, ["d"]),
    e=BoundedSequence(Graph(PART, PART), 3),
    f=BoundedGraph(PART, None, max_nodes=2),
    g=Box(0, 1, ()),
)


def test_parts_are_found_at_the_places_that_messages_name():
    places = [tree.place("obs", path) for path, part in iter_parts(SPACE) if part is PART]
    assert places == [
        'obs["a"][0]',
        'obs["a"][1].option_0',
        'obs["a"][1].option_1[...]',
        'obs["b"]["c"][...]',
        'obs["e"][...].nodes[...]',
        'obs["e"][...].edges[...]',
        'obs["f"].nodes[...]',
    ]
    assert next(iter(iter_parts(SPACE))) == ((), SPACE)


def test_every_part_can_be_changed():
    def changed(space, path):
        return Box(0, 1, (1,)) if space is PART else with_parts(space, changed, path)

    after = changed(SPACE, ())
    assert [tree.place("obs", path) for path, part in iter_parts(after) if part == Box(0, 1, (1,))] == [
        tree.place("obs", path) for path, part in iter_parts(SPACE) if part is PART
    ]
    assert after["b"].ignored == {"d"}
    assert after["b"]["c"].stack
    assert (after["e"].max_len, after["f"].max_nodes) == (3, 2)
    assert after["g"] is SPACE["g"]


def test_where_nothing_changes_the_very_space_comes_back():
    for space in (*OBSERVATION_SPACES.values(), SPACE):
        assert with_parts(space, lambda part, path: part) is space
