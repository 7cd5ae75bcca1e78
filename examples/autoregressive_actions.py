"""Parts of an action that fit each other, in a place that nobody can foresee: independent parts cannot do it."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete, Tuple

from anyspace import PPO


class Hiding(gym.Env[Any, Any]):
    """Hide in one of four places, and leave the key there; a seeker looks where you have hidden most often."""

    observation_space = Box(0, 1, (1,))
    action_space = Tuple([Discrete(4), Discrete(4)])  # where you hide, where the key is

    def __init__(self) -> None:
        self.habits = np.zeros(4)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        hidden, key = action
        seeker = int(self.np_random.choice(np.flatnonzero(self.habits == self.habits.max())))
        self.habits = 0.9 * self.habits + np.eye(4)[hidden]
        return np.zeros(1, np.float32), float(hidden == key and hidden != seeker), True, False, {}


def main(steps: int = 30_000) -> float:
    found = []
    for autoregressive in (False, True):
        model = {"autoregressive_actions": autoregressive, "fcnet_hiddens": [16]}
        algo = PPO(Hiding, model=model, entropy_coeff=0.02, seed=0)
        algo.learn(steps, progress=False)
        found.append(float(algo.evaluate(episodes=500, explore=True)["episode_return_mean"]))
    print(f"safe with the key: {found[0]:.0%} with independent parts, {found[1]:.0%} with parts that see each other")
    return found[1]


if __name__ == "__main__":
    main()
