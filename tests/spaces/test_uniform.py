import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

from anyspace.errors import UnsupportedSpaceError
from anyspace.spaces import ActionMasks, Decoder, Simplex
from anyspace.spaces.uniform import UniformActions, float_components, raw_space
from tests.support.catalogue import ACTION_SPACES
from tests.support.frameworks import FRAMEWORKS, Framework

RNG = np.random.default_rng(0)
F32 = np.float32
HALF = Box(np.array([0, -np.inf, -np.inf, 2], F32), np.array([np.inf, 1, np.inf, 6], F32), (4,), F32)


def drawn(space, rows: int = 4000, mask=None, convert=np.asarray):
    uniform = UniformActions(space)
    noise = RNG.gumbel(size=(rows, uniform.width)).astype(np.float32)
    masks = None if mask is None else ActionMasks(space).split(convert(np.tile(mask, (rows, 1))))
    return uniform(convert(noise), masks)


def test_the_space_of_raw_actions() -> None:
    assert raw_space(Discrete(3, start=2), normalize=True) == Discrete(3, start=2)
    assert raw_space(Simplex((3,)), normalize=True) == Simplex((3,))
    space = Tuple([Dict(a=Box(-2, 5, (2,)), b=HALF), Box(1, 4, (2,), np.int64)])
    scaled = raw_space(space, normalize=True)
    assert scaled[0]["a"] == Box(-1, 1, (2,))
    assert scaled[0]["b"] == Box(
        np.array([0, -np.inf, -np.inf, -1], F32), np.array([np.inf, 1, np.inf, 1], F32), (4,), F32
    )
    assert scaled[1] == Box(1, 4, (2,), np.int64)
    assert raw_space(space, normalize=False) == space
    assert [(path, leaf.shape) for path, leaf in float_components(space)] == [((0, "a"), (2,)), ((0, "b"), (4,))]


@pytest.mark.parametrize("framework", FRAMEWORKS[:2], ids=lambda framework: framework.name)
@pytest.mark.parametrize("name", ACTION_SPACES)
def test_random_actions_lie_in_every_space(name: str, framework: Framework) -> None:
    space = ACTION_SPACES[name]
    for normalize in (True, False):
        uniform = UniformActions(raw_space(space, normalize=normalize))
        raw = uniform(framework.array(RNG.gumbel(size=(8, uniform.width))), None)
        actions = Decoder(space, normalize=normalize)(raw)
        for row in range(8):
            assert space.contains(row_of(space, actions, row)), (actions, row)


def row_of(space, actions, row: int):
    if isinstance(space, Dict):
        return {key: row_of(part, actions[key], row) for key, part in space.spaces.items()}
    if isinstance(space, Tuple):
        return tuple(row_of(part, action, row) for part, action in zip(space.spaces, actions, strict=True))
    value = np.asarray(actions)[row]
    return value if isinstance(space, Discrete) else np.asarray(value)


@pytest.mark.parametrize("convert", [np.asarray, torch.tensor])
def test_every_allowed_option_alike_and_no_other(convert) -> None:
    choice = np.asarray(drawn(Discrete(4), mask=np.array([1, 0, 1, 1], bool), convert=convert))
    np.testing.assert_allclose(np.bincount(choice, minlength=4) / 4000, [1 / 3, 0, 1 / 3, 1 / 3], atol=0.04)
    space = Tuple([MultiDiscrete([2, 3]), MultiBinary(2)])
    mask = np.array([0, 1, 1, 1, 0, 0, 0, 1, 1], bool)
    kinds, bits = drawn(space, mask=mask, convert=convert)
    assert set(np.asarray(kinds)[:, 0].tolist()) == {1}
    np.testing.assert_allclose(np.bincount(np.asarray(kinds)[:, 1], minlength=3) / 4000, [0.5, 0.5, 0], atol=0.04)
    # Of the first bit nothing is allowed, so everything is.
    np.testing.assert_allclose(np.asarray(bits).mean(axis=0), [0.5, 0.5], atol=0.04)


def test_numbers_are_even_between_their_bounds() -> None:
    raw = drawn(HALF, 20_000)
    assert raw.dtype == np.float32
    assert (raw[:, 0] >= 0).all()
    assert (raw[:, 1] <= 1).all()
    np.testing.assert_allclose(raw.mean(axis=0), [1, 0, 0, 4], atol=0.05)  # exponential distances of mean 1
    np.testing.assert_allclose(raw.std(axis=0), [1, 1, 1, 4 / np.sqrt(12)], atol=0.05)
    np.testing.assert_allclose(np.quantile(raw[:, 3], [0.1, 0.5, 0.9]), [2.4, 4, 5.6], atol=0.08)


def test_shares_are_even_on_their_simplex() -> None:
    shares = drawn(Simplex((2, 3)), 20_000)
    np.testing.assert_allclose(shares.sum(axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(shares.mean(axis=0), 1 / 3, atol=0.01)
    np.testing.assert_allclose(shares.var(axis=0), 2 / 36, atol=0.003)  # of a Dirichlet of three ones


def test_an_unknown_leaf_is_named() -> None:
    from gymnasium.spaces import Text

    with pytest.raises(UnsupportedSpaceError, match=r"action\[1\]"):
        UniformActions(Tuple([Discrete(2), Text(3)]))


def test_bounds_beyond_float32_are_its_own() -> None:
    draw = UniformActions(raw_space(Box(-1e300, np.array([1e300, np.inf]), (2,), np.float64), normalize=False))
    noise = np.random.default_rng(0).gumbel(size=(500, draw.width)).astype(np.float32)
    found = np.asarray(draw(noise, None))
    assert np.isfinite(found).all()
    assert (found[:, 0] < -1e37).any()
    assert (found[:, 0] > 1e37).any()
