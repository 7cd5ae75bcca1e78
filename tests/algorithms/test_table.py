"""Algorithms, actions, memories, masks and heads: every pair of them that goes together is trained in some cell."""

from __future__ import annotations

import re

import pytest

from tests.support.table import Cell, covering, outcome, refusal


@pytest.mark.parametrize("cell", covering(), ids="-".join)
def test_a_cell_trains_or_is_refused_with_the_reason(cell: Cell) -> None:
    said, expected = outcome(cell), refusal(cell)
    if expected is None:
        assert said == ""
    else:
        assert re.search(expected, said), said
