"""An action of a choice and a number, with an on-policy and an off-policy algorithm."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete, Tuple

from anyspace import PPO, SAC


class Shooting(gym.Env[Any, Any]):
    """Choose one of three bows and how far to draw it; each has its own strength."""

    observation_space = Box(0.2, 0.8, (1,))
    action_space = Tuple([Discrete(3), Box(0, 1, (1,))])

    def look(self) -> np.ndarray[Any, Any]:
        self.distance = self.np_random.uniform(0.2, 0.8, 1).astype(np.float32)
        return self.distance

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return self.look(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        bow, draw = action
        flight = draw[0] * (0.3, 1.0, 3.0)[bow]
        cost = 0.1 * int(bow != 1)  # the middle one is in your hand
        self.t += 1
        return self.look(), float(1 - abs(flight - self.distance[0]) - cost), False, self.t == 10, {}


def main(steps: int = 20_000) -> float:
    on_policy = PPO(Shooting, seed=0)
    on_policy.learn(steps, progress=False)
    off_policy = SAC(Shooting, model={"fcnet_hiddens": [32, 32]}, train_batch_size=64, seed=0)
    off_policy.learn(steps // 10, progress=False)
    returns = [float(algo.evaluate(episodes=20)["episode_return_mean"]) for algo in (on_policy, off_policy)]
    print(f"of 10: PPO {returns[0]:.2f} after {steps:,} steps, SAC {returns[1]:.2f} after {steps // 10:,}")
    return min(returns)


if __name__ == "__main__":
    main()
