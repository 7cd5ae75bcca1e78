"""The algorithms under RLlib's import paths: the same ones, with RLlib's defaults unless a preset is asked for."""

from __future__ import annotations

from anyspace import algorithms


class DQN(algorithms.DQN):
    """DQN with RLlib's defaults. Its checkpoints are DQN's."""

    default_preset = "none"


class PPO(algorithms.PPO):
    """PPO with RLlib's defaults. Its checkpoints are PPO's."""

    default_preset = "none"


class SAC(algorithms.SAC):
    """SAC with RLlib's defaults. Its checkpoints are SAC's."""

    default_preset = "none"
