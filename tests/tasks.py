"""Environments whose values or best returns are known exactly. They import nothing from anyspace."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Endless(gym.Env[Any, Any]):
    """Reward 1 for ever, one state, cut after ``horizon`` steps: V = 1 / (1 - gamma) whatever is done."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, horizon: int = 20):
        self.horizon = horizon
        self.t = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return np.ones(1, np.float32), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return np.ones(1, np.float32), 1.0, False, self.t >= self.horizon, {}


class Countdown(gym.Env[Any, Any]):
    """Reward 1 for ``horizon`` steps, then termination; the observation is the number of steps taken."""

    action_space = spaces.Discrete(2)

    def __init__(self, horizon: int = 5):
        self.horizon = horizon
        self.observation_space = spaces.Discrete(horizon + 1)
        self.t = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return 0, {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return self.t, 1.0, self.t >= self.horizon, False, {}


class Lock(gym.Env[Any, Any]):
    """A lock with a nested observation of an index, a vector and a tuple, every leaf of which is needed.

    The right action is ``turn = (dial + [vector[0] > 0]) mod 3`` and ``flip = bit xor [sign > 0]``. Each right
    one earns 1 and moves the dial on; at dial 3 it earns 3 and the dial springs back to 0. A wrong one earns
    nothing and leaves the dial where it is. An episode has 24 steps.
    """

    HORIZON = 24

    observation_space = spaces.Dict(
        [
            ("vector", spaces.Box(-1, 1, (2,), np.float32)),
            ("dial", spaces.Discrete(4, start=1)),
            ("inner", spaces.Tuple([spaces.Discrete(2), spaces.Dict({"sign": spaces.Box(-1, 1, (), np.float32)})])),
        ]
    )
    action_space = spaces.Dict({"turn": spaces.Discrete(3, start=-1), "flip": spaces.MultiDiscrete([2])})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t, self.dial = 0, 0
        return self._draw(), {}

    def _draw(self) -> Any:
        self.vector = self.np_random.uniform(0.1, 1, 2) * self.np_random.choice([-1, 1], 2)
        self.bit = int(self.np_random.integers(2))
        self.sign = float(self.np_random.choice([-1, 1]))
        return {
            "dial": self.dial + 1,
            "inner": (self.bit, {"sign": np.float32(self.sign)}),
            "vector": self.vector.astype(np.float32),
        }

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        turn = (self.dial + int(self.vector[0] > 0)) % 3
        flip = self.bit ^ int(self.sign > 0)
        right = action["turn"] + 1 == turn and action["flip"][0] == flip
        reward = 0.0
        if right:
            reward = 3.0 if self.dial == 3 else 1.0
            self.dial = (self.dial + 1) % 4
        self.t += 1
        return self._draw(), reward, False, self.t >= self.HORIZON, {}

    @classmethod
    def best_return(cls) -> float:
        """Return the optimum by dynamic programming over (steps left, dial)."""
        value = np.zeros(4)
        for _ in range(cls.HORIZON):
            right = [(3.0 if dial == 3 else 1.0) + value[(dial + 1) % 4] for dial in range(4)]
            value = np.maximum(right, value)
        return float(value[0])
