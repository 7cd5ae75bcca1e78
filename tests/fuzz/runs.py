"""Runs over many random pairs."""

from __future__ import annotations

import json
import warnings

from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS

from anyspace.spaces import to_json
from tests.fuzz.checks import check
from tests.fuzz.generator import pairs
from tests.fuzz.tally import Tally

# Under the name "hypothesis", the same source of choices goes on from the choices of earlier pairs. That finds little
# here, draws some kinds ten times as often as others, and runs into nothing every sixth time.
AVAILABLE_PROVIDERS["independent"] = AVAILABLE_PROVIDERS["hypothesis"]


def run(first: int, count: int) -> Tally:
    """Check ``count`` random pairs, the same ones for the same ``first``, and return what they were made of.

    The first pair that fails is made as small as possible before its error is raised, with a note of its spaces.
    """
    tally = Tally()

    @seed(first)
    @settings(
        max_examples=count,
        backend="independent",
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def one(data: st.DataObject) -> None:
        tally.started += 1
        pair = data.draw(pairs())
        tally.add(pair)
        note(f"observations: {json.dumps(to_json(pair.observation_space))}")
        note(f"actions: {json.dumps(to_json(pair.action_space))}")
        check(pair)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one()
    return tally
