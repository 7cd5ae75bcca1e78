"""Atari's memory and pictures as spaces of their own classes, which say how their bytes become features.

No shape makes an observation Atari's, only these two classes do: a Box of 128 numbers is a Box like any other.

Letters: N stands for any number of leading batch dimensions, such as [T, B].
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box

from anyspace.errors import EnvironmentSetupError

Bytes: TypeAlias = npt.NDArray[np.uint8]

CROP = 25
"""Rows above and below the playing field that :func:`warp_pixels` drops."""
FIRST_SIDE = 84
"""A smaller picture is made of one of this side, so that what is small on the screen does not vanish."""


class AtariRam(Box):
    """The console's memory [128], bytes; features are ``(byte - 128) / 128``: 0 is -1, 128 is 0, 255 is 0.9921875.

    Attributes:
        stored_shape: trailing shape of a stored observation.
        shift, scale: a feature is ``(stored - shift) * scale``.
    """

    shift, scale = 128.0, 1 / 128

    def __init__(self) -> None:
        super().__init__(0, 255, (128,), np.uint8)
        self.stored_shape = (128,)

    def __eq__(self, other: object) -> bool:
        """Whether ``other`` is Atari memory as well."""
        return isinstance(other, AtariRam)

    def __repr__(self) -> str:
        return "AtariRam()"


class AtariPixels(Box):
    """The console's screen, rows x columns x RGB, that is stored and learnt from as a smaller square picture.

    A screen of rows x columns is gray, and so is its picture.

    Attributes:
        dim: side of that picture in pixels, at least 1.
        grayscale: whether it has one channel, the mean of the three, instead of three.
        zero_mean: whether features are ``(x - 128) / 128``, in [-1, 0.992], instead of ``x / 255``, in [0, 1].
        stored_shape: trailing shape of a stored observation, ``(dim, dim, 1 or 3)``.
        shift, scale: a feature is ``(stored - shift) * scale``.
    """

    def __init__(
        self,
        shape: tuple[int, ...] = (210, 160, 3),
        *,
        dim: int = 84,
        grayscale: bool = False,
        zero_mean: bool = True,
    ):
        super().__init__(0, 255, shape, np.uint8)
        if dim < 1 or len(shape) < 2 or shape[0] <= 2 * CROP or shape[2:] not in ((), (3,)):
            raise ValueError(
                f"AtariPixels of shape {shape} and dim {dim}: a screen has more than {2 * CROP} rows and three colours"
                " or none, and its picture a side of at least 1."
            )
        self.dim, self.grayscale, self.zero_mean = dim, grayscale, zero_mean
        self.stored_shape = (dim, dim, 3 if shape[2:] and not grayscale else 1)
        self.shift, self.scale = (128.0, 1 / 128) if zero_mean else (0.0, 1 / 255)

    def __eq__(self, other: object) -> bool:
        """Whether ``other`` is a screen of the same size that becomes the same picture."""
        return (
            isinstance(other, AtariPixels)
            and self.shape == other.shape
            and (self.dim, self.grayscale, self.zero_mean) == (other.dim, other.grayscale, other.zero_mean)
        )

    def __repr__(self) -> str:
        return f"AtariPixels({self.shape}, dim={self.dim}, grayscale={self.grayscale}, zero_mean={self.zero_mean})"

    def warp(self, array: Bytes) -> Bytes:
        """Return the pictures [N, dim, dim, 1 or 3] of screens [N, *shape]."""
        return warp_pixels(array if self.shape[2:] else array[..., None], self.dim, self.grayscale)


def warp_pixels(frames: Bytes, dim: int, grayscale: bool) -> Bytes:
    """Return screens [N, H, W, C] as square pictures [N, dim, dim, C], or [N, dim, dim, 1] in gray.

    The top and bottom 25 rows are dropped and the rest is shrunk by areas, to a side below 84 in two steps. Gray
    is the plain mean of the channels, rounded to a whole number.

    Raises:
        EnvironmentSetupError: OpenCV, which does the shrinking, is not installed.
    """
    lead, screen = frames.shape[:-3], frames.shape[-3:]
    cropped = frames.reshape(-1, *screen)[:, CROP:-CROP]
    pictures = np.empty((len(cropped), dim, dim, screen[-1]), np.uint8)
    for picture, frame in zip(pictures, cropped, strict=True):
        if dim < FIRST_SIDE:
            frame = shrink(frame, FIRST_SIDE)
        picture[:] = shrink(frame, dim).reshape(picture.shape)  # OpenCV drops an axis of one channel
    if grayscale:
        pictures = np.rint(pictures.mean(axis=-1, keepdims=True, dtype=np.float32)).astype(np.uint8)
    return pictures.reshape(*lead, *pictures.shape[1:])


def shrink(frame: Bytes, side: int) -> Bytes:
    """Return a picture [H, W] or [H, W, C] as one of ``side`` x ``side`` pixels, each the mean over its area."""
    resized: Any = opencv().resize(frame, (side, side), interpolation=opencv().INTER_AREA)
    return np.asarray(resized, np.uint8)


def opencv() -> Any:
    """Return the module ``cv2``, which only Atari's pictures need.

    Raises:
        EnvironmentSetupError: it is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise EnvironmentSetupError(
            f"Atari's pictures are shrunk by OpenCV, which cannot be imported ({error}): pip install 'anyspace[atari]'."
        ) from error
    return cv2
