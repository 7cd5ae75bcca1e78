"""The algorithms, one file each."""

from typing import Any

from anyspace.algorithms.algorithm import Algorithm
from anyspace.algorithms.marwil import BC, MARWIL
from anyspace.algorithms.ppo import PPO

ALGORITHMS: dict[str, type[Algorithm[Any]]] = {"BC": BC, "MARWIL": MARWIL, "PPO": PPO}
"""The shipped algorithms by class name."""

__all__ = ["ALGORITHMS", "BC", "MARWIL", "PPO", "Algorithm"]
