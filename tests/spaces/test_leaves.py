import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiDiscrete, OneOf, Sequence, Text, Tuple

from anyspace.errors import UnsupportedSpaceError
from anyspace.spaces import BoundedGraph, BoundedSequence, Repeated, Simplex, StackedFrames, bounded
from anyspace.spaces.kinds.atari import AtariPixels, AtariRam
from anyspace.spaces.leaves import Choice, GraphNode, Repeat, children, iter_specs, structure
from tests.support.catalogue import OBSERVATION_SPACES
from tests.support.reading import leaf_count

PART = Dict([("x", Box(-1, 1, (2,))), ("kind", Discrete(300, start=2))])


@pytest.mark.parametrize("name", OBSERVATION_SPACES)
def test_every_leaf_has_a_place_of_its_own(name):
    specs = list(iter_specs(structure(OBSERVATION_SPACES[name])))
    assert len(specs) == leaf_count(OBSERVATION_SPACES[name])
    assert len({leaf.place() for leaf in specs}) == len(specs)
    for leaf in specs:
        assert leaf.shape == (*leaf.repeats, *leaf.element_shape)
        assert leaf.path.count(...) == len(leaf.repeats)
        assert leaf.width == int(np.prod(leaf.feature_shape))
        assert (leaf.kind == "index") == bool(leaf.nvec) == bool(leaf.start)


def test_a_list_is_a_count_and_its_elements():
    node = structure(Tuple((Repeated(Repeated(PART, 5), 3),)))[0]
    assert isinstance(node, Repeat)
    assert isinstance(node.element, Repeat)
    assert (node.max_len, node.element.max_len) == (3, 5)
    outer, inner, x, kind = iter_specs(node)
    assert [leaf.place() for leaf in (outer, inner, x, kind)] == [
        "obs[0].length",
        "obs[0][...].length",
        'obs[0][...][...]["x"]',
        'obs[0][...][...]["kind"]',
    ]
    assert kind.place("raw", (2, 4)) == 'raw[0][2][4]["kind"]'
    assert [leaf.repeats for leaf in (outer, inner, x, kind)] == [(), (3,), (3, 5), (3, 5)]
    assert [leaf.shape for leaf in (outer, inner, x, kind)] == [(), (3,), (3, 5, 2), (3, 5)]
    assert [leaf.feature_shape for leaf in (outer, inner, x, kind)] == [(), (3,), (3, 5, 2), (3, 5, 300)]
    assert [leaf.kind for leaf in (outer, inner, x, kind)] == ["count", "count", "real", "index"]
    assert (outer.dtype, *outer.limits) == (np.int32, 0, 3)
    assert (*inner.limits,) == (0, 5)


def test_a_text_is_a_list_of_positions():
    length, characters = iter_specs(structure(Text(6, min_length=2, charset="xyz")))
    assert (*length.limits,) == (2, 6)
    assert (characters.kind, characters.nvec, characters.start) == ("index", (3,), (0,))
    assert (characters.shape, characters.dtype, characters.width) == ((6,), np.uint8, 18)


@pytest.mark.parametrize(("size", "dtype"), [(256, np.uint8), (257, np.int32)])
def test_positions_are_stored_in_bytes_where_they_fit(size, dtype):
    charset = "".join(map(chr, range(500, 500 + size)))
    assert [*iter_specs(structure(Text(2, charset=charset)))][1].dtype == dtype
    assert [*iter_specs(structure(BoundedGraph(PART, PART, max_nodes=size, max_edges=1)))][-1].dtype == dtype


def test_a_graph_is_two_lists():
    node = structure(BoundedGraph(PART, Discrete(4), max_nodes=3, max_edges=7))
    assert isinstance(node, GraphNode)
    assert [part.max_len for part in children(node)] == [3, 7]
    ends = [*iter_specs(node)][-1]
    assert (ends.place(), ends.shape, ends.nvec, ends.width) == ("obs.edge_links[...]", (7, 2), (3, 3), 42)
    alone = structure(BoundedGraph(PART, None, max_nodes=3))
    assert children(alone) == [alone.nodes]


def test_a_choice_is_an_index_and_every_alternative():
    node = structure(Dict(a=OneOf((Discrete(5), PART))))["a"]
    assert isinstance(node, Choice)
    which, number, x, kind = iter_specs(node)
    assert (which.kind, which.nvec, which.shape, which.dtype) == ("index", (2,), (), np.uint8)
    assert [leaf.place() for leaf in (which, number, x, kind)] == [
        'obs["a"].choice',
        'obs["a"].option_0',
        'obs["a"].option_1["x"]',
        'obs["a"].option_1["kind"]',
    ]


def test_frames_are_stacked_outside_of_lists_and_alternatives_only():
    frames = StackedFrames(0, 255, (8, 8, 4), stack=2)
    assert structure(frames).stack == 2
    assert structure(Dict(a=OneOf((frames,))))["a"].options[0].stack == 1
    (_, within) = iter_specs(structure(Repeated(frames, 3)))
    assert (within.stack, within.shape) == (1, (3, 8, 8, 4))


def test_what_is_stored_of_atari():
    ram, pixels = structure(AtariRam()), structure(AtariPixels(dim=42, grayscale=True, zero_mean=False))
    assert (ram.shape, ram.dtype, ram.shift, ram.scale, ram.image) == ((128,), np.uint8, 128, 1 / 128, None)
    assert (pixels.shape, pixels.dtype, pixels.shift, pixels.scale) == ((42, 42, 1), np.uint8, 0, 1 / 255)
    assert (pixels.image.height, pixels.image.width, pixels.image.channels) == (42, 42, 1)


def test_shares_have_limits_and_one_dtype():
    leaf = structure(Simplex((2, 3), dtype=np.float64))
    low, high = leaf.limits
    assert (leaf.dtype, leaf.shape, low.shape, high.dtype) == (np.float32, (2, 3), (2, 3), np.float32)
    np.testing.assert_allclose([low, high], [np.full((2, 3), -1e-5), np.full((2, 3), 1 + 1e-5)], rtol=0, atol=1e-7)


def test_components_are_in_c_order():
    leaf = structure(MultiDiscrete([[2, 3], [4, 5]], start=[[1, 2], [3, 4]]))
    assert (leaf.nvec, leaf.start, leaf.shape, leaf.width) == ((2, 3, 4, 5), (1, 2, 3, 4), (2, 2), 14)


@pytest.mark.spec(35)
@pytest.mark.parametrize(
    ("space", "place"),
    [
        (Dict(a=Sequence(Discrete(2))), 'obs["a"]'),
        (Repeated(Dict(items=Sequence(PART)), 3), 'obs[...]["items"]'),
        (BoundedSequence(Sequence(PART), 3), "obs[...]"),
    ],
    ids=["part", "in repeated", "in sequence"],
)
def test_what_has_no_longest_length_says_how_to_give_it_one(space, place):
    with pytest.raises(UnsupportedSpaceError) as caught:
        structure(space)
    message = str(caught.value)
    assert message.startswith(f"{place}: Sequence(")
    assert "config key `max_len`" in message
    assert "BoundedSequence, BoundedGraph or Repeated" in message
    assert f"{{{place!r}: 20}}" in message
    assert next(iter_specs(structure(bounded(space, {place: 20})))).kind == "count"


@pytest.mark.parametrize(
    ("edge_space", "places"),
    [(None, ["obs[0].nodes"]), (PART, ["obs[0].nodes", "obs[0].edges"])],
    ids=["nodes", "both"],
)
def test_a_graph_without_limits_says_how_to_give_it_some(edge_space, places):
    space = Tuple((Graph(PART, edge_space),))
    with pytest.raises(UnsupportedSpaceError) as caught:
        structure(space)
    hint = ", ".join(f"{place!r}: 20" for place in places)
    assert f"--max-len 20) or for this one (max_len={{{hint}}})" in str(caught.value)
    assert structure(bounded(space, dict.fromkeys(places, 20)))
