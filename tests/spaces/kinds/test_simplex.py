import pickle
import re
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Tuple
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from gymnasium.vector.utils import batch_space, iterate

from anyspace.spaces import Simplex
from tests.support.catalogue import stacked


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1,), (4,), (2, 3), (2, 1, 500)], ids=str)
def test_samples_are_members(shape, dtype):
    for concentration in (None, np.full(shape[-1], 0.01), np.linspace(1, 50, shape[-1])):
        space = Simplex(shape, concentration, dtype, seed=0)
        for _ in range(20):
            sample = space.sample()
            assert sample in space
            assert (sample.shape, sample.dtype) == (shape, dtype)


def test_samples_follow_the_concentration():
    space = Simplex((2, 3), [1.0, 2.0, 5.0], seed=0)
    samples = np.stack([space.sample() for _ in range(4000)])
    np.testing.assert_allclose(samples.mean(0), np.tile([1 / 8, 2 / 8, 5 / 8], (2, 1)), atol=0.01)
    again = Simplex((2, 3), [1.0, 2.0, 5.0], seed=0)
    np.testing.assert_array_equal(again.sample(), samples[0])
    space.seed(0)
    np.testing.assert_array_equal(space.sample(), samples[0])


@pytest.mark.parametrize(
    ("value", "member"),
    [
        ([0.2, 0.3, 0.5], True),
        ([0.0, 0.0, 1.0], True),
        ([0.2, 0.3, 0.500005], True),
        ([0.2, 0.3, 0.5001], False),
        ([0.6, 0.6, -0.2], False),
        ([1.0, -1e-9, 0.0], False),
        ([0.5, 0.5, np.nan], False),
        ([np.inf, 0.0, 0.0], False),
        ([0.5, 0.5], False),
        ([[0.2, 0.3, 0.5]], False),
    ],
    ids=str,
)
def test_membership(value, member):
    assert (np.array(value, np.float32) in Simplex((3,))) is member


def test_membership_asks_for_arrays_that_fit_the_dtype():
    shares = [0.25, 0.75]
    assert np.array(shares, np.float16) in Simplex((2,))
    assert np.array(shares, np.float64) not in Simplex((2,))
    assert shares not in Simplex((2,))
    assert np.array([0, 1], np.int64) not in Simplex((2,))
    assert np.array([[0.5, 0.5], [0.9, 0.2]], np.float32) not in Simplex((2, 2))
    assert np.array([0.1, 0.2, 0.3, 0.4], np.float16) in Simplex((4,), dtype=np.float16)


def test_equality_text_and_copies():
    space = Simplex((2, 3), [1, 2, 3])
    assert space == Simplex([2, 3], (1.0, 2.0, 3.0))
    for other in (Simplex((3,), [1, 2, 3]), Simplex((2, 3)), Simplex((2, 3), [1, 2, 3], np.float64), Box(0, 1, (2, 3))):
        assert space != other
    assert repr(space) == "Simplex((2, 3), [1.0, 2.0, 3.0], float32)"
    assert repr(Simplex((3,))) == "Simplex((3,), float32)"
    assert pickle.loads(pickle.dumps(space)) == space


def test_what_is_no_simplex_is_refused():
    for shape in ((), (0,), (3, 0)):
        with pytest.raises(ValueError, match="of at least one share"):
            Simplex(shape)
    for shape in (3, "3", (2.5,), (None,), None):
        with pytest.raises(
            ValueError, match=r"Simplex: expected a shape such as \(3,\), got " + re.escape(repr(shape))
        ):
            Simplex(shape)
    for dtype, name in ((np.int64, "int64"), (None, "None"), ("real", "real")):
        with pytest.raises(ValueError, match=f"expected a floating dtype, got {name};"):
            Simplex((3,), dtype=dtype)
    for concentration in ([1, 2], [1, 0, 1], [1, -1, 1], [1, np.nan, 1], 2.0, "abc", [[1], [1, 2]]):
        with pytest.raises(ValueError, match="expected a concentration of 3 numbers above 0"):
            Simplex((3,), concentration)
    for keywords in ({"mask": np.ones(3)}, {"probability": np.ones(3)}):
        with pytest.raises(ValueError, match=r"Simplex\(\(3,\), float32\) cannot be sampled with a mask"):
            Simplex((3,)).sample(**keywords)


def test_batches_are_arrays():
    space = Simplex((2, 3), [1, 2, 3], seed=0)
    batch = batch_space(space, 4)
    assert batch == Simplex((4, 2, 3), [1, 2, 3])
    assert batch.sample() in batch
    members = [space.sample() for _ in range(4)]
    array = stacked(space, members)
    assert array in batch
    for row, member in zip(iterate(batch, array), members, strict=True):
        np.testing.assert_array_equal(row, member)


NESTED = Dict(split=Simplex((3,)), both=Tuple((Simplex((2, 2), dtype=np.float64), Box(-1, 1, (2,)))))


class Echo(gym.Env[Any, Any]):
    """Observes the latest action, which must be in the action space."""

    def __init__(self, space: gym.Space[Any]) -> None:
        self.observation_space = self.action_space = space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        return action, float(self.action_space.contains(action)), False, False, {}


@pytest.mark.parametrize("space", [Simplex((2, 3)), NESTED], ids=["alone", "nested"])
@pytest.mark.parametrize(
    "build", [SyncVectorEnv, AsyncVectorEnv, lambda fns: AsyncVectorEnv(fns, shared_memory=False)],
    ids=["sync", "async", "async pipes"],
)  # fmt: skip
def test_vector_environments_pass_shares_as_arrays(build, space):
    envs = build([lambda: Echo(space)] * 3)
    try:
        assert envs.action_space == batch_space(space, 3)
        observations, _ = envs.reset(seed=1)
        assert observations in envs.observation_space
        actions = envs.action_space.sample()
        seen, rewards, *_ = envs.step(actions)
        assert rewards.tolist() == [1.0] * 3
        for one, other in zip(iterate(envs.action_space, actions), iterate(envs.observation_space, seen), strict=True):
            assert one in space
            assert repr(one) == repr(other)
    finally:
        envs.close()
