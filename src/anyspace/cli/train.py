"""``anyspace train``."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from anyspace.algorithms import Algorithm
from anyspace.cli import output
from anyspace.cli.flags import Flags, StartingPoint, parse, starting_point
from anyspace.errors import ConfigError
from anyspace.execution.callbacks import OneCallback, named_callback
from anyspace.execution.checkpoint import read_state
from anyspace.execution.run_files import (
    remembered_options,
    repeated_steps,
    require_writable,
    resume_point,
    run_folder_of,
    steps_of,
)
from anyspace.execution.run_folder import RunFolder


@dataclass(frozen=True)
class TrainFlags:
    """Train an algorithm on an environment and keep a run folder."""

    env: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="ENV")] = None
    """A Gymnasium id or package.module:EnvClass; left out with --resume, and where recorded steps name their spaces."""
    algo: str = "ppo"
    """The algorithm: see `anyspace list`, or package.module:Class."""
    steps: int = 100_000
    """Environment steps in all; a resumed run's count, and it goes on to the number that it had, if none is given."""
    out: Path | None = None
    """The run folder; by default a new one, runs/ENV-ALGO-sSEED-TIME."""
    overwrite: bool = False
    """Let the run take the place of the one in the folder."""
    resume: Path | None = None
    """A run folder or checkpoint to go on from; last: the run under runs that was written to last. A run folder with
    exact checkpoints goes on from the latest of these."""
    resume_latest: Path | None = None
    """The same, but from the latest checkpoint of the run folder, exact or not."""
    trust: bool = False
    """Import the code that the checkpoint to go on from names; only for runs whose author you trust."""
    weights_from: Path | None = None
    """A run folder or checkpoint whose weights to start from, with everything else new."""
    preset: str = "auto"
    """Settings to start from: auto, a name from `anyspace list`, or none for the plain defaults."""
    callback: tuple[str, ...] = ()
    """What to call after every iteration: package.module:name of a function, or of a subclass of anyspace.Callback."""
    progress: bool = True
    """Show live progress."""
    evaluate: int = 10
    """Episodes to evaluate at the end; 0 leaves that out."""


@dataclass(frozen=True)
class _Place:
    """The flags that say where a run is written, and what it goes on from."""

    out: Path | None = None
    overwrite: bool = False
    resume: Path | None = None


@dataclass(frozen=True)
class _Resume:
    """The flags that say what a run goes on from."""

    resume: Path | None = None
    resume_latest: Path | None = None


def train(words: list[str]) -> None:
    """Train, or go on training, and keep a run folder."""
    console = Console(emoji=False)
    words = _with_checkpoint(words, console)
    place, _ = tyro.cli(_Place, args=_without_help(words), prog="anyspace train", return_unknown_args=True)
    stored = None if place.resume is None else read_state(place.resume)
    with ExitStack() as stack:
        # Claimed before anything is built; who asks for help claims nothing.
        folder = _claimed(place, stored) if _without_help(words) == words else None
        if folder is not None:
            stack.enter_context(folder)
        start = starting_point(TrainFlags, "train", words, console)
        flags = parse(TrainFlags, "train", words, start.defaults, own=_asked_before(place.resume))
        own, seed = flags.own, secrets.randbits(31) if flags.config.seed is None else flags.config.seed
        if stored is not None:
            _require_something_to_do(stored, own.steps, repeated_steps(place.resume) if place.resume else 0)
        elif own.env is None and flags.config.recorded_spaces() is None:
            raise ConfigError("give an environment (`anyspace train CartPole-v1`) or --resume DIR.")
        if folder is None:
            origin = stored or {"env": own.env, "seed": seed}
            name = f"{own.env or origin['env'] or 'run'}-{start.algorithm.name()}-s{origin['seed']}"
            folder = stack.enter_context(RunFolder.create(name))
        folder.options["evaluate"] = own.evaluate
        folder.words += ["--callback", *own.callback] if own.callback else []
        callbacks = [named_callback(name) for name in own.callback]
        algorithm = _new(start, flags, seed) if stored is None else _resumed(start, flags)
        stack.callback(algorithm.close)
        if stored is not None:
            console.print(f"Resuming {folder.path} at {algorithm.timesteps_total:,} steps", highlight=False)
        if own.weights_from is not None:
            algorithm.load_weights(own.weights_from)
        _learn(algorithm, own, folder, callbacks, console)


def _with_checkpoint(words: list[str], console: Console) -> list[str]:
    """Return the words of the command with the checkpoint itself in place of what stands for it."""
    asked, rest = tyro.cli(_Resume, args=_without_help(words), prog="anyspace train", return_unknown_args=True)
    given = asked.resume_latest or asked.resume
    if given is None:
        return words
    if asked.resume is not None and asked.resume_latest is not None:
        raise ConfigError("give either --resume or --resume-latest.")
    found = resume_point(given, latest=asked.resume_latest is not None)
    again = repeated_steps(found)
    if again:
        console.print(
            f"{again:,} steps since the latest exact checkpoint are taken again, as they were;"
            f" `--resume-latest {given}` goes on without them, but not exactly.",
            highlight=False,
        )
    return [*rest, "--resume", str(found), *(word for word in words if word not in _without_help(words))]


def _without_help(words: list[str]) -> list[str]:
    return [word for word in words if word not in ("-h", "--help")]


def _claimed(place: _Place, stored: Mapping[str, Any] | None) -> RunFolder | None:
    """Claim the folder that the flags name; None where a new one is to be made.

    Args:
        place: the flags.
        stored: the state of the checkpoint that the run goes on from.
    """
    own = None if place.resume is None else run_folder_of(place.resume)
    path = place.out or own
    if path is None:
        require_writable(Path("runs"))
        return None
    goes_on = stored is not None and own is not None and path.resolve() == own.resolve()
    goes_on_at = (steps_of(stored) or 0) if goes_on and stored is not None else None
    return RunFolder.claim(path, goes_on_at=goes_on_at, overwrite=place.overwrite)


def _asked_before(resume: Path | None) -> TrainFlags:
    """Return the flags that a run was begun with, as far as its folder remembers them."""
    folder = None if resume is None else run_folder_of(resume)
    return TrainFlags(**({} if folder is None else remembered_options(folder)))


def _require_something_to_do(stored: Mapping[str, Any], steps: int, repeated: int) -> None:
    done = (steps_of(stored) or 0) + repeated
    if done >= steps:
        raise ConfigError(f"the run already has {done:,} steps; give --steps N to train further, N above {done}.")


def _new(start: StartingPoint, flags: Flags[TrainFlags], seed: int) -> Algorithm[Any]:
    return start.algorithm(flags.own.env, flags.changes(), preset=start.preset, seed=seed)


def _resumed(start: StartingPoint, flags: Flags[TrainFlags]) -> Algorithm[Any]:
    own = flags.own
    assert own.resume is not None
    return start.algorithm.load(own.resume, env=own.env, config=flags.changes(), trust=own.trust)


def _learn(
    algorithm: Algorithm[Any], own: TrainFlags, folder: RunFolder, callbacks: Sequence[OneCallback], console: Console
) -> None:
    started, steps_before = time.monotonic(), algorithm.timesteps_total
    result = algorithm.learn(own.steps, callback=callbacks, out=folder, progress=own.progress)
    output.print_result(console, algorithm, result, steps_before, time.monotonic() - started)
    try:
        if own.evaluate and algorithm.has_environment:
            output.print_evaluation(console, algorithm.evaluate(own.evaluate, progress=own.progress))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped while evaluating; the run is saved in {folder.path}") from None
    console.print(f"run folder: {folder.path}", highlight=False, soft_wrap=True)
