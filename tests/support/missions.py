"""The mission spaces of MiniGrid as its version 3 has them, for where it is not installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete


class MissionSpace(gym.Space[Any]):
    """Texts that a function makes of one word for each placeholder."""

    def __init__(
        self, mission_func: Callable[..., str], ordered_placeholders: list[list[str]] | None = None, seed: Any = None
    ) -> None:
        self.mission_func, self.ordered_placeholders = mission_func, ordered_placeholders
        super().__init__(dtype=str, seed=seed)

    def sample(self) -> str:  # type: ignore[override]
        return self.mission_func(*(self.np_random.choice(options) for options in self.ordered_placeholders or []))

    def contains(self, x: Any) -> bool:
        return isinstance(x, str)


class BabyAIMissionSpace(MissionSpace):
    """Does not say what its texts are."""

    def __init__(self) -> None:
        super().__init__(lambda: "go")


MissionSpace.__module__ = "minigrid.core.mission"
BabyAIMissionSpace.__module__ = "minigrid.envs.babyai.core.roomgrid_level"


class Corridor(gym.Env[Any, Any]):
    """Looks like an environment of MiniGrid: go forward (action 2) three times."""

    def __init__(self) -> None:
        self.observation_space = Dict(
            image=Box(0, 255, (7, 7, 3), np.uint8),
            direction=Discrete(4),
            mission=MissionSpace(lambda color: f"go to the {color} goal", [["green", "red"]]),
        )
        self.action_space = Discrete(7)
        self.at = self.t = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.at = self.t = 0
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        self.at, self.t = self.at + (action == 2), self.t + 1
        return self._seen(), float(self.at == 3), self.at == 3, self.t >= 20, {}

    def _seen(self) -> dict[str, Any]:
        image = np.zeros((7, 7, 3), np.uint8)
        image[self.at] = 8
        return {"image": image, "direction": 0, "mission": "go to the green goal"}
