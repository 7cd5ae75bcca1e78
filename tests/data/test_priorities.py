"""Priorities: rows are drawn in proportion, weights make up for it, and the tree is what a cumulative sum says."""

from __future__ import annotations

import numpy as np
import pytest

from anyspace.data.priorities import Priorities, SumTree


def test_the_example() -> None:
    tree = SumTree(3)
    tree.put(np.array([0, 2]), np.array([1.0, 3.0]))
    assert tree.find(np.array([0.5, 1.0, 3.9])).tolist() == [0, 2, 2]
    assert tree.total == 4


@pytest.mark.parametrize("size", [1, 16, 17, 300, 5000, 70_000])
def test_rows_are_found_as_in_a_cumulative_sum(size: int) -> None:
    rng = np.random.default_rng(size)
    numbers, tree = np.zeros(size), SumTree(size)
    for _ in range(5):
        rows = rng.integers(size, size=max(1, size // 3))
        values = rng.random(len(rows)) * (rng.random(len(rows)) < 0.7)
        numbers[rows] = values
        tree.put(rows, values)
    tree.put(np.array([size - 1]), 1.0)
    numbers[size - 1] = 1.0
    at = rng.random(2000) * numbers.sum()
    assert np.array_equal(tree.find(at), numbers.cumsum().searchsorted(at, side="right"))
    assert tree.total == pytest.approx(numbers.sum(), rel=1e-12)
    assert np.array_equal(tree[np.arange(size)], numbers)


@pytest.mark.parametrize("filled", [0.3, 1.0])
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_row_without_a_number_is_never_found(filled: float, share: float) -> None:
    """Rounding may lead past the last number of a node, or to before its first: borders are asked for.

    Of each size some trees are filled in part, so that the last nodes have no numbers.
    """
    rng = np.random.default_rng(0)
    for size in rng.integers(2, 3000, 150):
        tree, rows = SumTree(size), np.arange(max(1, int(size * share)))
        tree.put(rows, rng.random(len(rows)) * (rng.random(len(rows)) < filled))
        tree.put(rows[:1], 1.0)
        borders = np.concatenate([tree[np.arange(size)].cumsum(), [tree.total]])
        at = np.concatenate([np.nextafter(borders, 0), borders, np.nextafter(borders, np.inf)])
        found = tree.find(at[at < tree.total])
        assert found.max() < size
        assert (tree[found] > 0).all()


def test_how_often_and_with_which_weights_rows_are_drawn() -> None:
    """P(i) = p_i^alpha / sum, w_i = (N P(i))^-beta / max w, with p = |error| + eps."""
    errors, alpha, beta, eps = np.array([0.5, -2.0, 0.0, 1.0]), 0.7, 0.4, 0.1
    priorities = Priorities(6, alpha=alpha, beta=beta, eps=eps)
    priorities.open(np.arange(5))
    priorities.set(np.arange(4), errors)
    priorities.close(np.array([4]))
    probabilities = (np.abs(errors) + eps) ** alpha
    probabilities /= probabilities.sum()
    weights = (4 * probabilities) ** -beta
    rows, found = priorities.draw(100_000, np.random.default_rng(0))
    assert np.bincount(rows, minlength=6)[:4] / 100_000 == pytest.approx(probabilities, abs=1e-3)
    assert found == pytest.approx((weights / weights.max())[rows], rel=1e-6)


def test_new_rows_have_the_largest_priority_so_far_and_closed_ones_stay_closed() -> None:
    priorities = Priorities(4, alpha=1.0, beta=1.0, eps=1e-9)
    priorities.open(np.array([0]))
    priorities.set(np.array([0, 3]), np.array([5.0, 7.0]))
    priorities.open(np.array([1]))
    assert priorities.total == pytest.approx(5 + 7)
    assert set(priorities.draw(1000, np.random.default_rng(0))[0].tolist()) == {0, 1}


def test_even_draws_with_alpha_0_have_weights_of_1() -> None:
    priorities = Priorities(3, alpha=0.0, beta=1.0, eps=1e-6)
    priorities.open(np.arange(3))
    priorities.set(np.arange(3), np.array([1.0, 100.0, 0.0]))
    rows, weights = priorities.draw(999, np.random.default_rng(0))
    assert np.bincount(rows).tolist() == [333, 333, 333]
    assert (weights == 1).all()
