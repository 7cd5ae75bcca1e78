import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, OneOf, Text, Tuple

from anyspace.errors import ObservationError
from anyspace.spaces import Encoder, Image, Repeated, Simplex, StackedFrames, encode, find_fault, require_valid
from anyspace.spaces.faults import ValueCheck
from anyspace.spaces.kinds.atari import AtariPixels, AtariRam
from tests.support.catalogue import OBSERVATION_SPACES, stacked

NESTED = Dict(z=Tuple((Discrete(3, start=5), Box(-1, 1, (2,)))), a=MultiBinary(2))


def fault_in(space, obs):
    encoder = Encoder(space)
    return find_fault(encoder, encoder(obs))


FAULTS = {
    "nan": (Box(-1, 1, (2,)), np.nan, "expected a finite number, got nan at component (1,)"),
    "infinity": (Box(-np.inf, np.inf, (2,)), np.inf, "expected a finite number that float32 can hold, got inf at"),
    "half": (Box(-1, 1, (2,), np.float16), -np.inf, "expected a finite number that float16 can hold, got -inf at"),
    "above": (Box(-1, 1, (2,)), 1.001, "expected a value in [-1.0, 1.0], got 1.00"),
    "below": (Box(-1000, 1, (2,)), -1000.2, "expected a value in [-1000.0, 1.0], got -1000.2"),
    "half bounded": (Box(0, np.inf, (2,)), -0.5, "expected a value in [0.0, inf], got -0.5"),
    "integer": (Box(0, 9, (2,), np.uint8), 10, "expected a value in [0, 9], got 10"),
    "index": (MultiDiscrete([2, 3], start=[0, 5]), 8, "expected a value in 5..7, got 8 at component (1,)"),
    "low index": (MultiDiscrete([2, 3], start=[0, 5], dtype=np.uint8), 4, "expected a value in 5..7, got"),
    "binary": (MultiBinary(2), 2, "expected 0 or 1, got 2 at component (1,)"),
    "shares": (Simplex((2,)), 0.5, "expected shares that are not negative and sum to 1, got [0.25, 0.5]"),
    "negative share": (Simplex((2,)), -0.5, "expected shares that are not negative and sum to 1, got [0.25, -0.5]"),
    "nan share": (Simplex((2,)), np.nan, "expected shares that are not negative and sum to 1, got [0.25, nan]"),
}


def batch_with_fault(space, bad):
    space.seed(0)
    samples = np.array([space.sample() for _ in range(6)]).reshape(3, 2, 2)
    if isinstance(space, Simplex):
        samples[2, 1, 0] = 0.25
    samples[2, 1, 1] = bad
    return samples


@pytest.mark.parametrize("name", FAULTS)
def test_a_bad_value_is_found_and_described(name):
    space, bad, message = FAULTS[name]
    samples = batch_with_fault(space, bad)
    fault = fault_in(space, samples)
    assert (fault.index, fault.element) == ((2, 1), ())
    assert message in str(fault)
    with pytest.raises(ObservationError) as caught:
        require_valid(Encoder(space), encode(space, samples), lambda index: f"step {index[0]}, environment {index[1]}")
    assert f"step 2, environment 1: obs: {message}" in str(caught.value)


@pytest.mark.parametrize("name", FAULTS)
def test_a_bad_value_in_a_list_names_its_element(name):
    space, bad, message = FAULTS[name]
    wrong, fine = batch_with_fault(space, bad)[2, 1], batch_with_fault(space, bad)[0, 0]
    space = Dict(f=Repeated(Dict(g=Repeated(space, 3), hp=Discrete(2)), 2), fine=Discrete(2))
    rows = [[], [{"g": [], "hp": 1}, {"g": [fine, wrong], "hp": 0}], [{"g": [fine], "hp": 1}]]
    fault = fault_in(space, {"f": rows, "fine": [0, 1, 0]})
    assert (fault.index, fault.element) == ((1,), (1, 1))
    assert str(fault).startswith(f'obs["f"][1]["g"][1]: {message}')
    assert fault_in(space, {"f": rows[::2], "fine": [0, 0]}) is None


def test_bounds_forgive_rounding_only():
    space = Box(np.array([0, -1000], np.float32), np.array([1, 1000], np.float32))
    assert fault_in(space, np.array([-0.99e-4, 1000.099], np.float32)) is None
    assert fault_in(space, np.array([-1.1e-4, 0], np.float32)) is not None
    assert fault_in(space, np.array([0, 1000.11], np.float32)) is not None


def test_shares_forgive_what_their_dtype_rounds():
    assert fault_in(Simplex((2,)), np.array([[0.5, 0.500005], [1.000005, 0], [1, -5e-6]])) is None
    for shares in ([0.5, 0.50002], [0.5, 0.49998], [1.00002, -0.00002]):
        assert fault_in(Simplex((2,)), np.array(shares)) is not None
        assert fault_in(Simplex((2,), dtype=np.float16), np.array(shares)) is None
    assert fault_in(Simplex((2,)), np.array([np.inf, -np.inf])) is not None
    assert fault_in(Simplex((2, 2)), np.array([[0.5, 0.5], [1, 1]])).what == (
        "expected shares that are not negative and sum to 1, got [1.0, 1.0] at component (1,)"
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_floats_as_bounds_mean_any_finite_value(dtype):
    largest = np.finfo(dtype).max
    encoder = Encoder(Box(-largest, largest, (2,), dtype))
    assert encoder.specs[0].limits is None
    assert find_fault(encoder, [np.array([-3e38, 3e38], np.float32)]) is None
    assert find_fault(encoder, [np.array([0, np.inf], np.float32)]) is not None


@pytest.mark.parametrize(
    "space",
    [Image((8, 8, 3)), StackedFrames(0, 255, (8, 8, 2), stack=2), AtariRam(), AtariPixels(dim=8)],
    ids=lambda space: type(space).__name__,
)
def test_of_whole_bytes_none_is_at_fault(space):
    encoder = Encoder(space)
    assert encoder.specs[0].limits is None
    assert find_fault(encoder, [np.full((2, *encoder.specs[0].shape), 255, np.uint8)]) is None


def test_the_first_fault_in_row_order_is_reported():
    obs = {"a": np.zeros((4, 2), np.int8), "z": (np.full(4, 5), np.zeros((4, 2), np.float32))}
    obs["z"][0][3], obs["a"][1, 0], obs["z"][1][1, 1] = 9, 7, np.nan
    fault = fault_in(NESTED, obs)
    assert (fault.index, fault.leaf.place()) == ((1,), 'obs["z"][1]')


@pytest.mark.parametrize("name", ["repeated twice", "sequence", "repeated dict of repeated", "one of", "text"])
def test_what_is_not_there_is_not_looked_at(name):
    """Zeros lie outside these spaces: 0 is below their least value, or no length of theirs."""
    space = OBSERVATION_SPACES[name]
    space.seed(0)
    encoder = Encoder(Repeated(space, 2))
    samples = [space.sample() for _ in range(5)]
    leaves = encoder([[], samples[:1], samples[1:3], samples[3:]])
    assert find_fault(encoder, leaves) is None
    outside = [leaf.limits is not None and (leaf.limits[0] > 0).any() for leaf in encoder.specs]
    absent = [there is not None and not there.all() for there in encoder.presence(leaves)]
    assert any(np.logical_and(outside, absent))


def test_lengths_have_limits():
    encoder = Encoder(Repeated(Text(3, min_length=2, charset="ab"), 2))
    outer, inner, characters = encoder([["ab", "aba"], ["ab"], []])
    assert find_fault(encoder, [outer, inner, characters]) is None
    short = inner.copy()
    short[0, 1] = 1
    fault = find_fault(encoder, [outer, short, characters])
    assert (fault.index, str(fault)) == ((0,), "obs[1].length: expected a length in [2, 3], got 1")
    fault = find_fault(encoder, [np.array([2, 1, 3], np.int32), inner, characters])
    assert (fault.index, str(fault)) == ((2,), "obs.length: expected a length in [0, 2], got 3")


def test_a_choice_has_as_many_values_as_alternatives():
    encoder = Encoder(OneOf((Discrete(2), Discrete(3))))
    leaves = [np.array([0, 2], np.uint8), np.zeros(2, np.int64), np.zeros(2, np.int64)]
    assert str(find_fault(encoder, leaves)) == "obs.choice: expected a value in 0..1, got 2"


@pytest.mark.parametrize("name", OBSERVATION_SPACES)
def test_rows_may_have_any_leading_dimensions(name):
    space = OBSERVATION_SPACES[name]
    space.seed(1)
    encoder = Encoder(space)
    leaves = [np.stack([leaf] * 3) for leaf in encoder(stacked(space, [space.sample() for _ in range(4)]))]
    assert find_fault(encoder, leaves) is None
    for position, (leaf, there) in enumerate(zip(leaves, encoder.presence(leaves), strict=True)):
        if leaf.dtype.kind == "f" and leaf[2, 3].size:
            changed = [*leaves]
            changed[position] = leaf.copy()
            changed[position][2, 3] = np.nan
            fault = find_fault(encoder, changed)
            is_there = there is None or there[2, 3].any()
            assert (None if fault is None else (fault.index, fault.leaf)) == (
                ((2, 3), encoder.specs[position]) if is_there else None
            )


# ---------------------------------------------------------------------------- numbers outside their bounds


def place(index):
    return f"row {index}"


def test_a_number_outside_its_bounds_is_told_once_for_each_leaf(caplog):
    space = Dict(a=Box(-1, 1, (2,)), b=Box(0, 9, (), np.int32), c=Tuple([Box(0, 1, (1,))]))
    encoder = Encoder(space)
    leaves = [np.array([[0, 0], [1.5, -2]], np.float32), np.array([3, 12], np.int32), np.zeros((2, 1), np.float32)]
    check = ValueCheck(encoder)
    with caplog.at_level("WARNING", "anyspace"):
        for _ in range(3):
            check(leaves, place)
        first, second = caplog.messages
        assert first.startswith(
            'row (1,): obs["a"]: expected a value in [-1.0, 1.0], got 1.5 at component (0,). The number'
        )
        assert second.startswith('row (1,): obs["b"]: expected a value in [0, 9], got 12. The number is used as it is')
        leaves[2][0] = 4
        check(leaves, place)
        assert caplog.messages[2].startswith('row (0,): obs["c"][0]: expected a value in [0.0, 1.0], got 4.0')


def test_errors_are_found_beside_numbers_outside_their_bounds(caplog):
    encoder = Encoder(Dict(a=Box(-1, 1, (2,)), b=Discrete(3)))
    check = ValueCheck(encoder)
    for wrong in ([5.0, np.nan], [np.inf, 5.0]):
        with pytest.raises(ObservationError, match=r'row \(0,\): obs\["a"\]: expected a finite number'):
            check([np.array([wrong], np.float32), np.array([0])], place)
    with pytest.raises(ObservationError, match=r'row \(1,\): obs\["b"\]: expected a value in 0..2, got 3'):
        check([np.array([[5, 5], [0, 0]], np.float32), np.array([0, 3])], place)
    assert not caplog.messages, "nothing is learnt from these"


def test_masks_and_shares_are_no_mere_numbers():
    space = Dict(a=Box(0, 1, (2,)), b=Simplex((2,)))
    encoder = Encoder(space)
    with pytest.raises(ObservationError, match=r'obs\["a"\]: expected a value in \[0.0, 1.0\], got 2.0'):
        ValueCheck(encoder, strict=[0])([np.array([[2, 0]], np.float32), np.array([[1, 0]], np.float32)], place)
    with pytest.raises(ObservationError, match=r'obs\["b"\]: expected shares'):
        ValueCheck(encoder)([np.array([[2, 0]], np.float32), np.array([[2, 0]], np.float32)], place)


def test_absent_elements_are_not_looked_at(caplog):
    encoder = Encoder(Repeated(Box(5, 10, (1,)), 3))
    ValueCheck(encoder)(encoder([[np.array([6.0])], []]), place)
    assert not caplog.messages


@pytest.mark.parametrize("name", OBSERVATION_SPACES)
def test_clipping_changes_nothing_inside_the_bounds(name):
    space = OBSERVATION_SPACES[name]
    space.seed(2)
    rows = stacked(space, [space.sample() for _ in range(4)])
    for leaf, clipped in zip(encode(space, rows), Encoder(space, clip=True)(rows), strict=True):
        np.testing.assert_array_equal(leaf, clipped)
        assert leaf.dtype == clipped.dtype


def test_clipping():
    space = Dict(
        a=Box(np.array([-1, -np.inf], np.float32), np.array([1, 3], np.float32)),
        b=Repeated(Box(5, 10, (1,)), 2),
        c=Box(-100, 100, (2,), np.int8),
        d=OneOf([Box(0, 1, (1,)), Discrete(2)]),
    )
    encoder = Encoder(space, clip=True)
    obs = {"a": np.array([-7, -7]), "b": [np.array([99.0])], "c": np.array([-300, 101]), "d": (0, np.array([-4.0]))}
    a, count, b, c, _, d, _ = encoder.single(obs)
    np.testing.assert_array_equal(a, [-1, -7])
    np.testing.assert_array_equal([count, *b.ravel()], [1, 10, 0])
    np.testing.assert_array_equal(c, [-100, 100])
    np.testing.assert_array_equal(d, [0])
    for infinite in (np.inf, -np.inf, np.nan):
        leaves = encoder.single({**obs, "a": np.array([infinite, 0])})
        with pytest.raises(ObservationError, match="finite number"):
            require_valid(encoder, [leaf[None] for leaf in leaves], place)
