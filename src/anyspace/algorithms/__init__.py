"""The algorithms, one file each."""

from typing import Any

from anyspace.algorithms.a2c import A2C
from anyspace.algorithms.algorithm import Algorithm
from anyspace.algorithms.appo import APPO
from anyspace.algorithms.dqn import DQN
from anyspace.algorithms.impala import IMPALA
from anyspace.algorithms.marwil import BC, MARWIL
from anyspace.algorithms.pg import PG
from anyspace.algorithms.ppo import PPO
from anyspace.algorithms.sac import SAC

ALGORITHMS: dict[str, type[Algorithm[Any]]] = {
    "A2C": A2C,
    "APPO": APPO,
    "BC": BC,
    "DQN": DQN,
    "IMPALA": IMPALA,
    "MARWIL": MARWIL,
    "PG": PG,
    "PPO": PPO,
    "SAC": SAC,
}
"""The shipped algorithms by class name."""

__all__ = ["A2C", "ALGORITHMS", "APPO", "BC", "DQN", "IMPALA", "MARWIL", "PG", "PPO", "SAC", "Algorithm"]
