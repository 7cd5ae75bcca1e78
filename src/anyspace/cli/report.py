"""``anyspace report``: a run as one page of HTML."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from anyspace import config as configs
from anyspace.algorithms import Algorithm
from anyspace.cli import output
from anyspace.cli.flags import require_least
from anyspace.cli.play import PlayFlags, without_display
from anyspace.cli.values import REGISTRY
from anyspace.drafts import write_whole, writing
from anyspace.errors import ConfigError
from anyspace.execution.film import video_files
from anyspace.execution.pipeline_picture import pipeline_picture
from anyspace.execution.run_files import REPORT_FILE, VIDEOS, run_folder_of, runs_near
from anyspace.execution.web_page import Shown, latest_video, run_page
from anyspace.folders import going_back


@dataclass(frozen=True, kw_only=True)
class ReportFlags(PlayFlags):
    """Write one page of HTML about a run: curve, evaluation, video, pipeline, configuration."""

    episodes: int = 10
    """Episodes to evaluate; 0 leaves that out."""
    video: bool = True
    """Show the newest video of the run; where there is none, an episode is filmed."""
    out: Path | None = None
    """The page; by default report.html in the run's folder."""


def report(words: list[str]) -> None:
    """Write one page of HTML about a run."""
    flags = tyro.cli(ReportFlags, args=words, prog="anyspace report", registry=REGISTRY)
    folder = run_folder_of(flags.run)
    if folder is None:
        raise ConfigError(
            f"{flags.run} is not the folder of a run, such as learn(out=...) and `anyspace train` write."
            f"{runs_near(flags.run)}"
        )
    require_least(flags, episodes=0)
    page = flags.out or folder / REPORT_FILE
    if page.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"the page is to be {page}, but pages end in .html.")
    output.make_room(page)
    with flags.opened() as algorithm:
        shown = _shown(algorithm, flags, folder)
    written = run_page(folder, shown).encode()
    with writing(page, ConfigError):
        write_whole(page, written)
    size = f"{page.stat().st_size / 1000:,.0f} kB"
    output.print_lines(Console(emoji=False), f"report: {page} ({size})")


def _shown(algorithm: Algorithm[Any], flags: ReportFlags, folder: Path) -> Shown:
    evaluation, video, notes = None, None, []
    if not algorithm.has_environment:
        notes.append(
            "Nothing was played: the run learnt from recorded steps, and has no environment (--env gives one)."
        )
    else:
        if flags.episodes:
            with going_back():  # an environment may change the current folder
                evaluation = algorithm.evaluate(flags.episodes, explore=flags.explore, progress=True, seed=flags.seed)
        if flags.video:
            video = latest_video(folder, algorithm.timesteps_total)
            try:
                video = video or _filmed(algorithm, flags, folder)
            except Exception as error:  # whatever render() raises, the rest of the page is as good
                notes.append(f"There is no video: {error}")
    picture = pipeline_picture(algorithm.policy, "", "svg")
    changed = configs.changes(algorithm.config, type(algorithm.config)())
    return Shown(picture, changed, evaluation, video, notes)


def _filmed(algorithm: Algorithm[Any], flags: ReportFlags, folder: Path) -> Path:
    without_display()
    files = video_files(folder / VIDEOS, algorithm.timesteps_total)
    algorithm.record(files, explore=flags.explore, seed=flags.seed)
    return files[0]
