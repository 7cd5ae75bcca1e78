"""The filter of whole observations: which leaves are normalised, and by what.

Letters: N stands for any number of leading batch dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from anyspace import tree
from anyspace.maths.arrays import NumpyArray
from anyspace.maths.cell import Cell
from anyspace.maths.xp import Array, xp
from anyspace.spaces.filters import MeanStdFilter, get_filter
from anyspace.spaces.leaves import LeafSpec
from anyspace.spaces.preprocessors import zero_absent

# Earlier checkpoints hold the statistics a second time, under names that end so.
_SECOND = (".buffer.n", ".buffer.mean", ".buffer.squares")

# Values that enter the statistics at a time. In float64 a thousand pictures would fill the memory.
CHUNK = 1 << 22


class ObservationFilter:
    """Normalises the real-valued leaves of observations, each by its own statistics.

    Indices, binary values and counts have no mean worth removing and pass as they are. The elements of a list share
    their statistics, and only elements that are there enter them.

    Args:
        name: as in `get_filter`.
        specs: the leaves, as `Preprocessor.specs` has them: statistics are of features, scaled as it scales them.
        exclude: positions of leaves that are left alone as well, such as masks.
        cell: makes what holds the statistics for the framework of the features that are to be normalised.

    Raises:
        ConfigError: the name is unknown.
    """

    def __init__(
        self,
        name: str,
        specs: Sequence[LeafSpec],
        *,
        exclude: AbstractSet[int] = frozenset(),
        cell: Callable[[NumpyArray], Cell] = Cell,
    ) -> None:
        self._specs = specs
        self._clip = get_filter(name, ()).clip
        self._filters: dict[int, MeanStdFilter] = {}
        for i, spec in enumerate(specs):
            one = get_filter(name, spec.element_shape)
            if spec.kind == "real" and i not in exclude and isinstance(one, MeanStdFilter):
                self._filters[i] = one
        self._cells = {i: (cell(mean), cell(std)) for i, (mean, std) in self._statistics()}
        self._affine = dict(self._statistics())

    @property
    def active(self) -> bool:
        """Whether there is anything to normalise."""
        return bool(self._filters)

    @property
    def paths(self) -> set[tree.Path]:
        """Where in the observation the leaves sit that are normalised."""
        return {self._specs[i].path for i in self._filters}

    def push(self, leaves: Sequence[NumpyArray], presence: Sequence[NumpyArray | None]) -> None:
        """Take encoded observations into the statistics.

        Args:
            leaves: one array [N, *shape] for each leaf.
            presence: which of their elements are there, as `Encoder.presence` tells.
        """
        for i, one in self._filters.items():
            spec, leaf, there = self._specs[i], leaves[i], presence[i]
            size = math.prod(leaf.shape[: leaf.ndim - len(one.shape)])
            elements = leaf.reshape(size, *one.shape) if there is None else leaf[there]
            for chunk in _chunks(elements):
                one.push((chunk.astype(np.float64) - spec.shift) * spec.scale)
        self._refresh()

    def apply(self, features: Sequence[Array], presence: Sequence[Array | None]) -> list[Array]:
        """Return features normalised with frozen statistics; elements that are not there stay zero.

        Args:
            features: one array [N, *feature shape] for each leaf, NumPy's or of the framework of the cells; of any
                dtype.
            presence: which of their elements are there.
        """
        result = list(features)
        in_numpy = isinstance(result[0], np.ndarray)
        for i, cells in self._cells.items():
            mean, deviation = self._affine[i] if in_numpy else [cell.value for cell in cells]
            numbers, there = xp(result[i]).astype(result[i], "float32"), presence[i]
            feature = (numbers - mean) / deviation
            if self._clip is not None:
                feature = xp(feature).clip(feature, -self._clip, self._clip)
            result[i] = feature if there is None else zero_absent(feature, there)
        return result

    def affine(self) -> dict[int, tuple[NumpyArray, NumpyArray]]:
        """Return (mean, std + 1e-6), float32, for each normalised leaf by its position (`MeanStdFilter.affine`)."""
        return self._affine

    def state(self) -> dict[str, NumpyArray]:
        """Return all statistics by the leaf's place in the observation, for a checkpoint."""
        return {
            f"{self._specs[i].place()}.{key}": value
            for i, one in self._filters.items()
            for key, value in one.state().items()
        }

    def takes(self, state: Mapping[str, NumpyArray]) -> bool:
        """Return whether statistics, by the names that `state` gives them, are of the leaves that are normalised."""
        return {name for name in state if not name.endswith(_SECOND)} == self.state().keys()

    def load_state(self, state: Mapping[str, NumpyArray]) -> None:
        """Take over what `state` returned; raise KeyError where a leaf is missing, ValueError on another shape."""
        for i, one in self._filters.items():
            one.load_state({key: state[f"{self._specs[i].place()}.{key}"] for key in one.state()})
        self._refresh()

    def _refresh(self) -> None:
        self._affine = dict(self._statistics())
        for i, numbers in self._affine.items():
            for cell, number in zip(self._cells[i], numbers, strict=True):
                cell.assign(number)

    def _statistics(self) -> Iterator[tuple[int, tuple[NumpyArray, NumpyArray]]]:
        yield from ((i, one.affine()) for i, one in self._filters.items())


def _chunks(elements: NumpyArray) -> Iterator[NumpyArray]:
    rows = max(1, CHUNK // max(1, math.prod(elements.shape[1:])))
    for start in range(0, len(elements), rows):
        yield elements[start : start + rows]
