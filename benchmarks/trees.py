"""This version beside another checkout of the library, the two in turn in one run.

Steps per second of PPO on CartPole-v1 with the settings of ``ppo_cartpole.py`` (dense) and ``memory_cartpole.py``
(LSTM, GTrXL), through the public ``learn()``; observations per second of ``preprocess.py``, 64 stacked and one by one.
Medians of seven runs; the ratio is the median of the pairs' ratios.

    python benchmarks/trees.py path/to/another/checkout [dense] [lstm] [gtrxl] [stacked] [single]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from machine import HERE, describe, median
from memory_cartpole import CONTESTS
from ppo_cartpole import SETTINGS

RUNS = 7
MODELS: dict[str, tuple[dict[str, Any], int]] = {
    "dense": (SETTINGS["model"], 60),
    "lstm": (CONTESTS["lstm"].model, 12),
    "gtrxl": (CONTESTS["gtrxl"].model, 12),
}
"""A model and how many iterations are timed."""


def one(name: str) -> None:
    """Measure the library that Python finds, in this process, and print one JSON line."""
    print(json.dumps(steps_per_second(name) if name in MODELS else observations_per_second(name)))


def observations_per_second(name: str) -> float:
    """Return how many nested observations become vectors."""
    from anyspace.spaces import get_preprocessor
    from preprocess import NESTED, N, microseconds, samples, stacked

    preprocessor, singles = get_preprocessor(NESTED), samples(NESTED)
    batch = stacked(NESTED, singles)
    ways = {
        "stacked": lambda: preprocessor.transform_batch(batch),
        "single": lambda: [preprocessor.transform(obs) for obs in singles],
    }
    return N / microseconds({name: ways[name]})[name] * 1e6


def steps_per_second(name: str) -> float:
    """Return at which rate PPO trains."""
    from anyspace import PPO
    from anyspace.config import merge

    model, iterations = MODELS[name]
    # A whole configuration takes no preset, in whichever tree this is.
    algorithm = PPO("CartPole-v1", merge(PPO.config_class(), {**SETTINGS, "model": model}))
    algorithm.learn(2 * 1024, progress=False)
    before, started = algorithm.timesteps_total, time.perf_counter()
    algorithm.learn(before + iterations * 1024, progress=False)
    return (algorithm.timesteps_total - before) / (time.perf_counter() - started)


def measured(tree: Path, name: str) -> float:
    """Return the rate of a checkout."""
    environment = {**os.environ, "PYTHONPATH": str(tree / "src")}
    command = [sys.executable, __file__, "--one", name]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    return float(json.loads(printed))


def main() -> None:
    """Measure both in turn and print the table."""
    other = Path(sys.argv[1]).resolve()
    names = sys.argv[2:] or [*MODELS, "stacked", "single"]
    print(f"This tree and another one, median of {RUNS} runs in turn; {describe()}\n")
    print("| | other version, a second | this version, a second | ratio (lowest to highest) |")
    print("|---|---|---|---|")
    for name in names:
        pairs = [(measured(other, name), measured(HERE.parent, name)) for _ in range(RUNS)]
        ratios = sorted(mine / theirs for theirs, mine in pairs)
        theirs, mine = (median([pair[i] for pair in pairs]) for i in (0, 1))
        print(f"| {name} | {theirs:,.0f} | {mine:,.0f} | {median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2])
    else:
        main()
