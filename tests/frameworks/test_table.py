"""Algorithms, actions, memories, masks and heads on the compiled frameworks, as `tests/support/table.py` says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.table import Cell, outcome, trained_cells

WAYS = {"jax": 0, "tf": 1}
"""Here TensorFlow runs graphs, which take what XLA takes and are made quicker; `make table` goes by XLA."""


def _cases() -> Iterator[Any]:
    """Yield a framework and a cell: one for each algorithm in the suite, all that cover every pair in `make fuzz`."""
    for seed, framework in enumerate(WAYS):
        cells = trained_cells(seed)
        # The states of GTrXL take longest to compile: other tests do it once.
        first = {cell.algorithm: cell for cell in reversed(cells) if cell.memory != "GTrXL"}
        for cell in cells:
            marks = [pytest.mark.xdist_group("tensorflow")] if framework == "tf" else []
            marks += [] if cell is first[cell.algorithm] else [pytest.mark.fuzz]
            yield pytest.param(framework, cell, marks=marks, id="-".join((framework, *cell)))


@pytest.mark.usefixtures("compiles_quickly")
@pytest.mark.parametrize(("framework", "cell"), [*_cases()])
def test_a_cell_trains_in_few_compilations(framework: str, cell: Cell) -> None:
    assert outcome(cell, framework, WAYS[framework]) == ""
