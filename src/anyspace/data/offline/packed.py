"""Packed columns: arrays as the old format packs them, base64 of an lz4 frame of a pickle.

A pickle can name any function to be called. Here one may name those alone from which NumPy puts an array together.
"""

from __future__ import annotations

import base64
import io
import pickle
from typing import Any

import numpy as np

from anyspace.errors import ConfigError

_ALLOWED = {
    "ndarray",
    "dtype",
    "_reconstruct",
    "_frombuffer",
    "scalar",
}
"""What a pickled array names in NumPy."""


def pack(array: np.ndarray[Any, Any]) -> str:
    """Return an array as a packed column."""
    return base64.b64encode(_lz4().compress(pickle.dumps(array))).decode("ascii")


def unpack(text: str) -> np.ndarray[Any, Any]:
    """Return the array of a packed column.

    Raises:
        ConfigError: lz4 is not installed.
        ValueError: it is none, or its pickle names anything but arrays.
    """
    frame = _lz4()
    try:
        array = _ArraysOnly(io.BytesIO(frame.decompress(base64.b64decode(text, validate=True)))).load()
    except Exception as error:  # what raises depends on which of the bytes are wrong
        raise ValueError(f"{text[:20]!r}... is no packed array: {error}") from error
    if not isinstance(array, np.ndarray) or array.dtype.hasobject:
        raise ValueError(f"{text[:20]!r}... holds no array of numbers")
    return array


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        numpys = module == "numpy" or module.startswith(("numpy.core.", "numpy._core."))
        if (numpys and name in _ALLOWED) or (module, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"the pickle names {module}.{name}, which is no part of an array")


def _lz4() -> Any:
    try:
        import lz4.frame
    except ImportError as error:
        raise ConfigError(
            "packed columns are compressed by lz4, which is not installed: `pip install lz4`, or `pip install"
            " 'anyspace[offline]'`."
        ) from error
    return lz4.frame
