"""Algorithms, actions, memories, masks and heads on the compiled frameworks, as `tests/support/table.py` says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.table import Cell, outcome, trained_cells

WAYS = {"jax": 0, "tf": 1}
"""Here TensorFlow runs graphs, which take what XLA takes and are made quicker; `make table` goes by XLA."""


FEW = {
    "jax": """
        PG / integer Box / GRU / mask / autoregressive
        IMPALA / Box / GRU / no mask / plain
        BC / Dict / LSTM / no mask / autoregressive
        """,
    "tf": """
        PG / integer Box / none / no mask / plain
        A2C / Dict / none / mask / plain
        APPO / Box / none / no mask / plain
        IMPALA / Discrete / none / no mask / parametric
        SAC / Box / none / no mask / plain
        MARWIL / Simplex / none / no mask / plain
        BC / Tuple / none / mask / autoregressive
        """,
}
"""The cells of the suite: algorithms that no other test here trains, with few memories, which compile longest."""


def _cases() -> Iterator[Any]:
    """Yield a framework and a cell: few of them in the suite, all that cover every pair in `make fuzz`."""
    for framework, lines in FEW.items():
        few = [Cell(*line.strip().split(" / ")) for line in lines.strip().splitlines()]
        for cell in (*few, *(one for one in trained_cells() if one not in few)):
            marks = [pytest.mark.xdist_group("tensorflow")] if framework == "tf" else []
            marks += [] if cell in few else [pytest.mark.fuzz]
            yield pytest.param(framework, cell, marks=marks, id="-".join((framework, *cell)))


@pytest.mark.usefixtures("compiles_quickly")
@pytest.mark.parametrize(("framework", "cell"), [*_cases()])
def test_a_cell_trains_in_few_compilations(framework: str, cell: Cell) -> None:
    assert outcome(cell, framework, WAYS[framework]) == ""
