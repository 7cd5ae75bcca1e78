"""A Dict with a picture, a choice and numbers: each part goes through a network of its own kind."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete

from anyspace import PPO


class Sorting(gym.Env[Any, Any]):
    """A lamp, left or right in a picture, says where light parcels go; heavy ones go to the left."""

    observation_space = Dict(
        camera=Box(0, 255, (16, 16, 1), np.uint8), parcel=Dict(weight=Box(0, 2, (1,)), colour=Discrete(3))
    )
    action_space = Discrete(2)

    def look(self) -> dict[str, Any]:
        self.lamp, self.weight = int(self.np_random.integers(2)), self.np_random.uniform(0, 2, 1).astype(np.float32)
        picture = np.zeros((16, 16, 1), np.uint8)
        picture[4:12, 8 * self.lamp : 8 * self.lamp + 8] = 255
        return {"camera": picture, "parcel": {"weight": self.weight, "colour": int(self.np_random.integers(3))}}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return self.look(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        right = self.lamp if self.weight[0] < 1 else 0
        self.t += 1
        return self.look(), float(action == right), False, self.t == 20, {}


def main(steps: int = 20_000) -> float:
    model = {"conv_filters": [[8, 4, 4], [16, 4, 1]], "fcnet_hiddens": [32], "post_fcnet_hiddens": [32]}
    algo = PPO(Sorting, model=model, lr=1e-3, seed=0)
    algo.learn(steps, progress=False)
    found = float(algo.evaluate(episodes=10)["episode_return_mean"])
    print(f"parcels that went to the right side: {found:.1f} of 20")
    return found


if __name__ == "__main__":
    main()
