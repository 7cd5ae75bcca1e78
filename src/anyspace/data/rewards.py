"""What the algorithm sees of the rewards: clipped, scaled, or as they came."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anyspace.data.trajectory import Bools, Floats
from anyspace.models.runtime import NumpyArray
from anyspace.spaces import RunningStat

ROUNDING = 1e-6
"""A deviation below this share of the mean is rounding."""


class RewardTransform:
    """Clips rewards, then divides them by the running deviation of the discounted return.

    Args:
        clip: True takes their sign, a number clips to plus and minus it, False leaves them; None takes the sign of
            Atari's and leaves all others (spec 2.8).
        normalize: whether to scale. The deviation is of ``R_t = gamma R_{t-1} + r_t`` over all steps so far,
            R restarting with each episode; rewards are not shifted, so no action gains by ending an episode.
            As long as every R was the same there is no scale to divide by, and rewards stay as they are.
        gamma: the discount of that return.

    Attributes:
        is_atari: whether an Atari environment pays them.
    """

    def __init__(self, clip: bool | float | None = None, normalize: bool = False, gamma: float = 0.99):
        self._clip = clip
        self._normalize = normalize
        self._gamma = gamma
        self.is_atari = False
        self._returns: npt.NDArray[np.float64] | None = None
        self.stat = RunningStat(())

    def __call__(self, rewards: Floats, done: Bools, valid: Bools) -> Floats:
        """Return the transformed rewards [T, B] and take the valid ones into the statistics."""
        clip = self.is_atari if self._clip is None else self._clip
        if clip is True:
            rewards = np.sign(rewards)
        elif clip is not False:
            rewards = np.clip(rewards, -abs(clip), abs(clip))
        if not self._normalize:
            return rewards
        self.stat.push_batch(self._discounted(rewards, done, valid)[valid])
        deviation = float(self.stat.std) if self.stat.n > 1 else 0.0
        if deviation <= ROUNDING * abs(self.stat.mean):
            return rewards
        return (rewards / deviation).astype(np.float32)

    def restart(self) -> None:
        """Forget the returns of the running episodes; the statistics stay."""
        self._returns = None

    def _discounted(self, rewards: Floats, done: Bools, valid: Bools) -> npt.NDArray[np.float64]:
        running = np.zeros(rewards.shape[1]) if self._returns is None else self._returns
        returns = np.empty(rewards.shape)
        for t in range(len(rewards)):
            running = np.where(valid[t], self._gamma * running + rewards[t], running)
            returns[t] = running
            running = np.where(done[t], 0.0, running)
        self._returns = running
        return returns

    def state(self) -> dict[str, NumpyArray]:
        """Return the statistics by name."""
        return self.stat.state()

    def load_state(self, state: dict[str, NumpyArray]) -> None:
        """Restore what :meth:`state` returned."""
        self.stat.load_state(state)
        self.restart()
