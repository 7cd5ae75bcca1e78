"""What a task trains, and what becomes of what it learnt.

``LEARNING_FRAMEWORK`` says on which framework: torch (the default), jax or tf. The mean return is printed, and written
down where ``LEARNING_LOG`` names a file: docs/learning.md keeps it.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from anyspace import Algorithm

FRAMEWORK = os.environ.get("LEARNING_FRAMEWORK", "torch")
PACKAGES = {"torch": "torch", "jax": "jax", "tf": "tensorflow"}
"""By framework: the package that it is."""


def seeds(*numbers: int) -> pytest.MarkDecorator:
    """Return a mark that runs a test once with each seed; ``-k seed1`` picks one."""
    return pytest.mark.parametrize("seed", numbers, ids="seed{}".format)


def made(
    kind: type[Algorithm[Any]], env: Any, settings: dict[str, Any] | None = None, **keywords: Any
) -> Algorithm[Any]:
    """Return an algorithm on the framework that is asked for, with the preset of its environment."""
    return kind(env, {**(settings or {}), "framework": FRAMEWORK}, **{"preset": "auto", **keywords})


def record(algorithm: Algorithm[Any], mean: float) -> None:
    """Note the mean return of 100 episodes after training, with what it took."""
    done, package = algorithm.counters, PACKAGES[algorithm.config.framework]
    task = os.environ.get("PYTEST_CURRENT_TEST", "by hand").rpartition("::")[2].removesuffix(" (call)")
    versions = {package: import_module(package), "numpy": np, "gymnasium": gymnasium}
    cells = [
        task,
        type(algorithm).__name__,
        algorithm.env_spec.name,
        str(algorithm.seed),
        f"{done.timesteps_total:,}",
        f"{done.time_total_s:.0f}",
        f"{mean:.1f}",
        ", ".join(f"{name} {module.__version__}" for name, module in versions.items()),
    ]
    print(f"\n{', '.join(cells[1:4])}, {package}: {mean:.1f} after {cells[4]} steps, {cells[5]} s")
    if "LEARNING_LOG" in os.environ:
        with Path(os.environ["LEARNING_LOG"]).open("a", encoding="utf-8") as file:
            file.write(f"| {' | '.join(cells)} |\n")
