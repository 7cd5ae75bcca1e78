import numpy as np
import pytest
import torch
from gymnasium.spaces import Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from hypothesis import given, settings
from hypothesis import strategies as st

from anyspace.maths.branches import Branches, choices
from tests.support.frameworks import Framework

RNG = np.random.default_rng(0)


def parts(x: np.ndarray, widths: list[int]) -> list[np.ndarray]:
    return np.split(x, np.cumsum(widths)[:-1], axis=1)


@pytest.mark.parametrize("widths", [[3], [2, 2], [2, 3, 1]])
def test_options_branch_by_branch_and_side_by_side_again(framework: Framework, widths: list[int]) -> None:
    branches = Branches(widths)
    assert (branches.count, branches.total, branches.widest) == (len(widths), sum(widths), max(widths))
    for rest in ((), (4,)):
        x = RNG.normal(size=(5, sum(widths), *rest)).astype(np.float32)
        split = branches.split(framework.array(x))
        assert isinstance(split, framework.kind)
        assert split.shape == (5, len(widths), max(widths), *rest)
        for branch, part in enumerate(parts(x, widths)):
            for option in range(max(widths)):
                found = np.asarray(split)[:, branch, option]
                np.testing.assert_array_equal(found, part[:, option if option < widths[branch] else 0])
        np.testing.assert_array_equal(np.asarray(branches.join(split)), x)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(0, 2**16))
def test_the_largest_of_each_branch_and_what_is_chosen(widths: list[int], seed: int) -> None:
    rng, branches = np.random.default_rng(seed), Branches(widths)
    x = rng.integers(0, 3, (6, sum(widths))).astype(np.float32)  # with many equals: the first one counts
    expected = np.stack([part.argmax(axis=1) for part in parts(x, widths)], axis=1)
    np.testing.assert_array_equal(branches.argmax(x), expected)
    np.testing.assert_array_equal(branches.argmax(torch.tensor(x)), expected)
    rows = np.arange(6)
    for rest in ((), (3,)):
        y = rng.normal(size=(6, sum(widths), *rest))
        held = np.stack([part[rows, chosen] for part, chosen in zip(parts(y, widths), expected.T, strict=True)], axis=1)
        np.testing.assert_array_equal(branches.at(y, expected), held)
        np.testing.assert_array_equal(branches.at(torch.tensor(y), torch.tensor(expected)), held)


@pytest.mark.parametrize("widths", [[3], [2, 2], [2, 3, 1]])
def test_what_a_mask_allows(framework: Framework, widths: list[int]) -> None:
    branches, mask = Branches(widths), RNG.random((8, sum(widths))) < 0.5
    mask[0] = False
    like = framework.array(np.zeros(1))
    allowed = np.asarray(branches.allowed(framework.array(mask, bool), like=like))
    for branch, part in enumerate(parts(mask, widths)):
        width = widths[branch]
        expected = np.where(part.any(axis=1, keepdims=True), part, True)
        np.testing.assert_array_equal(allowed[:, branch, :width], expected)
        assert not allowed[:, branch, width:].any()
    everything = branches.allowed(None, like=like)
    if len({*widths}) == 1:
        assert everything is None
    else:
        np.testing.assert_array_equal(np.asarray(everything).sum(axis=-1), widths)


def test_the_choices_of_nested_actions() -> None:
    space = Tuple([Discrete(3), Dict(b=MultiBinary((2, 1)), a=MultiDiscrete([[4], [5]]))])
    actions = (np.array([2, 0]), {"a": np.array([[[3], [4]], [[1], [0]]]), "b": np.array([[[1], [0]], [[0], [1]]])})
    for convert in (np.asarray, torch.tensor):
        given_ = (convert(actions[0]), {key: convert(value) for key, value in actions[1].items()})
        np.testing.assert_array_equal(choices(space, given_), [[2, 1, 0, 3, 4], [0, 0, 1, 1, 0]])
    alone = choices(Discrete(3), np.array([2, 1], np.int32))
    assert (alone.tolist(), alone.dtype) == ([[2], [1]], np.int64)
