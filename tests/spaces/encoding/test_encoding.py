from collections import OrderedDict

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
    Sequence,
    Text,
    Tuple,
)
from gymnasium.vector import SyncVectorEnv
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anyspace.errors import ObservationError, UnsupportedSpaceError
from anyspace.spaces import Encoder, Repeated, encode, find_fault, spec
from anyspace.spaces.prepared import prepared
from tests.fuzz.generator import observation_spaces
from tests.fuzz.sampling import samples
from tests.support.catalogue import OBSERVATION_SPACES, stacked
from tests.support.frameworks import FRAMEWORKS, Framework
from tests.support.reading import Reader, assert_same, plain

NESTED = Dict(z=Tuple((Discrete(3, start=5), Box(-1, 1, (2,)))), a=MultiBinary(2))
PART = Dict([("x", Box(-1, 1, (2,))), ("kind", Discrete(3, start=2))])
WORD = Text(4, min_length=2, charset="zyxab")


def read_back(encoder, space, leaves):
    """Return the observations that the slow reader finds, and what it had to read."""
    reader = Reader(leaves, [len(leaf.element_shape) for leaf in encoder.specs])
    return [reader.read(space, (row,)) for row in range(len(leaves[0]))], reader.touched


def assert_encodes(space, samples):
    encoder = Encoder(space)
    leaves = encoder(stacked(space, samples))
    for leaf, described in zip(leaves, encoder.specs, strict=True):
        assert (leaf.shape, leaf.dtype) == ((len(samples), *described.shape), described.dtype)
    found, touched = read_back(encoder, space, leaves)
    for one, sample in zip(found, samples, strict=True):
        assert_same(one, plain(space, sample))
    for leaf, there in zip(leaves, touched, strict=True):
        assert not leaf[~there].any()
    for row, sample in enumerate(samples):
        for leaf, single in zip(leaves, encoder.single(sample), strict=True):
            np.testing.assert_array_equal(leaf[row], single, strict=True)
    for there, present in zip(touched, encoder.presence(leaves), strict=True):
        np.testing.assert_array_equal(there, True if present is None else present)
    assert find_fault(encoder, leaves) is None


def test_a_number_that_float32_cannot_hold_is_named():
    space, good, bad = Box(-np.inf, np.inf, (2,), np.float64), [0.0, np.inf], [1.0, -1e300]
    message = r"expected numbers that float32, .*\(up to 3\.4e\+38\) for Box.*, got -1e\+300 at component \(1,\)"
    for whole, where, value in (
        (space, r"row 1: obs: ", np.array([good, bad])),
        (Repeated(space, 3), r"row 0: obs\[1\]: ", [[good, bad]]),
        (space, "obs: ", np.array([[good], [bad]])),
    ):
        with pytest.raises(ObservationError, match=f"^{where}{message}"):
            encode(whole, value)
    with pytest.raises(ObservationError, match=f"^obs: {message}"):
        Encoder(space).single(np.array(bad))


@pytest.mark.parametrize("name", OBSERVATION_SPACES)
def test_what_is_encoded_can_be_read_back(name):
    assert_encodes(OBSERVATION_SPACES[name], samples(OBSERVATION_SPACES[name], 7, 0))


@given(observation_spaces(), st.integers(0, 1000))
@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
def test_random_spaces_encode_their_own_samples(space, seed):
    assert_encodes(space, samples(space, 3, seed))


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
    mixed = Encoder(Dict(items=Repeated(Discrete(2), 2), x=Box(-1, 1, (4,))))
    assert mixed({"x": obs, "items": [[]] * 8})[2] is obs


def test_what_reset_returns_is_no_observation():
    pair = np.zeros(2, np.float32), {"info": 1}
    with pytest.raises(ObservationError, match=r"got a pair whose second part is a dict; .* hand over the first"):
        Encoder(Box(-1, 1, (2,))).single(pair)


def test_any_number_of_leading_dimensions():
    obs = {"a": np.zeros((6, 5, 2), np.int8), "z": (np.full((6, 5), 6), np.zeros((6, 5, 2), np.float32))}
    assert [leaf.shape for leaf in encode(NESTED, obs)] == [(6, 5), (6, 5, 2), (6, 5, 2)]


@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_values_are_looked_up_by_key(kind):
    space = Dict([("z", Discrete(2)), ("a", Discrete(2))])
    z, a = encode(space, kind([("a", np.array([0])), ("z", np.array([1]))]))
    assert (z.item(), a.item()) == (1, 0)
    count, z, a = encode(Repeated(space, 2), [[kind([("a", 0), ("z", 1)])]])
    assert (count.tolist(), z.tolist(), a.tolist()) == ([1], [[1, 0]], [[0, 0]])


def test_lists_pass_for_tuples_and_arrays():
    number, position, binary = encode(NESTED, {"z": [6, [0.5, -0.5]], "a": [0, 1]})
    assert (number.item(), position.tolist(), binary.tolist()) == (1, [0.5, -0.5], [0, 1])
    assert isinstance(number, np.ndarray)


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=lambda framework: framework.name)
@pytest.mark.parametrize("name", ["repeated dict of repeated", "repeated one of", "all mixed", "dict"])
def test_presence_in_every_framework(framework: Framework, name):
    encoder = Encoder(OBSERVATION_SPACES[name])
    leaves = encoder(stacked(OBSERVATION_SPACES[name], samples(OBSERVATION_SPACES[name], 4, 0)))
    found = encoder.presence([framework.array(leaf, leaf.dtype) for leaf in leaves])
    for present, expected in zip(found, encoder.presence(leaves), strict=True):
        if expected is None:
            assert present is None
        else:
            assert isinstance(present, framework.kind)
            np.testing.assert_array_equal(np.asarray(present), expected)


def test_presence_follows_any_leading_dimensions_and_is_shared_by_an_elements_leaves():
    encoder = Encoder(Repeated(PART, 3))
    leaves = [np.stack([leaf, leaf]) for leaf in encoder([[], [{"x": [0, 1], "kind": 3}]])]
    count, x, kind = encoder.presence(leaves)
    assert count is None
    assert x is kind
    assert x.tolist() == [[[False] * 3, [True, False, False]]] * 2


class Drawn(gym.Env):
    """Members of a space, the same ones for the same seed."""

    action_space = Discrete(2)

    def __init__(self, space):
        self.observation_space = space

    def reset(self, *, seed=None, options=None):
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, False, False, {}


def test_vector_environments_hand_over_what_is_encoded():
    space = OBSERVATION_SPACES["all mixed"]
    envs = SyncVectorEnv([lambda: Drawn(space)] * 3)
    first, _ = envs.reset(seed=5)
    later = envs.step(np.zeros(3, np.int64))[0]
    envs.close()
    encoder, alone = Encoder(space), Drawn(space)
    for row in range(3):
        expected = encoder.single(alone.reset(seed=5 + row)[0])
        for leaf, single in zip(encoder(first), expected, strict=True):
            np.testing.assert_array_equal(leaf[row], single)
    assert find_fault(encoder, encoder(later)) is None


# ------------------------------------------------------------------------------------------------------ errors


@pytest.mark.spec(35)
@pytest.mark.parametrize(
    ("leaf", "message"),
    [
        (Sequence(Discrete(2)), "no longest length"),
        (Graph(Discrete(2), None), "no longest length"),
        (gym.Space((2,), np.float32), "Supported: Box, Discrete"),
    ],
    ids=["Sequence", "Graph", "Space"],
)
def test_an_unsupported_leaf_is_named(leaf, message):
    with pytest.raises(UnsupportedSpaceError) as caught:
        Encoder(Dict(fine=Discrete(2), cart=Tuple((Discrete(2), leaf))))
    assert 'obs["cart"][1]' in str(caught.value)
    assert str(leaf) in str(caught.value)
    assert message in str(caught.value)


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
    ids=str,
)
def test_misfits_name_place_expectation_and_arrival(obs, message):
    with pytest.raises(ObservationError, match=message):
        encode(NESTED, obs)


def test_a_single_observation_has_no_batch():
    for obs, message in (
        (
            (np.full(3, 5), np.zeros((3, 2))),
            r"obs\[0\]: .*, of shape \(\) for Discrete.*, got a batch of shape \(3,\)\. Make",
        ),
        ((5, np.zeros((1, 2))), r"obs\[1\]: .*, of shape \(2,\) for Box\(.*, got a batch of shape \(1, 2\)\. Make"),
    ):
        with pytest.raises(ObservationError, match=f"^{message}"):
            Encoder(NESTED["z"]).single(obs)
    with pytest.raises(ObservationError, match=r'obs\["n"\]: expected numbers|obs\["n"\]: expected shape \(\)'):
        Encoder(Dict(n=Discrete(2), word=WORD)).single({"n": [0, 1], "word": "xy"})


def test_a_batch_may_be_empty():
    space = OBSERVATION_SPACES["all mixed"]
    nothing = {
        "speed": np.zeros((0, 2)),
        "items": (),
        "map": ((), np.zeros((0, 2))),
        "camera": np.zeros((0, 8, 8, 3), np.uint8),
        "log": [],
    }
    for leaf, described in zip(encode(space, nothing), spec(space), strict=True):
        assert leaf.shape == (0, *described.shape)


def test_spaces_built_one_after_another_do_not_share_an_encoding():
    widths = [encode(Discrete(3, start=start), start + 2)[0].item() for start in range(50)]
    assert widths == [2] * 50


def test_arrays_that_are_traced_are_told() -> None:
    encoder = Encoder(Box(-1, 1, (4,)))
    with pytest.raises(ObservationError, match=r"expected numbers for Box.* traced by jax.jit or tf.function has no"):
        jax.jit(encoder.single)(np.zeros(4, np.float32))


TENSOR = torch.zeros(2, requires_grad=True)


@pytest.mark.parametrize(
    ("space", "observation", "place"),
    [
        (Box(-1, 1, (2,)), TENSOR, "obs"),
        (Sequence(Box(-1, 1, (2,))), (TENSOR,), "obs[0]"),
        (Sequence(Box(-1, 1, (2,)), stack=True), TENSOR[None], "obs[...]"),
    ],
    ids=["leaf", "list", "stacked list"],
)
def test_tensors_that_need_gradients_are_refused_with_what_to_hand_over(space, observation, place) -> None:
    with pytest.raises(ObservationError, match=r"hand over `tensor.detach\(\).cpu\(\).numpy\(\)`") as caught:
        Encoder(prepared(space, max_len=3)).single(observation)
    assert str(caught.value).startswith(f"{place}: expected numbers for Box")
