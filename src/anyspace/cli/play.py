"""The commands that play with what a run learnt: ``anyspace evaluate`` and ``anyspace record``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from anyspace.algorithms import Algorithm
from anyspace.cli import output
from anyspace.cli.flags import algorithm_of, require_least
from anyspace.cli.values import REGISTRY
from anyspace.errors import EnvironmentSetupError
from anyspace.execution.film import MP4_HINT, require_writer, video_files, writes_mp4
from anyspace.execution.run_files import VIDEOS, run_folder_of
from anyspace.folders import going_back


@dataclass(frozen=True, kw_only=True)
class RunFlags:
    """Which run, and which of its checkpoints."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run folder or a checkpoint."""
    best: bool = False
    """Take the run's best checkpoint instead of the latest."""
    trust: bool = False
    """Import the code that the checkpoint names: environments, models and the like. Only for runs whose author you
    trust."""
    algo: str | None = None
    """The class of an algorithm of your own, package.module:Class."""
    env: str | None = None
    """A Gymnasium id or package.module:EnvClass, in place of the run's; a run of recorded steps may have none."""
    env_config: dict[str, Any] | None = None
    """Keywords for gym.make or the environment's class, in place of the run's."""

    @property
    def checkpoint(self) -> Path:
        """What is loaded."""
        return self.run / "best" if self.best else self.run

    @property
    def kind(self) -> type[Algorithm[Any]]:
        """The class whose ``load`` is called."""
        return Algorithm if self.algo is None else algorithm_of(self.algo)

    @contextmanager
    def opened(self) -> Iterator[Algorithm[Any]]:
        """Load the algorithm; at the end of the context, close it, and go back to the folder of the command.

        An environment may change to another one: paths that were given are absolute within, or not used.
        """
        changes = {} if self.env_config is None else {"env_config": self.env_config}
        loaded = self.kind.load(self.checkpoint, env=self.env, config=changes, trust=self.trust)
        with going_back(), closing(loaded) as algorithm:
            try:
                yield algorithm
            except EnvironmentSetupError as error:
                if self.env is None:
                    error.add_note("Another environment, such as the run's where it has moved to, is named by --env.")
                raise


@dataclass(frozen=True, kw_only=True)
class PlayFlags(RunFlags):
    """How a run is played."""

    seed: int | None = None
    """The seed of the environments and of sampled actions; by default one that goes by the run's seed and its steps."""
    explore: bool = False
    """Sample actions instead of taking the deterministic ones."""


@dataclass(frozen=True, kw_only=True)
class EvaluateFlags(PlayFlags):
    """Play episodes with what a run learnt, acting deterministically."""

    episodes: int = 10
    """How many episodes to play, at least 1."""
    json: bool = False
    """Print one JSON object: the numbers, and the return and length of each episode."""
    render: bool = False
    """Show them in a window."""


@dataclass(frozen=True, kw_only=True)
class RecordFlags(PlayFlags):
    """Film episodes with what a run learnt, acting deterministically; no display is needed."""

    episodes: int = 1
    """How many episodes to film, one after the other, at least 1."""
    out: tuple[Path, ...] = ()
    """Files that end in .mp4 or .gif; by default one of each in the folder videos of the run."""


def evaluate(words: list[str]) -> None:
    """Play episodes with what a run learnt."""
    flags = tyro.cli(EvaluateFlags, args=words, prog="anyspace evaluate", registry=REGISTRY)
    require_least(flags, episodes=1)
    with flags.opened() as algorithm:
        result = algorithm.evaluate(
            flags.episodes, explore=flags.explore, render=flags.render, progress=not flags.json, seed=flags.seed
        )
        if flags.json:
            print(json.dumps(result))
        else:
            console = Console(emoji=False)
            output.print_lines(console, f"policy: {flags.checkpoint} after {algorithm.timesteps_total:,} steps")
            output.print_evaluation(console, result)


def record(words: list[str]) -> None:
    """Film episodes with what a run learnt."""
    flags = tyro.cli(RecordFlags, args=words, prog="anyspace record", registry=REGISTRY)
    require_least(flags, episodes=1)
    for file in flags.out:
        require_writer(file)
    without_display()
    console = Console(emoji=False)
    with flags.opened() as algorithm:
        folder = (run_folder_of(flags.run) or Path()) / VIDEOS
        files = list(flags.out) or video_files(folder, algorithm.timesteps_total)
        result = algorithm.record(files, flags.episodes, explore=flags.explore, progress=True, seed=flags.seed)
    for number, (total, length) in enumerate(zip(result["returns"], result["lengths"], strict=True), 1):
        output.print_lines(console, f"episode {number}: return {total:.6g}, {length:,} steps")
    for file in files:
        size = f"{file.stat().st_size / 1000:,.0f} kB"
        output.print_lines(console, f"video: {file} ({size})")
    if not flags.out and not writes_mp4():
        output.print_lines(console, f"for an MP4 as well: {MP4_HINT}")


def without_display() -> None:
    """Let environments that draw with SDL, such as Gymnasium's, do so without a display, and in silence."""
    # Some, such as highway-env, take "dummy" as a wish that nothing be drawn; only Linux is sure to have the other.
    os.environ.setdefault("SDL_VIDEODRIVER", "offscreen" if sys.platform == "linux" else "dummy")
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
