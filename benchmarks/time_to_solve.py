"""Wall-clock from command to a 20-episode mean return of 475 on CartPole-v1, imports included.

Ours is ``anyspace train CartPole-v1`` with its shipped preset, run folder and checkpoints included;
Stable-Baselines3 runs with its zoo's settings. Seeds 0 to 4 in turn; the peer gets its best thread count.

    python benchmarks/time_to_solve.py
    python benchmarks/time_to_solve.py jax     # another framework beside PyTorch
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from anyspace.execution.checkpoint import read_state
from anyspace.execution.run_files import steps_of
from machine import HERE, PEER_PYTHON, describe, median, require_peers, run_json

SEEDS = range(5)


def ours(seed: int, framework: str) -> dict[str, Any]:
    """Run the command line and return seconds and steps."""
    with tempfile.TemporaryDirectory() as folder:
        command = f"train CartPole-v1 --stop-return 475 --return-window 20 --seed {seed} --evaluate 0"
        command += f" --framework {framework}"
        started = time.perf_counter()
        subprocess.run(
            [str(Path(sys.executable).parent / "anyspace"), *command.split(), "--out", folder],
            check=True,
            capture_output=True,
        )
        seconds = time.perf_counter() - started
        steps = steps_of(read_state(Path(folder) / "checkpoint"))
    assert steps is not None
    return {"seconds": seconds, "steps": steps, "solved": steps < 100_000}


def peer(seed: int, threads: int) -> dict[str, Any]:
    """Run Stable-Baselines3 and return seconds and steps."""
    started = time.perf_counter()
    result = run_json([str(PEER_PYTHON), str(HERE / "peers" / "sb3_solve_cartpole.py"), str(seed), str(threads)])
    return {**result, "seconds": time.perf_counter() - started}


def main(frameworks: list[str]) -> None:
    """Measure all in turn and print the table."""
    require_peers()
    threads = min((1, 2), key=lambda count: peer(0, count)["seconds"])
    names = [*(f"anyspace, {framework}" for framework in frameworks), "Stable-Baselines3"]
    rows = [[*(ours(seed, framework) for framework in frameworks), peer(seed, threads)] for seed in SEEDS]
    names[-1] += f" {rows[0][-1]['version']} ({threads} threads)"
    print(f"Wall-clock to a 20-episode mean of 475 on CartPole-v1, from the command on; {describe()}\n")
    print(f"| seed | {' | '.join(f'{name}, s | steps' for name in names)} |")
    print(f"|---|{'---|---|' * len(names)}")
    for seed, runs in zip(SEEDS, rows, strict=True):
        print(f"| {seed} | {' | '.join(map(_cells, runs))} |")
    *medians, theirs = (median([run["seconds"] for run in runs]) for runs in zip(*rows, strict=True))
    for framework, mine in zip(frameworks, medians, strict=True):
        print(f"\n{framework}: medians {mine:.1f} s and {theirs:.1f} s, ratio {mine / theirs:.2f}")


def _cells(run: dict[str, Any]) -> str:
    return f"{run['seconds']:.1f} | {run['steps']:,}{'' if run['solved'] else ' (not solved)'}"


if __name__ == "__main__":
    main([*sys.argv[1:], "torch"])
