"""Registers an environment when it is imported, as the package of this name does."""

import gymnasium as gym

gym.register("MiniGrid-OfTheTests-v0", "tests.support.missions:Corridor")
