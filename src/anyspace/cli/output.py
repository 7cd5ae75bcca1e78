"""What commands print."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
from rich.console import Console

import anyspace
from anyspace.algorithms import Algorithm
from anyspace.algorithms.presets import Preset


def print_error(text: str, style: str | None = None) -> None:
    """Print a message to the error stream, exactly as it is spelt."""
    Console(stderr=True).print(text, style=style, markup=False, highlight=False, soft_wrap=True)


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
    """Print the name of a preset, and what it changes of the defaults."""
    if not preset.settings:
        console.print("preset: none, for the algorithm has none; these are its defaults", highlight=False)
        return
    console.print(f"preset: {preset.name} (--preset none leaves it out). It changes:", highlight=False)
    for key, value in changes.items():
        console.print(f"  {key} = {value}", highlight=False, markup=False)


def print_result(console: Console, algorithm: Algorithm[Any], result: Mapping[str, Any], seconds: float) -> None:
    """Print what training came to, from the result of its last iteration."""
    mean = result.get("episode_return_mean")
    spelt = "no episode ended" if mean is None else f"mean return {mean:.1f}"
    console.print(
        f"trained {algorithm.timesteps_total:,} steps in {seconds:.1f} s: {spelt} over the latest"
        f" {min(algorithm.counters.episodes_total, algorithm.config.return_window)} episodes",
        highlight=False,
    )


def print_evaluation(console: Console, result: Mapping[str, float]) -> None:
    """Print the returns of the episodes of an evaluation."""
    console.print(
        f"evaluation: mean return {result['episode_return_mean']:.1f} +- {result['episode_return_std']:.1f}"
        f" (lowest {result['episode_return_min']:.1f}, highest {result['episode_return_max']:.1f}) over"
        f" {result['episodes']} episodes of {result['episode_len_mean']:.1f} steps",
        highlight=False,
        soft_wrap=True,
    )
