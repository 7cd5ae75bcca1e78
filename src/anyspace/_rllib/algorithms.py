"""The algorithms under RLlib's import paths: the same ones, with RLlib's defaults unless a preset is asked for."""

from __future__ import annotations

from anyspace import algorithms


class DQN(algorithms.DQN):
    """DQN with RLlib's defaults. Its checkpoints are DQN's."""

    default_preset = "none"


class A2C(algorithms.A2C):
    """A2C with RLlib's defaults. Its checkpoints are A2C's."""

    default_preset = "none"


class APPO(algorithms.APPO):
    """APPO with RLlib's defaults. Its checkpoints are APPO's."""

    default_preset = "none"


class IMPALA(algorithms.IMPALA):
    """IMPALA with RLlib's defaults. Its checkpoints are IMPALA's."""

    default_preset = "none"


class PG(algorithms.PG):
    """PG with RLlib's defaults, but for whole episodes. Its checkpoints are PG's."""

    default_preset = "none"


class PPO(algorithms.PPO):
    """PPO with RLlib's defaults. Its checkpoints are PPO's."""

    default_preset = "none"


class SAC(algorithms.SAC):
    """SAC with RLlib's defaults. Its checkpoints are SAC's."""

    default_preset = "none"


class MARWIL(algorithms.MARWIL):
    """MARWIL with RLlib's defaults. Its checkpoints are MARWIL's."""

    default_preset = "none"


class BC(algorithms.BC):
    """BC with RLlib's defaults. Its checkpoints are BC's."""

    default_preset = "none"
