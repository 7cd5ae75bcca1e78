"""``anyspace train``."""

from __future__ import annotations

import secrets
import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from anyspace.algorithms import Algorithm
from anyspace.cli import output
from anyspace.cli.flags import EnvFlags, Flags, StartingPoint, parse, peek, require_least, starting_point, without_help
from anyspace.cli.play import without_display
from anyspace.data.rendering import pictured
from anyspace.errors import ConfigError
from anyspace.execution.callbacks import OneCallback, RecordVideo, named_callback
from anyspace.execution.checkpoint import read_state
from anyspace.execution.resuming import repeated_steps, resume_point
from anyspace.execution.run_files import (
    remembered_callbacks,
    remembered_options,
    require_writable,
    run_folder_of,
    seeds_in,
    steps_of,
)
from anyspace.execution.run_folder import RunFolder
from anyspace.folders import going_back


@dataclass(frozen=True)
class _Place:
    """The flags that say where a run is written, and what it goes on from."""

    out: Path | None = None
    """The run folder; by default a new one, runs/ENV-ALGO-sSEED-TIME."""
    overwrite: bool = False
    """Let the run take the place of the one in the folder."""
    seeds: int | None = None
    """Train so many runs one after the other, with seeds from --seed (or 0) on, each in a folder seed-N of --out."""
    resume: Path | None = None
    """A run folder or checkpoint to go on from; last: the run under runs that was written to last. A run folder with
    exact checkpoints goes on from the latest of these."""
    resume_latest: Path | None = None
    """The same, but from the latest checkpoint of the run folder, exact or not."""


@dataclass(frozen=True)
class TrainFlags(_Place, EnvFlags):
    """Train an algorithm on an environment and keep a run folder.

    `anyspace train ENV --help` shows the defaults that this environment has, with its preset. Without ENV
    the help shows plain defaults, which few runs have.
    """

    config: Path | None = None
    """A TOML of keys and values, which may hold env, algo, preset, steps, evaluate, callback and video_every as well;
    or the config.json of a run."""
    trust: bool = False
    """Import the code that a config.json of --config, or a checkpoint of --resume, names: environments, models and the
    like. Only for runs whose author you trust."""
    steps: int = 100_000
    """Environment steps in all; a resumed run's count, and it goes on to the number that it had, if none is given."""
    weights_from: Path | None = None
    """A run folder or checkpoint whose weights to start from, with everything else new."""
    callback: tuple[str, ...] = ()
    """What to call after every iteration: package.module:name of a function, of a subclass of anyspace.Callback, or of
    an object of one."""
    video_every: int | None = None
    """Film the policy every so many steps, into the folder videos of the run."""
    progress: bool = True
    """Show live progress."""
    evaluate: int = 10
    """Episodes to evaluate at the end; 0 leaves that out."""


def train(words: list[str]) -> None:
    """Train, or go on training, and keep a run folder."""
    console, command = Console(emoji=False), shlex.join(["anyspace", "train", *words])
    place = peek(_Place, "train", words)
    checkpoint = _checkpoint(place, console)
    if checkpoint is not None:
        # Of a flag that is given twice, the last one counts.
        words = [*words, "--resume", str(checkpoint)]
    stored = None if checkpoint is None else read_state(checkpoint)
    with ExitStack() as stack:
        # Claimed before anything is built; who asks for help claims nothing.
        folder = _claimed(place, checkpoint, stored) if without_help(words) == words else None
        if folder is not None:
            stack.enter_context(folder)
        start = starting_point(TrainFlags, "train", words, console)
        flags = parse(TrainFlags, "train", words, start, own=_asked_before(checkpoint))
        own, seed = flags.own, secrets.randbits(31) if flags.config.seed is None else flags.config.seed
        require_least(own, steps=1, seeds=1, video_every=1, evaluate=0)
        if own.resume is not None and own.weights_from is not None:
            raise ConfigError("--resume goes on with the weights of its run; leave --weights-from out.")
        if stored is not None:
            _require_something_to_do(stored, own.steps, repeated_steps(checkpoint) if checkpoint else 0)
        elif own.env is None and flags.config.recorded_spaces() is None:
            raise ConfigError("give an environment (`anyspace train CartPole-v1`) or --resume DIR.")
        if own.seeds is not None:
            _train_seeds(start, flags, words, command, console, stack)
            return
        flags = _with_callbacks(flags, console)
        if folder is None:
            origin = stored or {"env": own.env, "seed": seed}
            name = f"{own.env or origin['env'] or 'run'}-{start.algorithm.name()}-s{origin['seed']}"
            folder = stack.enter_context(RunFolder.create(name))
        folder.command = command
        _train_one(start, flags, seed, folder, console)
        plays = (own.env or (stored or {}).get("env")) is not None
        output.print_folder(console, folder.path, plays=plays, trust=folder.needs_trust)


def _train_seeds(
    start: StartingPoint,
    flags: Flags[TrainFlags],
    words: list[str],
    command: str,
    console: Console,
    stack: ExitStack,
) -> None:
    """Train with one seed after the other, and sum up what came of them."""
    own, first = flags.own, flags.config.seed or 0
    if own.resume is not None:
        raise ConfigError("--seeds begins new runs, and --resume goes on with one; leave one of them out.")
    assert own.seeds is not None
    parent = own.out
    if parent is None:
        name = f"{own.env or 'run'}-{start.algorithm.name()}-{own.seeds}-seeds"
        parent = stack.enter_context(RunFolder.create(name)).path
    # All of them before any is trained: a folder that is taken is known at once.
    folders = {
        seed: stack.enter_context(RunFolder.claim(parent / f"seed-{seed}", overwrite=own.overwrite))
        for seed in range(first, first + own.seeds)
    }
    _with_others(folders, parent, own, console, stack)
    means: dict[int, float | None] = {}
    for seed, folder in folders.items():
        folder.command = command
        output.print_lines(console, f"seed {seed}")
        try:
            means[seed] = _train_one(start, flags, seed, folder, console)
        except BaseException as error:
            left = first + own.seeds - seed - 1
            if left:
                rest = ["--seed", str(seed + 1), "--seeds", str(left), "--out", str(parent)]
                # What there was to overwrite is gone, and the seeds that are trained are to stay.
                kept = [word for word in words if word != "--overwrite"]
                again = shlex.join(["anyspace", "train", *kept, *rest])
                error.add_note(f"Train the seeds that are left with\n  {again}")
            raise
    output.print_seeds(console, means, parent)


def _with_others(
    folders: Mapping[int, RunFolder], parent: Path, own: TrainFlags, console: Console, stack: ExitStack
) -> None:
    """Let the first of several seeds remove all runs that the new ones take the place of, or say that they stay."""
    own_names = {folder.path.name for folder in folders.values()}
    others = [run for run in seeds_in(parent) if run.name not in own_names]
    if own.overwrite:
        claimed = [stack.enter_context(RunFolder.claim(run, overwrite=True)) for run in others]
        next(iter(folders.values())).replaces = [*folders.values(), *claimed]
    elif others:
        output.print_lines(
            console,
            f"{', '.join(map(str, others))}: of an earlier command, and left as it was, so that `anyspace plot"
            f" {shlex.quote(str(parent))}` draws it, too; --overwrite removes it.",
        )


def _train_one(
    start: StartingPoint, flags: Flags[TrainFlags], seed: int, folder: RunFolder, console: Console
) -> float | None:
    """Train in a folder; return the mean return of the evaluation, or of training where there is none."""
    own = flags.own
    folder.options |= {"evaluate": own.evaluate, "video_every": own.video_every}
    folder.options |= {"callback": list(own.callback)} if own.callback else {}
    folder.words += ["--callback", *own.callback] if own.callback else []
    folder.words += ["--video-every", str(own.video_every)] if own.video_every else []
    callbacks = _callbacks(own)
    weights = None if own.weights_from is None else own.weights_from.absolute()
    made = _resumed if own.resume is not None else partial(_new, seed=seed)
    # An environment may change the current folder.
    with going_back(), closing(made(start, flags)) as algorithm:
        if own.resume is not None:
            output.print_lines(console, f"Resuming {folder.path} at {algorithm.timesteps_total:,} steps")
        if weights is not None:
            algorithm.load_weights(weights)
        return _learn(algorithm, own, folder, callbacks, console)


def _checkpoint(place: _Place, console: Console) -> Path | None:
    """Return the checkpoint itself that the run goes on from; None of a run that begins."""
    given = place.resume_latest or place.resume
    if given is None:
        return None
    if place.resume is not None and place.resume_latest is not None:
        raise ConfigError("give either --resume or --resume-latest.")
    found = resume_point(given, latest=place.resume_latest is not None)
    again = repeated_steps(found)
    if again:
        output.print_lines(
            console,
            f"{again:,} steps since the latest exact checkpoint are taken again, as they were;"
            f" `--resume-latest {given}` goes on without them, but not exactly.",
        )
    return found


def _claimed(place: _Place, checkpoint: Path | None, stored: Mapping[str, Any] | None) -> RunFolder | None:
    """Claim the folder that the flags name; None where a new one is to be made.

    Args:
        place: the flags.
        checkpoint: what the run goes on from.
        stored: the state of that.
    """
    if place.seeds is not None:
        return None
    own = None if checkpoint is None else run_folder_of(checkpoint)
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


def _with_callbacks(flags: Flags[TrainFlags], console: Console) -> Flags[TrainFlags]:
    """Return the flags with the callbacks that the run was begun with, if it goes on without others.

    They are code that a file names, and it takes ``--trust`` to call that.
    """
    own = flags.own
    folder = None if own.resume is None else run_folder_of(own.resume)
    named = () if folder is None or own.callback else remembered_callbacks(folder)
    if not named:
        return flags
    if own.trust:
        return replace(flags, own=replace(own, callback=named))
    line = shlex.join(["--callback", *named])
    output.print_lines(console, f"The run was begun with {line}, which is left out now; give it again, or --trust.")
    return flags


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


def _callbacks(own: TrainFlags) -> list[OneCallback]:
    named = [named_callback(name) for name in own.callback]
    if own.video_every is None:
        return named
    without_display()
    return [*named, RecordVideo(own.video_every)]


def _learn(
    algorithm: Algorithm[Any], own: TrainFlags, folder: RunFolder, callbacks: Sequence[OneCallback], console: Console
) -> float | None:
    if own.video_every is not None:
        pictured(algorithm.env_spec)
    started, steps_before = time.monotonic(), algorithm.timesteps_total
    result = algorithm.learn(own.steps, callback=callbacks, out=folder, progress=own.progress)
    output.print_result(console, algorithm, result, steps_before, time.monotonic() - started)
    if not (own.evaluate and algorithm.has_environment):
        return result.get("episode_return_mean")
    try:
        evaluation = algorithm.evaluate(own.evaluate, progress=own.progress)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped while evaluating; the run is saved in {folder.path}") from None
    output.print_evaluation(console, evaluation)
    mean: float = evaluation["episode_return_mean"]
    return mean
