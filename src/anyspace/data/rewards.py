"""Rewards as an algorithm sees them: clipped, scaled, or as they came.

Clipping and scaling happen where learning does, so that a trajectory holds the environment's own rewards. What scaling
goes by, the spread of discounted returns, is taken beside the environments, where episodes go on from one trajectory to
the next, and travels with the trajectory as moments that can be merged.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from anyspace.data.trajectory import Floats, Trajectory
from anyspace.maths.losses import ROUNDING
from anyspace.models.runtime import NumpyArray
from anyspace.spaces import RunningStat

Moments = npt.NDArray[np.float64]


def clipped(rewards: Floats, clip: bool | float) -> Floats:
    """Return the sign of rewards where ``clip`` is True, else rewards between plus and minus ``clip``; False: as is."""
    if clip is True:
        return np.sign(rewards)
    return rewards if clip is False else np.clip(rewards, -abs(clip), abs(clip))


class ReturnMoments:
    """Moments of the discounted return ``R_t = gamma R_{t-1} + r_t`` of clipped rewards; R restarts with an episode.

    Args:
        num_envs: B.
        clip: see :func:`clipped`.
        gamma: the discount.
    """

    def __init__(self, num_envs: int, clip: bool | float, gamma: float):
        self._clip, self._gamma = clip, gamma
        self._running: Moments = np.zeros(num_envs)

    def restart(self) -> None:
        """Forget the returns of the running episodes."""
        self._running = np.zeros(len(self._running))

    def __call__(self, trajectory: Trajectory) -> Moments:
        """Return count, mean and sum of squared deviations [B, 3] of the returns at the trajectory's valid steps."""
        rewards, valid, done = clipped(trajectory.rewards, self._clip), trajectory.valid, trajectory.done
        running, returns = self._running, np.empty(rewards.shape)
        for t in range(len(rewards)):
            running = np.where(valid[t], self._gamma * running + rewards[t], running)
            returns[t] = running
            running = np.where(done[t], 0.0, running)
        self._running = running
        count = valid.sum(axis=0)
        mean = np.where(valid, returns, 0.0).sum(axis=0) / np.maximum(count, 1)
        squares = np.where(valid, (returns - mean) ** 2, 0.0).sum(axis=0)
        return np.stack([count, mean, squares], axis=1)


class RewardTransform:
    """Clips rewards, then divides them by the running deviation of the discounted return.

    Rewards are not shifted, so no action gains by ending an episode. As long as every return was the same there is no
    scale to divide by, and rewards stay as they are.

    Args:
        clip: True takes the sign of rewards, a number clips to plus and minus it, False leaves them; None takes the
            sign of Atari's and leaves all others.
        normalize: whether to scale.

    Attributes:
        is_atari: whether an Atari environment pays them.
    """

    def __init__(self, clip: bool | float | None = None, normalize: bool = False):
        self._given = clip
        self.normalize = normalize
        self.is_atari = False
        self.stat = RunningStat(())

    @property
    def clip(self) -> bool | float:
        """How rewards are clipped; see :func:`clipped`."""
        return self.is_atari if self._given is None else self._given

    def __call__(self, trajectory: Trajectory) -> Trajectory:
        """Take a trajectory's moments into the statistics, and return it with transformed rewards."""
        rewards = clipped(trajectory.rewards, self.clip)
        if self.normalize and trajectory.reward_moments is not None:
            for count, mean, squares in trajectory.reward_moments:
                self.stat.push_moments(int(count), mean, squares)
            deviation = float(self.stat.std) if self.stat.n > 1 else 0.0
            if deviation > ROUNDING * abs(self.stat.mean):
                rewards = (rewards / deviation).astype(np.float32)
        return trajectory if rewards is trajectory.rewards else replace(trajectory, rewards=rewards)

    def state(self) -> dict[str, NumpyArray]:
        """Return the statistics by name."""
        return self.stat.state()

    def load_state(self, state: dict[str, NumpyArray]) -> None:
        """Restore what :meth:`state` returned."""
        self.stat.load_state(state)
