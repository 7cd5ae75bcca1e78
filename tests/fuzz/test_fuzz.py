from __future__ import annotations

import logging
import multiprocessing
import os
import secrets
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, MultiDiscrete

from anyspace.data.trajectory import Trajectory
from anyspace.errors import AnyspaceError
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.masking import Masking
from anyspace.policy.policy import Policy
from anyspace.spaces import Decoder, Encoder, ObservationFilter, Preprocessor
from tests.fuzz.checks import check
from tests.fuzz.counterexamples import COUNTEREXAMPLES
from tests.fuzz.environment import Pair
from tests.fuzz.runs import run
from tests.fuzz.tally import Tally


@pytest.mark.parametrize("first", [0, *(pytest.param(first, marks=pytest.mark.fuzz) for first in (1, 2))])
def test_random_pairs(first: int) -> None:
    run(first, 50 if first else 25).require_small()


@pytest.mark.parametrize("name", COUNTEREXAMPLES)
def test_what_once_failed(name: str) -> None:
    for seed in range(3):
        check(replace(COUNTEREXAMPLES[name], seed=seed))


@pytest.mark.fuzz
def test_ten_thousand_pairs() -> None:
    first = int(os.environ.get("FUZZ_SEED") or secrets.randbits(31))
    print(f"\nFUZZ_SEED={first}")
    total = Tally()
    # How pictures are read is told in the log; most of these do not say it themselves.
    quiet: dict[str, Any] = {"initializer": logging.disable, "initargs": (logging.WARNING,)}
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn"), **quiet) as pool:
        for done, tally in enumerate(pool.map(partial(run, count=250), range(first, first + 40)), start=1):
            total += tally
            print(f"{250 * done:,} pairs of 10,000; round {done} had FUZZ_SEED={first + done - 1}", flush=True)
    print(total)
    total.require_small()
    total.require_every_kind(0.03)


# ------------------------------------------------------------------------------------------- what is noticed

PLAIN = Pair(
    Dict([("z", Box(-1, 1, (2,))), ("a", Box(-1, 1, (2,)))]),
    MultiDiscrete([3, 4], start=[5, -2]),
    masks="info",
    config={"observation_filter": "MeanStdFilter"},
)


def after(function: Callable[..., Any], change: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return a function that changes what another one returns."""
    return lambda *args, **kwargs: change(function(*args, **kwargs))


FAULTS: dict[str, tuple[type, str, Callable[[Any], Any]]] = {
    "starts": (Decoder, "__call__", lambda actions: actions + 1),
    "the order of keys": (Encoder, "__call__", lambda leaves: leaves[::-1]),
    "the order of features": (Preprocessor, "flatten_features", lambda flat: flat[..., [2, 3, 0, 1]]),
    "steps": (Trajectory, "all_obs", lambda leaves: [np.roll(leaf, 1, axis=0) for leaf in leaves]),
    "masks": (Masking, "find", lambda mask: None if mask is None else mask | True),
    "single actions": (Policy, "compute_single_action", lambda action: np.array([5, -2])),
    "weights": (TorchRuntime, "parameters", lambda weights: {name: 2 * value for name, value in weights.items()}),
    "statistics": (ObservationFilter, "state", lambda state: {name: 0 * value for name, value in state.items()}),
}


def test_nothing_is_noticed_where_nothing_is_wrong() -> None:
    check(PLAIN)


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, method, change = FAULTS[name]
    monkeypatch.setattr(owner, method, after(getattr(owner, method), change))
    with pytest.raises((AssertionError, AnyspaceError)):
        check(PLAIN)
