"""A warehouse: shelves run empty, and a robot that refills one needs time to get to it."""

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete
from anyspace.rllib.env.env_context import EnvContext


class Warehouse(gym.Env):
    """The robot may not go to a shelf that is full, nor to one that is blocked."""

    def __init__(self, config: EnvContext):
        self.shelves = config.get("shelves", 4)
        self.limit = config.get("limit", 40)
        self.demand = config.get("demand", 0.1)
        self.action_space = Discrete(self.shelves)
        self.observation_space = Dict(
            {
                "action_mask": Box(0.0, 1.0, (self.shelves,), np.float32),
                "observations": Dict(
                    {
                        "stock": Box(0.0, 1.0, (self.shelves,), np.float32),
                        "robot": Discrete(self.shelves),
                        "time": Box(0.0, 1.0, (1,), np.float32),
                    }
                ),
            }
        )

    def set_task(self, demand):
        self.demand = demand

    def _mask(self):
        mask = (self.stock < 0.95) & ~self.blocked
        if not mask.any():
            mask[self.stock.argmin()] = True
        return mask.astype(np.float32)

    def _obs(self):
        time = np.array([self.t / self.limit], np.float32)
        inner = {"stock": self.stock.copy(), "robot": self.robot, "time": time}
        return {"action_mask": self._mask(), "observations": inner}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.robot, self.way = 0, 0, 0
        self.stock = self.np_random.uniform(0.3, 0.9, self.shelves).astype(np.float32)
        self.blocked = np.zeros(self.shelves, bool)
        return self._obs(), {}

    def step(self, action):
        distance = abs(int(action) - self.robot)
        self.robot, self.way = int(action), self.way + distance
        self.stock[action] = min(1.0, self.stock[action] + 0.6 / (1 + distance))
        sold = self.np_random.uniform(0, 2 * self.demand, self.shelves).astype(np.float32)
        missing = float(np.maximum(sold - self.stock, 0).sum())
        self.stock = np.clip(self.stock - sold, 0, 1)
        self.blocked = self.np_random.random(self.shelves) < 0.1
        self.t += 1
        reward = float(np.minimum(sold, self.stock).sum()) - 2 * missing
        info = {"missing": missing, "distance": self.way / self.t}
        return self._obs(), reward, False, self.t >= self.limit, info
