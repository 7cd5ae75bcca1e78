"""Environments whose values or best returns are known exactly. Of anyspace they know the Repeated space alone."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from anyspace.spaces import Repeated


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


class Raid(gym.Env[Any, Any]):
    """A list of monsters, each with a list of things: strike the one that is weak and carries no shield.

    Right is its place in the list or, where there is none such, ``MONSTERS`` (to wait). Each right action earns 1.
    An episode has 24 steps, each with new monsters.
    """

    HORIZON, MONSTERS, SHIELD = 24, 4, 2

    observation_space = spaces.Dict(
        monsters=Repeated(
            spaces.Dict(strength=spaces.Box(0, 1, (1,), np.float32), things=Repeated(spaces.Discrete(3), 2)), MONSTERS
        )
    )
    action_space = spaces.Discrete(MONSTERS + 1)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self._draw(), {}

    def _draw(self) -> Any:
        count = int(self.np_random.integers(2, self.MONSTERS + 1))
        self.right = int(self.np_random.integers(count)) if self.np_random.random() < 0.8 else self.MONSTERS
        return {"monsters": [self._monster(place == self.right) for place in range(count)]}

    def _monster(self, right: bool) -> Any:
        weak = right or bool(self.np_random.integers(2))
        things = self.np_random.integers(0, 2, self.np_random.integers(3)).tolist()
        if weak and not right:  # a weak one that is not to be struck has a shield
            things = things[:1]
            things.insert(int(self.np_random.integers(len(things) + 1)), self.SHIELD)
        strength = self.np_random.uniform(0, 0.4) if weak else self.np_random.uniform(0.6, 1)
        return {"strength": np.array([strength], np.float32), "things": things}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        reward = float(action == self.right)
        self.t += 1
        return self._draw(), reward, False, self.t >= self.HORIZON, {}

    @classmethod
    def best_return(cls) -> float:
        """Return the optimum: nothing carries over from step to step, and one action of each is right."""
        return float(cls.HORIZON)


class Harvest(gym.Env[Any, Any]):
    """Six fields, three of them open: reap an open one whose crop is in season; a closed one is an error.

    The observation is spec 9.1's: a mask and the rest. Each right action earns 1. An episode has 24 steps, each
    with new fields.
    """

    HORIZON, FIELDS = 24, 6

    observation_space = spaces.Dict(
        action_mask=spaces.Box(0, 1, (FIELDS,), np.int8),
        observations=spaces.Dict(crops=spaces.MultiBinary(FIELDS), season=spaces.Discrete(2)),
    )
    action_space = spaces.Discrete(FIELDS)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self._draw(), {}

    def _draw(self) -> Any:
        self.season = int(self.np_random.integers(2))
        self.crops = self.np_random.integers(0, 2, self.FIELDS).astype(np.int8)
        opened = self.np_random.permutation(self.FIELDS)[:3]
        self.crops[opened[0]] = self.season
        self.crops[opened[1]] = 1 - self.season
        self.mask = np.isin(np.arange(self.FIELDS), opened).astype(np.int8)
        return {"action_mask": self.mask, "observations": {"crops": self.crops, "season": self.season}}

    def step(self, action: Any) -> Any:
        if not self.mask[action]:
            raise ValueError(f"field {action} is closed")
        reward = float(self.crops[action] == self.season)
        self.t += 1
        return self._draw(), reward, False, self.t >= self.HORIZON, {}

    @classmethod
    def best_return(cls) -> float:
        """Return the optimum: nothing carries over from step to step, and each has a right action."""
        return float(cls.HORIZON)
