"""Sequences in lanes: every row lies somewhere, once, and lanes know where their sequences begin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyspace.policy.lanes import places_of, put_in_lanes
from anyspace.policy.sequences import Sequences

LENS = st.lists(st.integers(1, 9), min_size=1, max_size=30)


def sequences_of(lens: list[int]) -> Sequences:
    """Return sequences whose states say which they are: 1 and up."""
    return Sequences(np.array(lens), [np.arange(1.0, len(lens) + 1)[:, None]])


@given(LENS, st.randoms(use_true_random=False), st.booleans())
def test_every_row_lies_in_one_place_behind_its_own_state(lens: list[int], random: object, packs: bool) -> None:
    sequences = sequences_of(lens)
    numbers = list(range(len(lens)))
    random.shuffle(numbers)  # type: ignore[attr-defined]
    first, second = numbers[: (len(numbers) + 1) // 2], numbers[(len(numbers) + 1) // 2 :]
    order = np.array([first, second + [0] * (len(first) - len(second))])
    counted = np.array([[True] * len(first), [True] * len(second) + [False] * (len(first) - len(second))])
    found = put_in_lanes(sequences, order, counted, 9, packs=packs)
    starts = np.cumsum(lens) - lens
    for step, some in enumerate((first, second)):
        own = [row for number in some for row in range(starts[number], starts[number] + lens[number])]
        places = found.places[step]
        assert (places[: len(own)] >= 0).all()
        assert (places[len(own) :] == -1).all()
        assert found.rows[step, places[: len(own)]].tolist() == own
        assert len(set(places[: len(own)])) == len(own)
        assert set(found.rows[step]) <= set(range(sum(lens)))
        at = dict(zip(own, places.tolist(), strict=False))
        lanes = found.lanes
        for number in some:
            place = at[starts[number]]
            lane, t = divmod(place, 9)
            state = lanes.state[0][step, lane]
            if t:
                assert lanes.resets is not None
                state = lanes.resets.states[0][step, lanes.resets.begins[step, place]]
            assert state == number + 1
            assert [at[row] for row in range(starts[number], starts[number] + lens[number])] == list(
                range(place, place + lens[number])
            )
        if packs:
            others = np.setdiff1d(np.arange(found.rows.shape[1]), places)
            assert set(found.rows[step, others].tolist()) <= {
                start + n - 1 for start, n in zip(starts, lens, strict=True)
            }
            filled = np.zeros((found.rows.shape[1] // 9, 9), np.bool_)
            filled.reshape(-1)[places[: len(own)]] = True
            np.testing.assert_array_equal(filled, np.arange(9) < lanes.lens[step][:, None])


@pytest.mark.parametrize("packs", [False, True])
def test_the_example(packs: bool) -> None:
    found = put_in_lanes(sequences_of([2, 1]), np.array([[0, 1]]), np.ones((1, 2), np.bool_), 3, packs=packs)
    assert found.rows.tolist() == [[0, 1, 2] if packs else [0, 1, 1, 2, 2, 2]]
    assert found.places.tolist() == [[0, 1, 2] if packs else [0, 1, 3]]
    lens, state, resets = found.lanes
    assert lens.tolist() == [[3] if packs else [2, 1]]
    assert state[0].tolist() == [[[1.0]] if packs else [[1.0], [2.0]]]
    if packs:
        assert resets is not None
        assert resets.begins.tolist() == [[-1, -1, 0]]
        assert resets.states[0][0, 0] == 2.0
    else:
        assert resets is None


def test_lanes_are_hardly_more_than_the_rows_need() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        lens = rng.integers(1, 21, 100)
        found = put_in_lanes(
            sequences_of(lens.tolist()), np.arange(100)[None], np.ones((1, 100), np.bool_), 20, packs=True
        )
        used = int((found.lanes.lens > 0).sum())
        assert used <= 1.15 * lens.sum() / 20 + 1
        assert found.rows.shape[1] // 20 <= 1.5 * used


def test_a_longer_sequence_makes_longer_lanes() -> None:
    for packs in (False, True):
        found = put_in_lanes(sequences_of([11, 2, 3]), np.array([[0, 1, 2]]), np.ones((1, 3), np.bool_), 4, packs=packs)
        assert found.rows.shape[1] % 16 == 0
        assert found.lanes.lens.max() == (16 if packs else 11)


def test_places_of_what_is_there() -> None:
    there = np.array([[1, 0, 1], [0, 1, 0]], np.bool_)
    assert places_of(there).tolist() == [[0, 2], [1, -1]]
