"""The algorithms under RLlib's import paths: the same ones, with RLlib's defaults unless a preset is asked for."""

from __future__ import annotations

import os
from typing import Any

from anyspace import algorithms
from anyspace._rllib.callbacks import DefaultCallbacks
from anyspace._rllib.scripts import Script
from anyspace.answers import answers
from anyspace.execution.checkpoint import read_state


class Algorithm(Script):
    """Any of the algorithms."""

    @classmethod
    def load(cls, path: str | os.PathLike[str], **options: Any) -> Any:
        """Return the algorithm of a checkpoint, whichever it is; see :meth:`anyspace.algorithms.Algorithm.load`."""
        return super().load(path, **options) if cls is not Algorithm else _kind_of(path).load(path, **options)

    @classmethod
    @answers("from_checkpoint()")
    def from_checkpoint(
        cls, checkpoint: str | os.PathLike[str], *, trust: bool = False, callbacks: type[DefaultCallbacks] | None = None
    ) -> Any:
        """Return the algorithm of a checkpoint, whichever it is; see :meth:`Script.from_checkpoint`."""
        if cls is not Algorithm:
            return super().from_checkpoint(checkpoint, trust=trust, callbacks=callbacks)
        kind = _kind_of(checkpoint)
        if not issubclass(kind, Script):
            return kind.load(checkpoint, trust=trust)
        return kind.from_checkpoint(checkpoint, trust=trust, callbacks=callbacks)


def _kind_of(checkpoint: str | os.PathLike[str]) -> type[algorithms.Algorithm[Any]]:
    """Return the class with RLlib's defaults of a checkpoint's algorithm; the base of all where it is a user's own."""
    named = read_state(checkpoint).get("algorithm")
    return next((kind for kind in Algorithm.__subclasses__() if kind.__name__ == named), algorithms.Algorithm)


class DQN(Algorithm, algorithms.DQN):
    """DQN with RLlib's defaults. Its checkpoints are DQN's."""


class A2C(Algorithm, algorithms.A2C):
    """A2C with RLlib's defaults. Its checkpoints are A2C's."""


class APPO(Algorithm, algorithms.APPO):
    """APPO with RLlib's defaults. Its checkpoints are APPO's."""


class IMPALA(Algorithm, algorithms.IMPALA):
    """IMPALA with RLlib's defaults. Its checkpoints are IMPALA's."""


class PG(Algorithm, algorithms.PG):
    """PG with RLlib's defaults, but for whole episodes. Its checkpoints are PG's."""


class PPO(Algorithm, algorithms.PPO):
    """PPO with RLlib's defaults. Its checkpoints are PPO's."""


class SAC(Algorithm, algorithms.SAC):
    """SAC with RLlib's defaults. Its checkpoints are SAC's."""


class MARWIL(Algorithm, algorithms.MARWIL):
    """MARWIL with RLlib's defaults. Its checkpoints are MARWIL's."""


class BC(Algorithm, algorithms.BC):
    """BC with RLlib's defaults. Its checkpoints are BC's."""
