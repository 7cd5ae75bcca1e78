"""Passes through a model outside of gradient steps, in a framework that compiles them: for few shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from anyspace.maths.gather import Gathered, Window, rows_of
from anyspace.maths.xp import Array
from anyspace.models.modelv2 import ModelV2
from anyspace.models.runtime import ACTING, NumpyArray, Runtime
from anyspace.policy.batch import Batch
from anyspace.policy.columns import FEWEST_ROWS, Columns, Named, columns_of, padded_stored, put_together, size_for
from anyspace.policy.inputs import Inputs
from anyspace.policy.lanes import in_lanes, put_in_lanes
from anyspace.spaces.repeated_values import map_arrays
from anyspace.tree import Tree

Forward = Callable[[Batch, bool], tuple[Tree, Array | None]]
"""The pass of a batch through the model, with the values where they are asked for: what is compiled."""


class CompiledPasses:
    """A model's passes, each compiled when it is first asked for; rows are padded to one of a few numbers.

    Args:
        model: the model.
        runtime: of its framework.
        inputs: makes the model's input dict.
        forward: the pass of a batch.
        max_seq_len: longest sequence that the model learns from.
    """

    def __init__(self, model: ModelV2, runtime: Runtime, inputs: Inputs, forward: Forward, max_seq_len: int):
        self._model, self._runtime, self._inputs = model, runtime, inputs
        self._forward, self._max_seq_len = forward, max_seq_len
        self._packs = model.packs_sequences() and not runtime.has_batch_statistics(model)
        self._compiled: dict[Any, Callable[..., Any]] = {}
        self._structures: dict[Any, Tree] = {}

    def forward(self, batch: Batch, *, value: bool) -> tuple[Tree, NumpyArray | None]:
        """Return output and values of a batch of NumPy's arrays, NumPy's as well."""
        columns, sequences = columns_of(batch), batch.get("sequences")
        built = columns.built  # what is compiled holds on to no rows
        if sequences is None:
            count = len(next(iter(columns.rows.values())))
            index = _repeated(np.arange(count), max(FEWEST_ROWS, size_for(count)))
            there: Any = slice(0, count)
            padding: list[Any] = []
        else:
            count = len(sequences.lens)
            size = count if self._packs else size_for(count)
            counted = np.arange(size)[None] < count
            order = np.where(counted, np.arange(size), 0)
            # Each sequence has the observation after its last step as well.
            found = put_in_lanes(sequences, order, counted, self._max_seq_len + 1, packs=self._packs)
            index, there = found.rows[0], found.places[0]
            padding = [found.lanes.of_step(0)]
        rows = {name: rows_of(array, index) for name, array in columns.rows.items()}

        def run(rows: Named, stored: Named, *padding: Any) -> Any:
            made = put_together(built, rows, stored)
            if padding:
                made["sequences"] = in_lanes(made["obs"][0], *padding)
            return self._forward(made, value)

        key = ("forward", value, *columns.built, *_kinds(columns))
        output, values = self._call(key, run, rows, padded_stored(columns.stored), *padding)
        return map_arrays(lambda array: array[there], output), None if values is None else values[there]

    def act(
        self,
        obs: Sequence[NumpyArray | Gathered],
        mask: NumpyArray | None,
        views: Mapping[str, Window],
        states: Sequence[NumpyArray],
        *,
        explore: bool,
    ) -> tuple[NumpyArray, list[NumpyArray]]:
        """Return what the action distribution takes [B, P], and the new states, for one step of B environments."""
        given: dict[str, Any] = {"obs": list(obs), "views": dict(views), "states": list(states)}
        columns = columns_of(given if mask is None else {**given, "action_mask": mask})
        count, built = len(obs[0]), columns.built
        index = _repeated(np.arange(count), max(FEWEST_ROWS, size_for(count)))

        def run(rows: Named, stored: Named) -> Any:
            return self._step(put_together(built, rows, stored), explore)

        key = ("act", explore, *_kinds(columns))
        rows = {name: rows_of(array, index) for name, array in columns.rows.items()}
        dist_inputs, states_out = self._call(key, run, rows, padded_stored(columns.stored))
        return dist_inputs[:count], [state[:count] for state in states_out]

    def _step(self, columns: Batch, explore: bool) -> tuple[Array, list[Array]]:
        model, runtime = self._model, self._runtime
        obs, mask, states = columns["obs"], columns.mask, columns["states"]
        inputs = self._inputs.of(obs, mask, columns["views"], False)
        seq_lens = None
        if self._inputs.views.recurrent:
            seq_lens = runtime.asarray(np.ones(obs[0].shape[0], np.int32))
            inputs.add_states(states, seq_lens)
        runtime.set_training(model, False)
        output, state_out = model(inputs, states, seq_lens)
        if explore:
            return model.exploring_inputs(output, mask, runtime.rng("acting")), list(state_out)
        return model.action_inputs(output, mask), list(state_out)

    def _call(self, key: tuple[Any, ...], function: Callable[..., Any], *arrays: Any) -> Any:
        """Call a function that was compiled under the key, or compile this one."""
        # A model may leave out what acting does not need.
        key = (ACTING.get(), *key)

        def flat(*given: Any) -> list[Array]:
            # RepeatedValues, which a model may hand on, are nothing that a compiled function returns.
            found: list[Array] = []
            self._structures[key] = map_arrays(found.append, function(*given))
            return found

        if key not in self._compiled:
            self._compiled[key] = self._runtime.compile(self._model, flat)
        parts = iter(self._compiled[key](*arrays))
        return map_arrays(lambda _: next(parts), self._structures[key])


def _kinds(columns: Columns) -> list[str]:
    return [*columns.rows, *columns.stored]


def _repeated(index: NumpyArray, size: int) -> NumpyArray:
    """Return positions, followed by as many zeros as make ``size`` of them."""
    return np.concatenate([index, np.zeros(size - len(index), index.dtype)])
