from __future__ import annotations

import numpy as np
import pytest

from anyspace.execution.packing import ALIGNMENT, BufferLayout

ARRAYS = {
    "weights": np.arange(6, dtype=np.float32).reshape(2, 3),
    "count": np.asarray(7),
    "none": np.zeros((0, 3), np.float32),
    "flags": np.array([True, False, True]),
    "mean": np.linspace(0, 1, 5),
}


def test_what_is_packed_comes_out_again() -> None:
    layout = BufferLayout(ARRAYS)
    found = layout.unpack(layout.pack(ARRAYS))
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
        assert found[name].flags.aligned


def test_each_array_begins_where_vectors_like_it() -> None:
    layout = BufferLayout(ARRAYS)
    buffer = layout.pack(ARRAYS)
    assert layout.size == len(buffer) == 4 * ALIGNMENT
    start = buffer.__array_interface__["data"][0]
    for name, view in layout.unpack(buffer).items():
        if view.size:
            assert (view.__array_interface__["data"][0] - start) % ALIGNMENT == 0, name


def test_views_can_be_written_to_where_the_buffer_can() -> None:
    layout = BufferLayout(ARRAYS)
    buffer = layout.pack(ARRAYS)
    layout.unpack(buffer)["count"][...] = 9
    assert layout.unpack(buffer)["count"] == 9
    buffer.flags.writeable = False
    assert not layout.unpack(buffer)["mean"].flags.writeable


def test_other_arrays_are_refused() -> None:
    layout = BufferLayout(ARRAYS)
    with pytest.raises(ValueError, match="only one side has: mean"):
        layout.pack({name: array for name, array in ARRAYS.items() if name != "mean"})
    with pytest.raises(ValueError, match=r"count: expected the shape \(\), got \(2,\)"):
        layout.pack({**ARRAYS, "count": np.zeros(2, np.int64)})
