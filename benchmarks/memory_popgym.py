"""POPGym's Easy tasks with PPO: without memory, and with an LSTM, a GRU and a GTrXL.

Observations hold the previous action and whether the episode has just begun, as in the paper (Morad et al., "POPGym:
Benchmarking partially observable reinforcement learning", ICLR 2023). Settings are the library's general ones. No
return is above 1; training ends early where the latest 100 episodes average 0.97. What is noted is the mean return of
100 fresh episodes with the final weights, acting deterministically. Each run appends a line to docs/popgym.csv; runs
that have one are left out, so that an interrupted benchmark goes on where it stopped. Where a noted run missed its
goal, it is named, and the exit status is 1.

    python benchmarks/memory_popgym.py [TASK ...] [--memories none lstm gru gtrxl] [--seeds 0 1 2] [--steps 1000000]
    python benchmarks/memory_popgym.py --table
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

LOG = Path(__file__).parent.parent / "docs" / "popgym.csv"
EPISODES = 100
SOLVED = 0.97

TASKS = {
    "AutoencodeEasy": "popgym-AutoencodeEasy-v0",
    "BattleshipEasy": "popgym-BattleshipEasy-v0",
    "ConcentrationEasy": "popgym-ConcentrationEasy-v0",
    "CountRecallEasy": "popgym-CountRecallEasy-v0",
    "HigherLowerEasy": "popgym-HigherLowerEasy-v0",
    "MineSweeperEasy": "popgym-MineSweeperEasy-v0",
    "MultiarmedBanditEasy": "popgym-MultiarmedBanditEasy-v0",
    "NoisyPositionOnlyCartPoleEasy": "popgym-NoisyPositionOnlyCartPoleEasy-v0",
    "NoisyPositionOnlyPendulumEasy": "popgym-NoisyPositionOnlyPendulumEasy-v0",
    "PositionOnlyCartPoleEasy": "popgym-PositionOnlyCartPoleEasy-v0",
    "PositionOnlyPendulumEasy": "popgym-PositionOnlyPendulumEasy-v0",
    "RepeatFirstEasy": "popgym-RepeatFirstEasy-v0",
    "RepeatPreviousEasy": "popgym-RepeatPreviousEasy-v0",
    # The id has another spelling than the class.
    "VelocityOnlyCartPoleEasy": "popgym-VelocityOnlyCartpoleEasy-v0",
}
MEMORIES: dict[str, dict[str, Any]] = {
    "none": {},
    "lstm": {"use_lstm": True},
    "gru": {"use_gru": True},
    "gtrxl": {"use_attention": True},
}
GOALS: dict[tuple[str, str], tuple[float, int]] = {
    **{
        (task, memory): (0.95, 500_000)
        for task in ("RepeatFirstEasy", "PositionOnlyCartPoleEasy", "RepeatPreviousEasy")
        for memory in ("gru", "lstm")
    },
    ("RepeatPreviousEasy", "gtrxl"): (0.5, 1_000_000),
}
"""By task and memory: the mean return that every seed has to reach, and by how many steps."""
WRAPPERS = ["popgym.wrappers:PreviousAction", "popgym.wrappers:Antialias"]


class Run(NamedTuple):
    """A line of the log."""

    task: str
    memory: str
    seed: int
    steps: int
    """At most; see ``taken``."""
    taken: int
    mean: float
    seconds: int


def logged() -> Iterator[Run]:
    """Yield the runs that are noted."""
    if LOG.exists():
        with LOG.open(encoding="utf-8", newline="") as file:
            for task, memory, seed, steps, taken, mean, seconds in csv.reader(file):
                yield Run(task, memory, int(seed), int(steps), int(taken), float(mean), int(seconds))


def train(task: str, memory: str, seed: int, steps: int) -> Run:
    """Train and evaluate, and note what came of it."""
    from anyspace import PPO

    algorithm = PPO(TASKS[task], wrappers=[*WRAPPERS], model=MEMORIES[memory], seed=seed, stop_return=SOLVED)
    started = time.perf_counter()
    algorithm.learn(steps, progress=False)
    seconds = time.perf_counter() - started
    mean = algorithm.evaluate(EPISODES)["episode_return_mean"]
    done = Run(task, memory, seed, steps, algorithm.timesteps_total, round(mean, 3), round(seconds))
    with LOG.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow(done)
    return done


def missed(runs: Iterable[Run]) -> list[str]:
    """Return a line for each run that missed its goal; a run of more steps than the goal allows is not judged."""
    lines = []
    for run in runs:
        goal, steps = GOALS.get((run.task, run.memory), (-float("inf"), 0))
        if run.mean < goal and run.steps <= steps:
            lines.append(f"{run.task} with {run.memory}, seed {run.seed}: {run.mean} of {goal} in {run.taken:,} steps")
    return lines


def table() -> None:
    """Print each task's returns with each memory, the mean of all seeds, and how long training took.

    Of runs that were asked for at different lengths, the longest count.
    """
    cells: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in sorted(logged(), key=lambda run: -run.steps):
        noted = cells[run.task, run.memory]
        if not noted or noted[0].steps == run.steps:
            noted.append(run)
    print(f"| task | {' | '.join(MEMORIES)} |")
    print(f"|---|{'---|' * len(MEMORIES)}")
    for task in [task for task in TASKS if any(cells[task, memory] for memory in MEMORIES)]:
        print(f"| {task} | {' | '.join(_cell(cells[task, memory]) for memory in MEMORIES)} |")


def _cell(runs: list[Run]) -> str:
    """Return "0.99 (3 seeds, 41k steps)" for some runs, of whose steps the median counts."""
    if not runs:
        return ""
    seeds = f"{len(runs)} seeds, " if len(runs) > 1 else ""
    steps = round(statistics.median(run.taken for run in runs) / 1000)
    return f"{statistics.mean(run.mean for run in runs):.2f} ({seeds}{steps:,}k steps)"


def main() -> None:
    """Run what is asked for and not noted yet, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=", ".join(TASKS))
    parser.add_argument("--memories", nargs="+", choices=MEMORIES, default=list(MEMORIES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--table", action="store_true", help="print the table of docs/learning.md, and train nothing")
    asked = parser.parse_args()
    if unknown := set(asked.tasks) - set(TASKS):
        parser.error(f"no task is known as {', '.join(sorted(unknown))}; the tasks are {', '.join(TASKS)}")
    if not asked.table:
        done = {run[:4] for run in logged()}
        for seed in asked.seeds:
            for task in asked.tasks or TASKS:
                for memory in asked.memories:
                    if (task, memory, seed, asked.steps) not in done:
                        print(*train(task, memory, seed, asked.steps), flush=True)
    table()
    if lines := missed(logged()):
        sys.exit("Goals missed:\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
