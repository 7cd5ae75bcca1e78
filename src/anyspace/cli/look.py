"""The commands that look at environments and curves: ``anyspace inspect``, ``check``, ``bench``, ``plot``, ``list``."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from anyspace import config as configs
from anyspace.algorithms import ALGORITHMS
from anyspace.algorithms.presets import preset_names
from anyspace.algorithms.settings import chosen, preset_name
from anyspace.cli import output
from anyspace.cli.flags import EnvFlags, parse, require_env, require_least, starting_point
from anyspace.cli.values import REGISTRY
from anyspace.data.env_check import check_env
from anyspace.data.environments import EnvSpec
from anyspace.errors import ConfigError
from anyspace.execution import curves
from anyspace.execution.inspection import pipeline_tree
from anyspace.execution.pipeline_picture import draw_pipeline
from anyspace.execution.run_files import title_of
from anyspace.execution.speed import measure
from anyspace.execution.step_time import advice_on_workers


@dataclass(frozen=True)
class InspectFlags(EnvFlags):
    """Show what becomes of an environment's spaces, and run one dummy step of everything.

    `anyspace inspect ENV --help` shows the defaults that this environment has, with its preset. Without ENV
    the help shows plain defaults, which few runs have.
    """

    out: Path | None = None
    """Draw the pipeline as well, into a file that ends in .svg, .png or .pdf."""


@dataclass(frozen=True)
class BenchFlags(EnvFlags):
    """Train for some seconds, and show how quick it is and what takes the time.

    `anyspace bench ENV --help` shows the defaults that this environment has, with its preset. Without ENV
    the help shows plain defaults, which few runs have. It measures environments in this process, not those of
    workers, and leaves evaluation out.
    """

    seconds: float = 10.0
    """How long to train, above 0; at least one iteration, after another that is not counted."""
    json: bool = False
    """Print one JSON object."""


@dataclass(frozen=True)
class CheckFlags:
    """Step an environment with random actions, and list everything that is not as it should be."""

    env: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ENV")]
    """A Gymnasium id or package.module:EnvClass."""
    steps: int = 1000
    """How many steps to take."""
    seed: int = 0
    """The seed of the environment and of the random actions."""
    env_config: dict[str, Any] = field(default_factory=dict)
    """Keywords for the environment."""
    wrappers: list[str] = field(default_factory=list)
    """What is put around the environment, by its name: package.module:Wrapper, or a function of one argument."""
    action_mask_key: str = "action_mask"
    """The name of masks in observations and infos."""
    max_len: int | dict[str, int] | None = None
    """Longest length of Sequences and Graphs: for all, or by place as in `{'obs["items"]': 20}`."""
    ignore: tuple[str, ...] = ()
    """Parts to leave out of observations."""


@dataclass(frozen=True)
class PlotFlags:
    """Draw learning curves of runs; those that differ in their seeds alone are one line with a band.

    Where one of these has ended before others, the others go on as thin lines.
    """

    runs: Annotated[
        tuple[Path, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="RUN [RUN ...]", help_behavior_hint="(required)"),
    ]
    """Run folders, or those in which --seeds put several."""
    out: Path = Path("curves.png")
    """The picture: .png, .svg or .pdf."""
    metric: str = curves.RETURN
    """A column of metrics.csv, such as evaluation/episode_return_mean or learner/entropy."""


def check(words: list[str]) -> int:
    """Check an environment; the exit status is 1 where training would stop."""
    flags = tyro.cli(CheckFlags, args=words, prog="anyspace check", registry=REGISTRY)
    require_least(flags, steps=1, seed=0)
    spec = EnvSpec(
        flags.env,
        flags.env_config,
        flags.wrappers,
        action_mask_key=flags.action_mask_key,
        max_len=flags.max_len,
        ignore=flags.ignore,
    )
    found = check_env(spec, steps=flags.steps, seed=flags.seed)
    output.print_check(Console(emoji=False), found)
    return 1 if found.errors else 0


def plot(words: list[str]) -> None:
    """Draw learning curves of runs."""
    flags = tyro.cli(PlotFlags, args=words, prog="anyspace plot", registry=REGISTRY)
    console = Console(emoji=False)
    if not flags.runs:
        raise ConfigError("give the folders of runs: `anyspace plot runs/*`.")
    curves.require_format(flags.out)
    output.make_room(flags.out)
    for group in curves.draw_curves(flags.runs, flags.out, flags.metric):
        output.print_lines(console, f"{group.label}: {group.latest}")
    output.print_lines(console, f"picture: {flags.out}")


def inspect(words: list[str]) -> None:
    """Show what becomes of an environment's spaces, and train on two steps of each copy of it."""
    console = Console(emoji=False)
    start = starting_point(InspectFlags, "inspect", words, console)
    flags = parse(InspectFlags, "inspect", words, start)
    require_env(flags)
    picture = None if flags.own.out is None else flags.own.out.absolute()  # environments may change the current folder
    if picture is not None:
        curves.require_format(picture)
        output.make_room(picture)
    settings = chosen(start.algorithm, flags.own.env, flags.changes(), start.preset, {}).settings
    short = configs.changes(settings.short(), settings)
    if flags.own.env is not None:  # a batch size that somebody gives makes environments of a preset fewer
        short["num_envs_per_env_runner"] = settings.num_envs_per_env_runner
    algorithm = start.algorithm(flags.own.env, {**flags.changes(), **short}, preset=start.preset)
    try:
        title = title_of({"algorithm": type(algorithm).__name__, "env": flags.own.env})
        console.print(pipeline_tree(algorithm.policy, title))
        if picture is not None:
            draw_pipeline(algorithm.policy, picture, title)
            output.print_lines(console, f"picture: {flags.own.out}")
        result = algorithm.train()
        loss = result["learner"].get("total_loss")
        learnt = "took no gradient step" if loss is None else f"took a gradient step (loss {loss:.4g})"
        if advice := advice_on_workers(algorithm.fleet):
            output.print_lines(console, advice)
        collected = f"collected {result['timesteps_this_iter']} steps"
        output.print_lines(console, f"one dummy step of everything: {collected}, {learnt}")
    finally:
        algorithm.close()


def bench(words: list[str]) -> None:
    """Train for some seconds, and show what takes the time."""
    console = Console(emoji=False)
    start = starting_point(BenchFlags, "bench", words, Console(quiet=True))
    flags = parse(BenchFlags, "bench", words, start)
    require_env(flags)
    if not 0 < flags.own.seconds < float("inf"):
        raise ConfigError(f"--seconds is {flags.own.seconds:g}, but it must be a finite number above 0.")
    evaluates = flags.config.evaluate_every is not None
    changes = {**({"evaluate_every": None} if evaluates else {}), **flags.changes()}
    algorithm = start.algorithm(flags.own.env, changes, preset=start.preset)
    algorithm.counters.total_steps = sys.maxsize  # it is no run whose end a schedule would miss
    try:
        speed = measure(algorithm, flags.own.seconds)
        if flags.own.json:
            print(json.dumps(speed.as_dict()))
        else:
            output.print_speed(console, algorithm, speed)
    finally:
        algorithm.close()


def list_algorithms(words: list[str]) -> None:
    """List the algorithms and their presets."""
    tyro.cli(_no_flags, args=words, prog="anyspace list")
    table = Table("algorithm", "what it does", "presets")
    for algorithm in ALGORITHMS.values():
        summary = (algorithm.__doc__ or "").splitlines()[0]
        table.add_row(algorithm.name(), summary, ", ".join(preset_names(preset_name(algorithm.__mro__))))
    Console(emoji=False).print(table)


def _no_flags() -> None:
    """List the algorithms and their presets."""
