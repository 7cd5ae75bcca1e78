"""``anyspace train``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from anyspace.algorithms import Algorithm
from anyspace.cli import output
from anyspace.cli.flags import Flags, StartingPoint, parse, starting_point
from anyspace.errors import ConfigError


@dataclass(frozen=True)
class TrainFlags:
    """Train an algorithm on an environment and keep a run folder."""

    env: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="ENV")] = None
    """A Gymnasium id or package.module:EnvClass; left out with --resume."""
    algo: str = "ppo"
    """The algorithm: see `anyspace list`, or package.module:Class."""
    steps: int = 100_000
    """Environment steps in all; steps of a resumed run count."""
    out: Path | None = None
    """The run folder; by default runs/ENV-ALGO-TIME."""
    resume: Path | None = None
    """A run folder or checkpoint to go on from."""
    weights_from: Path | None = None
    """A run folder or checkpoint whose weights to start from, with everything else new."""
    preset: str = "auto"
    """Settings to start from: auto, a name from `anyspace list`, or none for the plain defaults."""
    progress: bool = True
    """Show live progress."""
    evaluate: int = 10
    """Episodes to evaluate at the end; 0 leaves that out."""


def train(words: list[str]) -> None:
    """Train, or go on training, and keep a run folder."""
    console = Console()
    start = starting_point(TrainFlags, "train", words, console)
    flags = parse(TrainFlags, "train", words, start.defaults)
    own = flags.own
    algorithm = _resumed(start, flags) if own.resume is not None else _new(start, flags)
    try:
        if own.resume is None:
            out = own.out or _new_folder(str(own.env), algorithm.name())
        else:
            out = own.out or _run_folder_of(own.resume)
            console.print(f"Resuming {out} at {algorithm.timesteps_total:,} steps", highlight=False)
        if own.weights_from is not None:
            algorithm.load_weights(own.weights_from)
        _learn(algorithm, own, out, console)
    finally:
        algorithm.close()


def _new(start: StartingPoint, flags: Flags[TrainFlags]) -> Algorithm[Any]:
    if flags.own.env is None:
        raise ConfigError("give an environment (`anyspace train CartPole-v1`) or --resume DIR.")
    return start.algorithm(flags.own.env, flags.changes(), preset=start.preset)


def _resumed(start: StartingPoint, flags: Flags[TrainFlags]) -> Algorithm[Any]:
    assert flags.own.resume is not None
    return start.algorithm.load(flags.own.resume, env=flags.own.env, config=flags.changes())


def _learn(algorithm: Algorithm[Any], own: TrainFlags, out: Path, console: Console) -> None:
    started = time.monotonic()
    result = algorithm.learn(own.steps, out=out, progress=own.progress)
    output.print_result(console, algorithm, result, time.monotonic() - started)
    if own.evaluate:
        output.print_evaluation(console, algorithm.evaluate(own.evaluate))
    console.print(f"run folder: {out}", highlight=False, soft_wrap=True)


def _new_folder(env: str, algo: str) -> Path:
    name = "".join(letter if letter.isalnum() or letter in "-._" else "-" for letter in env)
    return Path("runs") / f"{name}-{algo}-{time.strftime('%Y%m%d-%H%M%S')}"


def _run_folder_of(path: Path) -> Path:
    return path.parent if path.name in ("checkpoint", "best") else path
