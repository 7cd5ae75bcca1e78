"""Boxes that say what their numbers are pictures of: `Image` and `StackedFrames`."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box


class Image(Box):
    """A picture of bytes, 0 to 255, that says where its channels are. For a plain Box its shape decides that.

    Args:
        shape: [H, W, C], or [C, H, W] where the channels come first; K such pictures have one more axis in front.
        channels_first: whether the channels come before rows and columns.

    Raises:
        ValueError: the shape has another rank.
    """

    def __init__(self, shape: tuple[int, ...], *, channels_first: bool = False):
        super().__init__(0, 255, shape, np.uint8)
        if len(self.shape) not in (3, 4):
            raise ValueError(f"an Image has the shape of one picture (rank 3) or several (rank 4), got {shape}.")
        self.channels_first = channels_first

    def __eq__(self, other: object) -> bool:
        """Whether ``other`` is an Image of the same shape and order of axes."""
        return isinstance(other, Image) and self.channels_first == other.channels_first and super().__eq__(other)

    def __repr__(self) -> str:
        return f"Image({self.shape}, channels_first={self.channels_first})"


class StackedFrames(Box):
    """A picture and the ones before it, side by side along the last axis, the newest one last.

    Observations [H, W, C * stack]. An environment that declares this promises what lets the newest frame alone
    be stored: each observation is the one before it, moved on by one frame, and the first observation of an
    episode holds its frame ``stack`` times.

    Attributes:
        stack: how many frames, at least 1.

    Raises:
        ValueError: ``stack`` does not divide the last axis, or the bounds differ from frame to frame.
    """

    def __init__(self, low: Any, high: Any, shape: tuple[int, ...] | None = None, dtype: Any = np.uint8, *, stack: int):
        super().__init__(low, high, shape, dtype)
        if isinstance(stack, bool) or not isinstance(stack, int | np.integer):
            raise ValueError(f"stack is {stack!r}, but it must be a whole number of at least 1.")
        if stack < 1 or not self.shape or self.shape[-1] % stack:
            raise ValueError(
                f"stack is {stack}, but it must be at least 1 and divide the last axis of the shape {self.shape}."
            )
        self.stack = int(stack)
        for name, bound in (("low", self.low), ("high", self.high)):
            frames = bound.reshape(*self.shape[:-1], stack, self.shape[-1] // stack)
            if (frames != frames[..., :1, :]).any():
                raise ValueError(
                    f"`{name}` differs from frame to frame, but each frame takes all {stack} places in turn; give every"
                    " frame the same bounds."
                )

    def __eq__(self, other: object) -> bool:
        """Whether ``other`` is stacked frames of the same Box."""
        return isinstance(other, StackedFrames) and self.stack == other.stack and super().__eq__(other)

    def __repr__(self) -> str:
        return f"StackedFrames({self.low.min()}, {self.high.max()}, {self.shape}, {self.dtype}, stack={self.stack})"
