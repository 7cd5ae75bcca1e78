"""The shipped algorithms by name: one is imported when it is first used, and none that is not."""

from __future__ import annotations

from importlib import import_module
from typing import Any

SHIPPED = {
    "A2C": "a2c",
    "APPO": "appo",
    "BC": "marwil",
    "DQN": "dqn",
    "IMPALA": "impala",
    "MARWIL": "marwil",
    "PG": "pg",
    "PPO": "ppo",
    "SAC": "sac",
}
"""The module of each class."""


def shipped(name: str) -> Any:
    """Return the class of a shipped algorithm, ``"PPO"``."""
    return getattr(import_module(f"anyspace.algorithms.{SHIPPED[name]}"), name)
