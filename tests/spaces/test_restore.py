from collections import OrderedDict

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from hypothesis import given, settings
from hypothesis import strategies as st

from anyspace.spaces import get_preprocessor, restore_features, restore_original_dimensions
from catalogue import OBSERVATION_SPACES, observation_spaces

NESTED = Dict(z=Tuple((Discrete(3), Box(-1, 1, (2,)))), a=MultiBinary((2, 2)))


def structured(space, obs):
    """What restoring one observation must give: a reference that shares no code with the library."""
    if isinstance(space, Dict):
        return {key: structured(child, obs[key]) for key, child in space.spaces.items()}
    if isinstance(space, Tuple):
        return [structured(child, part) for child, part in zip(space.spaces, obs, strict=True)]
    if isinstance(space, Discrete | MultiDiscrete):
        nvec = np.ravel(space.n if isinstance(space, Discrete) else space.nvec)
        indices = np.ravel(np.subtract(obs, space.start, dtype=np.int64))
        return np.concatenate([np.eye(n)[index] for n, index in zip(nvec, indices, strict=True)])
    return np.asarray(obs, np.float32)


def assert_same(result, expected):
    assert type(result) is type(expected) or isinstance(expected, np.ndarray)
    if isinstance(expected, dict):
        assert list(result) == list(expected)
        for key in expected:
            assert_same(result[key], expected[key])
    elif isinstance(expected, list):
        for one, other in zip(result, expected, strict=True):
            assert_same(one, other)
    else:
        np.testing.assert_array_equal(np.asarray(result), expected)


@pytest.mark.spec(14)
@pytest.mark.parametrize(
    "name", [name for name, space in OBSERVATION_SPACES.items() if isinstance(space, Dict | Tuple)]
)
def test_flatten_then_restore_gives_the_observation_back(name):
    space = OBSERVATION_SPACES[name]
    preprocessor = get_preprocessor(space)
    obs = space.sample()
    restored = restore_original_dimensions(preprocessor.transform(obs), preprocessor.observation_space)
    assert_same(restored, structured(space, obs))


@given(observation_spaces(), st.integers(0, 1000))
@settings(deadline=None, max_examples=60)
def test_random_spaces_come_back(space, seed):
    space.seed(seed)
    obs, preprocessor = space.sample(), get_preprocessor(space)
    flat = preprocessor.transform(obs)
    restored = restore_original_dimensions(flat, preprocessor.observation_space)
    if isinstance(space, Dict | Tuple):
        assert_same(restored, structured(space, obs))
    else:
        assert restored is flat


@pytest.mark.spec(13)
@pytest.mark.parametrize("space", [Dict([("z", Discrete(2)), ("a", Discrete(2))]), Dict(z=Discrete(2), a=Discrete(2))])
def test_unsorted_keys_come_back_under_their_names(space):
    preprocessor = get_preprocessor(space)
    for obs in ({"z": 1, "a": 0}, OrderedDict(a=0, z=1)):
        restored = restore_original_dimensions(preprocessor.transform(obs), preprocessor.observation_space)
        assert list(restored) == ["z", "a"]
        assert restored["z"].tolist() == [0, 1]
        assert restored["a"].tolist() == [1, 0]


@pytest.mark.spec(17)
@pytest.mark.parametrize("batch", [(), (5,), (2, 3)])
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


def test_gradients_flow_through():
    flat = torch.zeros(4, 9, requires_grad=True)
    restore_original_dimensions(flat, get_preprocessor(NESTED).observation_space)["z"][1].sum().backward()
    assert flat.grad[3].tolist() == [0, 0, 0, 1, 1, 0, 0, 0, 0]


@pytest.mark.spec(18)
@pytest.mark.parametrize("shape", [(3, 8), (9, 1), ()])
def test_a_wrong_last_dimension_is_refused(shape):
    with pytest.raises(ValueError, match=r"\[\.\.\., 9\], got") as caught:
        restore_original_dimensions(np.zeros(shape), get_preprocessor(NESTED).observation_space)
    assert str(shape) in str(caught.value)


def test_what_has_no_structure_comes_back_as_it_is():
    flat, nested = np.zeros((2, 3)), {"a": 1}
    assert restore_original_dimensions(flat, Box(0, 1, (3,))) is flat
    assert restore_original_dimensions(flat, get_preprocessor(Discrete(3)).observation_space) is flat
    assert restore_original_dimensions(nested, get_preprocessor(NESTED).observation_space) is nested


def test_an_unknown_tensorlib_is_refused():
    with pytest.raises(ValueError, match="'numpy', 'torch', 'tf', 'tf2', None, got 'jax'"):
        restore_original_dimensions(np.zeros((1, 9)), get_preprocessor(NESTED).observation_space, "jax")


def test_features_are_nested_as_the_space_is():
    assert restore_features(NESTED, ["number", "position", "binary"]) == {
        "z": ["number", "position"],
        "a": "binary",
    }
    assert restore_features(Discrete(2), ["number"]) == "number"
