"""Steps per second of PPO on CartPole-v1 by framework, beside Stable-Baselines3 and SBX, in turn in one run.

The settings are those of `ppo_cartpole.py`: 8 environments x 128 steps, 4 epochs, minibatches of 256, two tanh layers
of 64, separate value network. All go through their public ``learn()``. Compiling is not counted, but the time of the
first iteration is printed. Medians of five runs.

    python benchmarks/frameworks.py
    python benchmarks/frameworks.py --smoke     # a few thousand steps of each, once
"""

from __future__ import annotations

import json
import sys
import time
from importlib.util import find_spec

from machine import HERE, PEER_PYTHON, describe, median, require_peers, run_json
from ppo_cartpole import SETTINGS

STEPS = 150 * 1024
SMOKE_STEPS = 4 * 1024
RUNS = 5
FRAMEWORKS = {"torch": "torch", "jax": "jax", "tf": "tensorflow"}
"""Each framework, and the package that it needs."""
PEERS = {"Stable-Baselines3": "sb3_ppo_cartpole.py", "SBX": "sbx_ppo_cartpole.py"}


def ours(framework: str, steps: int) -> None:
    """Measure one framework in this process and print one JSON line."""
    from anyspace import PPO

    algorithm = PPO("CartPole-v1", {**SETTINGS, "framework": framework}, preset="none")
    started = time.perf_counter()
    algorithm.learn(1024, progress=False)
    first = time.perf_counter() - started
    algorithm.learn(algorithm.timesteps_total + 4 * 1024, progress=False)
    before, started, cpu = algorithm.timesteps_total, time.perf_counter(), time.process_time()
    algorithm.learn(before + steps, progress=False)
    seconds, taken = time.perf_counter() - started, algorithm.timesteps_total - before
    numbers = {
        "rate": taken / seconds,
        "first_iteration_s": first,
        "cpu_ms_per_iteration": 1024_000 * (time.process_time() - cpu) / taken,
        "version": framework,
    }
    print(json.dumps(numbers))


def peer(script: str, steps: int, threads: int) -> dict[str, float] | None:
    """Measure a peer; None where it is not installed."""
    try:
        return run_json([str(PEER_PYTHON), str(HERE / "peers" / script), str(steps), str(threads)])
    except SystemExit as error:
        print(f"{script} is left out: {str(error).splitlines()[-1]}")
        return None


def main(steps: int, runs: int) -> None:
    """Measure all in turn and print the table."""
    require_peers()
    installed = [name for name, package in FRAMEWORKS.items() if find_spec(package) is not None and _is_built(name)]
    best: dict[str, int] = {}
    for name, script in PEERS.items():
        tried = {count: peer(script, steps // 3, count) for count in (1, 2)}
        rates = {count: one["rate"] for count, one in tried.items() if one is not None}
        if rates:
            best[name] = max(rates, key=lambda count: rates[count])
    results: dict[str, list[dict[str, float]]] = {name: [] for name in (*installed, *best)}
    for _ in range(runs):
        for framework in installed:
            results[framework].append(run_json([sys.executable, __file__, "--ours", framework, str(steps)]))
        for name, count in best.items():
            one = peer(PEERS[name], steps, count)
            assert one is not None
            results[name].append(one)
    base = median([one["rate"] for one in results["Stable-Baselines3"]])
    print(f"PPO on CartPole-v1, {steps:,} steps, median of {runs} runs in turn; {describe()}\n")
    print("| library | steps/s | ratio to Stable-Baselines3 | first iteration, s | CPU ms an iteration |")
    print("|---|---|---|---|---|")
    for name, found in results.items():
        rate = median([one["rate"] for one in found])
        shown = name if name in best else f"anyspace, {name}"
        threads = f" ({best[name]} threads, its best)" if name in best else ""
        mine = [f"{median([one[key] for one in found]):.1f}" if key in found[0] else "" for key in _OURS]
        print(f"| {shown}{threads} | {rate:,.0f} | {rate / base:.2f} | {' | '.join(mine)} |")


_OURS = ("first_iteration_s", "cpu_ms_per_iteration")


def _is_built(framework: str) -> bool:
    from anyspace.execution.backends import BACKENDS

    return framework in BACKENDS


if __name__ == "__main__":
    if "--ours" in sys.argv:
        ours(sys.argv[2], int(sys.argv[3]))
    elif "--smoke" in sys.argv:
        main(SMOKE_STEPS, 1)
    else:
        main(STEPS, RUNS)
