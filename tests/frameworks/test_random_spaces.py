"""Random pairs of spaces on the compiled frameworks: the whole way from the environment to the checkpoint and back."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fuzz.checks import SMALL
from tests.fuzz.runs import run

FEW, MANY = {"jax": 2}, {"jax": 200, "graph": 200, "eager": 2_000}
"""Pairs of the suite, and of `make fuzz`: each takes a processor five seconds.

JAX has no cheaper way than compiling: without `jax.jit` it compiles each operation for each shape.
"""


def _cases() -> Iterator[Any]:
    for counts in (FEW, MANY):
        for how, count in counts.items():
            marks = [] if how == "jax" else [pytest.mark.xdist_group("tensorflow")]
            marks += [pytest.mark.fuzz] if counts is MANY else []
            yield pytest.param(how, count, marks=marks, id=f"{how}-{count}")


@pytest.mark.parametrize(("how", "count"), [*_cases()])
def test_random_pairs_of_spaces(how: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SMALL, "framework", "jax" if how == "jax" else "tf")
    if how != "jax":
        from anyspace.models.tf.ways import AS_A_GRAPH, EAGERLY, Ways

        way = {"graph": AS_A_GRAPH, "eager": EAGERLY}[how]
        begun = Ways.__init__

        def on_its_way(self: Ways) -> None:
            begun(self)
            self.number = way

        monkeypatch.setattr(Ways, "__init__", on_its_way)
    first = int(os.environ.get("FUZZ_SEED") or secrets.randbits(31)) if count > 10 else 0
    print(f"\nFUZZ_SEED={first}")
    run(first, count).require_small()
