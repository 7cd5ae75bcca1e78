"""Actions that are known by their descriptions alone: their number and their order change in every step."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete

from anyspace import PPO


class Market(gym.Env[Any, Any]):
    """Up to six stalls offer fruit, each described by price, sweetness and size; buy what you are hungry for."""

    action_space = Discrete(6)
    observation_space = Dict(
        action_mask=Box(0, 1, (6,), np.int8), avail_actions=Box(-1, 1, (6, 3)), hunger=Box(-1, 1, (2,))
    )

    def look(self) -> dict[str, Any]:
        open_stalls = self.np_random.permutation(6) < self.np_random.integers(2, 7)
        self.offers = np.where(open_stalls[:, None], self.np_random.uniform(-1, 1, (6, 3)), 0).astype(np.float32)
        self.hunger = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return {"action_mask": open_stalls.astype(np.int8), "avail_actions": self.offers, "hunger": self.hunger}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return self.look(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        price, *taste = self.offers[action]
        reward = float(np.dot(taste, self.hunger) - 0.2 * price)
        self.t += 1
        return self.look(), reward, False, self.t == 20, {}


def main(steps: int = 40_000) -> float:
    algo = PPO(Market, model={"parametric_actions": "given", "fcnet_hiddens": [32, 32]}, seed=0)
    before = float(algo.evaluate(episodes=20)["episode_return_mean"])
    algo.learn(steps, progress=False)
    found = float(algo.evaluate(episodes=20)["episode_return_mean"])
    print(f"before training {before:.2f}, after it {found:.2f}")
    return found


if __name__ == "__main__":
    main()
