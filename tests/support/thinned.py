"""Matrices of cases of which the suite runs a part."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import pytest


def thinned(every: int, **factors: Iterable[Any]) -> pytest.MarkDecorator:
    """Return a decorator that gives a test all combinations of some values; most of them are for `make fuzz`.

    Those are kept whose positions in the factors add up to a multiple of ``every``. So every value of a factor stays
    that has another factor of at least ``every`` values beside it.
    """
    cases = []
    for combination in itertools.product(*(enumerate(values) for values in factors.values())):
        positions, values = zip(*combination, strict=True)
        cases.append(pytest.param(*values, marks=[] if sum(positions) % every == 0 else pytest.mark.fuzz))
    return pytest.mark.parametrize(", ".join(factors), cases)
