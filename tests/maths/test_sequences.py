import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyspace.maths.sequences import add_time_dimension, chop, ranges, slots


def columns(*environments):
    """Return flags [T, B] of what is given environment by environment."""
    return np.array(environments, np.bool_).T


def by_loop(valid, begins, max_len):
    """Cut by the definition, step by step."""
    found = []
    for b in range(valid.shape[1]):
        length = 0
        for t in range(len(valid)):
            if not valid[t, b]:
                length = 0
                continue
            if length == 0 or begins[t, b] or length == max_len:
                found.append([t, b, 0])
                length = 0
            length += 1
            found[-1][2] = length
    return [tuple(sequence) for sequence in found]


@pytest.mark.spec(85)
def test_a_trajectory_is_cut_into_chunks_of_the_longest_length():
    t, b, lens = chop(np.ones((7, 1), np.bool_), np.zeros((7, 1), np.bool_), 3)
    assert (t.tolist(), b.tolist(), lens.tolist()) == ([0, 3, 6], [0, 0, 0], [3, 3, 1])


@pytest.mark.spec(85, 88)
def test_chunks_end_with_their_episode():
    # Episodes 1, 1, 5, 5, 5, 5.
    begins = columns([1, 0, 1, 0, 0, 0])
    t, _, lens = chop(np.ones_like(begins), begins, 3)
    assert (t.tolist(), lens.tolist()) == ([0, 2, 5], [2, 3, 1])
    features = np.array([4, 4, 8, 8, 8, 8])
    padded = np.zeros(9, np.int64)
    padded[slots(lens)] = features[ranges(t, lens)]
    assert padded.tolist() == [4, 4, 0, 8, 8, 8, 8, 0, 0]


@pytest.mark.spec(88)
def test_environments_and_gaps_are_never_joined():
    # However alike episodes are numbered: what tells them apart is where they begin, not a number.
    valid = columns([1, 1, 0, 1, 1], [1, 1, 1, 1, 1], [0, 0, 1, 0, 1])
    begins = columns([1, 0, 0, 1, 0], [1, 0, 0, 0, 1], [0, 0, 1, 0, 0])
    t, b, lens = chop(valid, begins, 10)
    assert list(zip(t.tolist(), b.tolist(), lens.tolist(), strict=True)) == [
        (0, 0, 2),
        (3, 0, 2),
        (0, 1, 4),
        (4, 1, 1),
        (2, 2, 1),
        (4, 2, 1),
    ]


flags = st.integers(1, 12).flatmap(
    lambda steps: st.integers(1, 3).flatmap(
        lambda width: st.tuples(
            *[
                st.lists(st.booleans(), min_size=steps * width, max_size=steps * width).map(
                    lambda bits: np.array(bits).reshape(steps, width)
                )
            ]
            * 2
        )
    )
)


@given(flags, st.integers(1, 6))
def test_chunks_are_those_of_a_loop(both, max_len):
    valid, begins = both
    t, b, lens = chop(valid, begins, max_len)
    assert list(zip(t.tolist(), b.tolist(), lens.tolist(), strict=True)) == by_loop(valid, begins, max_len)
    assert lens.sum() == valid.sum()


def test_nothing_valid_makes_no_sequence():
    t, b, lens = chop(np.zeros((3, 2), np.bool_), np.ones((3, 2), np.bool_), 2)
    assert (t.tolist(), b.tolist(), lens.tolist()) == ([], [], [])


def test_ranges_follow_each_other():
    assert ranges(np.array([5, 0, 7]), np.array([2, 3, 1])).tolist() == [5, 6, 0, 1, 2, 7]
    assert ranges(np.array([1, 10]), np.array([3, 2]), 4).tolist() == [1, 5, 9, 10, 14]


@pytest.mark.spec(90)
def test_padded_rows_of_both_orders_hold_the_same():
    lens, rows = np.array([2, 3, 1]), np.arange(10, 16)
    batch_major, time_major = np.zeros((2, 9), np.int64)
    batch_major[slots(lens)], time_major[slots(lens, time_major=True)] = rows, rows
    assert batch_major.reshape(3, 3).tolist() == [[10, 11, 0], [12, 13, 14], [15, 0, 0]]
    assert np.array_equal(time_major.reshape(3, 3), batch_major.reshape(3, 3).T)


@pytest.mark.spec(104)
def test_rows_get_an_axis_of_time(framework):
    rows, lens = framework.array(range(6), np.int32), framework.array([3, 1], np.int32)
    np.testing.assert_array_equal(add_time_dimension(rows, lens), [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(add_time_dimension(rows, lens, time_major=True), [[0, 3], [1, 4], [2, 5]])
    assert add_time_dimension(rows, None).shape == (6, 1)
    assert add_time_dimension(rows[:0], lens[:0]).shape == (0, 1)
