"""Atari frames per second, the wrappers in a loop beside the fast way, and whether both show the same.

8 environments of Breakout, four frames per step, random actions, gray 84 x 84 x 4 observations. The third row is
ale_py's own vector environment as it comes, with its other rules about lives, FIRE and stacks. Medians of five runs
in turn. Then both of ours play the same actions without no-ops and sticky actions: every pixel is compared but those
of finished games' last frames.

    python benchmarks/atari.py
"""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Any

import ale_py
import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from anyspace.data.atari import SKIP, AtariOptions, wrap_deepmind
from anyspace.data.atari_native import native_envs, native_settings
from anyspace.data.environments import EnvSpec
from anyspace.data.sources import make_source
from anyspace.data.vector import VectorSource
from machine import describe, median

ENVS = 8
STEPS = 500
RUNS = 5
COMPARED = 1000
GAMES = ("Breakout", "Pong", "SpaceInvaders", "Seaquest", "MsPacman", "Qbert", "Freeway", "AirRaid")

gym.register_envs(ale_py)


def frames_per_second(source: VectorSource) -> float:
    """Step with random actions."""
    source.reset(0)
    actions = np.random.default_rng(0).integers(0, 4, (STEPS, ENVS))
    started = time.perf_counter()
    for row in actions:
        source.step(row)
    return SKIP * ENVS * STEPS / (time.perf_counter() - started)


def pair(game: str) -> tuple[VectorSource, VectorSource]:
    """The wrappers and the fast way for one game."""
    name = f"ALE/{game}-v5"
    settings = native_settings(gym.spec(name), {"frameskip": 1, "repeat_action_probability": 0.0})
    assert settings is not None

    def wrapped() -> gym.Env[Any, Any]:
        return wrap_deepmind(gym.make(name, disable_env_checker=True, **settings), noops=0)

    slow = SyncVectorEnv([wrapped] * ENVS, copy=False, autoreset_mode=AutoresetMode.SAME_STEP)
    return VectorSource(slow), VectorSource(native_envs(settings, AtariOptions(), ENVS, noops=0))


def compare(game: str) -> str:
    """Play the same actions both ways and return a table row."""
    slow, fast = pair(game)
    differences = [np.abs(slow.reset(0)[0].astype(int) - fast.reset(0)[0])]
    lives = games = 0
    slow.envs.action_space.seed(0)
    for _ in range(COMPARED):
        actions = slow.envs.action_space.sample()
        expected, came = slow.step(actions), fast.step(actions)
        differences.append(np.abs(expected.obs.astype(int) - came.obs))
        for part in ("rewards", "terminated", "truncated", "life_lost"):
            assert np.array_equal(getattr(expected, part), getattr(came, part)), f"{game}: {part}"
        lives += int(expected.life_lost.sum())
        games += len(expected.ended) - int(expected.life_lost.sum())
    largest = max(int(each.max()) for each in differences)
    mean = np.mean([each.mean() for each in differences])
    return f"| {game} | {largest} | {mean:.4f} | equal | {lives} | {games} |"


def main() -> None:
    """Measure in turn and print both tables."""
    spec = EnvSpec("ALE/Breakout-v5", {"frameskip": 1})
    plain = ale_py.AtariVectorEnv("breakout", ENVS, repeat_action_probability=0.25)
    ways = {
        "wrappers in a loop": make_source(spec, ENVS, "sync"),
        "fast way": make_source(spec, ENVS, "native"),
        f"ale_py {version('ale-py')} as it comes": VectorSource(plain),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(RUNS):
        for name, source in ways.items():
            rates[name].append(frames_per_second(source))
    print(f"Breakout, {ENVS} environments, {STEPS} steps, median of {RUNS} runs in turn; {describe()}\n")
    print("| way | frames/s | lowest to highest |")
    print("|---|---|---|")
    for name, found in rates.items():
        print(f"| {name} | {median(found):,.0f} | {min(found):,.0f} to {max(found):,.0f} |")
    print(f"\nThe fast way beside the wrappers, {COMPARED} steps of {ENVS} environments\n")
    print("| game | largest difference of a pixel, of 255 | mean | rewards and ends | lives | games |")
    print("|---|---|---|---|---|---|")
    for game in GAMES:
        print(compare(game))


if __name__ == "__main__":
    main()
