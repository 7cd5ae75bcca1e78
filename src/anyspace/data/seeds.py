"""Seeds, each from the run's seed and from what it is for.

The second and the third number tell them apart, so that no two are of one stream:

| for | numbers |
|---|---|
| the environments that training steps | iteration, 0, worker |
| the environments of an evaluation | steps, 1 |
| what replay draws | 0, 2 |
"""

from __future__ import annotations

import numpy as np


def derived_seed(seed: int, *numbers: int) -> int:
    """Return a seed in [0, 2^32) that depends on a run's seed and on some numbers, each at least 0.

    Zeros at the end are as if they were not there.
    """
    return int(np.random.SeedSequence([seed, *numbers]).generate_state(1)[0])


def environment_seed(seed: int, iteration: int, worker: int = 0) -> int:
    """Return the seed with which a worker's environments are reset; environment i takes it plus i.

    What a reset after ``iteration`` iterations brings depends on these numbers alone, not on what was before it.

    Args:
        seed: of the run.
        iteration: how many iterations are over.
        worker: number of the process that collects, from 0.
    """
    return derived_seed(seed, iteration, 0, worker)


def evaluation_seed(seed: int, steps: int) -> int:
    """Return the seed with which the environments of an evaluation are reset after some environment steps of a run."""
    return derived_seed(seed, steps, 1)


def replay_seed(seed: int) -> int:
    """Return the seed of what a run draws from replay."""
    return derived_seed(seed, 0, 2)
