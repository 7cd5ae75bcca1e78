"""A hall of switches, for benchmarks on both sides: a mask, a nested observation, an action of two parts.

It needs Gymnasium and NumPy alone, so that peers import it, too.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

ROOMS, WAYS, SWITCHES = 12, 4, 5


class Hall(gym.Env[Any, Any]):
    """Go a way and flip a switch; in each room one of the ways and one of the switches are out of reach.

    Args:
        nested: observations are a Dict in a Dict with the mask in it, actions a Tuple; otherwise a Dict of arrays and a
            MultiDiscrete, and ``action_masks()`` gives the mask, as Stable-Baselines3 takes them.
    """

    def __init__(self, nested: bool):
        body = {"position": Box(-1, 1, (6,), np.float32), "room": Discrete(ROOMS), "switches": MultiBinary(8)}
        goal = {"goal": Box(-1, 1, (2,), np.float32)}
        self.nested = nested
        if nested:
            seen = Dict({"body": Dict(body), **goal})
            self.observation_space: Any = Dict({"obs": seen, "action_mask": MultiBinary(WAYS + SWITCHES)})
            self.action_space: Any = Tuple((Discrete(WAYS), Discrete(SWITCHES)))
        else:
            self.observation_space = Dict({**body, **goal})
            self.action_space = MultiDiscrete([WAYS, SWITCHES])

    def action_masks(self) -> Any:
        """Return what is within reach: the ways, then the switches."""
        mask = np.ones(WAYS + SWITCHES, np.bool_)
        mask[self.room % WAYS] = mask[WAYS + self.room % SWITCHES] = False
        return mask

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Begin anywhere."""
        super().reset(seed=seed)
        self.position = self.np_random.uniform(-1, 1, 6).astype(np.float32)
        self.goal = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        self.switches = self.np_random.integers(0, 2, 8).astype(np.int8)
        self.room, self.t = int(self.np_random.integers(ROOMS)), 0
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        """Pay for one of the ways."""
        way, switch = int(action[0]), int(action[1])
        self.t += 1
        self.position[way] *= 0.9
        self.switches[switch] ^= 1
        self.room = (self.room + switch + 1) % ROOMS
        return self._seen(), float(way == (self.room + 1) % WAYS), False, self.t >= 100, {}

    def _seen(self) -> Any:
        body = {"position": self.position.copy(), "room": np.int64(self.room), "switches": self.switches.copy()}
        if not self.nested:
            return {**body, "goal": self.goal}
        return {"obs": {"body": body, "goal": self.goal}, "action_mask": self.action_masks().astype(np.int8)}


class Nested(Hall):
    """With a nested observation that holds the mask."""

    def __init__(self) -> None:
        super().__init__(nested=True)


class Flat(Hall):
    """As peers take it."""

    def __init__(self) -> None:
        super().__init__(nested=False)
