"""The algorithms under RLlib's import paths: the same ones, with RLlib's defaults unless a preset is asked for."""

from __future__ import annotations

from typing import Any

from anyspace import algorithms


class PPO(algorithms.PPO):
    """PPO with RLlib's defaults. Its checkpoints are PPO's."""

    default_preset = "none"

    def description(self) -> dict[str, Any]:
        """Return algorithm, environment, seed and configuration as plain values."""
        return {**super().description(), "algorithm": algorithms.PPO.__name__}
