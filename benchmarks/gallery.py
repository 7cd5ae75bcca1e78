"""One command for each environment, no hyperparameters: the return, the time, a film and a curve, in docs/gallery.md.

    make gallery [TASK=Taxi]

Each line is what `anyspace train ENV --steps N` gives with the preset that fits, on three seeds, evaluated over 100
episodes. Beside it stands what the tuned settings of rl-baselines3-zoo reached, as its page of benchmarks says
(PPO, one run each, of the environments' earlier versions where they are new), and after how many steps.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from PIL import Image, ImageSequence

import machine

PAGE = Path(__file__).parents[1] / "docs" / "gallery.md"
PICTURES = PAGE.with_suffix("")
BEGIN, END = "<!-- rows -->", "<!-- end of rows -->"
SEEDS = (0, 1, 2)
LARGEST = 1_000_000
"""Bytes of a film at most; a larger one is made smaller."""
SHORTENED = 4000
"""Milliseconds of it that are kept then."""


class Task(NamedTuple):
    """An environment, for how long it trains, and what the zoo reached."""

    env: str
    steps: int
    zoo: str = ""
    words: tuple[str, ...] = ()
    """More of the command line; the algorithm alone, where PPO is not the one to take."""


TASKS = (
    Task("CartPole-v1", 50_000, "500 (100k)"),
    Task("Acrobot-v1", 200_000, "-74 (1M)"),
    Task("MountainCar-v0", 300_000, "-110 (1M)"),
    Task("MountainCarContinuous-v0", 200_000, "88 (20k)"),
    Task("Pendulum-v1", 100_000, "-172 (100k)"),
    Task("Taxi-v4", 300_000),
    Task("CliffWalking-v1", 30_000, "", ("--algo", "dqn")),
    Task("FrozenLake-v1", 200_000),
    Task("Blackjack-v1", 100_000),
    Task("LunarLander-v3", 300_000, "242 (1M)"),
    Task("LunarLanderContinuous-v3", 300_000, "271 (1M)"),
    Task("InvertedPendulum-v5", 100_000),
    Task("HalfCheetah-v5", 300_000, "5,819 (1M)"),
    Task("Hopper-v5", 300_000, "2,410 (1M)"),
    Task("Walker2d-v5", 300_000, "3,479 (1M)"),
    Task("MiniGrid-Empty-5x5-v0", 50_000),
    Task("popgym-RepeatFirstEasy-v0", 100_000, "", ("--model.use-gru",)),
    Task("popgym-PositionOnlyCartPoleEasy-v0", 200_000, "", ("--model.use-lstm",)),
    Task("ALE/Breakout-v5", 250_000, "398 (10M)"),
)


def anyspace(*words: str) -> str:
    """Run a command as its user would; return what it prints."""
    command = [sys.executable, "-m", "anyspace", *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def row(task: Task, folder: Path) -> str:
    """Train an environment on each seed, film the middle one, draw all of them; return the line of the table."""
    returns, seconds = {}, []
    for seed in SEEDS:
        run = str(folder / f"{task.env}-{seed}")
        started = time.perf_counter()
        anyspace("train", task.env, "--steps", str(task.steps), "--seed", str(seed), "--out", run, *task.words)
        seconds.append(time.perf_counter() - started)
        found = json.loads(anyspace("evaluate", run, "--episodes", "100", "--seed", "1000", "--json"))
        returns[run] = float(found["episode_return_mean"])
        print(f"{task.env} seed {seed}: {returns[run]:.2f} in {seconds[-1]:.0f} s", flush=True)
    middle = sorted(returns, key=lambda run: returns[run])[1]
    name = task.env.replace("/", "-")
    PICTURES.mkdir(exist_ok=True)
    anyspace("plot", *returns, "--out", str(PICTURES / f"{name}.svg"))
    film = _film(middle, PICTURES / f"{name}.gif")
    means = " ".join(map(spelt, returns.values()))
    command = " ".join([task.env, *task.words])
    return (
        f"| `{command}` | {task.steps // 1000}k | {spelt(statistics.median(returns.values()))} ({means})"
        f" | {statistics.median(seconds):.0f} | {task.zoo} | [curve](gallery/{name}.svg) | {film} |"
    )


def spelt(value: float) -> str:
    """Return a return as the table shows it: with one digit after the point, and with two where it is under 10."""
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _film(run: str, file: Path) -> str:
    """Return the picture of an episode for the table, or nothing where an environment shows none."""
    try:
        anyspace("record", run, "--episodes", "1", "--seed", "7", "--out", str(file))
    except subprocess.CalledProcessError:
        return ""
    if file.stat().st_size > LARGEST:
        _reduce(file)
    return f"![{file.stem}](gallery/{file.name})"


def _reduce(file: Path) -> None:
    """Keep the first seconds of a film, in small: one whose camera moves is megabytes large."""
    with Image.open(file) as film:
        pictures, shown = [], 0
        for picture in ImageSequence.Iterator(film):
            shown += picture.info["duration"]
            if shown <= SHORTENED:
                pictures.append(picture.convert("RGB").reduce(2))
        pictures[0].save(file, save_all=True, append_images=pictures[1:], duration=film.info["duration"], loop=0)


def write(lines: dict[str, str]) -> None:
    """Put lines into the page, in the order of the tasks, in place of those of the same environments."""
    text = PAGE.read_text(encoding="utf-8")
    start, stop = text.index(BEGIN) + len(BEGIN), text.index(END)
    rows = {line.split("`")[1].split()[0]: line for line in text[start:stop].splitlines() if line.startswith("| `")}
    rows |= lines
    head = (
        "| `anyspace train ...` | steps | return, median (each seed) | seconds |"
        " RL Zoo of Stable-Baselines3, tuned (steps) | curve | film |\n"
        "|---|---|---|---|---|---|---|"
    )
    table = "\n".join([head, *(rows[task.env] for task in TASKS if task.env in rows)])
    PAGE.write_text(f"{text[:start]}\n\n{table}\n\n{machine.describe()}\n\n{text[stop:]}", encoding="utf-8")


def main(names: list[str]) -> None:
    """Make the lines of the environments that have one of the names in theirs, all of them without names."""
    with TemporaryDirectory() as folder:
        for task in TASKS:
            if not names or any(name in task.env for name in names):
                write({task.env: row(task, Path(folder))})


if __name__ == "__main__":
    main(sys.argv[1:])
