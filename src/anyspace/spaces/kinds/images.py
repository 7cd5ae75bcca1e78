"""Which Boxes are pictures, and which of their axes is which."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from gymnasium.spaces import Box

from anyspace.spaces.kinds.frames import Image, StackedFrames

# Four colour frames with a mask each. More numbers than that to a pixel are features rather than colours.
MOST_CHANNELS = 16
# A smaller matrix of bytes is a table.
LEAST_SIDE = 8


@dataclass(frozen=True)
class ImageLayout:
    """The axes of a picture [H, W], [H, W, C] or [C, H, W], or of K pictures [K, H, W, C] or [K, C, H, W]."""

    height: int
    width: int
    channels: int
    """Numbers to a pixel, of all K pictures together; 1 where there is no axis of channels."""
    channels_first: bool = False
    """Whether an axis of channels comes before rows and columns."""
    declared: bool = field(default=False, compare=False)
    """Whether the space itself says where the channels are (`Image`)."""


def image_layout(space: Box) -> ImageLayout | None:
    """Return the layout of a Box that is a picture, or None.

    Pictures are bytes, bounded by 0 and 255, of rank 2 with both sides at least 8, or of rank 3 or 4. `Image` and
    `StackedFrames` say where their channels are. In any other Box they come first where they are the shortest
    of the last three axes, of at most 16, and last otherwise.
    """
    shape = space.shape
    if space.dtype != np.uint8 or space.low.any() or (space.high != 255).any() or 0 in shape:
        return None
    if len(shape) == 2:
        return ImageLayout(*shape, channels=1) if min(shape) >= LEAST_SIDE else None
    if len(shape) not in (3, 4):
        return None
    *pictures, first, middle, last = shape
    channels_first, declared = _channels_first(space)
    if channels_first:
        return ImageLayout(middle, last, math.prod(pictures) * first, True, declared)
    return ImageLayout(first, middle, math.prod(pictures) * last, False, declared)


def _channels_first(space: Box) -> tuple[bool, bool]:
    """Return whether the channels come first, and whether the space itself says so."""
    match space:
        case Image():
            return space.channels_first, True
        case StackedFrames():
            return False, False
    channels, *sides = space.shape[-3:]
    return channels <= MOST_CHANNELS and channels < min(sides), False
