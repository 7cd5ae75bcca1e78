import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Graph, GraphInstance, OneOf, Sequence, Text, Tuple

from anyspace.errors import ConfigError
from anyspace.spaces import BoundedGraph, BoundedSequence, Encoder, Repeated, Simplex, StackedFrames, bounded

PAIR = np.array([0.5, -0.5], np.float32)
BOX = Box(-1, 1, (2,))


def drawn(space, number=300, seed=0):
    space.seed(seed)
    return [space.sample() for _ in range(number)]


# -------------------------------------------------------------------------------------------- BoundedSequence


def test_a_sequence_has_at_most_its_longest_length():
    space = BoundedSequence(BOX, 2)
    for member in ((), (PAIR,), (PAIR, PAIR)):
        assert member in space
    for other in ((PAIR,) * 3, [PAIR], (2 * PAIR + 2,), PAIR, None):
        assert other not in space


def test_a_stacked_sequence_has_at_most_its_longest_length():
    space = BoundedSequence(Dict(x=BOX, k=Discrete(3)), 2, stack=True)
    for length in range(4):
        member = {"x": np.stack([PAIR] * 3)[:length], "k": np.zeros(length, np.int64)}
        assert (member in space) == (length <= 2)


@pytest.mark.parametrize("stack", [False, True])
def test_lengths_of_sequences_are_drawn_from_none_to_the_longest(stack):
    space = BoundedSequence(Tuple((BOX, Repeated(Discrete(2), 2))), 3, stack=stack)
    samples = drawn(space)
    assert all(sample in space for sample in samples)
    counts = np.bincount([len(sample[1]) if stack else len(sample) for sample in samples], minlength=4)
    assert (counts > 50).all()
    assert len(counts) == 4


def test_masks_of_sequences_are_gymnasiums():
    space = BoundedSequence(Discrete(3), 4)
    assert space.sample(mask=(2, np.array([0, 1, 0], np.int8))) == (1, 1)
    assert space.sample(probability=(np.array([3]), np.array([0, 0, 1.0]))) == (2, 2, 2)
    lengths = {len(space.sample(mask=(None, np.array([0, 1, 0], np.int8)))) for _ in range(200)}
    assert lengths == {0, 1, 2, 3, 4}


def test_sequences_compare_and_show_their_longest_length():
    space = BoundedSequence(BOX, 2)
    assert space == BoundedSequence(BOX, 2)
    for other in (
        BoundedSequence(BOX, 3),
        BoundedSequence(BOX, 2, True),
        BoundedSequence(Discrete(2), 2),
        Sequence(BOX),
    ):
        assert other != space
    assert str(space) == f"BoundedSequence({BOX}, 2, stack=False)"


# ----------------------------------------------------------------------------------------------- BoundedGraph


def graph(nodes, edges):
    links = np.zeros((edges, 2), np.int32)
    return GraphInstance(np.zeros((nodes, 2), np.float32), np.zeros(edges, np.int64), links)


def test_a_graph_has_at_most_so_many_nodes_and_edges():
    space = BoundedGraph(BOX, Discrete(3), max_nodes=3, max_edges=2)
    for nodes in range(5):
        for edges in range(4 if nodes else 1):
            assert (graph(nodes, edges) in space) == (nodes <= 3 and edges <= 2)
        assert (GraphInstance(np.zeros((nodes, 2), np.float32), None, None) in space) == (nodes <= 3)
    assert graph(1, 1)._replace(edge_links=np.ones((1, 2), np.int32)) not in space
    assert tuple(graph(1, 1)) not in space


@pytest.mark.parametrize(
    "node_space", [BOX, Discrete(3), Dict(x=BOX, items=Repeated(Discrete(2), 2)), Simplex((2,)), Text(2)], ids=str
)
def test_numbers_of_nodes_and_edges_are_drawn_from_none_to_the_most(node_space):
    space = BoundedGraph(node_space, Discrete(2), max_nodes=2, max_edges=3)
    samples = drawn(space)
    assert all(sample in space for sample in samples)
    nodes = [len(sample.nodes["x"] if isinstance(sample.nodes, dict) else sample.nodes) for sample in samples]
    edges = [0 if sample.edges is None else len(sample.edges) for sample in samples]
    assert set(nodes) == {0, 1, 2}
    assert set(edges) == {0, 1, 2, 3}
    assert all(edges[i] == 0 for i, number in enumerate(nodes) if number == 0)


def test_graphs_without_edges():
    space = BoundedGraph(BOX, None, max_nodes=3)
    assert space.max_edges == 0
    assert all(sample in space and sample.edges is None for sample in drawn(space, 20))
    assert graph(2, 0) not in space
    assert space == BoundedGraph(BOX, None, max_nodes=3, max_edges=7)
    assert str(space) == f"BoundedGraph({BOX}, None, max_nodes=3)"


def test_graphs_of_given_sizes():
    space = BoundedGraph(BOX, Discrete(2), max_nodes=5, max_edges=6)
    sample = space.sample(num_nodes=4, num_edges=2)
    assert (len(sample.nodes), len(sample.edges), sample.edge_links.shape) == (4, 2, (2, 2))
    masked = space.sample(probability=(None, (np.array([0, 1.0]),) * 3), num_nodes=2, num_edges=3)
    assert masked.edges.tolist() == [1, 1, 1]


def test_graphs_compare_and_show_their_limits():
    space = BoundedGraph(BOX, Discrete(2), max_nodes=3, max_edges=2)
    assert space == BoundedGraph(BOX, Discrete(2), max_nodes=3, max_edges=2)
    for other in (
        BoundedGraph(BOX, Discrete(2), max_nodes=2, max_edges=2),
        BoundedGraph(BOX, Discrete(2), max_nodes=3, max_edges=3),
        BoundedGraph(BOX, None, max_nodes=3),
        Graph(BOX, Discrete(2)),
    ):
        assert other != space
    assert str(space) == f"BoundedGraph({BOX}, Discrete(2), max_nodes=3, max_edges=2)"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BoundedSequence(BOX, 0), "max_len is 0, but it must be a whole number of at least 1"),
        (lambda: BoundedGraph(BOX, None, max_nodes=0), "max_nodes is 0"),
        (lambda: BoundedGraph(BOX, BOX, max_nodes=2), "max_edges is 0"),
    ],
    ids=["max_len", "max_nodes", "max_edges"],
)
def test_limits_are_at_least_one(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "space",
    [BoundedSequence(BOX, 3), BoundedSequence(BOX, 3, stack=True), BoundedGraph(BOX, BOX, max_nodes=3, max_edges=3)],
    ids=["sequence", "stacked", "graph"],
)
def test_seeds_repeat(space):
    np.testing.assert_equal(drawn(space, 9, 4), drawn(space, 9, 4))


# ---------------------------------------------------------------------------------------------------- bounded

SPACE = Dict(
    [
        ("players", Repeated(Dict(items=Sequence(Discrete(2), stack=True), name=Text(3)), 4)),
        ("log", Tuple((Sequence(Sequence(BOX)), Discrete(2)))),
        ("map", Graph(Dict(loot=Sequence(Discrete(3)), at=BOX), BOX)),
        ("either", OneOf((BOX, Graph(BOX, None)))),
        ("known", BoundedSequence(Sequence(BOX), 5)),
        ("net", BoundedGraph(Sequence(BOX), Discrete(2), max_nodes=6, max_edges=7)),
    ]
)
PLACES = {
    'obs["players"][...]["items"]': 2,
    'obs["log"][0][...]': 3,
    'obs["log"][0]': 4,
    'obs["map"].nodes[...]["loot"]': 5,
    'obs["map"].nodes': 6,
    'obs["map"].edges': 7,
    'obs["either"].option_1.nodes': 8,
    'obs["known"][...]': 9,
    'obs["net"].nodes[...]': 10,
}


def expected(items, line, log, loot, nodes, edges, either, known, net):
    return Dict(
        [
            ("players", Repeated(Dict(items=BoundedSequence(Discrete(2), items, stack=True), name=Text(3)), 4)),
            ("log", Tuple((BoundedSequence(BoundedSequence(BOX, line), log), Discrete(2)))),
            (
                "map",
                BoundedGraph(
                    Dict(loot=BoundedSequence(Discrete(3), loot), at=BOX), BOX, max_nodes=nodes, max_edges=edges
                ),
            ),
            ("either", OneOf((BOX, BoundedGraph(BOX, None, max_nodes=either)))),
            ("known", BoundedSequence(BoundedSequence(BOX, known), 5)),
            ("net", BoundedGraph(BoundedSequence(BOX, net), Discrete(2), max_nodes=6, max_edges=7)),
        ]
    )


def test_one_length_for_all():
    result = bounded(SPACE, 3)
    assert result == expected(*[3] * 9)
    assert list(result.spaces) == list(SPACE.spaces)
    result.seed(0)
    assert Encoder(result).single(result.sample())


def test_a_length_for_each_place():
    assert bounded(SPACE, PLACES) == expected(*PLACES.values())
    assert bounded(Sequence(BOX), {"obs": 4}) == BoundedSequence(BOX, 4)


def test_what_needs_no_length_is_the_very_same_space():
    plain = Dict(a=StackedFrames(0, 255, (4, 4, 2), stack=2), b=Tuple((Repeated(BOX, 2), OneOf((BOX, Text(2))))))
    assert bounded(plain, 3) is plain
    assert bounded(SPACE, None) is SPACE
    mixed = bounded(Dict(a=plain, b=Sequence(BOX)), 3)
    assert mixed["a"] is plain
    for known in (BoundedSequence(BOX, 5), BoundedGraph(BOX, BOX, max_nodes=2, max_edges=1)):
        assert bounded(known, 3) is known
        assert bounded(Repeated(known, 2), {}).child_space is known


@pytest.mark.parametrize("max_len", [3, PLACES], ids=["for all", "for each place"])
def test_what_was_bounded_stays_the_same(max_len):
    result = bounded(SPACE, max_len)
    assert bounded(result, max_len) is result


def test_a_length_that_is_known_cannot_be_changed():
    with pytest.raises(ConfigError, match=r"'obs' is no place of a Sequence or Graph without a longest length"):
        bounded(BoundedSequence(BOX, 5), {"obs": 4})
    with pytest.raises(ConfigError, match=r"'obs.edges' is no place of a Sequence or Graph"):
        bounded(BoundedGraph(BOX, BOX, max_nodes=2, max_edges=1), {"obs.nodes": 2, "obs.edges": 2})


def test_places_that_are_left_out_stay_without_a_length():
    result = bounded(Dict(a=Sequence(BOX), b=Sequence(BOX), g=Graph(BOX, BOX)), {'obs["a"]': 2})
    assert result == Dict(a=BoundedSequence(BOX, 2), b=Sequence(BOX), g=Graph(BOX, BOX))
    assert not isinstance(result["b"], BoundedSequence)
    assert not isinstance(result["g"], BoundedGraph)


@pytest.mark.parametrize(
    "place", ['obs["player"][...]["items"]', 'obs["players"]["items"]', 'obs["players"][0]["items"]']
)
def test_a_place_of_nothing_names_the_nearest(place):
    with pytest.raises(ConfigError) as caught:
        bounded(SPACE, {place: 2})
    message = str(caught.value)
    assert message.startswith(f"max_len: {place!r} is no place of a Sequence or Graph without a longest length.")
    assert """Did you mean 'obs["players"][...]["items"]'""" in message
    assert message.endswith(f"Such places here: {', '.join(PLACES)}.")


def test_a_place_where_there_are_none():
    with pytest.raises(ConfigError, match=r"longest length\. Such places here: none\."):
        bounded(BOX, {"obs": 2})


@pytest.mark.parametrize(("given", "missing"), [("nodes", "edges"), ("edges", "nodes")])
def test_a_graph_needs_both_lengths(given, missing):
    with pytest.raises(ConfigError) as caught:
        bounded(Tuple((Graph(BOX, BOX),)), {f"obs[0].{given}": 3})
    assert (
        str(caught.value)
        == f"max_len: obs[0].{given} has a longest length, but obs[0].{missing} has none; a graph needs both."
    )
