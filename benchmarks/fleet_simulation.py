"""The dispatcher that ships, over workers that exist on a clock of their own: 8 to 1,000 of them, in minutes.

    python -m benchmarks.fleet_simulation [WORKERS ...]

A worker has a pace (lognormal, 0.15) and chance (lognormal, 0.25; one fragment in a hundred takes five times as long).
Fragments cross the dispatcher's network one after the other, and cost it a millisecond each; the learner takes rows at
a fixed rate; weights leave once for each machine of 32 workers.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from anyspace.execution.dispatch import Dispatcher
from anyspace.execution.worker import Gather, Start
from tests.support.simulated import Clock, Fate, SimulatedTransport

JOB, WEIGHTS = Gather(0, Start(0, 0, 0), 0), np.zeros(1, np.uint8)
HANDLING, PER_MACHINE = 1e-3, 32


@dataclass(frozen=True)
class World:
    """What is simulated: rows, seconds, bytes and rates in seconds."""

    rows: int = 400
    fragment: float = 0.4
    size: float = 3e6
    network: float = 1.2e9
    batch: int = 4000
    learn: float = 40e3
    weights: float = 7e6
    deaths: float = 0.0
    """Of a worker, in a second."""
    broadcast: int = 1
    """Updates from one version of the weights that workers get to the next."""


def run(world: World, workers: int, updates: int, **options: Any) -> dict[str, float]:
    """Return rows a second, and the lag of fragments, of a streaming or (``shares``) a synchronous dispatcher."""
    rng, clock = np.random.default_rng(0), Clock()
    paces = rng.lognormal(-(0.15**2) / 2, 0.15, workers)
    share = options.pop("shares", False)
    rows = max(1, world.batch // workers) if share else world.rows

    def fate(number: int, incarnation: int, count: int) -> Fate:
        if count < 0:
            return Fate(6.0 if incarnation else 0.0)
        long = 5.0 if rng.random() < 0.01 else 1.0
        seconds = world.fragment * rows / world.rows * paces[number] * rng.lognormal(-(0.25**2) / 2, 0.25) * long / 1.04
        return Fate(seconds, "dies" if rng.random() < world.deaths * seconds else "done")

    machines = math.ceil(workers / PER_MACHINE)
    sent = world.weights * (machines - 1) / world.network
    transport = SimulatedTransport(clock, fate, rows, world.size * rows / world.rows / world.network, HANDLING, sent)
    dispatcher = Dispatcher(transport, workers, clock=clock, tell=lambda _: None, **options)
    warm, began = updates // 3, 0.0
    for update in range(warm + updates):
        if update == warm:
            began = clock.now
            dispatcher.tally.lags = []
        if update % world.broadcast == 0:
            dispatcher.publish(update, WEIGHTS)
        if share:
            dispatcher.shares([[JOB]] * workers, update)
        else:
            dispatcher.stream(JOB, world.batch, rows, update)
        clock.now += world.batch / world.learn
    lags = dispatcher.tally.lags
    return {
        "rows": updates * max(world.batch, rows * workers if share else 0) / (clock.now - began),
        "lag": float(np.mean(lags)),
        "p99": float(np.quantile(lags, 0.99)),
    }


WORLDS = {
    "pictures, 3 MB a fragment, learner 40,000 rows/s": World(),
    "the same, every fifth version of the weights is sent": World(broadcast=5),
    "the same as the first, each worker killed once a minute": World(deaths=1 / 60),
    "slow simulator, 100 rows/s a worker, learner 20,000 rows/s": World(
        50, 0.5, 1e4, batch=500, learn=20e3, weights=4e4
    ),
}


def main() -> None:
    counts = [int(word) for word in sys.argv[1:]] or [8, 32, 128, 512, 1000]
    for title, world in WORLDS.items():
        print(f"\n{title}\n")
        print("| workers | one share each | two requests | lag, p99 | adaptive | lag, p99 | ideal |")
        print("|---|---|---|---|---|---|---|")
        for count in counts:
            # A third of the updates warms up: in it the learner takes all that was asked for with the first weights.
            updates = max(60 if count < 32 else 150, 3 * 2 * count * world.rows // world.batch)
            shares = run(world, count, updates // 3, shares=True)
            fixed, adaptive = (run(world, count, updates, most=2, adapts=adapts) for adapts in (False, True))
            cells = [f"{count:,}", f"{shares['rows']:,.0f}"]
            for found in (fixed, adaptive):
                cells += [f"{found['rows']:,.0f}", f"{found['lag']:.1f}, {found['p99']:.0f}"]
            handled = world.batch / world.learn + world.batch / world.rows * HANDLING
            ideal = min(count * world.rows / world.fragment, world.batch / handled)
            print(f"| {' | '.join(cells)} | {ideal:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
