"""What was learnt is printed, and written down where ``LEARNING_LOG`` names a file: docs/learning.md keeps it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

from anyspace import Algorithm


def record(algorithm: Algorithm[Any], mean: float) -> None:
    """Note the mean return of 100 episodes after training, with what it took."""
    done = algorithm.counters
    task = os.environ.get("PYTEST_CURRENT_TEST", "by hand").rpartition("::")[2].removesuffix(" (call)")
    cells = [
        task,
        type(algorithm).__name__,
        algorithm.env_spec.name,
        str(algorithm.seed),
        f"{done.timesteps_total:,}",
        f"{done.time_total_s:.0f}",
        f"{mean:.1f}",
        f"torch {torch.__version__}, numpy {np.__version__}, gymnasium {gymnasium.__version__}",
    ]
    print(f"\n{', '.join(cells[1:4])}: {mean:.1f} after {cells[4]} steps, {cells[5]} s")
    if "LEARNING_LOG" in os.environ:
        with Path(os.environ["LEARNING_LOG"]).open("a", encoding="utf-8") as file:
            file.write(f"| {' | '.join(cells)} |\n")
