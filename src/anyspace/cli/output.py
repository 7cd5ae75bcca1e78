"""What commands print."""

from __future__ import annotations

import os
import shlex
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from rich.console import Console

import anyspace
from anyspace.algorithms import Algorithm
from anyspace.algorithms.presets import Preset
from anyspace.data.env_findings import EnvCheck
from anyspace.errors import ConfigError, counted
from anyspace.execution.speed import Speed

_SUCCESS = ("is_success", "success")
"""What infos of last steps say of episodes that reached their goal: 1, else 0."""


def make_room(file: Path) -> None:
    """Make the folder of a file that is to be written.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "a file is where its folder is to be" if isinstance(error, FileExistsError) else error.strerror
        raise ConfigError(f"cannot write {file}: {reason}. Choose another --out.") from error
    if file.is_dir() or not os.access(file.parent, os.W_OK):
        reason = "it is a folder" if file.is_dir() else f"{file.parent} is not writable"
        raise ConfigError(f"cannot write {file}: {reason}. Choose another --out.")


def print_lines(console: Console, *lines: str) -> None:
    """Print lines exactly as they are spelt: neither wrapped nor coloured, whatever stands in them."""
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def print_error(text: str, style: str | None = None) -> None:
    """Print a message to the error stream, exactly as it is spelt."""
    Console(stderr=True, emoji=False).print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def with_notes(text: str, error: BaseException) -> str:
    """Return a message with the notes of an error, such as how to go on with a run that failed."""
    return "\n".join([text, *getattr(error, "__notes__", ())])


def print_traceback(error: Exception) -> None:
    """Print an environment's own traceback; the frames of this library that led there would only hide it."""
    ours = (str(Path(anyspace.__file__).parent), str(Path(gym.vector.__file__).parent))
    frame = start = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename.startswith(ours):
            start = frame.tb_next
        frame = frame.tb_next
    traceback.print_exception(type(error), error, start or error.__traceback__)


def print_preset(console: Console, preset: Preset, changes: Mapping[str, Any]) -> None:
    """Print the name of a preset, and what it changes of the defaults where no flag does."""
    if not preset.settings:
        print_lines(console, "preset: none, for the algorithm has none; these are its defaults")
        return
    title = f"preset: {preset.name} (--preset none leaves it out). It changes:"
    print_lines(console, title, *(f"  {key} = {value}" for key, value in changes.items()))


def print_settings(console: Console, file: Path, changes: Mapping[str, Any]) -> None:
    """Print what a file of settings changes."""
    print_lines(console, f"{file} changes:", *(f"  {key} = {value}" for key, value in changes.items()))


def print_result(
    console: Console, algorithm: Algorithm[Any], result: Mapping[str, Any], steps_before: int, seconds: float
) -> None:
    """Print what training came to.

    Args:
        console: where to.
        algorithm: after training.
        result: of the last iteration.
        steps_before: what the algorithm had before, if it was resumed.
        seconds: that training took.
    """
    steps, counters = algorithm.timesteps_total, algorithm.counters
    in_all = f" ({steps:,} in all)" if steps_before else ""
    mean, episodes = result.get("episode_return_mean"), len(counters.latest.episodes)
    over = "over the only episode" if episodes == 1 else f"over the latest {episodes} episodes"
    spelt = f": mean return {mean:.1f} {over}" if mean is not None else ""
    if mean is None and algorithm.config.acts_while_training:
        spelt = ": no episode has ended yet"
    lines = [f"trained {steps - steps_before:,} steps in {seconds:.1f} s{in_all}{spelt}"]
    if algorithm.config.stop_return is not None:
        lines.append(counters.verdict(algorithm.config.stop_return))
    print_lines(console, *lines)


def print_evaluation(console: Console, result: Mapping[str, Any]) -> None:
    """Print the returns of the episodes of an evaluation."""
    cut = f", {result['episodes_cut']} of which were cut before their ends" if result["episodes_cut"] else ""
    print_lines(
        console,
        f"evaluation: mean return {result['episode_return_mean']:.1f} +- {result['episode_return_std']:.1f}"
        f" (lowest {result['episode_return_min']:.1f}, highest {result['episode_return_max']:.1f}) over"
        f" {counted(result['episodes'], 'episode')} of {result['episode_len_mean']:.1f} steps{cut}",
        *(f"{name}: {result['episode'][name]:.1%}" for name in _SUCCESS if name in result["episode"]),
    )


def print_folder(console: Console, folder: Path, *, plays: bool, trust: bool) -> None:
    """Print where a run lies, and how to look at its curves and at what it learnt.

    Args:
        console: where to.
        folder: of the run.
        plays: whether it has an environment to play in.
        trust: whether loading it takes ``--trust``.
    """
    quoted = shlex.quote(str(folder))
    print_lines(console, f"run folder: {folder}", f"curves: tensorboard --logdir {quoted}")
    if plays:
        print_lines(console, f"play again: anyspace evaluate {quoted}{' --trust' if trust else ''}")


def print_seeds(console: Console, returns: Mapping[int, float | None], folder: Path) -> None:
    """Print what several seeds came to, and the commands that draw them.

    Args:
        console: where to.
        returns: the mean return of each seed; None where no episode ended.
        folder: that the runs' folders lie in.
    """
    means, without = [mean for mean in returns.values() if mean is not None], None in returns.values()
    spelt = "no episode has ended yet"
    if means:
        spelt = f"mean return {np.mean(means):.1f} +- {np.std(means):.1f}"
        spelt += f" (lowest {min(means):.1f}, highest {max(means):.1f}) over"
        spelt += f" {len(means)} of {counted(len(returns), 'seed')}" if without else f" {counted(len(means), 'seed')}"
    if means and without:
        missing = [str(seed) for seed, mean in returns.items() if mean is None]
        spelt += f"; seed {missing[0]} has" if len(missing) == 1 else f"; seeds {', '.join(missing)} have"
        spelt += " no return, for no episode has ended"
    folders = [str(folder / f"seed-{seed}") for seed in returns]
    picture = str(folder / "curves.png")
    print_lines(
        console,
        spelt,
        f"run folders: {', '.join(folders)}",
        f"curves: {shlex.join(['anyspace', 'plot', *folders, '--out', picture])}",
        f"        {shlex.join(['tensorboard', '--logdir', str(folder)])}",
    )


def print_speed(console: Console, algorithm: Algorithm[Any], speed: Speed) -> None:
    """Print how quick training is, and what takes the time."""
    config, runtime = algorithm.config, algorithm.policy.runtime
    lines = [
        f"{type(algorithm).__name__} on {algorithm.env_spec.name}, preset {algorithm.preset}, {runtime.framework} on"
        f" {runtime.device}, {config.num_envs_per_env_runner} environments side by side",
        f"{speed.steps_per_s:,.0f} steps/s: {speed.steps:,} steps and {speed.iterations} iterations in"
        f" {speed.seconds:.1f} s",
    ]
    parts = {"environment": speed.environment, "acting": speed.acting, "learning": speed.learning}
    lines += [
        f"  {name:<12} {part.share:4.0%}  {part.microseconds_per_step:9,.1f} us a step" for name, part in parts.items()
    ]
    if not speed.has_learnt:
        lines.append("learning had not begun: give more --seconds, or fewer steps before learning starts")
    print_lines(console, *lines)


def print_check(console: Console, found: EnvCheck) -> None:
    """Print what is wrong with an environment, and how quick it is."""
    lines = [f"{found.name}: {found.steps:,} steps with random actions"]
    if found.episodes:
        lines[0] += (
            f", {counted(len(found.episodes), 'episode')} of {min(found.episodes)} to {max(found.episodes)} steps"
            f" and returns of {min(found.returns):.6g} to {max(found.returns):.6g}"
        )
    step, reset = (f"{seconds * 1e6:,.0f} us" for seconds in (found.step_seconds, found.reset_seconds))
    if found.steps:
        lines.append(f"the environment itself takes {step} for a step and {reset} for a reset")
    if found.masks:
        lines.append(f"{found.masks:,} of the steps came with a mask")
    print_lines(console, *lines, *(map(str, found.findings) if found.findings else ["nothing is wrong"]))
