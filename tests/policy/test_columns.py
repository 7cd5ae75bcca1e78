"""Batches as plain arrays of few shapes."""

from __future__ import annotations

import numpy as np

from anyspace.policy.columns import columns_of, put_together, size_for


def test_keys_that_are_alike_stay_apart() -> None:
    alike = {1: np.full(3, 1.0), "1": np.full(3, 2.0), "a/b": np.full(3, 3.0), "a": {"b": np.full(3, 4.0)}}
    columns = columns_of({"actions": alike})
    assert len(columns.rows) == 4
    np.testing.assert_equal(dict(put_together(columns.built, columns.rows, columns.stored)), {"actions": alike})


def test_sizes_are_few_and_leave_little_room() -> None:
    assert [size_for(count) for count in (1, 2, 3, 4, 5, 8, 9, 12, 13, 16, 17, 24, 25, 33, 49)] == [
        *(1, 2, 4, 4, 8, 8, 12, 12, 16, 16, 24, 24, 32, 48, 64),
    ]
    for count in range(9, 3000):
        assert count <= size_for(count) < 1.5 * count
    assert len({size_for(count) for count in range(1, 4097)}) == 22
