"""The algorithms, one file each."""

from typing import Any

from anyspace.algorithms.algorithm import Algorithm
from anyspace.algorithms.dqn import DQN
from anyspace.algorithms.ppo import PPO
from anyspace.algorithms.sac import SAC

ALGORITHMS: dict[str, type[Algorithm[Any]]] = {"DQN": DQN, "PPO": PPO, "SAC": SAC}
"""The shipped algorithms by class name."""

__all__ = ["ALGORITHMS", "DQN", "PPO", "SAC", "Algorithm"]
