"""How a policy becomes a file, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypedDict


class ExportOptions(TypedDict, total=False):
    """How a policy becomes a file; see :meth:`Policy.export`."""

    rows: int
    """How many observations the file acts on side by side, at least 1; by default 1. It takes exactly as many."""
    stochastic: bool
    """Sample in place of the deterministic action: the file takes random numbers as ``noise``."""
    env: Any
    """An environment in which episodes are compared: an id, a class, an instance, or an algorithm's ``env_spec``."""
    observations: int
    """How many random observations are compared, at least 1; by default 1,000."""
    episodes: int
    """How many episodes are compared where there is an environment; by default 10. After 10,000 steps of each
    environment the comparison ends."""
    seed: int
    """Of observations, episodes and noise; by default 0."""


@dataclass
class Compared:
    """How close a file is to the policy."""

    steps: int = 0
    """How many steps were compared, on random observations and in the environment."""
    played: int = 0
    """How many of them are steps of the environment."""
    episodes: int = 0
    """How many episodes ended in these: fewer than asked for where episodes are longer than 10,000 steps."""
    largest_difference: float = 0.0
    """Of numbers of actions, in the environment's units, and of states."""
    choices: int = 0
    """How many discrete components of actions were compared."""
    choices_that_differ: int = 0
    """How many of them were not the policy's: ties but for rounding."""

    def numbers(self) -> dict[str, Any]:
        """Return the fields above, by name."""
        return {field.name: getattr(self, field.name) for field in fields(Compared)}


@dataclass(kw_only=True)
class Exported(Compared):
    """What :meth:`Policy.export` wrote, and how close it is to the policy."""

    path: Path
    """The ONNX file."""
    contract: Path
    """The JSON file beside it."""
