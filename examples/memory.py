"""A cue that has to be remembered: without a memory half of the answers are wrong."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete

from anyspace import PPO


class Recall(gym.Env[Any, Any]):
    """Shows left or right in the first step, nothing in the next five, and then asks for it."""

    observation_space = Box(-1, 1, (2,))
    action_space = Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.cue, self.t = int(self.np_random.integers(2)), 0
        return np.array([2 * self.cue - 1, 0], np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        asks = self.t == 6
        over = self.t == 7
        reward = (1.0 if action == self.cue else -1.0) if over else 0.0
        return np.array([0, float(asks)], np.float32), reward, over, False, {}


def main(steps: int = 20_000) -> float:
    memories: dict[str, dict[str, Any]] = {
        "no memory": {},
        "use_lstm": {"lstm_cell_size": 32},
        "use_gru": {"lstm_cell_size": 32},
        "use_attention": {"attention_dim": 32},
    }
    found = {}
    for name, sizes in memories.items():
        memory = {**sizes, name: True, "max_seq_len": 8} if sizes else {}
        algo = PPO(Recall, model={"fcnet_hiddens": [16], **memory}, seed=0)
        algo.learn(steps, progress=False)
        found[name] = float(algo.evaluate(episodes=50)["episode_return_mean"])
        print(f"{name}: {found[name]:.2f} of 1")
    return min(found[name] for name in found if name != "no memory")


if __name__ == "__main__":
    main()
