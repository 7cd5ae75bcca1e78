from __future__ import annotations

import numpy as np

from anyspace.maths.gather import Gathered
from tests.support.frameworks import Framework

STORED = np.arange(5 * 2 * 3 * 2, dtype=np.float32).reshape(5, 2, 3, 2)
INDEX = np.array([[0, 0, 1], [2, 4, 3]])


def test_rows_are_side_by_side_along_the_last_axis(framework: Framework) -> None:
    gathered = Gathered(
        framework.array(STORED), framework.array(INDEX, np.int64 if framework.name != "jax" else np.int32)
    )
    together = gathered.put_together()
    assert isinstance(together, framework.kind)
    assert together.shape == gathered.shape == (2, 2, 3, 6)
    for row, parts in zip(np.asarray(together), INDEX, strict=True):
        np.testing.assert_array_equal(row, np.concatenate([STORED[part] for part in parts], axis=-1))


def test_rows_are_picked_without_touching_what_is_stored() -> None:
    gathered = Gathered(STORED, INDEX)
    picked = gathered[[1, 1, 0]]
    assert len(picked) == 3
    assert picked.stored is gathered.stored
    np.testing.assert_array_equal(picked.put_together(), gathered.put_together()[[1, 1, 0]])
    np.testing.assert_array_equal(gathered[:1].put_together(), gathered.put_together()[:1])
