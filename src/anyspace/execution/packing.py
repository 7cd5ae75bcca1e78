"""``BufferLayout``: named arrays in one buffer of bytes, so that a policy's weights travel as a single array."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from anyspace.models.runtime import NumpyArray

Packed = npt.NDArray[np.uint8]

ALIGNMENT = 64
"""Each array begins at a multiple of so many bytes."""


class Slice(NamedTuple):
    """Where an array lies in the buffer, and what it is."""

    start: int
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]

    @property
    def stop(self) -> int:
        """The byte after its last one."""
        return self.start + self.dtype.itemsize * math.prod(self.shape)


class BufferLayout:
    """Where named arrays lie in a buffer of bytes. Dtypes and shapes are those of the arrays that it is made for.

    Args:
        like: arrays by name.

    Attributes:
        size: bytes of a buffer.
    """

    def __init__(self, like: Mapping[str, NumpyArray]):
        self._places: dict[str, Slice] = {}
        self.size = 0
        for name, array in like.items():
            place = Slice(self.size, array.dtype, array.shape)
            self._places[name] = place
            self.size = -(-place.stop // ALIGNMENT) * ALIGNMENT

    def pack(self, arrays: Mapping[str, NumpyArray]) -> Packed:
        """Return a new buffer with the arrays.

        Raises:
            ValueError: names or shapes differ from those that the layout is for.
        """
        if arrays.keys() != self._places.keys():
            differing = ", ".join(sorted(arrays.keys() ^ self._places.keys()))
            raise ValueError(f"expected arrays of the same names; only one side has: {differing}.")
        buffer = np.zeros(self.size, np.uint8)
        for name, view in self.unpack(buffer).items():
            if arrays[name].shape != view.shape:
                raise ValueError(f"{name}: expected the shape {view.shape}, got {arrays[name].shape}.")
            np.copyto(view, arrays[name])
        return buffer

    def unpack(self, buffer: Packed) -> dict[str, NumpyArray]:
        """Return views into a buffer by name; they can be written to where the buffer can."""
        return {
            name: buffer[place.start : place.stop].view(place.dtype).reshape(place.shape)
            for name, place in self._places.items()
        }
