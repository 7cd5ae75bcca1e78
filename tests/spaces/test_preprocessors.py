from collections import OrderedDict

import jax
import numpy as np
import pytest
import torch
from gymnasium import Space
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

from anyspace.errors import ObservationError, UnsupportedSpaceError
from anyspace.spaces.kinds.atari import AtariPixels, AtariRam
from anyspace.spaces.kinds.bounded import BoundedGraph, BoundedSequence
from anyspace.spaces.kinds.frames import Image, StackedFrames
from anyspace.spaces.kinds.repeated import Repeated
from anyspace.spaces.kinds.simplex import Simplex
from anyspace.spaces.preprocessors import (
    AtariRamPreprocessor,
    DictFlatteningPreprocessor,
    GenericPixelPreprocessor,
    NoPreprocessor,
    OneHotPreprocessor,
    PaddingPreprocessor,
    RepeatedValuesPreprocessor,
    TupleFlatteningPreprocessor,
    get_preprocessor,
    zero_absent,
)
from tests.fuzz.generator import observation_spaces
from tests.fuzz.sampling import samples
from tests.support.catalogue import OBSERVATION_SPACES, others_by_fuzz, stacked
from tests.support.flat_reference import flattened


@pytest.mark.parametrize("name", OBSERVATION_SPACES)
def test_flat_vectors_come_back_as_leaves(name):
    space = OBSERVATION_SPACES[name]
    preprocessor = get_preprocessor(space)
    leaves = preprocessor.encode(stacked(space, samples(space, 6, seed=3)))
    back = preprocessor.unflatten(preprocessor.flatten(leaves))
    for spec, leaf, again in zip(preprocessor.specs, leaves, back, strict=True):
        assert (again.shape, again.dtype) == ((6, *spec.shape), spec.dtype), spec.place()
        if np.abs(leaf.astype(np.float64)).max(initial=0) < 2**24:  # features are float32, which holds no larger ones
            np.testing.assert_allclose(again, leaf, rtol=1e-6 if leaf.dtype.kind == "f" else 0)


def test_atari_comes_back_from_its_scale():
    for space in (AtariRam(), AtariPixels()):
        preprocessor = get_preprocessor(space)
        leaves = preprocessor.encode(np.stack([space.sample() for _ in range(2)]))
        (back,) = preprocessor.unflatten(preprocessor.flatten(leaves))
        np.testing.assert_array_equal(back, leaves[0])


@given(observation_spaces(), st.integers(0, 1000))
@settings(deadline=None, max_examples=25)
def test_flat_vectors_of_random_spaces_come_back(space, seed):
    preprocessor = get_preprocessor(space)
    flat = preprocessor.flatten(preprocessor.encode(stacked(space, samples(space, 3, seed))))
    np.testing.assert_allclose(preprocessor.flatten(preprocessor.unflatten(flat)), flat, rtol=1e-6)


def test_the_class_of_each_space():
    classes = {
        OneHotPreprocessor: [Discrete(2), MultiDiscrete([2, 3])],
        TupleFlatteningPreprocessor: [Tuple((Discrete(2),))],
        DictFlatteningPreprocessor: [Dict(a=Discrete(2))],
        RepeatedValuesPreprocessor: [Repeated(Discrete(2), 3)],
        PaddingPreprocessor: [
            Text(3),
            BoundedSequence(Discrete(2), 3),
            BoundedGraph(Discrete(2), None, max_nodes=3, max_edges=3),
            OneOf((Discrete(2),)),
        ],
        AtariRamPreprocessor: [AtariRam()],
        GenericPixelPreprocessor: [AtariPixels()],
        NoPreprocessor: [
            Box(-1, 1, (2,)),
            Box(0, 255, (84, 84, 3), np.uint8),
            Image((3, 84, 84)),
            StackedFrames(0, 255, (84, 84, 4), stack=4),
            MultiBinary(3),
            Simplex((3,)),
        ],
    }
    for expected, spaces in classes.items():
        assert {type(get_preprocessor(space)) for space in spaces} == {expected}


@given(observation_spaces(), st.integers(0, 1000))
@settings(deadline=None, max_examples=60)
def test_flat_vectors_of_random_spaces(space, seed):
    preprocessor, observations = get_preprocessor(space), samples(space, 3, seed)
    expected = np.array([flattened(space, obs) for obs in observations])
    leaves = preprocessor.encode(stacked(space, observations))
    flat = preprocessor.flatten(leaves)
    assert flat.shape == (3, preprocessor.size)
    assert flat.dtype == np.float32
    np.testing.assert_allclose(flat, expected, rtol=1e-6)
    by_torch = preprocessor.flatten([torch.as_tensor(leaf) for leaf in leaves])
    assert by_torch.dtype == torch.float32
    np.testing.assert_array_equal(by_torch, flat)


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
        assert preprocessor.transform(sample).shape == preprocessor.shape == preprocessor.observation_space.shape
    flat = preprocessor.flatten(preprocessor.encode(batch))
    np.testing.assert_allclose(flat, [flattened(space, sample) for sample in samples], rtol=1e-6)


@pytest.mark.parametrize("name", OBSERVATION_SPACES)
def test_more_batch_dimensions(name):
    space = OBSERVATION_SPACES[name]
    preprocessor = get_preprocessor(space)
    space.seed(2)
    leaves = preprocessor.encode(stacked(space, [space.sample() for _ in range(6)]))
    flat = preprocessor.flatten(leaves)
    folded = [leaf.reshape(2, 3, *leaf.shape[1:]) for leaf in leaves]
    np.testing.assert_array_equal(preprocessor.flatten(folded), flat.reshape(2, 3, -1))
    np.testing.assert_array_equal(preprocessor.flatten([leaf[:0] for leaf in leaves]), flat[:0])
    np.testing.assert_array_equal(preprocessor.flatten([leaf[4] for leaf in leaves]), flat[4])


@pytest.mark.parametrize("name", OBSERVATION_SPACES)
def test_features_in_pytorch(name):
    require_same_features(name, torch.as_tensor)


@pytest.mark.parametrize("name", others_by_fuzz(OBSERVATION_SPACES))
def test_features_in_jax(name):
    require_same_features(name, jax.numpy.asarray)


def require_same_features(name, array):
    space = OBSERVATION_SPACES[name]
    preprocessor = get_preprocessor(space)
    space.seed(3)
    leaves = preprocessor.encode(stacked(space, [space.sample() for _ in range(4)]))
    features = preprocessor.expand(leaves)
    assert [feature.shape for feature in features] == [(4, *spec.feature_shape) for spec in preprocessor.specs]
    # Without x64 mode JAX narrows 64-bit integers and says so; indices and pixels fit.
    others = preprocessor.expand([array(narrow(leaf)) for leaf in leaves])
    for other, feature in zip(others, features, strict=True):
        assert str(other.dtype).removeprefix("torch.") == "float32"
        np.testing.assert_allclose(other, feature, rtol=1e-6)


def narrow(leaf):
    return leaf.astype(np.int32) if leaf.dtype in (np.int64, np.uint64) else leaf


@pytest.mark.parametrize(
    "name", sorted({"multidiscrete uint8", "discrete uint16", "dict with binary"} & OBSERVATION_SPACES.keys())
)
def test_torch_leaves_of_any_dtype_are_expanded(name):
    space = OBSERVATION_SPACES[name]
    preprocessor = get_preprocessor(space)
    leaves = preprocessor.encode(stacked(space, [space.sample() for _ in range(4)]))
    features = preprocessor.expand([torch.as_tensor(leaf) for leaf in leaves])
    for feature, expected in zip(features, preprocessor.expand(leaves), strict=True):
        assert feature.dtype == torch.float32
        np.testing.assert_array_equal(feature.numpy(), expected)


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
            r"obs: expected a value in 5\.\.7, got 8. .* observation was 8, its space",
        ),
        (Discrete(3), "one", "expected numbers"),
        (Dict(a=Discrete(2)), {"b": 1}, r"keys \['a'\], got keys \['b'\]"),
        (Dict(a=Box(0, 1, (2,))), {"a": [0, np.nan]}, r'obs\["a"\]: expected a finite number, got nan'),
        (Box(0, 1, (2,)), np.zeros((5, 2), np.float32), r"a single observation, of shape \(2,\) .*\(5, 2\)"),
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
def test_unsupported_spaces_are_refused_when_built():
    with pytest.raises(UnsupportedSpaceError, match=r'obs\["a"\]: no encoding .* Supported: Box, .* Graph'):
        get_preprocessor(Dict(a=Space()))


# ----------------------------------------------------------------------------------------------- pictures


@pytest.mark.spec(71)
@pytest.mark.parametrize("shape", [(84, 84, 4), (3, 84, 84), (84, 84), (5, 42, 42, 3)], ids=str)
def test_pictures_are_scaled_where_features_are_made(shape):
    space = Box(0, 255, shape, np.uint8)
    picture = space.sample()
    picture[..., 0, 0], picture[..., 0, 1] = 0, 255
    preprocessor = get_preprocessor(space)
    assert preprocessor.transform(picture) is picture
    (feature,) = preprocessor.expand([picture[None]])
    assert (feature.min(), feature.max(), feature.dtype) == (0, 1, np.float32)
    np.testing.assert_allclose(feature[0], picture / 255, rtol=1e-6)
    unscaled = get_preprocessor(space, scale_images=False)
    np.testing.assert_array_equal(unscaled.expand([picture[None]])[0][0], picture.astype(np.float32))
    assert (unscaled.specs[0].scale, unscaled.specs[0].image) == (1, preprocessor.specs[0].image)


def test_only_pictures_are_scaled():
    space = Dict(
        bytes=Box(0, 255, (5,), np.uint8), shares=Box(0, 1, (9, 9, 3)), camera=Box(0, 255, (9, 9, 3), np.uint8)
    )
    everything = {"bytes": np.full(5, 255), "shares": np.ones((9, 9, 3)), "camera": np.full((9, 9, 3), 255)}
    flat = get_preprocessor(space).transform(everything)
    np.testing.assert_array_equal(np.unique(flat[:5]), [255])
    np.testing.assert_array_equal(np.unique(flat[5:]), [1])


@pytest.mark.spec(30)
@pytest.mark.parametrize("scale_images", [True, False])
def test_atari_memory(scale_images):
    memory = np.zeros(128, np.uint8)
    memory[1:3] = 128, 255
    features = get_preprocessor(AtariRam(), scale_images=scale_images).transform(memory)
    assert features[:3].tolist() == [-1, 0, 0.9921875]
    assert (features.shape, features.dtype) == ((128,), np.float32)


@pytest.mark.spec(27, 28)
@pytest.mark.parametrize(("zero_mean", "white"), [(True, 0.9921875), (False, 1.0)])
@pytest.mark.parametrize("grayscale", [True, False])
def test_atari_screen(zero_mean, white, grayscale):
    space = AtariPixels(dim=42, zero_mean=zero_mean, grayscale=grayscale)
    preprocessor = get_preprocessor(space, scale_images=False)
    screen = np.zeros(space.shape, np.uint8)
    black = preprocessor.transform(screen)
    assert black.shape == preprocessor.shape == preprocessor.observation_space.shape == (42, 42, 1 if grayscale else 3)
    assert preprocessor.observation_space.original_space is space
    assert (np.unique(black).tolist(), black.dtype) == ([-1.0 if zero_mean else 0.0], np.float32)
    assert np.unique(preprocessor.transform_batch(np.full((2, *space.shape), 255, np.uint8))).tolist() == [white]
    if zero_mean:
        assert np.unique(preprocessor.transform(np.full(space.shape, 128, np.uint8))).tolist() == [0]
    assert preprocessor.flatten(preprocessor.encode(screen[None])).shape == (1, preprocessor.size)


# -------------------------------------------------------------------------------------------------- lists


@pytest.mark.spec(153)
def test_a_list_is_its_length_and_its_elements():
    preprocessor = get_preprocessor(Repeated(Box(-9, 9, (2,)), 3))
    elements = [np.array([1, 2], np.float32), np.array([3, 4], np.float32)]
    assert preprocessor.transform(elements).tolist() == [2, 1, 2, 3, 4, 0, 0]
    assert preprocessor.transform(elements).dtype == np.float32
    assert preprocessor.transform(np.array(elements)).tolist() == [2, 1, 2, 3, 4, 0, 0]
    assert preprocessor.transform_batch([elements, []]).tolist() == [[2, 1, 2, 3, 4, 0, 0], [0] * 7]


@pytest.mark.spec(153)
def test_lists_in_lists_are_blocks():
    preprocessor = get_preprocessor(Repeated(Repeated(Discrete(2, start=5), 2), 2))
    assert preprocessor.transform([[6, 5], [5]]).tolist() == [2, 2, 0, 1, 1, 0, 1, 1, 0, 0, 0]
    assert preprocessor.transform([[]]).tolist() == [1] + [0] * 10


@pytest.mark.spec(157)
def test_what_is_no_list_is_refused():
    preprocessor = get_preprocessor(Repeated(Discrete(2), 3))
    assert preprocessor.transform([]).tolist() == [0] * 7
    for obs in ((0, 1), {"a": 1}, None, [0, 1, 0, 1], [7]):
        with pytest.raises(ValueError, match=r"obs.*The whole observation was") as caught:
            preprocessor.transform(obs)
        assert str(obs) in str(caught.value)


def test_a_long_observation_is_told_shortly():
    with pytest.raises(ValueError, match="The whole observation was") as caught:
        get_preprocessor(Repeated(Discrete(2), 3)).transform([0, 1] * 1000)
    assert len(str(caught.value)) < 800


def test_what_is_not_there_is_zero_even_where_zero_is_shifted():
    preprocessor = get_preprocessor(Repeated(AtariRam(), 2))
    leaves = preprocessor.encode([[np.full(128, 64, np.uint8)], []])
    for array in (np.asarray, torch.as_tensor):
        _, memory = preprocessor.expand([array(leaf) for leaf in leaves])
        np.testing.assert_array_equal(memory[0, 0], np.full(128, -0.5))
        assert not memory[0, 1].any()
        assert not memory[1].any()


@pytest.mark.xdist_group("tensorflow")
def test_arrays_of_many_axes_are_zero_where_they_are_not_there():
    feature = np.arange(64, dtype=np.float32).reshape(2, 2, 1, 2, 1, 2, 2, 1, 2) + 1
    there = np.array([[True, False], [False, True]])
    tensorflow = pytest.importorskip("tensorflow")
    expected = feature * there.reshape(2, 2, 1, 1, 1, 1, 1, 1, 1)
    for convert in (np.asarray, torch.from_numpy, tensorflow.constant):
        np.testing.assert_array_equal(np.asarray(zero_absent(convert(feature), convert(there))), expected)


def test_texts_graphs_and_alternatives():
    assert get_preprocessor(Text(2, min_length=0, charset="ba")).transform("a").tolist() == [1, *[0, 1], *[0, 0]]
    space = BoundedGraph(Box(0, 9, (1,)), Discrete(2), max_nodes=2, max_edges=2)
    nodes, links = np.array([[3], [4]], np.float32), np.array([[0, 1]])
    flat = get_preprocessor(space).transform(GraphInstance(nodes, np.array([1]), links))
    assert flat.tolist() == [2, 3, 4, 1, *[0, 1], *[1, 0, 0, 1], *[0] * 6]
    either = OneOf((Discrete(2), Box(0, 9, (2,))))
    assert get_preprocessor(either).transform((np.int64(1), np.array([3, 4], np.float32))).tolist() == [
        0,
        1,
        0,
        0,
        3,
        4,
    ]
    assert get_preprocessor(either).transform((np.int64(0), np.int64(0))).tolist() == [1, 0, 1, 0, 0, 0]


def test_an_unknown_option_is_refused():
    with pytest.raises(TypeError, match="zero_mean"):
        get_preprocessor(AtariPixels(), zero_mean=False)


def test_the_preprocessors_of_parts():
    nested = Dict(b=Discrete(3), a=Tuple([Box(0, 1, (2,)), Discrete(2)]))
    parts = get_preprocessor(nested).preprocessors
    assert [(part.size, len(part.preprocessors)) for part in parts] == [(3, 0), (4, 2)]
