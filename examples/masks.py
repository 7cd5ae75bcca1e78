"""Actions that are not always allowed: a method `action_masks()` says which are, and nothing is configured."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete

from anyspace import PPO


class Elevator(gym.Env[Any, Any]):
    """Go down, stay or go up in a house of eight floors; it pays to be where the passenger waits."""

    observation_space = Box(0, 7, (2,))
    action_space = Discrete(3)

    def look(self) -> np.ndarray[Any, Any]:
        return np.array([self.floor, self.passenger], np.float32)

    def action_masks(self) -> np.ndarray[Any, Any]:
        return np.array([self.floor > 0, True, self.floor < 7])

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.floor, self.passenger, self.t = 0, int(self.np_random.integers(8)), 0
        return self.look(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_masks()[action], "a forbidden action"
        self.floor += int(action) - 1
        self.t += 1
        found = self.floor == self.passenger
        if found:
            self.passenger = int(self.np_random.integers(8))
        return self.look(), float(found), False, self.t == 40, {}


def main(steps: int = 40_000) -> float:
    algo = PPO(Elevator, model={"fcnet_hiddens": [64, 64]}, seed=0)
    algo.learn(steps, progress=False)
    found = float(algo.evaluate(episodes=10)["episode_return_mean"])
    print(f"passengers met in 40 steps: {found:.1f}")
    env = Elevator()
    obs, _ = env.reset(seed=1)
    print("first action:", algo.compute_single_action(obs, mask=env.action_masks()))
    return found


if __name__ == "__main__":
    main()
