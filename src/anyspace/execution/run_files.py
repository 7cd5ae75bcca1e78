"""What lies in the folder of a run: its files by name, what they say, and how they are removed."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import gymnasium
import numpy

from anyspace.drafts import drafts_of, write_whole
from anyspace.errors import CheckpointError, ConfigError
from anyspace.execution.checkpoint import (
    STATE_FILE,
    copy_checkpoint,
    read_state,
    remove_checkpoint,
    resume_command,
)
from anyspace.version import __version__

CONFIG_FILE = "config.json"
OPTIONS_FILE = "run.json"
METRICS_FILE = "metrics.csv"
PICTURE_FILE = "learning_curve.png"
LATEST = "checkpoint"
BEST = "best"
EXACT = "exact"
KEPT = "checkpoints"
VIDEOS = "videos"
REPORT_FILE = "report.html"

CHECKPOINTS = (LATEST, EXACT, BEST)
OF_SEEDS = "seed-*"
"""What the folders of runs are called that were begun together, with several seeds."""
_VIDEO = re.compile(r"step-(\d+)\.(mp4|gif)")
_FILES = (CONFIG_FILE, OPTIONS_FILE, METRICS_FILE, PICTURE_FILE)
OUT = "--out (`out` in Python)"
OVERWRITE = "--overwrite (`overwrite=True` in Python)"

_OPTIONS = {"steps": int, "evaluate": int, "progress": bool, "video_every": int}


def origin(command: str | None) -> dict[str, Any]:
    """Return how a run comes about, for its ``config.json``: the command, the time, and versions of packages.

    Args:
        command: that was typed; None: it is begun in Python.
    """
    versions = {"anyspace": __version__, "python": platform.python_version()}
    versions |= {"numpy": numpy.__version__, "gymnasium": gymnasium.__version__}
    for framework in ("torch", "jax", "tensorflow"):
        if framework in sys.modules:
            versions[framework] = sys.modules[framework].__version__
    return {"command": command, "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "versions": versions}


def settings_of(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a ``config.json`` says of a run itself, and nothing of how it came about."""
    return {name: value for name, value in described.items() if name not in ("command", "started", "versions")}


def read_description(folder: Path) -> dict[str, Any]:
    """Return what the ``config.json`` of a run says; nothing where there is none.

    Raises:
        ConfigError: it is damaged.
    """
    file = folder / CONFIG_FILE
    content = _read_json(file)
    if file.exists() and not (content and isinstance(content.get("config", {}), dict)):
        raise ConfigError(
            f"{file} is damaged: it is to be a JSON object that says what the run is. Move it away; the run writes it"
            f" anew where it goes on: `{go_on(folder, folder)}`."
        )
    return content


def run_folder_of(path: str | os.PathLike[str]) -> Path | None:
    """Return the run folder that a path, or the checkpoint at the path, is of; None if there is none."""
    given = Path(path)
    outer = given.parent if given.name in (LATEST, BEST, EXACT) else given
    for folder in (given.parent.parent if given.parent.name == KEPT else outer, given):
        if is_run(folder) and not (folder / STATE_FILE).is_file():
            return folder
    return None


def runs_near(folder: Path) -> str:
    """Return the sentence that follows "is not the folder of a run", of the runs that may be meant."""
    own = run_folder_of(folder)
    if own is not None and own != folder:
        return f" It is a checkpoint of the run {own}: give that."
    inner = sorted(filter(is_run, folder.glob("*")))
    return f" Runs are in folders of it, such as {inner[0]}." if inner else ""


def is_run(folder: Path) -> bool:
    """Whether the files in a folder that have the names of a run's files are those of a run."""
    config, options = _read_json(folder / CONFIG_FILE), _read_json(folder / OPTIONS_FILE)
    return "algorithm" in config or "steps" in options or any(_has_checkpoint(folder, name) for name in CHECKPOINTS)


def runs_in(folder: Path) -> list[Path]:
    """Return a folder itself, or in its place those of the runs in it that were begun together, with several seeds."""
    return ([] if is_run(folder) else seeds_in(folder)) or [folder]


def seeds_in(folder: Path) -> list[Path]:
    """Return the runs in a folder that were begun together, with several seeds."""
    return sorted(filter(is_run, folder.glob(OF_SEEDS)))


def require_free(folder: Path, goes_on_at: int | None, overwrite: bool) -> None:
    """Refuse a folder in which a run would destroy something.

    Args:
        folder: an existing folder.
        goes_on_at: the steps of the algorithm whose run goes on there; None: a new run begins.
        overwrite: a run that is there may be destroyed, files that no run wrote may not.

    Raises:
        ConfigError: says what lies there, and how to go on.
    """
    if (folder / STATE_FILE).is_file():
        raise ConfigError(f"{folder} is a checkpoint that save() wrote, and no folder for a run; choose another {OUT}.")
    if not is_run(folder):
        taken = [name for name in (*_FILES, *CHECKPOINTS, KEPT) if _is_there(folder / name)]
        if taken:
            raise ConfigError(
                f"{folder} holds {', '.join(taken)}, which no run wrote and one would overwrite; choose another {OUT}."
            )
        return
    if overwrite:
        return
    title, steps = _found(folder)
    # A run that failed before its first iteration was over has nothing to lose.
    if goes_on_at is None and (steps or (folder / METRICS_FILE).exists()):
        spelt = "no checkpoint" if steps is None else f"{steps:,} steps"
        path = folder if _has_checkpoint(folder, LATEST) else folder / BEST
        line = go_on(folder, path)
        python = f" (in Python: Algorithm.load({str(path)!r}))" if line.startswith("anyspace ") else ""
        raise ConfigError(
            f"{folder} already holds a run ({title}, {spelt}). Go on with `{line}`{python}, choose another {OUT}, or"
            f" replace the run with {OVERWRITE}."
        )
    # What an exact run has learnt since its last exact checkpoint, it learns again, just so.
    if goes_on_at is not None and goes_on_at != steps_on_disk(folder / EXACT):
        require_latest(folder, goes_on_at)


def go_on(folder: Path, path: Path) -> str:
    """Return the line that goes on with the run in a folder as its files are.

    Args:
        folder: of the run.
        path: as the line spells it, or one of its checkpoints.
    """
    return line_to_go_on(path, _read_json(folder / OPTIONS_FILE), exact=steps_on_disk(folder / EXACT) is not None)


def line_to_go_on(path: Path, asked: Mapping[str, Any], words: Sequence[str] = (), *, exact: bool = False) -> str:
    """Return the command that goes on with a run, or a line of Python where no command could import its code.

    Args:
        path: of its folder, or of one of its checkpoints.
        asked: what the run was asked for.
        words: more of the command.
        exact: whether the folder has an exact checkpoint, which the command goes on from by itself.
    """
    loading = asked.get("loading")
    if not isinstance(loading, str):
        return resume_command(path, words, trust=asked.get("needs_trust") is True)
    own = path.parent if path.name in CHECKPOINTS else path
    checkpoint = path / EXACT if exact and own == path else path
    return f"{loading.replace(repr('PATH'), repr(str(checkpoint)))}.learn({asked.get('steps')}, out={str(own)!r})"


def require_latest(folder: Path, goes_on_at: int) -> None:
    """Refuse that a run goes on from an earlier state than its latest checkpoint, which it would overwrite.

    Raises:
        ConfigError: says how many steps the latest has.
    """
    saved = steps_on_disk(folder / LATEST)
    if saved is not None and saved > goes_on_at:
        raise ConfigError(
            f"the run in {folder} has {saved:,} steps; going on there from {goes_on_at:,} would destroy what it learnt"
            f" since. Choose another {OUT}, or go on from the earlier state with {OVERWRITE}."
        )


def without_run(folder: Path) -> Path:
    """Return a folder that ``save()`` may write a checkpoint into.

    Raises:
        ConfigError: it holds a run. Whoever loads that would then get this checkpoint in place of the run's latest.
    """
    if is_run(folder):
        raise ConfigError(
            f"{folder} is the folder of a run, whose checkpoints learn() writes; save into another one, such as"
            f" {folder / 'final'}."
        )
    return folder


def require_writable(folder: Path) -> None:
    """Raise :class:`ConfigError` for a folder that no run can be written into."""
    try:
        probe_folder(folder)
    except OSError as error:
        raise unwritable(folder, error) from error


def probe_folder(folder: Path) -> None:
    """Write a file into a folder, or into the one in which it would be made, and leave nothing behind.

    Raises:
        OSError: it cannot be written.
    """
    place = folder
    while not place.exists():
        place = place.parent
    with tempfile.TemporaryFile(dir=place) as probe:
        probe.write(bytes(1 << 16))
        probe.flush()
        os.fsync(probe.fileno())


def unwritable(folder: Path, error: OSError) -> ConfigError:
    """Return what to tell the user of a folder that cannot be made or written."""
    in_the_way = next((path for path in (folder, *folder.parents) if path.is_file()), None)
    reason = error.strerror or str(error) if in_the_way is None else f"{in_the_way} is a file"
    return ConfigError(f"cannot write a run into {folder}: {reason}. Choose another {OUT}.")


def remembered_options(folder: Path) -> dict[str, Any]:
    """Return what a run was asked for, such as ``steps``, as far as its folder says; without its callbacks."""
    found = _read_json(folder / OPTIONS_FILE)
    return {name: found[name] for name, kind in _OPTIONS.items() if type(found.get(name)) is kind}


def asked_before(folder: Path) -> dict[str, Any]:
    """Return all that a run was asked for, as its folder is to remember it."""
    return {**remembered_options(folder), "callback": [*remembered_callbacks(folder)]}


def remembered_callbacks(folder: Path) -> tuple[str, ...]:
    """Return the callbacks that a run was begun with, by ``package.module:name``: code, which nothing else imports."""
    named = _read_json(folder / OPTIONS_FILE).get("callback")
    return tuple(one for one in named if isinstance(one, str)) if isinstance(named, list) else ()


def steps_of(state: Mapping[str, Any]) -> int | None:
    """Return the environment steps of a checkpoint's state, of any format; None where it does not say."""
    found: Any = state
    for name in ("parts", "counters") if "parts" in state else ():
        found = found.get(name) if isinstance(found, dict) else None
    counters = found.get("counters") if isinstance(found, dict) else None
    steps = counters.get("timesteps_total") if isinstance(counters, dict) else None
    return steps if isinstance(steps, int) else None


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file in one step.

    Raises:
        OSError: it cannot be written; the old one is left.
    """
    write_whole(file, json.dumps(content, indent=1).encode())


def remove_run(folder: Path) -> None:
    """Remove the files of a run; what no run wrote stays.

    Raises:
        OSError: a file cannot be removed.
    """
    named = [folder / name for name in (*_FILES, REPORT_FILE)]
    drafts = [draft for file in named for draft in drafts_of(file)]
    drafts += [(folder / name).with_suffix(".partial") for name in _FILES]  # as 0.1 called them
    drafts += (folder / VIDEOS).glob(".step-*.partial.*")
    for file in (*named, *drafts, *folder.glob("events.out.tfevents.*"), *videos_of(folder)):
        file.unlink(missing_ok=True)
    for name in CHECKPOINTS:
        remove_checkpoint(folder / name)
    for kept in _kept_folders(folder):
        remove_checkpoint(kept)
    for name in (KEPT, VIDEOS):
        with suppress(OSError):
            (folder / name).rmdir()


def keep_checkpoint(folder: Path, name: str, number: int) -> None:
    """Keep a checkpoint of a run as it is now, by its steps, and no more than ``number`` of them.

    Raises:
        OSError: the folder cannot be written; none is removed.
        CheckpointError: the checkpoint is not whole; none is removed.
    """
    steps = steps_on_disk(folder / name)
    if steps is None:
        return
    target = folder / KEPT / f"{steps:012d}"
    if steps_on_disk(target) is None:
        copy_checkpoint(folder / name, target)
    found = _kept_folders(folder)
    whole = [path for path in found if (path / STATE_FILE).is_file()]
    for old in {*found} - {*whole[-number:]}:
        remove_checkpoint(old)


def _kept_folders(folder: Path) -> list[Path]:
    """Return the folders of the checkpoints that a run has kept, the earliest first, half-made ones among them."""
    return sorted(path for path in (folder / KEPT).glob("[0-9]" * 12))


def remove_others(folder: Path, steps: int, *, exact: bool) -> None:
    """Remove the checkpoints and videos of a run that do not lie on its way any more: it goes on with some steps.

    Args:
        folder: of the run.
        steps: with which it goes on.
        exact: whether it does so exactly. If so, and from the exact checkpoint, that one stays: the run is the same
            from there on. Else a run that is resumed would go back to it.
    """
    if not (exact and steps_on_disk(folder / EXACT) == steps):
        remove_checkpoint(folder / EXACT)
    for checkpoint in _kept_folders(folder):
        if not (checkpoint / STATE_FILE).is_file() or (steps_on_disk(checkpoint) or 0) > steps:
            remove_checkpoint(checkpoint)
    for video, filmed in videos_of(folder).items():
        if filmed > steps:
            video.unlink(missing_ok=True)


def videos_of(folder: Path) -> dict[Path, int]:
    """Return the videos of a run, and the steps of the policies that they show."""
    found = {file: _VIDEO.fullmatch(file.name) for file in (folder / VIDEOS).glob("step-*")}
    return {file: int(match[1]) for file, match in found.items() if match}


def steps_on_disk(checkpoint: Path) -> int | None:
    """Return the environment steps of a checkpoint; None where there is none that can be read."""
    with suppress(CheckpointError, OSError):
        return steps_of(read_state(checkpoint))
    return None


def _found(folder: Path) -> tuple[str, int | None]:
    """Return what a run folder's checkpoint is of, and its steps; None where it holds no readable checkpoint."""
    for name in (LATEST, BEST):
        with suppress(CheckpointError, OSError):
            state = read_state(folder / name)
            return title_of(state), steps_of(state)
    return title_of(_read_json(folder / CONFIG_FILE)), None


def title_of(description: Mapping[str, Any]) -> str:
    """Return ``"PPO on CartPole-v1"`` for an algorithm's description."""
    environment = description.get("env")
    return f"{description.get('algorithm', 'an algorithm')}{f' on {environment}' if environment else ''}"


def _has_checkpoint(folder: Path, name: str) -> bool:
    return (folder / name / STATE_FILE).is_file()


def _is_there(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _read_json(file: Path) -> dict[str, Any]:
    """Return the content of a JSON file, or nothing where it is no file of that kind."""
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
