"""Numbers of your own in the log, and a task that grows harder as the policy grows better."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete

from anyspace import PPO, Callback


class Stairs(gym.Env[Any, Any]):
    """Climb by naming the side of each step; a miss ends the climb, and so does the top."""

    height = 2
    observation_space = Box(-1, 1, (1,))
    action_space = Discrete(2)

    def set_height(self, height: int) -> None:
        self.height = height

    def look(self) -> np.ndarray[Any, Any]:
        self.side = int(self.np_random.integers(2))
        return np.array([2 * self.side - 1], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.climbed = 0
        return self.look(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        right = action == self.side
        self.climbed += int(right)
        return self.look(), float(right), not right or self.climbed >= self.height, False, {"climbed": self.climbed}


class Harder(Callback):
    """Doubles the height whenever nine of ten climbs reach the top."""

    def __init__(self) -> None:
        self.height = Stairs.height

    def on_iteration(self, algorithm: Any, result: dict[str, Any]) -> None:
        if result.get("episode_return_mean", 0) > 0.9 * self.height and self.height < 64:
            self.height *= 2
            algorithm.call_envs("set_height", self.height)  # also of environments in other processes
        result["height"] = self.height  # a column of metrics.csv, a curve of TensorBoard


def main(steps: int = 20_000) -> float:
    algo = PPO(Stairs, return_window=20, seed=0)
    result = algo.learn(steps, callback=Harder(), progress=False)
    print(f"the stairs have {result['height']} steps now; a climb reaches {result['episode_return_mean']:.0f}")
    return float(result["height"])


if __name__ == "__main__":
    main()
