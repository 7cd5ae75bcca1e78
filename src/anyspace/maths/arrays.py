"""NumPy's arrays: names of their kinds, which say what is in them, and when two are equal. Docstrings say shapes."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

NumpyArray: TypeAlias = npt.NDArray[Any]
"""Of any dtype, which what it is used for decides."""
Floats: TypeAlias = npt.NDArray[np.float32]
Bools: TypeAlias = npt.NDArray[np.bool_]
Ints: TypeAlias = npt.NDArray[np.int64]


def equal(one: Any, other: Any) -> bool:
    """Return whether two arrays or numbers are equal; NaN equals NaN."""
    first, second = np.asarray(one), np.asarray(other)
    return bool(np.array_equal(first, second, equal_nan=first.dtype.kind == "f" and second.dtype.kind == "f"))
