"""The algorithms under RLlib's import paths: the same ones, with RLlib's defaults unless a preset is asked for."""

from __future__ import annotations

from anyspace import algorithms


class PPO(algorithms.PPO):
    """PPO with RLlib's defaults. Its checkpoints are PPO's."""

    default_preset = "none"


class MARWIL(algorithms.MARWIL):
    """MARWIL with RLlib's defaults. Its checkpoints are MARWIL's."""

    default_preset = "none"


class BC(algorithms.BC):
    """BC with RLlib's defaults. Its checkpoints are BC's."""

    default_preset = "none"
