import gymnasium as gym
import jax
import numpy as np
import pytest
import torch
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
from gymnasium.vector.utils import batch_space, iterate
from hypothesis import given, settings
from hypothesis import strategies as st

from anyspace import nesting, tree
from anyspace.errors import UnsupportedSpaceError
from anyspace.spaces import (
    Decoder,
    Simplex,
    check_action_space,
    decode,
    flatten_actions,
    normalize_action,
    unflatten_actions,
)
from anyspace.spaces.decoding import options
from tests.fuzz.generator import action_spaces
from tests.fuzz.sampling import samples
from tests.support.catalogue import ACTION_SPACES, KINDS, others_by_fuzz, rows_of, stacked


def raw_samples(space, rows, rng):
    """Draw what distributions draw: any index, numbers far outside [-1, 1] too."""
    if isinstance(space, Dict):
        return {key: raw_samples(child, rows, rng) for key, child in space.spaces.items()}
    if isinstance(space, Tuple):
        return tuple(raw_samples(child, rows, rng) for child in space.spaces)
    if isinstance(space, Discrete):
        return rng.integers(0, space.n, rows)
    if isinstance(space, MultiDiscrete):
        return rng.integers(0, space.nvec, (rows, *space.shape))
    if isinstance(space, MultiBinary):
        return rng.integers(0, 2, (rows, *space.shape))
    if isinstance(space, Simplex):
        return rng.dirichlet(np.full(space.shape[-1], 0.5), (rows, *space.shape[:-1])).astype(np.float32)
    if space.dtype.kind == "f":
        return (3 * rng.standard_normal((rows, *space.shape))).astype(np.float32)
    spans = np.asarray(space.high.astype(object) - space.low.astype(object) + 1, np.int64)
    return rng.integers(0, spans, (rows, *space.shape))


@pytest.mark.spec(143)
@pytest.mark.parametrize("name", ACTION_SPACES)
def test_every_decoded_row_is_in_the_space(name):
    space = ACTION_SPACES[name]
    actions = decode(space, raw_samples(space, 64, np.random.default_rng(0)))
    assert all(row in space for row in rows_of(space, actions, 64))


@pytest.mark.spec(143)
@given(action_spaces(), st.integers(0, 1000))
@settings(deadline=None, max_examples=80)
def test_decoded_rows_of_random_spaces_are_in_the_space(space, seed):
    actions = decode(space, raw_samples(space, 8, np.random.default_rng(seed)))
    assert all(row in space for row in rows_of(space, actions, 8))


@pytest.mark.spec(143)
def test_starts_and_bounds_of_each_component_are_added():
    np.testing.assert_array_equal(decode(Discrete(3, start=5), np.array([0, 1, 2])), [5, 6, 7])
    uneven = Box(np.array([-2, 10]), np.array([3, 11]), dtype=np.int64)
    np.testing.assert_array_equal(decode(uneven, np.array([[0, 0], [5, 1]])), [[-2, 10], [3, 11]])
    pixels = decode(Box(0, 255, (2,), np.uint8), np.array([[0, 255]]))
    np.testing.assert_array_equal(pixels, [[0, 255]])
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(decode(Box(-2, 3, (2,), np.int32), np.array([[0, 1]])), [[-2, -1]])
    small = Box(np.array([-128], np.int8), np.array([127], np.int8), dtype=np.int8)
    np.testing.assert_array_equal(decode(small, np.array([[0], [200], [255]])), [[-128], [72], [127]])


@pytest.mark.spec(143)
def test_bits_of_any_rank():
    bits = decode(MultiBinary([2, 2]), np.array([[0, 1, 1, 0], [1, 1, 1, 1]]))
    assert bits.tolist() == [[[0, 1], [1, 0]], [[1, 1], [1, 1]]]
    assert bits.dtype == np.int8
    again = normalize_action(MultiBinary([2, 2]), bits)
    assert (again.tolist(), again.dtype) == (bits.tolist(), np.int64)
    switches = decode(Box(0, 1, (2,), np.bool_), np.array([[0, 1]]))
    assert (switches.tolist(), switches.dtype) == ([[False, True]], np.bool_)


def test_a_relaxed_choice_is_its_largest_share():
    shares = np.array([[0.1, 0.2, 0.7], [0.4, 0.3, 0.3]], np.float32)
    assert decode(Discrete(3, start=5), shares).tolist() == [7, 5]
    both = decode(Tuple((Discrete(3), Discrete(2, start=-1))), (shares, np.array([1, 0])))
    assert [part.tolist() for part in both] == [[2, 0], [0, -1]]
    assert decode(Discrete(3, start=5), np.array([[2], [0]])).tolist() == [7, 5]
    assert decode(Discrete(1, start=5), np.array([[1.0], [1.0]])).tolist() == [5, 5]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3,), (2, 50)], ids=str)
def test_shares_are_put_back_on_the_simplex(dtype, shape):
    space, rng = Simplex(shape, dtype=dtype), np.random.default_rng(0)
    shares = rng.dirichlet(np.full(shape[-1], 0.3), (500, *shape[:-1]))
    decoded = decode(space, shares.astype(np.float32))
    assert decoded.dtype == dtype
    np.testing.assert_allclose(decoded, shares, atol=1e-3 if dtype is np.float16 else 1e-6)
    np.testing.assert_allclose(normalize_action(space, decoded), decoded)
    noisy = shares + rng.normal(0, 0.2, shares.shape)
    for raw in (shares.reshape(500, -1), noisy, -np.ones_like(shares), np.zeros_like(shares), 1e30 * shares):
        for flags in ({}, {"normalize": False}, {"normalize": False, "clip": True}):
            assert all(row in space for row in rows_of(space, decode(space, raw, **flags), 500))
    np.testing.assert_allclose(decode(space, np.zeros_like(shares[:1])), np.full((1, *shape), 1 / shape[-1]), rtol=1e-3)


@pytest.mark.parametrize("shape", [(), (3,), (2, 2), (2, 1, 2)], ids=str)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_boxes_of_any_rank_and_the_widest_bounds(shape, dtype):
    largest = np.finfo(dtype).max
    raw = np.linspace(-3, 3, 20 * int(np.prod(shape)), dtype=np.float32).reshape((20, *shape))
    for low, high in ((-largest, largest), (0, largest), (largest, largest), (-1e-4, 1e-4), (0.1, 0.1)):
        space = Box(np.full(shape, low, dtype), np.full(shape, high, dtype), dtype=dtype)
        actions = decode(space, raw)
        assert (actions.shape, actions.dtype) == (raw.shape, dtype)
        assert all(row in space for row in rows_of(space, actions, 20))


def test_the_widest_integer_bounds():
    info = np.iinfo(np.int64)
    high = Box(info.max - 2, info.max, (2,), np.int64)
    assert decode(high, np.array([[0, 2]])).tolist() == [[info.max - 2, info.max]]
    assert normalize_action(high, np.array([[info.max - 2, info.max]])).tolist() == [[0, 2]]
    wide = np.iinfo(np.uint64).max
    high = Box(np.array([wide - 2], np.uint64), np.array([wide], np.uint64), dtype=np.uint64)
    assert decode(high, np.array([[0], [2]])).tolist() == [[wide - 2], [wide]]


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (Discrete(3, start=5), (3,)),
        (MultiDiscrete([[2, 3], [1, 4]]), (2, 3, 1, 4)),
        (MultiBinary([2, 1]), (2, 2)),
        (Box(np.array([0, -3]), np.array([1, 3]), dtype=np.int8), (2, 7)),
        (Box(0, 1, (2,), np.bool_), (2, 2)),
        (Box(-(2**62), 2**62, (), np.int64), (2**63 + 1,)),
        (Box(-1, 1, (2,)), ()),
        (Simplex((3,)), ()),
    ],
    ids=["discrete", "multidiscrete", "bits", "int8", "bool", "int64", "real", "shares"],
)
def test_options_of_each_component(space, expected):
    assert options(space) == expected


def test_components_may_come_as_one_axis():
    space = MultiDiscrete([[2, 3], [1, 4]], start=[[0, -1], [7, 2]])
    expected = [[[1, 1], [7, 5]]]
    np.testing.assert_array_equal(decode(space, np.array([[1, 2, 0, 3]])), expected)
    np.testing.assert_array_equal(decode(space, np.array([[[1, 2], [0, 3]]])), expected)
    assert decode(Box(-1, 1, ()), np.zeros((5, 1), np.float32)).shape == (5,)


@pytest.mark.spec(142)
def test_unsquash_normalise_and_clip_numbers():
    space = Box(np.array([0, -10], np.float32), np.array([1, 10], np.float32))
    np.testing.assert_allclose(decode(space, np.array([[0.0, 2.0]])), [[0.5, 10]])
    np.testing.assert_allclose(normalize_action(space, np.array([[0.5, 5.0]])), [[0, 0.5]])
    np.testing.assert_allclose(decode(space, np.array([[2.0, -3.0]]), normalize=False, clip=True), [[1, -3]])
    np.testing.assert_allclose(decode(space, np.array([[2.0, -30.0]]), normalize=False), [[2, -30]])
    inside = np.random.default_rng(0).uniform(-1, 1, (100, 2)).astype(np.float32)
    np.testing.assert_allclose(normalize_action(space, decode(space, inside)), inside, atol=1e-6)


@pytest.mark.spec(142)
def test_unbounded_components_are_untouched_and_half_bounded_ones_clipped():
    space = Box(np.array([-np.inf, 1, -np.inf], np.float32), np.array([np.inf, np.inf, 2], np.float32))
    raw = np.array([[-7.5, 0.0, 5.0], [7.5, 9.0, 1.5]], np.float32)
    np.testing.assert_array_equal(decode(space, raw), [[-7.5, 1, 2], [7.5, 9, 1.5]])
    np.testing.assert_array_equal(normalize_action(space, raw), raw)


@pytest.mark.spec(142)
@given(action_spaces(), st.integers(0, 1000))
@settings(deadline=None, max_examples=60)
def test_environment_actions_survive_the_round_trip(space, seed):
    expected = normalize_action(space, stacked(space, samples(space, 4, seed)))
    again = normalize_action(space, decode(space, expected))
    for one, other in zip(tree.leaves(again), tree.leaves(expected), strict=True):
        # On the scale of [-1, 1], whatever the bounds.
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-3)


def test_one_point_and_largest_bounds_give_no_nan():
    point = Box(np.array([0.1], np.float32), np.array([0.1], np.float32))
    np.testing.assert_array_equal(decode(point, np.array([[0.7]])), point.low[None])
    np.testing.assert_array_equal(normalize_action(point, point.low[None]), [[0]])
    largest = np.finfo(np.float64).max
    wide = Box(-largest, largest, (3,), np.float64)
    np.testing.assert_array_equal(decode(wide, np.array([[-1.0, 0, 3]])), [[-largest, 0, largest]])
    assert np.isfinite(decode(Box(-np.inf, np.inf, (1,), np.float16), np.array([[1e6]]))).all()


def test_vector_environments_can_iterate_over_the_actions():
    space = ACTION_SPACES["tuple in dict in tuple"]
    actions = decode(space, raw_samples(space, 3, np.random.default_rng(0)))
    assert isinstance(actions, tuple)
    assert isinstance(actions[0], dict)
    assert list(actions[0]) == ["z", "a"]
    assert len(list(iterate(batch_space(space, 3), actions))) == 3


@pytest.mark.parametrize(
    "leaf",
    [
        Text(3),
        Sequence(Discrete(2)),
        Graph(Discrete(2), None),
        OneOf([Discrete(2)]),
        Box(0, np.inf, (2,), np.int32),
        Box(-np.inf, np.inf, (2,), np.int64),
        gym.Space((2,), np.float32),
    ],
    ids=lambda space: type(space).__name__,
)
def test_an_unsupported_action_leaf_is_named(leaf):
    with pytest.raises(UnsupportedSpaceError) as caught:
        check_action_space(Dict(arm=Tuple((Discrete(2), leaf))))
    assert 'action["arm"][1]' in str(caught.value)
    assert str(leaf) in str(caught.value)
    assert "Supported: Discrete, MultiDiscrete, MultiBinary" in str(caught.value)


def test_a_decoder_serves_many_calls():
    decoder = Decoder(Box(0, 10, (1,)), normalize=True)
    assert [decoder(np.array([[value]], np.float32)).item() for value in (-1.0, 0.0, 1.0)] == [0, 5, 10]


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
def test_actions_are_flattened_in_the_spaces_own_order(convert):
    space = Dict([("z", MultiDiscrete([[2, 3], [4, 5]])), ("a", Tuple((Box(-1, 1, (2,)), Discrete(3))))])
    actions = {
        "a": (convert(np.array([[0.5, -0.5]], np.float32)), convert(np.array([2]))),
        "z": convert(np.array([[[1, 2], [3, 4]]])),
    }
    flat = flatten_actions(space, actions)
    assert flat.tolist() == [[1, 2, 3, 4, 0.5, -0.5, 2]]
    assert str(flat.dtype).endswith("float32")
    again = unflatten_actions(space, flat)
    assert again["z"].tolist() == [[[1, 2], [3, 4]]]
    assert again["a"][1].tolist() == [2]
    assert str(again["a"][1].dtype).endswith("int64")


def test_flat_bits_and_shares():
    space = Dict([("bits", MultiBinary([1, 2])), ("split", Simplex((2, 2)))])
    actions = {"split": np.full((3, 2, 2), 0.5, np.float32), "bits": np.array([[[0, 1]]] * 3)}
    flat = flatten_actions(space, actions)
    assert flat.tolist() == [[0, 1, 0.5, 0.5, 0.5, 0.5]] * 3
    assert flat.dtype == np.float32
    again = unflatten_actions(space, flat)
    assert again["bits"].tolist() == [[[0, 1]]] * 3
    assert again["bits"].dtype == np.int64
    np.testing.assert_array_equal(again["split"], actions["split"])
    only_bits = flatten_actions(Tuple((MultiBinary(2), Discrete(2))), (np.array([[0, 1]]), np.array([1])))
    assert (only_bits.tolist(), only_bits.dtype.kind) == ([[0, 1, 1]], "i")


def test_flat_actions_of_other_spaces():
    both = Tuple((Discrete(3), Discrete(2)))
    flat = flatten_actions(both, (np.array([[2, 1]]), np.array([[0, 1]])))
    assert flat.tolist() == [[[2, 0], [1, 1]]]
    assert flat.dtype.kind == "i"
    bare = np.array([1, 2])
    assert flatten_actions(Discrete(3), bare) is bare
    assert unflatten_actions(Discrete(3), bare) is bare


# ------------------------------------------------------------------------------------- other frameworks

LARGEST = np.finfo(np.float32).max
HARD_SPACES = {
    "widest float bounds": Box(-LARGEST, LARGEST, (3,)),
    "far from 0, next to 0, equal": Box(np.array([999, -1e-6, 0.1], np.float32), np.array([1001, 1, 0.1], np.float32)),
    "bounds that cancel": Box(np.array([-1, -5, -0.3], np.float32), np.array([3, 2, 0.7], np.float32)),
    "float64 bounds": Box(np.array([0.1, -0.1, 1e9]), np.array([0.3, 0.1, 1e9 + 1]), dtype=np.float64),
    "float16": Box(-1, 3, (4,), np.float16),
    "partly bounded": Box(np.array([-np.inf, 0, -1], np.float32), np.array([1, np.inf, 1], np.float32)),
    "many shares": Simplex((3, 50)),
    "starts": MultiDiscrete([3, 4], start=[2, -5]),
    "integers": Box(np.array([-3, 250]), np.array([4, 255]), dtype=np.int32),
}
FLAGS = [{}, {"normalize": False, "clip": True}, {"normalize": False}]


def both_decoded(name, flags, convert):
    """Yield each leaf with its actions as NumPy and as another framework decodes them, twice from the same samples."""
    space = {**ACTION_SPACES, **HARD_SPACES}[name]
    decoder, raw = Decoder(space, **flags), raw_samples(space, 256, np.random.default_rng(0))
    ours = decoder(tree.map_leaves(convert, raw))
    assert all(isinstance(leaf, type(convert(np.zeros(1)))) for leaf in tree.leaves(ours))
    values = nesting.values(space, decoder(raw)), map(np.asarray, nesting.values(space, ours))
    yield from zip(nesting.leaves(space), *values, strict=True)


def require_within_one_step(ours, numpys):
    finite = np.isfinite(numpys.astype(ours.dtype))
    numpys, ours = numpys[finite], ours[finite]
    size = np.abs(numpys.astype(ours.dtype))
    step = np.maximum(size - np.nextafter(size, ours.dtype.type(0)), np.finfo(ours.dtype).tiny)
    assert (np.abs(numpys.astype(np.float64) - ours) <= step.astype(np.float64)).all()


@pytest.mark.parametrize("flags", FLAGS, ids=str)
@pytest.mark.parametrize("name", [*ACTION_SPACES, *HARD_SPACES])
def test_pytorch_decodes_as_numpy_does(name, flags):
    for leaf, numpys, ours in both_decoded(name, flags, torch.as_tensor):
        assert ours.dtype == numpys.dtype == leaf.dtype
        if leaf.dtype == np.float16:
            require_within_one_step(ours, numpys)  # PyTorch rounds twice on the way from float64
        else:
            np.testing.assert_array_equal(ours, numpys)


@pytest.mark.parametrize("flags", FLAGS, ids=str)
@pytest.mark.parametrize("name", others_by_fuzz([*ACTION_SPACES, *HARD_SPACES], {*KINDS, *HARD_SPACES}))
def test_jax_without_float64_decodes_within_a_step_and_inside_the_bounds(name, flags):
    for leaf, numpys, ours in both_decoded(name, flags, jax.numpy.asarray):
        if leaf.dtype.kind != "f":
            np.testing.assert_array_equal(ours, numpys)
            continue
        require_within_one_step(ours, numpys)
        if isinstance(leaf, Simplex):
            assert all(row.astype(leaf.dtype) in leaf for row in ours)
        elif flags != FLAGS[2]:
            assert ((ours >= leaf.low) & (ours <= leaf.high)).all()


def test_a_compiled_decoder_decodes_as_one_called_step_by_step():
    space = Dict({"move": HARD_SPACES["bounds that cancel"], "share": Simplex((3,)), "press": Discrete(3, start=1)})
    raw = tree.map_leaves(jax.numpy.asarray, raw_samples(space, 64, np.random.default_rng(0)))
    decoder = Decoder(space)
    for numpys, ours in zip(*(nesting.values(space, f(raw)) for f in (decoder, jax.jit(decoder))), strict=True):
        if numpys.dtype.kind == "f":
            require_within_one_step(np.asarray(ours), np.asarray(numpys))
        else:
            np.testing.assert_array_equal(ours, numpys)


def test_bounds_that_float32_cannot_hold_are_its_nearest_number():
    space = Box(np.array([0.1]), np.array([0.1]), dtype=np.float64)
    assert Decoder(space)(jax.numpy.zeros((1, 1))).item() == np.float32(0.1)


def test_an_action_as_it_was_drawn_is_a_copy_of_the_sample():
    raw = np.zeros((2, 3), np.float32)
    decode(Box(-1, 1, (3,)), raw, normalize=False)[:] = 1
    assert not raw.any()
