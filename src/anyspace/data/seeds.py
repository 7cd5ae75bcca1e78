"""Seeds, each from another seed and from what it is for.

Of the numbers beside that seed the second one says what it is for, so that no two are of one stream:

| for | numbers |
|---|---|
| the environments that training steps | iteration, 0 |
| an evaluation: its environments and sampled actions | steps, 1 |
| what replay draws | 0, 2 |
| one of several workers | its number, 3, how often it was replaced |
| what workers sample actions from | 0, 4 |
"""

from __future__ import annotations

import numpy as np


def derived_seed(seed: int, *numbers: int) -> int:
    """Return a seed in [0, 2^32) that depends on a run's seed and on some numbers, each at least 0.

    Zeros at the end are as if they were not there.
    """
    return int(np.random.SeedSequence([seed, *numbers]).generate_state(1)[0])


def environment_seed(seed: int, iteration: int) -> int:
    """Return the seed with which the environments of training are reset; environment i takes it plus i.

    What a reset after ``iteration`` iterations brings depends on these numbers alone, not on what was before it.

    Args:
        seed: of the run.
        iteration: how many iterations are over.
    """
    return derived_seed(seed, iteration, 0)


def evaluation_seed(seed: int, steps: int) -> int:
    """Return the seed of an evaluation after some environment steps of a run.

    Its environments are reset with it, and its actions sampled from it.
    """
    return derived_seed(seed, steps, 1)


def replay_seed(seed: int) -> int:
    """Return the seed of what a run draws from replay."""
    return derived_seed(seed, 0, 2)


def worker_seed(seed: int, number: int, incarnation: int) -> int:
    """Return the seed of a worker: that of the first one is ``seed``, and one that is replaced replays nothing.

    Args:
        seed: of all workers together.
        number: of the worker.
        incarnation: how often it was replaced.
    """
    return seed if (number, incarnation) == (0, 0) else derived_seed(seed, number, 3, incarnation)


def acting_seed(seed: int) -> int:
    """Return the seed of what workers sample actions from, where their environments begin anew with ``seed``."""
    return derived_seed(seed, 0, 4)
