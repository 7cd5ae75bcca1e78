from collections import OrderedDict

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiBinary, MultiDiscrete, Sequence, Text, Tuple
from hypothesis import given, settings
from hypothesis import strategies as st

from anyspace.errors import ObservationError, UnsupportedSpaceError
from anyspace.spaces import (
    DictFlatteningPreprocessor,
    NoPreprocessor,
    OneHotPreprocessor,
    TupleFlatteningPreprocessor,
    get_preprocessor,
)
from catalogue import OBSERVATION_SPACES, observation_spaces, stacked


def flattened(space, obs):
    """Flatten one observation value by value: a reference that shares no code with the library."""
    if isinstance(space, Dict):
        return [slot for key, child in space.spaces.items() for slot in flattened(child, obs[key])]
    if isinstance(space, Tuple):
        return [slot for child, part in zip(space.spaces, obs, strict=True) for slot in flattened(child, part)]
    if isinstance(space, Discrete):
        return [float(int(obs) == int(space.start) + i) for i in range(int(space.n))]
    if isinstance(space, MultiDiscrete):
        triples = zip(space.nvec.ravel(), space.start.ravel(), np.ravel(obs), strict=True)
        return [float(int(value) == int(start) + i) for n, start, value in triples for i in range(n)]
    return [float(np.float32(value)) for value in np.ravel(obs)]


@given(observation_spaces(), st.integers(0, 1000))
@settings(deadline=None, max_examples=60)
def test_flat_vectors_of_random_spaces(space, seed):
    preprocessor = get_preprocessor(space)
    space.seed(seed)
    samples = [space.sample() for _ in range(3)]
    expected = np.array([flattened(space, sample) for sample in samples])
    leaves = preprocessor.encode(stacked(space, samples))
    np.testing.assert_array_equal(preprocessor.flatten(leaves), expected)
    np.testing.assert_array_equal(preprocessor.flatten([torch.as_tensor(leaf) for leaf in leaves]), expected)


@pytest.mark.parametrize("name", OBSERVATION_SPACES)
def test_one_observation_equals_its_row_of_many(name):
    space = OBSERVATION_SPACES[name]
    preprocessor = get_preprocessor(space)
    space.seed(1)
    samples = [space.sample() for _ in range(4)]
    batch = stacked(space, samples)
    rows = preprocessor.transform_batch(batch)
    for sample, row in zip(samples, rows, strict=True):
        np.testing.assert_array_equal(preprocessor.transform(sample), row)
    flat = preprocessor.flatten(preprocessor.encode(batch))
    assert flat.shape == (4, preprocessor.size)
    assert flat.dtype == np.float32
    np.testing.assert_array_equal(flat, [flattened(space, sample) for sample in samples])


@pytest.mark.parametrize("name", ["multidiscrete uint8", "discrete uint16", "dict with binary"])
def test_torch_leaves_of_any_dtype_are_expanded(name):
    space = OBSERVATION_SPACES[name]
    preprocessor = get_preprocessor(space)
    leaves = preprocessor.encode(stacked(space, [space.sample() for _ in range(4)]))
    features = preprocessor.expand([torch.as_tensor(leaf) for leaf in leaves])
    for feature, expected in zip(features, preprocessor.expand(leaves), strict=True):
        assert feature.dtype == torch.float32
        np.testing.assert_array_equal(feature.numpy(), expected)


def test_leading_dimensions_are_kept():
    preprocessor = get_preprocessor(OBSERVATION_SPACES["multidiscrete 2d start"])
    batch = np.broadcast_to(np.array([[1, 1], [7, 5]]), (3, 5, 2, 2))
    assert preprocessor.transform_batch(batch).shape == (3, 5, 10)


@pytest.mark.spec(7)
def test_discrete():
    one_hot = get_preprocessor(Discrete(3)).transform(1)
    assert one_hot.tolist() == [0, 1, 0]
    assert one_hot.dtype == np.float32
    assert get_preprocessor(Discrete(3)).transform(np.int64(2)).tolist() == [0, 0, 1]


@pytest.mark.spec(8)
def test_discrete_with_start():
    assert get_preprocessor(Discrete(3, start=5)).transform(6).tolist() == [0, 1, 0]


@pytest.mark.spec(9)
def test_multidiscrete():
    preprocessor = get_preprocessor(MultiDiscrete([3, 4]))
    assert preprocessor.transform(np.array([1, 3])).tolist() == [0, 1, 0, 0, 0, 0, 1]
    assert preprocessor.transform([1, 3]).tolist() == [0, 1, 0, 0, 0, 0, 1]


@pytest.mark.spec(10)
def test_multidiscrete_of_rank_2():
    square = get_preprocessor(MultiDiscrete([[2, 2], [3, 3]]))
    assert square.transform([[1, 0], [2, 1]]).tolist() == [0, 1, 1, 0, 0, 0, 1, 0, 1, 0]
    uneven = get_preprocessor(MultiDiscrete([[3, 4], [2, 2]]))
    assert uneven.transform([[1, 3], [0, 1]]).tolist() == [0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 1]


@pytest.mark.spec(11)
def test_tuple():
    space = Tuple((Discrete(5), Box(0, 3, (3,))))
    assert get_preprocessor(space).transform((0, [1, 2, 3])).tolist() == [1, 0, 0, 0, 0, 1, 2, 3]
    mixed = Tuple((Discrete(3), Box(0, 1, (2,)), MultiDiscrete([2, 2])))
    flat = get_preprocessor(mixed).transform((2, [0.1, 0.2], [0, 1]))
    np.testing.assert_allclose(flat, [0, 0, 1, 0.1, 0.2, 1, 0, 0, 1], rtol=1e-6)


@pytest.mark.spec(12)
def test_dict():
    space = Dict({"b": Tuple((Discrete(3), Box(-1, 1, (4,)))), "a": Discrete(2)})
    flat = get_preprocessor(space).transform({"b": (2, np.full(4, 0.5, np.float32)), "a": 1})
    assert flat.tolist() == [0, 1, 0, 0, 1, 0.5, 0.5, 0.5, 0.5]


@pytest.mark.spec(13)
def test_unsorted_keys_keep_the_spaces_order():
    space = Dict([("z", Discrete(2)), ("a", Discrete(2))])
    for obs in ({"z": 1, "a": 0}, OrderedDict(a=0, z=1), OrderedDict(z=1, a=0)):
        assert get_preprocessor(space).transform(obs).tolist() == [0, 1, 1, 0]
    assert get_preprocessor(Dict(z=Discrete(3), a=Discrete(2))).transform({"a": 1, "z": 0}).tolist() == [
        1,
        0,
        0,
        0,
        1,
    ]


@pytest.mark.spec(15)
def test_the_preprocessed_space_knows_the_original():
    space = OBSERVATION_SPACES["dict"]
    preprocessor = get_preprocessor(space)
    flat = preprocessor.observation_space
    assert flat.original_space is space
    assert (flat.shape, flat.dtype, preprocessor.shape, preprocessor.size) == ((9,), np.float32, (9,), 9)
    assert preprocessor.transform(space.sample()) in flat


def test_each_space_has_its_class():
    classes = {
        Discrete: OneHotPreprocessor,
        MultiDiscrete: OneHotPreprocessor,
        Tuple: TupleFlatteningPreprocessor,
        Dict: DictFlatteningPreprocessor,
        Box: NoPreprocessor,
        MultiBinary: NoPreprocessor,
    }
    for space in OBSERVATION_SPACES.values():
        assert type(get_preprocessor(space)) is classes[type(space)]


@pytest.mark.spec(31)
@pytest.mark.parametrize("obs", [np.zeros(4, np.float32), np.zeros(4), [0.0, 0.1, 0.2, 0.3]], ids=["f4", "f8", "list"])
def test_a_box_observation_passes_as_the_object_it_is(obs):
    space = Box(-1, 1, (4,))
    preprocessor = get_preprocessor(space)
    assert preprocessor.transform(obs) is obs
    assert preprocessor.transform_batch(obs) is obs
    assert preprocessor.observation_space is space
    assert (preprocessor.shape, preprocessor.size) == ((4,), 4)


@pytest.mark.spec(33)
@pytest.mark.parametrize("call", [0, 50, 100])
def test_every_observation_is_checked(call):
    space = Box(-1, 1, (2,))
    preprocessor = get_preprocessor(space)
    for _ in range(call):
        preprocessor.transform(np.zeros(2, np.float32))
    with pytest.raises(ValueError, match=r"got 7\.5") as caught:
        preprocessor.transform(np.array([0, 7.5]))
    assert "[0.  7.5]" in str(caught.value)
    assert "float64" in str(caught.value)
    assert str(space) in str(caught.value)


@pytest.mark.parametrize(
    ("space", "obs", "message"),
    [
        (
            Discrete(3, start=5),
            8,
            r"obs: expected a value in 5\.\.7, got 8. .* observation was 8 \(dtype None\)",
        ),
        (Discrete(3), "one", "expected numbers"),
        (Dict(a=Discrete(2)), {"b": 1}, r"keys \['a'\], got keys \['b'\]"),
        (Dict(a=Box(0, 1, (2,))), {"a": [0, np.nan]}, r'obs\["a"\]: expected a finite number, got nan'),
        (Box(0, 1, (2,)), np.zeros((5, 2), np.float32), r"a single observation, got a batch of shape \(5,\)"),
    ],
)
def test_errors_tell_observation_and_space(space, obs, message):
    with pytest.raises(ObservationError, match=message) as caught:
        get_preprocessor(space).transform(obs)
    assert str(obs) in str(caught.value)
    assert str(space) in str(caught.value)


@pytest.mark.spec(34)
def test_a_shape_alone_does_not_mean_atari():
    features = np.linspace(-10, 10, 128, dtype=np.float32)
    assert get_preprocessor(Box(-10, 10, (128,))).transform(features) is features
    byte = np.arange(128, dtype=np.uint8)
    assert get_preprocessor(Box(0, 255, (128,), np.uint8)).transform(byte) is byte


@pytest.mark.spec(35)
@pytest.mark.parametrize("space", [Text(4), Sequence(Discrete(2)), Graph(Discrete(2), None)], ids=str)
def test_unsupported_spaces_are_refused_when_built(space):
    with pytest.raises(UnsupportedSpaceError, match="Supported: Box"):
        get_preprocessor(space)
