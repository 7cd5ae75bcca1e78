"""Cutting frame stacks: what an environment stacks is stored once."""

from __future__ import annotations

import numpy as np

from anyspace.data.trajectory import Bools, Ints
from anyspace.errors import ObservationError
from anyspace.models.runtime import NumpyArray


class FrameStack:
    """Goes along with the stacks of B environments and keeps nothing but what is new.

    Args:
        first: the stacks to act on first, [B, ..., k * C], of any time of an episode.
        k: frames in a stack.

    Attributes:
        newest: the newest frame of ``first``, [B, ..., C].
        earlier: the frames before it, oldest first, [k - 1, B, ..., C].
    """

    def __init__(self, first: NumpyArray, k: int):
        self._k = k
        frames = self._cut(first)
        self.newest, self.earlier = frames[-1].copy(), frames[:-1].copy()
        self._latest: NumpyArray = frames[1:].copy()

    def push(self, stacks: NumpyArray, begun: Bools) -> NumpyArray:
        """Return the newest frames [B, ..., C] of the stacks after a step.

        Args:
            stacks: [B, ..., k * C].
            begun: [B] which of them are the first of an episode.

        Raises:
            ObservationError: the other frames are not those that the declared space promises; names the environment.
        """
        frames = self._cut(stacks)
        expected = self._latest.copy()
        expected[:, begun] = frames[-1, begun]
        self._require(frames[:-1], expected, np.arange(len(stacks)))
        self._latest = frames[1:].copy()
        newest: NumpyArray = frames[-1]
        return newest

    def last(self, stacks: NumpyArray, ended: Ints) -> NumpyArray:
        """Return the newest frames [n, ..., C] of the last stacks [n, ..., k * C] of the environments ``ended``."""
        frames = self._cut(stacks)
        self._require(frames[:-1], self._latest[:, ended], ended)
        newest: NumpyArray = frames[-1]
        return newest

    def _cut(self, stacks: NumpyArray) -> NumpyArray:
        """Cut [B, ..., k * C] into [k, B, ..., C], oldest first."""
        shape = (*stacks.shape[:-1], self._k, stacks.shape[-1] // self._k)
        return np.moveaxis(stacks.reshape(shape), -2, 0)

    def _require(self, frames: NumpyArray, expected: NumpyArray, environments: Ints) -> None:
        if np.array_equal(frames, expected):
            return
        wrong = (frames != expected).reshape(len(frames), len(environments), -1).any(axis=(0, 2))
        raise ObservationError(
            f"environment {environments[wrong.argmax()]}: its space is StackedFrames, but the older frames are not"
            " the frames of the observation before (or, at an episode's start, copies of the first). Stack them so, or"
            " declare a plain Box, which stores every stack whole."
        )
