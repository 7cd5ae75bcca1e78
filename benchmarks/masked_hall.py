"""Steps per second of PPO where actions are masked, beside sb3-contrib's MaskablePPO, in turn in one run.

8 environments x 128 steps, 4 epochs, minibatches of 256, two tanh layers of 64 for each of policy and value. Both train
in the same hall: a Dict of arrays, a MultiDiscrete and ``action_masks()``. Ours trains in the nested one besides: a
Dict in a Dict that holds the mask, and a Tuple, which the peer does not take. Both go through their public ``learn()``,
ours with every check on; the peer gets the thread count that serves it best. Medians of five runs.

    python benchmarks/masked_hall.py
"""

from __future__ import annotations

import json
import sys
import time

from hall import Flat, Nested
from machine import HERE, PEER_PYTHON, describe, median, require_peers, run_json
from ppo_cartpole import SETTINGS

STEPS = 60 * 1024
RUNS = 5
KINDS = {"flat": Flat, "nested": Nested}


def ours(kind: str) -> None:
    """Measure this library in this process and print one JSON line."""
    from anyspace import PPO

    algorithm = PPO(KINDS[kind], SETTINGS, preset="none")
    algorithm.learn(4 * 1024, progress=False)
    before = algorithm.timesteps_total
    started = time.perf_counter()
    algorithm.learn(before + STEPS, progress=False)
    print(json.dumps({"rate": (algorithm.timesteps_total - before) / (time.perf_counter() - started)}))


def main() -> None:
    """Measure all in turn and print the table."""
    require_peers()
    peer = [str(PEER_PYTHON), str(HERE / "peers" / "sb3_masked_hall.py")]
    rates = {threads: run_json([*peer, str(STEPS // 3), str(threads)])["rate"] for threads in (1, 2)}
    threads = max(rates, key=lambda count: rates[count])
    mine: dict[str, list[float]] = {kind: [] for kind in KINDS}
    theirs, version = [], ""
    for _ in range(RUNS):
        for kind, found in mine.items():
            found.append(run_json([sys.executable, __file__, "--ours", kind])["rate"])
        run = run_json([*peer, str(STEPS), str(threads)])
        theirs.append(run["rate"])
        version = run["version"]
    print(f"PPO in the hall, {STEPS:,} steps, median of {RUNS} runs in turn; {describe()}\n")
    print("| library | steps/s | to the peer (run by run) |")
    print("|---|---|---|")
    for kind, found in mine.items():
        ratios = sorted(one / other for one, other in zip(found, theirs, strict=True))
        ratio = f"{median(found) / median(theirs):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(f"| anyspace, {kind} | {median(found):,.0f} | {ratio} |")
    print(f"| MaskablePPO of sb3-contrib {version} ({threads} threads, its best), flat | {median(theirs):,.0f} | |")


if __name__ == "__main__":
    ours(sys.argv[2]) if "--ours" in sys.argv else main()
