"""Cutting frame stacks: what an environment stacks is stored once."""

from __future__ import annotations

import numpy as np

from anyspace.data.trajectory import Bools, Ints
from anyspace.errors import ObservationError
from anyspace.models.runtime import NumpyArray


class FrameCutter:
    """Goes along with the stacks of B environments and keeps nothing but what is new.

    Args:
        first: the stacks to act on first, [B, ..., k * C], of any time of an episode.
        k: frames in a stack.

    Attributes:
        newest: the newest frame of ``first``, [B, ..., C].
        earlier: the frames before it, oldest first, [k - 1, B, ..., C].
    """

    def __init__(self, first: NumpyArray, k: int):
        self._k, self._channels = k, first.shape[-1] // k
        frames = self._cut(first)
        self.newest, self.earlier = frames[-1].copy(), frames[:-1].copy()
        # The stacks before, each in a row of W numbers, and which of the first W - C ones are of a newest frame.
        self._before: NumpyArray = first.reshape(len(first), -1).copy()
        places = np.arange(self._before.shape[1] - self._channels) % first.shape[-1]
        self._is_newest: Bools = places >= first.shape[-1] - self._channels

    def push(self, stacks: NumpyArray, begun: Bools) -> NumpyArray:
        """Return the newest frames [B, ..., C] of the stacks after a step.

        Args:
            stacks: [B, ..., k * C].
            begun: [B] which of them are the first of an episode.

        Raises:
            ObservationError: the other frames are not those that the declared space promises; names the environment.
        """
        rows = stacks.reshape(self._before.shape)
        right = self._follow(rows, self._before)
        if begun.any():
            frames = self._cut(stacks[begun])
            right[begun] = (frames == frames[-1]).swapaxes(0, 1).reshape(frames.shape[1], -1).all(axis=1)
        self._require(right, np.arange(len(stacks)))
        self._before[:] = rows
        return stacks[..., -self._channels :]

    def last(self, stacks: NumpyArray, ended: Ints) -> NumpyArray:
        """Return the newest frames [n, ..., C] of the last stacks [n, ..., k * C] of the environments ``ended``."""
        self._require(self._follow(stacks.reshape(len(stacks), -1), self._before[ended]), ended)
        return stacks[..., -self._channels :]

    def _cut(self, stacks: NumpyArray) -> NumpyArray:
        """Cut [B, ..., k * C] into [k, B, ..., C], oldest first."""
        shape = (*stacks.shape[:-1], self._k, self._channels)
        return np.moveaxis(stacks.reshape(shape), -2, 0)

    def _follow(self, rows: NumpyArray, before: NumpyArray) -> Bools:
        """Return which stacks [n, W] hold the frames of the ones before, but for the oldest and the newest.

        Each number of them lies C places before where it lay: of two pixels and k = 3, ``abc ABC`` becomes ``bcd BCD``.
        All neighbours in memory are compared, which is quicker than to pick frames.
        """
        same: Bools = rows[:, : -self._channels] == before[:, self._channels :]
        same |= self._is_newest
        return np.asarray(same.all(axis=1))

    def _require(self, right: Bools, environments: Ints) -> None:
        if right.all():
            return
        raise ObservationError(
            f"environment {environments[right.argmin()]}: its space is StackedFrames, but the older frames are not"
            " the frames of the observation before (or, at an episode's start, copies of the first). Stack them so, or"
            " declare a plain Box, which stores every stack whole."
        )
