"""Does once what every command does first, so that processes forked from here need not. Imported for that alone.

It takes no gradient step: PyTorch refuses those of processes that are forked after one.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path

from anyspace import PPO
from anyspace.cli import main
from anyspace.execution.curves import draw_learning_curve
from anyspace.execution.log import MetricsLog


def _everything_but_learning() -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main(["train", "CartPole-v1", "--preset", "none", "--help"])
    algorithm = PPO("CartPole-v1", model={"fcnet_hiddens": [4]})
    algorithm.evaluate(1)
    algorithm.snapshot()
    algorithm.close()
    with tempfile.TemporaryDirectory() as folder:
        log = MetricsLog(Path(folder))
        log.write({"timesteps_total": 1, "episode_return_mean": 1.0})
        log.close()
        draw_learning_curve(Path(folder) / "metrics.csv", Path(folder) / "learning_curve.png", "warm")


_everything_but_learning()
