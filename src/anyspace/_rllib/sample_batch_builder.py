"""``SampleBatchBuilder``: recorded steps, row by row."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt

from anyspace._rllib.sample_batch import SampleBatch


class SampleBatchBuilder:
    """Collects rows, and makes a `SampleBatch` of them."""

    _unrolls = itertools.count()

    def __init__(self) -> None:
        self.buffers: dict[str, list[Any]] = defaultdict(list)
        self.count = 0

    def add_values(self, **values: Any) -> None:
        """Add one row."""
        for name, value in values.items():
            self.buffers[name].append(value)
        self.count += 1

    def add_batch(self, batch: SampleBatch) -> None:
        """Add the rows of a batch."""
        for name, column in batch.items():
            self.buffers[name].extend(column)
        self.count += batch.count

    def build_and_reset(self) -> SampleBatch:
        """Return the rows, floats as float32, with a number of their own as ``unroll_id``, and begin anew."""
        batch = SampleBatch({name: _as_column(values) for name, values in self.buffers.items()})
        if SampleBatch.UNROLL_ID not in batch:
            batch[SampleBatch.UNROLL_ID] = np.repeat(next(self._unrolls), batch.count)
        self.buffers.clear()
        self.count = 0
        return batch


def _as_column(values: list[Any]) -> npt.NDArray[Any]:
    column = np.array(values)
    return column.astype(np.float32) if column.dtype == np.float64 else column
