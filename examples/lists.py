"""A list of structures whose length changes: the network sees those that are there, whatever their number."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete

from anyspace import PPO
from anyspace.spaces import Repeated

MONSTER = Dict(strength=Box(0, 1, (1,)), asleep=Discrete(2))


class Cave(gym.Env[Any, Any]):
    """Enter if the monsters that are awake are weaker than 1 together."""

    observation_space = Repeated(MONSTER, max_len=5)
    action_space = Discrete(2)

    def look(self) -> list[dict[str, Any]]:
        monsters: list[dict[str, Any]] = [
            {"strength": self.np_random.random(1, np.float32), "asleep": int(self.np_random.integers(2))}
            for _ in range(self.np_random.integers(0, 6))
        ]
        self.danger = sum(float(one["strength"][0]) for one in monsters if not one["asleep"])
        return monsters

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return self.look(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        right = action == (self.danger < 1)
        self.t += 1
        return self.look(), float(right), False, self.t == 20, {}


def main(steps: int = 20_000) -> float:
    algo = PPO(Cave, model={"fcnet_hiddens": [32], "post_fcnet_hiddens": [32]}, seed=0)
    algo.learn(steps, progress=False)
    found = float(algo.evaluate(episodes=10)["episode_return_mean"])
    print(f"right decisions: {found:.1f} of 20")
    return found


if __name__ == "__main__":
    main()
