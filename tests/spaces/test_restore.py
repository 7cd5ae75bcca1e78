import copy
import math
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
from gymnasium.spaces import (
    Box,
    Dict,
    Discrete,
    GraphInstance,
    MultiBinary,
    MultiDiscrete,
    OneOf,
    Text,
    Tuple,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from anyspace.spaces.kinds.bounded import BoundedGraph, BoundedSequence
from anyspace.spaces.kinds.repeated import Repeated
from anyspace.spaces.kinds.words import Words
from anyspace.spaces.leaves import structure
from anyspace.spaces.preprocessors import get_preprocessor
from anyspace.spaces.repeated_values import RepeatedValues
from anyspace.spaces.restore import nest, restore_original_dimensions
from tests.fuzz.generator import observation_spaces
from tests.fuzz.sampling import samples
from tests.support.catalogue import OBSERVATION_SPACES, stacked
from tests.support.flat_reference import elements, flattened, one_hot, unstacked, width

NESTED = Dict(z=Tuple((Discrete(3), Box(-1, 1, (2,)))), a=MultiBinary((2, 2)))


def structured(space, obs):
    """What restoring one observation must give, lists as lists: a reference that shares no code with the library.

    An observation of None is an alternative that was not chosen.
    """
    match space:
        case Dict():
            return {key: structured(child, None if obs is None else obs[key]) for key, child in space.spaces.items()}
        case Tuple():
            parts = [None] * len(space.spaces) if obs is None else obs
            return [structured(child, part) for child, part in zip(space.spaces, parts, strict=True)]
        case OneOf():
            which, value = (None, None) if obs is None else obs
            options = [structured(child, value if i == which else None) for i, child in enumerate(space.spaces)]
            return [one_hot(which, len(space.spaces)), *options]
        case BoundedGraph():
            return graph(space, obs)
        case Text() | Words() | BoundedSequence() | Repeated():
            return [] if obs is None else [structured(child, element) for child, element in elements(space, obs)]
    flat = [0.0] * width(space) if obs is None else flattened(space, obs)
    shape = (-1,) if isinstance(space, Discrete | MultiDiscrete) else getattr(space, "stored_shape", space.shape)
    return np.reshape(flat, shape)


def graph(space, obs):
    nodes = (
        [] if obs is None else [structured(space.node_space, node) for node in unstacked(space.node_space, obs.nodes)]
    )
    if space.edge_space is None:
        return {"nodes": nodes}
    there = obs is not None and obs.edges is not None
    edges = zip(unstacked(space.edge_space, obs.edges), obs.edge_links, strict=True) if there else ()
    listed = [
        {
            "features": structured(space.edge_space, edge),
            "links": [slot for end in ends for slot in one_hot(end, space.max_nodes)],
        }
        for edge, ends in edges
    ]
    return {"nodes": nodes, "edges": listed}


def row(restored, index):
    """One observation of restored ones, lists as lists."""
    if isinstance(restored, RepeatedValues):
        return restored.unbatch_all()[index]
    if isinstance(restored, dict):
        return {key: row(child, index) for key, child in restored.items()}
    return [row(child, index) for child in restored] if isinstance(restored, list) else restored[index]


def assert_same(result, expected):
    if isinstance(expected, dict):
        assert list(result) == list(expected)
        for key in expected:
            assert_same(result[key], expected[key])
    elif isinstance(result, list):
        for one, other in zip(result, expected, strict=True):
            assert_same(one, other)
    elif isinstance(result, RepeatedValues):
        assert result.max_len == expected.max_len
        assert_same(result.lengths, expected.lengths)
        assert_same(result.values, expected.values)
    else:
        assert tuple(result.shape) == np.shape(expected)
        np.testing.assert_allclose(result, expected, rtol=1e-6)


def assert_comes_back(space, seed):
    observations, preprocessor = samples(space, 3, seed), get_preprocessor(space)
    leaves = preprocessor.encode(stacked(space, observations))
    features = preprocessor.expand(leaves)
    restored = preprocessor.restore(features)
    for index, sample in enumerate(observations):
        assert_same(row(restored, index), structured(space, sample))
    flat = preprocessor.flatten_features(features)
    again = restore_original_dimensions(flat, preprocessor.observation_space)
    if isinstance(restored, dict | list | RepeatedValues):
        assert_same(again, restored)
    else:
        assert again is flat


@pytest.mark.spec(14)
@pytest.mark.parametrize("name", OBSERVATION_SPACES)
def test_flatten_then_restore_gives_the_observation_back(name):
    assert_comes_back(OBSERVATION_SPACES[name], 0)


@given(observation_spaces(), st.integers(0, 1000))
@settings(deadline=None, max_examples=60)
def test_random_spaces_come_back(space, seed):
    assert_comes_back(space, seed)


@pytest.mark.spec(13)
@pytest.mark.parametrize(
    "space",
    [Dict([("z", Discrete(2)), ("a", Discrete(2))]), Dict(z=Discrete(2), a=Discrete(2))],
    ids=["pairs", "kwargs"],
)
def test_unsorted_keys_come_back_under_their_names(space):
    preprocessor = get_preprocessor(space)
    for obs in ({"z": 1, "a": 0}, OrderedDict(a=0, z=1)):
        restored = restore_original_dimensions(preprocessor.transform(obs), preprocessor.observation_space)
        assert list(restored) == ["z", "a"]
        assert restored["z"].tolist() == [0, 1]
        assert restored["a"].tolist() == [1, 0]


@pytest.mark.spec(17)
@pytest.mark.parametrize("batch", [(), (5,), (2, 3), (0,)], ids=str)
def test_frameworks_agree_on_any_batch(batch):
    space = get_preprocessor(NESTED).observation_space
    flat = np.random.default_rng(0).standard_normal((*batch, 9)).astype(np.float32)
    by_numpy = restore_original_dimensions(flat, space, "numpy")
    by_torch = restore_original_dimensions(torch.as_tensor(flat), space, tensorlib="torch")
    assert isinstance(by_torch["a"], torch.Tensor)
    assert_same(by_torch, by_numpy)
    assert list(by_numpy) == ["z", "a"]
    assert isinstance(by_numpy["z"], list)
    np.testing.assert_array_equal(by_numpy["z"][0], flat[..., :3])
    np.testing.assert_array_equal(by_numpy["z"][1], flat[..., 3:5])
    np.testing.assert_array_equal(by_numpy["a"], flat[..., 5:].reshape(*batch, 2, 2))


# -------------------------------------------------------------------------------------------------- lists


@pytest.mark.spec(154)
@pytest.mark.parametrize("batch", [(5,), (4, 5), (), (0,)], ids=str)
@pytest.mark.parametrize("array", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
def test_lists_in_lists_keep_an_axis_each(array, batch):
    space = get_preprocessor(Repeated(Repeated(Box(-9, 9, (2,)), 3), 4)).observation_space
    flat = np.random.default_rng(0).standard_normal((*batch, 1 + 4 * (1 + 3 * 2))).astype(np.float32)
    outer = restore_original_dimensions(array(flat), space)
    inner = outer.values
    assert (outer.max_len, inner.max_len) == (4, 3)
    assert tuple(outer.lengths.shape) == batch
    assert tuple(inner.lengths.shape) == (*batch, 4)
    assert tuple(inner.values.shape) == (*batch, 4, 3, 2)
    blocks = flat[..., 1:].reshape(*batch, 4, 7)
    np.testing.assert_array_equal(outer.lengths, flat[..., 0])
    np.testing.assert_array_equal(inner.lengths, blocks[..., 0])
    np.testing.assert_array_equal(inner.values, blocks[..., 1:].reshape(*batch, 4, 3, 2))


@pytest.mark.spec(155)
def test_a_list_of_dicts_is_a_dict_of_arrays():
    preprocessor = get_preprocessor(Repeated(Dict(z=Discrete(3), a=Box(-9, 9, (2, 2))), 4))
    items = [{"z": 2, "a": np.full((2, 2), 7, np.float32)}, {"z": 0, "a": np.full((2, 2), -7, np.float32)}]
    flat = preprocessor.transform_batch([items, []])
    restored = restore_original_dimensions(torch.as_tensor(flat), preprocessor.observation_space, "torch")
    assert list(restored.values) == ["z", "a"]
    assert restored.lengths.tolist() == [2, 0]
    assert restored.values["z"].shape == (2, 4, 3)
    assert restored.values["a"].shape == (2, 4, 2, 2)
    assert restored.values["z"][0].tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert restored.values["a"][0, :, 0, 0].tolist() == [7, -7, 0, 0]


@pytest.mark.spec(156)
def test_unbatching_gives_the_lists_back():
    preprocessor = get_preprocessor(Repeated(Box(-9, 9, (2,)), 3))
    lists = [[np.array([1, 2], np.float32)], [], [np.array([i, 3], np.float32) for i in range(3)]]
    restored = restore_original_dimensions(preprocessor.transform_batch(lists), preprocessor.observation_space)
    assert_same(restored.unbatch_all(), lists)
    assert len(restored.unbatch_repeat_dim()) == 3


def test_graphs_texts_and_alternatives():
    space = Tuple(
        (
            BoundedGraph(Box(0, 9, (1,)), Discrete(2), max_nodes=3, max_edges=2),
            Text(2, charset="ab"),
            OneOf((Discrete(2), Dict(x=Box(0, 9, ())))),
        )
    )
    links = np.array([[2, 0]])
    network = GraphInstance(np.array([[3], [4], [5]], np.float32), np.array([1]), links)
    preprocessor = get_preprocessor(space)
    flat = preprocessor.transform((network, "b", (np.int64(1), {"x": np.array(6, np.float32)})))
    graph, text, either = restore_original_dimensions(flat[None], preprocessor.observation_space)
    assert list(graph) == ["nodes", "edges"]
    assert graph["nodes"].values.tolist() == [[[3], [4], [5]]]
    assert graph["edges"].lengths.tolist() == [1]
    assert graph["edges"].values["features"].tolist() == [[[0, 1], [0, 0]]]
    assert graph["edges"].values["links"].tolist() == [[[0, 0, 1, 1, 0, 0], [0] * 6]]
    assert text.values.tolist() == [[[0, 1], [0, 0]]]
    assert text.lengths.tolist() == [1]
    choice, number, inner = either
    assert (choice.tolist(), number.tolist(), inner["x"].tolist()) == ([[0, 1]], [[0, 0]], [6])
    edgeless = BoundedGraph(Box(0, 9, (1,)), None, max_nodes=3, max_edges=2)
    assert list(nest(structure(edgeless), iter([np.ones(1), np.ones((1, 3, 1))]))) == ["nodes"]


# ------------------------------------------------------------------------------------------- the contract


def test_gradients_flow_through():
    flat = torch.zeros(4, 9, requires_grad=True)
    restore_original_dimensions(flat, get_preprocessor(NESTED).observation_space)["z"][1].sum().backward()
    assert flat.grad[3].tolist() == [0, 0, 0, 1, 1, 0, 0, 0, 0]


@pytest.mark.spec(18)
@pytest.mark.parametrize("shape", [(3, 8), (9, 1), ()], ids=str)
def test_a_wrong_last_dimension_is_refused(shape):
    with pytest.raises(ValueError, match=r"\[\.\.\., 9\], got") as caught:
        restore_original_dimensions(np.zeros(shape), get_preprocessor(NESTED).observation_space)
    assert str(shape) in str(caught.value)


def test_what_has_no_structure_comes_back_as_it_is():
    flat, nested = np.zeros((2, 3)), {"a": 1}
    listed = RepeatedValues(flat, np.zeros(2), 3)
    assert restore_original_dimensions(flat, Box(0, 1, (3,))) is flat
    assert restore_original_dimensions(flat, get_preprocessor(Discrete(3)).observation_space) is flat
    assert restore_original_dimensions(nested, get_preprocessor(NESTED).observation_space) is nested
    assert restore_original_dimensions(listed, get_preprocessor(NESTED).observation_space) is listed


def test_any_space_that_knows_the_original_will_do():
    class Preprocessed(Box):
        original_space = NESTED

    flat = np.arange(9, dtype=np.float32)
    restored = restore_original_dimensions(flat, Preprocessed(-1, 1, (9,)))
    assert_same(restored, restore_original_dimensions(flat, get_preprocessor(NESTED).observation_space))


def test_the_structure_is_read_once(monkeypatch):
    preprocessor = get_preprocessor(NESTED)
    features = preprocessor.expand(preprocessor.encode.single(NESTED.sample()))
    monkeypatch.setattr("anyspace.spaces.restore.structure", None)
    assert restore_original_dimensions(np.zeros(9), preprocessor.observation_space)["a"].shape == (2, 2)
    assert preprocessor.restore(features)["a"].shape == (2, 2)


def test_preprocessed_spaces_survive_copies():
    space = get_preprocessor(NESTED).observation_space
    for twin in (copy.deepcopy(space), pickle.loads(pickle.dumps(space))):
        assert twin == space
        assert twin.original_space == NESTED
        assert restore_original_dimensions(np.zeros((3, 9)), twin)["a"].shape == (3, 2, 2)


def test_a_tensorlib_may_be_the_module_as_in_old_files():
    flat, space = np.zeros((2, 9), np.float32), get_preprocessor(NESTED).observation_space
    for module, array in ((np, flat), (torch, torch.as_tensor(flat))):
        assert restore_original_dimensions(array, space, module)["a"].shape == (2, 2, 2)
    with pytest.raises(ValueError, match=r"tensorlib: expected one of .* got <module 'math'"):
        restore_original_dimensions(flat, space, math)


def test_an_unknown_tensorlib_is_refused():
    with pytest.raises(ValueError, match="'numpy', 'torch', 'tf', 'tf2', None, got 'jax'"):
        restore_original_dimensions(np.zeros((1, 9)), get_preprocessor(NESTED).observation_space, "jax")


def test_features_are_nested_as_the_space_is():
    assert nest(structure(NESTED), iter(["number", "position", "binary"])) == {
        "z": ["number", "position"],
        "a": "binary",
    }
    assert nest(structure(Discrete(2)), iter(["number"])) == "number"
