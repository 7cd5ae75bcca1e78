"""Seeds of environments, each from the run's seed and from where in the run they are reset."""

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
    # The third number tells it from the seeds of evaluations, where that is 1.
    return derived_seed(seed, iteration, 0, worker)
