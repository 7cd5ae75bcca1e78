"""Which Boxes are pictures, and which of their axes is which."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from gymnasium.spaces import Box

from anyspace.spaces.frames import Image, StackedFrames

if TYPE_CHECKING:
    from anyspace.spaces.leaves import LeafSpec

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
    """Numbers to a pixel, those of all K pictures together; 1 where there is no axis of channels."""
    channels_first: bool = False
    """Whether an axis of channels comes before rows and columns."""


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
    if _channels_first(space):
        return ImageLayout(middle, last, math.prod(pictures) * first, channels_first=True)
    return ImageLayout(first, middle, math.prod(pictures) * last)


def describe_images(specs: Iterable[LeafSpec]) -> list[str]:
    """Return a sentence for each leaf whose channels were taken to come first because of its shape alone."""
    return [
        f"{spec.place()}: {spec.space} is read as a picture of {spec.image.height} x {spec.image.width} pixels with its"
        f" {spec.image.channels} channels first. If they come last, declare"
        f" anyspace.spaces.Image({spec.space.shape}, channels_first=False) in the environment."
        for spec in specs
        if spec.image is not None and spec.image.channels_first and not isinstance(spec.space, Image)
    ]


def _channels_first(space: Box) -> bool:
    if isinstance(space, Image):
        return space.channels_first
    channels, *sides = space.shape[-3:]
    return not isinstance(space, StackedFrames) and channels <= MOST_CHANNELS and channels < min(sides)
