"""Lists, texts, graphs and alternatives: how they are encoded, and what is said of those that do not fit."""

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, GraphInstance, OneOf, Text, Tuple

from anyspace.errors import ObservationError, UnsupportedSpaceError
from anyspace.spaces import BoundedGraph, BoundedSequence, Encoder, Repeated, encode, spec
from anyspace.spaces.kinds.atari import AtariPixels, AtariRam, warp_pixels

PART = Dict([("x", Box(-1, 1, (2,))), ("kind", Discrete(3, start=2))])
WORD = Text(4, min_length=2, charset="zyxab")


def test_a_list_is_its_length_and_its_elements_with_zeros_behind():
    lengths, elements = encode(Repeated(Box(-9, 9, (2,)), 3), ([[1, 2], [3, 4]], [], np.array([[5.0, 6.0]])))
    assert (lengths.dtype, lengths.tolist()) == (np.int32, [2, 0, 1])
    assert elements.tolist() == [[[1, 2], [3, 4], [0, 0]], [[0, 0]] * 3, [[5, 6], [0, 0], [0, 0]]]


def test_lists_within_lists():
    outer, inner, elements = encode(Repeated(Repeated(Discrete(9), 2), 3), ([[1, 2], [3]], [[], [4]], []))
    assert (outer.tolist(), inner.tolist()) == ([2, 2, 0], [[2, 1, 0], [0, 1, 0], [0, 0, 0]])
    assert elements.tolist() == [[[1, 2], [3, 0], [0, 0]], [[0, 0], [4, 0], [0, 0]], [[0, 0]] * 3]


def test_rows_of_arrays_equal_rows_of_lists():
    space, numbers = Repeated(Repeated(Box(0, 99, (2,)), 4), 3), np.arange(1.0, 25.0).reshape(3, 4, 2)
    expected = encode(space, [numbers.tolist(), numbers[:2].tolist(), []])
    for rows in (
        [numbers, numbers[:2], numbers[:0]],
        [list(numbers), list(numbers[:2]), []],
        [numbers, numbers[:2].tolist(), []],
    ):
        for leaf, other in zip(encode(space, rows), expected, strict=True):
            np.testing.assert_array_equal(leaf, other, strict=True)


def test_a_text_is_the_positions_of_its_characters():
    # An emoji, a lone surrogate and plain letters: one code point each, in the space's own order.
    space = Text(4, min_length=0, charset="b\N{GRINNING FACE}a\ud800")
    lengths, positions = encode(space, ("ab", "", "\N{GRINNING FACE}\ud800b"))
    assert (lengths.tolist(), positions.dtype) == ([2, 0, 3], np.uint8)
    assert positions.tolist() == [[2, 0, 0, 0], [0, 0, 0, 0], [1, 3, 0, 0]]


def test_a_large_character_set_needs_wider_positions():
    charset = "".join(map(chr, range(1000, 1300)))
    lengths, positions = encode(Text(2, charset=charset), [charset[-1], charset[256:258]])
    assert (positions.dtype, lengths.tolist(), positions.tolist()) == (np.int32, [1, 2], [[299, 0], [256, 257]])


def test_a_graph_is_its_nodes_and_edges():
    space = BoundedGraph(Box(0, 9, (1,)), Discrete(5), max_nodes=3, max_edges=2)
    with_edges = GraphInstance(np.array([[7.0], [8.0]]), np.array([4]), np.array([[1, 0]]))
    leaves = encode(space, [with_edges, GraphInstance(np.zeros((0, 1)), None, None)])
    assert [leaf.tolist() for leaf in leaves] == [
        [2, 0],
        [[[7], [8], [0]], [[0], [0], [0]]],
        [1, 0],
        [[4, 0], [0, 0]],
        [[[1, 0], [0, 0]], [[0, 0], [0, 0]]],
    ]
    assert [leaf.place() for leaf in spec(space)] == [
        "obs.nodes.length",
        "obs.nodes[...]",
        "obs.edges.length",
        "obs.edges[...]",
        "obs.edge_links[...]",
    ]


def test_of_several_alternatives_the_others_are_zero():
    which, number, position = encode(OneOf((Discrete(3, start=5), Box(1, 2, (2,)))), [(0, 6), (np.int64(1), [1, 2])])
    assert (which.tolist(), number.tolist(), position.tolist()) == ([0, 1], [1, 0], [[0, 0], [1, 2]])


def test_screens_are_stored_as_pictures_and_memory_as_it_is():
    rng = np.random.default_rng(0)
    screens = rng.integers(0, 256, (3, 210, 160, 3), np.uint8)
    memory = rng.integers(0, 256, (3, 128), np.uint8)
    space = Dict(ram=AtariRam(), screens=Repeated(AtariPixels(dim=42, grayscale=True), 2))
    ram, lengths, pictures = encode(space, {"ram": memory, "screens": ([screens[0]], [], list(screens[1:]))})
    assert ram is memory
    assert lengths.tolist() == [1, 0, 2]
    expected = warp_pixels(screens, 42, True)
    np.testing.assert_array_equal(pictures[[0, 2, 2], [0, 0, 1]], expected)
    assert pictures.dtype == np.uint8
    assert not pictures[1].any()
    stack = Encoder(AtariPixels(dim=42, grayscale=True))
    np.testing.assert_array_equal(stack(screens.reshape(3, 1, 210, 160, 3))[0][:, 0], expected)
    with pytest.raises(ObservationError, match=r"expected shape \(210, 160, 3\) .* got \(42, 42, 1\)"):
        encode(space, {"ram": memory, "screens": ([], [], [expected[0]])})


# ------------------------------------------------------------------------------------------------------ errors

PLAYERS = Repeated(Dict(hp=Box(0, 9, ()), items=Repeated(PART, 2)), 3)
GRAPH = BoundedGraph(Box(0, 9, (2,)), Dict(far=Discrete(5)), max_nodes=3, max_edges=2)
CHOICE = OneOf((Discrete(3), Repeated(Box(0, 9, (2,)), 2)))
FINE = {"x": [0, 1], "kind": 2}


def graph(nodes=2, far=(1,), links=((0, 1),)):
    return GraphInstance(np.zeros((nodes, 2)), None if far is None else {"far": np.array(far)}, links)


def sequence(kind=BoundedSequence, **options):
    return kind(PART, 3, **options)


MISFITS = {
    "too long": (
        Repeated(PART, 3),
        [FINE] * 4,
        'obs["f"]: expected at most 3 elements, got 4; `max_len` may be too small. Make the environment return',
    ),
    "too long within": (
        PLAYERS,
        [{"hp": 1, "items": []}, {"hp": 2, "items": [FINE] * 3}],
        'obs["f"][1]["items"]: expected at most 2 elements, got 3',
    ),
    "array too long": (Repeated(Discrete(2), 2), np.zeros(3), 'obs["f"]: expected at most 2 elements, got 3'),
    "tuple": (Repeated(PART, 3), (FINE,), 'obs["f"]: expected a list or array for Repeated(Dict('),
    "none": (Repeated(PART, 3), None, "got NoneType"),
    "no dimensions": (Repeated(PART, 3), np.array(3.0), "got an array without dimensions"),
    "list of none": (
        Repeated(PART, 3),
        [FINE, None],
        "obs[\"f\"][1]: expected a dict with keys ['x', 'kind'], got",
    ),
    "missing key": (Repeated(PART, 3), [FINE, {"x": [0, 0]}], 'obs["f"][1]: expected a dict with keys'),
    "another key": (Repeated(PART, 3), [{"x": [0, 0], "k": 2}], "got keys ['x', 'k']"),
    "missing key within": (
        PLAYERS,
        [{"hp": 1, "items": [FINE]}, {"hp": 1, "items": [FINE, {"x": 1}]}],
        'obs["f"][1]["items"][1]: expected a dict',
    ),
    "shape": (
        PLAYERS,
        [{"hp": 1, "items": []}, {"hp": 1, "items": [FINE, FINE | {"x": [1]}]}],
        'obs["f"][1]["items"][1]["x"]: expected shape (2,) for Box(-1.0, 1.0, (2,), float32), got (1,).',
    ),
    "uneven array": (
        Repeated(PART, 3),
        [FINE | {"x": [[1], [1, 2]]}],
        'obs["f"][0]["x"]: expected an array for Box',
    ),
    "no number": (
        Repeated(PART, 3),
        [FINE, FINE | {"kind": None}],
        'obs["f"][1]["kind"]: expected numbers for Dis',
    ),
    "half": (
        Repeated(PART, 3),
        [FINE, FINE | {"kind": 2.5}],
        'obs["f"][1]["kind"]: expected values that int64 can',
    ),
    "tuple part": (
        Repeated(Tuple((Discrete(2), Discrete(2))), 3),
        [(0, 1), (0, 1, 0)],
        'obs["f"][1]: expected a tuple of length 2, got 3',
    ),
    "sequence as array": (
        BoundedSequence(Discrete(3), 3),
        np.zeros(2),
        'obs["f"]: expected a tuple for BoundedSequ',
    ),
    "stacked of two lengths": (
        sequence(stack=True),
        {"x": np.zeros((2, 2)), "kind": np.zeros(3)},
        'obs["f"][...]: expected stacked parts of one length, got lengths (2, 3)',
    ),
    "stacked without key": (
        sequence(stack=True),
        {"x": np.zeros((2, 2))},
        'obs["f"][...]: expected a dict with keys',
    ),
    "stacked number": (
        sequence(stack=True),
        {"x": np.zeros((2, 2)), "kind": 2},
        'obs["f"][...]["kind"]: expected an array [length] for Discrete(3, start=2), got int',
    ),
    "stacked shape": (
        sequence(stack=True),
        {"x": np.zeros((2, 3)), "kind": np.zeros(2)},
        'obs["f"][...]["x"]: expected an array [length, 2]',
    ),
    "stacked text": (
        BoundedSequence(Dict(w=WORD), 3, stack=True),
        {"w": "xyz"},
        'obs["f"][...]["w"]: expected a tuple or list of raw values, got str',
    ),
    "unknown character": (Repeated(WORD, 3), ["xy", "zzq"], 'obs["f"][1][2]: expected a character of Text(2, 4'),
    "far unknown character": (WORD, "xy\N{GRINNING FACE}", "got '\N{GRINNING FACE}'"),
    "short text": (WORD, "x", 'obs["f"]: expected 2 to 4 characters, got 1. Make the environment return'),
    "long text": (Repeated(WORD, 3), ["xx", "xxxxx"], 'obs["f"][1]: expected 2 to 4 characters, got 5'),
    "text as number": (WORD, 5, 'obs["f"]: expected a str for Text(2, 4, charset=abxyz), got int'),
    "graph as tuple": (
        GRAPH,
        (np.zeros((2, 2)), None, None),
        'obs["f"]: expected a GraphInstance for BoundedGraph(',
    ),
    "too many nodes": (GRAPH, graph(4), 'obs["f"].nodes: expected at most 3 nodes, got 4'),
    "too many edges": (
        GRAPH,
        graph(far=[1] * 3, links=[[0, 0]] * 3),
        'obs["f"].edges: expected at most 2 edges, got 3',
    ),
    "edge to nowhere": (
        Repeated(GRAPH, 3),
        [graph(2), graph(2, far=[1, 1], links=np.array([[0, 1], [1, 2]]))],
        'obs["f"][1].edge_links[1]: expected positions of two of the graph\'s 2 nodes, got [1, 2]',
    ),
    "edge from below": (GRAPH, graph(links=[[-1, 0]]), 'obs["f"].edge_links[0]: expected positions of two of'),
    "half an edge": (
        GRAPH,
        graph(links=[[0.5, 0]]),
        'obs["f"].edge_links[0]: expected values that uint8 can hold',
    ),
    "edge of three ends": (
        GRAPH,
        graph(links=[[0, 1, 0]]),
        'obs["f"].edge_links[...]: expected an array [length, 2]',
    ),
    "edges without links": (
        GRAPH,
        graph(links=None),
        'obs["f"].edge_links[...]: expected an array [length, 2] for',
    ),
    "links without edges": (
        GRAPH,
        graph(far=None),
        "obs[\"f\"].edges[...]: expected a dict with keys ['far'], got",
    ),
    "edges and links apart": (
        GRAPH,
        graph(far=[1, 2]),
        'obs["f"].edges[...]: expected stacked parts of one length',
    ),
    "shape of nodes": (
        GRAPH,
        GraphInstance(np.zeros((2, 3)), None, None),
        'obs["f"].nodes[...]: expected an array [length, 2] for Box',
    ),
    "unwanted edges": (
        BoundedGraph(Box(0, 9, (2,)), None, max_nodes=3),
        graph(),
        'obs["f"]: expected a GraphInstance for BoundedGraph(Box(0.0, 9.0, (2,), float32), None, max_nodes=3),'
        " without edges, got edges",
    ),
    "choice as value": (CHOICE, 1, 'obs["f"]: expected a pair (index in 0..1, value) for OneOf('),
    "choice of three": (CHOICE, (0, 1, 2), 'obs["f"]: expected a pair (index in 0..1, value)'),
    "choice too high": (CHOICE, (2, 1), 'obs["f"]: expected a pair (index in 0..1, value)'),
    "choice below": (CHOICE, (-1, 1), "got (-1, 1)"),
    "choice of a half": (CHOICE, (0.5, 1), "got (0.5, 1)"),
    "chosen value": (
        Repeated(CHOICE, 3),
        [(0, 1), (1, []), (1, [[0, 1], [0]])],
        'obs["f"][2].option_1[1]: expected shape (2,) for Box',
    ),
}


@pytest.mark.parametrize("name", MISFITS)
def test_misfits_in_what_varies_name_element_and_row(name):
    space, bad, message = MISFITS[name]
    space = Dict(f=space, fine=Discrete(2))
    space.seed(0)
    batch = {"f": [space.sample()["f"], space.sample()["f"], bad], "fine": [0, 0, 1]}
    with pytest.raises(ObservationError) as caught:
        encode(space, batch)
    assert str(caught.value).startswith("row 2: obs")
    assert message in str(caught.value)
    with pytest.raises(ObservationError) as alone:
        Encoder(space).single({"f": bad, "fine": 1})
    assert str(alone.value) == str(caught.value).removeprefix("row 2: ")


@pytest.mark.parametrize(
    ("space", "obs", "message"),
    [
        (WORD, "xyz", "obs: expected a tuple or list, one raw value a row, got str"),
        (sequence(stack=True), {"x": np.zeros((2, 2)), "kind": np.zeros(2)}, "one raw value a row, got dict"),
        (PLAYERS, np.array(3.0), "one raw value a row, got ndarray"),
        (Dict(a=WORD, b=Discrete(2)), {"a": ["xx"], "b": [0, 1]}, r'same batch shape .* obs\["a"\].length \(1,\)'),
        (Dict(a=WORD, b=Discrete(2)), {"a": ["xx"], "b": 1}, r'same batch shape .* obs\["b"\] \(\)'),
    ],
    ids=["text", "stacked sequence", "number", "two lengths", "a single number"],
)
def test_what_varies_comes_one_raw_value_a_row(space, obs, message):
    with pytest.raises(ObservationError, match=message):
        encode(space, obs)


def test_arrays_of_another_shape_are_named():
    space = Dict(f=Repeated(Box(0, 9, (2,)), 3))
    with pytest.raises(ObservationError, match=r'row 1: obs\["f"\]\[...\]: expected an array \[length, 2\]'):
        encode(space, {"f": [np.zeros((2, 2)), np.zeros((2, 3))]})
    with pytest.raises(ObservationError, match=r'row 1: obs\["f"\]\[0\]: expected shape \(2,\)'):
        encode(space, {"f": [[], np.zeros((2, 3))]})


@pytest.mark.parametrize(
    ("space", "place"),
    [
        (Dict(a=BoundedSequence(Dict(b=Tuple(()), c=Discrete(2)), 2, stack=True)), r'obs\["a"\]:'),
        (Dict(a=BoundedGraph(Discrete(2), Dict({}), max_nodes=1, max_edges=1)), r'obs\["a"\].edges:'),
        (Dict(a=BoundedGraph(Tuple(()), None, max_nodes=1)), r'obs\["a"\].nodes:'),
    ],
    ids=["sequence", "edges", "nodes"],
)
def test_stacked_elements_without_a_length_are_refused(space, place):
    with pytest.raises(UnsupportedSpaceError, match=rf"{place} an empty Dict or Tuple"):
        spec(space)
