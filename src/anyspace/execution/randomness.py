"""Random sources that an evaluation shares with training, put back after it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np

from anyspace.models.runtime import Runtime


@contextmanager
def undisturbed(*spaces: gym.Space[Any]) -> Iterator[None]:
    """Put back, after the context, the random sources from which environments of training may draw as well.

    An environment has a generator of its own, as Gymnasium wants it. But one that draws from NumPy's or Python's global
    source, or samples a space that belongs to its class, would change in an evaluation what training sees next.

    Args:
        spaces: of the environments that train.
    """
    state, python_state = np.random.get_state(), random.getstate()
    of_spaces = [(space, _state_of(space)) for space in spaces for space in _all_within(space)]
    try:
        yield
    finally:
        np.random.set_state(state)
        random.setstate(python_state)
        for space, before in of_spaces:
            if space._np_random is not None and before is not None:
                space._np_random.bit_generator.state = before


@contextmanager
def seeded(runtime: Runtime, seed: int) -> Iterator[None]:
    """Let all that a runtime draws go by a seed within the context, and put its random sources back after it."""
    before = runtime.rng_state()
    runtime.seed(seed)
    try:
        yield
    finally:
        runtime.set_rng_state(before)


def _state_of(space: gym.Space[Any]) -> Any:
    return None if space._np_random is None else space._np_random.bit_generator.state


def _all_within(space: gym.Space[Any]) -> Iterator[gym.Space[Any]]:
    """Yield a space and the spaces that it is made of."""
    yield space
    for part in vars(space).values():
        children = part.values() if isinstance(part, dict) else part if isinstance(part, list | tuple) else (part,)
        for child in children:
            if isinstance(child, gym.Space):
                yield from _all_within(child)
