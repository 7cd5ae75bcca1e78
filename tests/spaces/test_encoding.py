from collections import OrderedDict

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import (
    Box,
    Dict,
    Discrete,
    Graph,
    MultiBinary,
    MultiDiscrete,
    OneOf,
    Sequence,
    Text,
    Tuple,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from anyspace.errors import ObservationError, UnsupportedSpaceError
from anyspace.spaces import Encoder, encode, find_fault, require_valid, spec
from catalogue import OBSERVATION_SPACES, observation_spaces, stacked

NESTED = Dict(z=Tuple((Discrete(3, start=5), Box(-1, 1, (2,)))), a=MultiBinary(2))


def sampled(space, rows, seed=0):
    space.seed(seed)
    return [space.sample() for _ in range(rows)]


def flat_leaves(space, sample):
    """Walk a sample along its space: a reference that shares no code with the library."""
    if isinstance(space, Dict):
        return [leaf for key, child in space.spaces.items() for leaf in flat_leaves(child, sample[key])]
    if isinstance(space, Tuple):
        return [leaf for child, part in zip(space.spaces, sample, strict=True) for leaf in flat_leaves(child, part)]
    start = space.start if isinstance(space, Discrete | MultiDiscrete) else 0
    return [np.asarray(sample) if isinstance(space, Box | MultiBinary) else np.asarray(sample) - start]


@pytest.mark.parametrize("name", OBSERVATION_SPACES)
def test_stacked_encoding_equals_the_samples_one_by_one(name):
    space = OBSERVATION_SPACES[name]
    samples = sampled(space, 5)
    leaves = encode(space, stacked(space, samples))
    for position, (leaf, described) in enumerate(zip(leaves, spec(space), strict=True)):
        expected = np.stack([flat_leaves(space, sample)[position] for sample in samples])
        assert leaf.shape == (5, *described.shape)
        assert leaf.dtype == described.dtype
        np.testing.assert_array_equal(leaf, expected.astype(leaf.dtype))
    assert find_fault(spec(space), leaves) is None


@given(observation_spaces(), st.integers(0, 1000))
@settings(deadline=None, max_examples=60)
def test_random_spaces_encode_their_own_samples(space, seed):
    samples = sampled(space, 3, seed)
    leaves = encode(space, stacked(space, samples))
    singles = [encode(space, sample) for sample in samples]
    for position, leaf in enumerate(leaves):
        np.testing.assert_array_equal(leaf, np.stack([single[position] for single in singles]))
    assert find_fault(spec(space), leaves) is None


def test_spec_describes_leaves_in_the_spaces_own_order():
    number, position, binary = spec(NESTED)
    assert [leaf.place() for leaf in spec(NESTED)] == ['obs["z"][0]', 'obs["z"][1]', 'obs["a"]']
    assert (number.kind, number.nvec, number.start, number.width) == ("index", (3,), (5,), 3)
    assert (position.kind, position.shape, position.width, position.feature_shape) == ("real", (2,), 2, (2,))
    assert (binary.kind, binary.shape, binary.place("env")) == ("binary", (2,), 'env["a"]')


def test_float64_becomes_float32_and_other_dtypes_stay():
    dtypes = {name: spec(OBSERVATION_SPACES[name])[0].dtype for name in ("box float64", "box float16", "box uint8")}
    assert dtypes == {"box float64": np.float32, "box float16": np.float16, "box uint8": np.uint8}
    assert encode(Box(-1, 1, (2,)), np.zeros((3, 2)))[0].dtype == np.float32


def test_a_fitting_array_is_not_copied():
    obs = np.zeros((8, 4), np.float32)
    assert Encoder(Box(-1, 1, (4,)))(obs)[0] is obs


def test_any_number_of_leading_dimensions():
    obs = {"a": np.zeros((6, 5, 2), np.int8), "z": (np.full((6, 5), 6), np.zeros((6, 5, 2), np.float32))}
    assert [leaf.shape for leaf in encode(NESTED, obs)] == [(6, 5), (6, 5, 2), (6, 5, 2)]


@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_values_are_looked_up_by_key(kind):
    space = Dict([("z", Discrete(2)), ("a", Discrete(2))])
    z, a = encode(space, kind([("a", np.array([0])), ("z", np.array([1]))]))
    assert (z.item(), a.item()) == (1, 0)


def test_lists_pass_for_tuples_and_arrays():
    number, position, binary = encode(NESTED, {"z": [6, [0.5, -0.5]], "a": [0, 1]})
    assert (number.item(), position.tolist(), binary.tolist()) == (1, [0.5, -0.5], [0, 1])
    assert isinstance(number, np.ndarray)


@pytest.mark.spec(35)
@pytest.mark.parametrize(
    "leaf",
    [
        Text(5),
        Sequence(Discrete(2)),
        Graph(Discrete(2), None),
        OneOf([Discrete(2)]),
        Box(0, 1, (2, 2)),
        gym.Space((2,), np.float32),
    ],
    ids=lambda leaf: type(leaf).__name__,
)
def test_an_unsupported_leaf_is_named(leaf):
    with pytest.raises(UnsupportedSpaceError) as caught:
        Encoder(Dict(fine=Discrete(2), cart=Tuple((Discrete(2), leaf))))
    message = str(caught.value)
    assert 'obs["cart"][1]' in message
    assert str(leaf) in message
    assert "Supported: Box of rank 0 or 1, Discrete" in message


@pytest.mark.parametrize("space", [Dict({}), Tuple(()), Dict(a=Tuple(())), Box(0, 1, (0,))], ids=str)
def test_a_space_with_nothing_to_observe_is_refused(space):
    with pytest.raises(UnsupportedSpaceError, match="no value to observe"):
        spec(space)


@pytest.mark.parametrize(
    ("obs", "message"),
    [
        ({"a": [0, 0]}, r"obs: expected a dict with keys \['z', 'a'\], got keys \['a'\]"),
        ({"a": [0, 0], "z": (5, [0, 0]), "b": 1}, r"keys \['z', 'a'\], got keys \['a', 'z', 'b'\]"),
        ([1, 2], r"obs: expected a dict .* got list"),
        ({"a": [0, 0], "z": (5,)}, r'obs\["z"\]: expected a tuple of length 2, got 1'),
        ({"a": [0, 0], "z": 5}, r'obs\["z"\]: expected a tuple of length 2, got int'),
        ({"a": [0, 0], "z": (5, [0, 0, 0])}, r'obs\["z"\]\[1\]: expected shape \[\.\.\., 2\] .* got \(3,\)'),
        ({"a": [0, 0], "z": (5, 0.0)}, r'obs\["z"\]\[1\]: expected shape \[\.\.\., 2\] .* got \(\)'),
        ({"a": [0, 0], "z": (5, [[0], [0, 0]])}, r'obs\["z"\]\[1\]: expected an array'),
        ({"a": [0, 0], "z": (5, ["x", "y"])}, r'obs\["z"\]\[1\]: expected numbers'),
        (
            {"a": [0, 0], "z": (5.5, [0, 0])},
            r'obs\["z"\]\[0\]: expected values that int64 can hold .* got 0.5',
        ),
        ({"a": [0, 300], "z": (5, [0, 0])}, r'obs\["a"\]: expected values that int8 can hold .* got 300'),
        (
            {"a": [0, 0], "z": ([5, 5], [[0, 0]])},
            r'same batch shape .* obs\["z"\]\[0\] \(2,\), obs\["z"\]\[1\] \(1,\)',
        ),
    ],
)
def test_misfits_name_place_expectation_and_arrival(obs, message):
    with pytest.raises(ObservationError, match=message):
        encode(NESTED, obs)


FAULTS = {
    "nan": (Box(-1, 1, (2,)), np.nan, "expected a finite number, got nan at component (1,)"),
    "infinity": (Box(-np.inf, np.inf, (2,)), np.inf, "expected a finite number, got inf at component (1,)"),
    "overflow": (Box(-np.inf, np.inf, (2,), np.float64), 1e300, "expected a finite number, got inf"),
    "above": (Box(-1, 1, (2,)), 1.001, "expected a value in [-1.0, 1.0], got 1.00"),
    "below": (Box(-1000, 1, (2,)), -1000.2, "expected a value in [-1000.0, 1.0], got -1000.2"),
    "half bounded": (Box(0, np.inf, (2,)), -0.5, "expected a value in [0.0, inf], got -0.5"),
    "integer": (Box(0, 9, (2,), np.uint8), 10, "expected a value in [0, 9], got 10"),
    "index": (MultiDiscrete([2, 3], start=[0, 5]), 8, "expected a value in 5..7, got 8 at component (1,)"),
    "low index": (MultiDiscrete([2, 3], start=[0, 5], dtype=np.uint8), 4, "expected a value in 5..7, got"),
    "binary": (MultiBinary(2), 2, "expected 0 or 1, got 2 at component (1,)"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_bad_value_is_found_and_described(name):
    space, bad, message = FAULTS[name]
    samples = np.array(sampled(space, 6)).reshape(3, 2, 2)
    samples[2, 1, 1] = bad
    fault = find_fault(spec(space), encode(space, samples))
    assert fault.index == (2, 1)
    assert message in str(fault)
    with pytest.raises(ObservationError) as caught:
        require_valid(spec(space), encode(space, samples), lambda index: f"step {index[0]}, environment {index[1]}")
    assert f"step 2, environment 1: obs: {message}" in str(caught.value)


def test_bounds_forgive_rounding_only():
    space = Box(np.array([0, -1000], np.float32), np.array([1, 1000], np.float32))
    assert find_fault(spec(space), encode(space, np.array([-0.99e-4, 1000.099], np.float32))) is None
    assert find_fault(spec(space), encode(space, np.array([-1.1e-4, 0], np.float32))) is not None
    assert find_fault(spec(space), encode(space, np.array([0, 1000.11], np.float32))) is not None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_floats_as_bounds_mean_any_finite_value(dtype):
    largest = np.finfo(dtype).max
    (leaf,) = spec(Box(-largest, largest, (2,), dtype))
    assert leaf.limits is None
    assert find_fault((leaf,), [np.array([-3e38, 3e38], np.float32)]) is None
    assert find_fault((leaf,), [np.array([0, np.inf], np.float32)]) is not None


def test_the_first_fault_in_row_order_is_reported():
    obs = {"a": np.zeros((4, 2), np.int8), "z": (np.full(4, 5), np.zeros((4, 2), np.float32))}
    obs["z"][0][3], obs["a"][1, 0], obs["z"][1][1, 1] = 9, 7, np.nan
    fault = find_fault(spec(NESTED), encode(NESTED, obs))
    assert (fault.index, fault.leaf.place()) == ((1,), 'obs["z"][1]')


def test_spaces_built_one_after_another_do_not_share_an_encoding():
    widths = [encode(Discrete(3, start=start), start + 2)[0].item() for start in range(50)]
    assert widths == [2] * 50
