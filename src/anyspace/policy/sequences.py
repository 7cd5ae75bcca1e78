"""Rows that are the steps of sequences: how recurrent models get to see them.

Algorithms, losses and statistics know rows alone, N real steps of sequences that follow each other. Only here they are
padded, and what the model makes of the padding is dropped.

Letters: N rows; S sequences, T the length of the longest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anyspace.maths.arrays import Ints
from anyspace.maths.sequences import Resets, ranges, slots
from anyspace.maths.xp import Array, xp
from anyspace.models.input_dict import InputDict
from anyspace.models.modelv2 import State
from anyspace.models.runtime import Runtime
from anyspace.policy.batch import Batch
from anyspace.spaces.repeated_values import map_arrays
from anyspace.tree import Tree


@dataclass(frozen=True)
class Sequences:
    """How rows are steps of sequences.

    An example: ``lens = [2, 1]`` says that of three rows the first two are the steps of one sequence, and the third is
    a sequence of its own. ``pick([1, 0])`` returns the sequences with ``lens = [1, 2]`` and the rows ``[2, 0, 1]``.
    """

    lens: Ints
    """[S] length of each, at least 1; their sum is N."""
    state: State
    """The model's states before each, [S, ...]."""

    def __getitem__(self, some: slice) -> Sequences:
        """Return neighbouring sequences."""
        return Sequences(self.lens[some], [state[some] for state in self.state])

    def padding(self, runtime: Runtime, *, time_major: bool) -> Padding:
        """Return what pads the rows for the model."""
        return Padding(self.lens, runtime, time_major=time_major)

    def pick(self, order: Ints, runtime: Runtime) -> tuple[Sequences, Ints]:
        """Return some of the sequences, [n] positions in 0..S-1, and which rows are theirs."""
        starts, lens = np.cumsum(self.lens) - self.lens, self.lens[order]
        on_device = runtime.asarray(order)
        return Sequences(lens, [state[on_device] for state in self.state]), ranges(starts[order], lens)


@dataclass(frozen=True)
class PaddedSequences:
    """Sequences whose rows are padded already: [S * T], row ``s * T + t`` is step t of sequence s.

    A compiled framework learns from such rows: S and T are constants of its step, lengths and states are arguments.
    Two sequences of 1 and 3 steps, T = 4: of the 8 rows, 0 and 4 to 6 are steps. The others repeat real rows and are
    not ``counted``; the model sees zeros there, as in the padding of `Sequences`.
    """

    lens: Array
    """[S] length of each, at least 1, integers of the framework."""
    state: State
    """The model's states before each, [S, ...]."""
    longest: int
    """T."""
    resets: Resets | None = None
    """Further sequences in the S lanes, whose ``state`` is what is before each one's first; None: there are none."""

    def padding(self, runtime: Runtime, *, time_major: bool) -> Padding:
        """Return what turns the rows into what the model takes."""
        return _Grid(self, time_major=time_major)


def take_sequences(batch: Batch, order: Ints, runtime: Runtime) -> Batch:
    """Return some sequences of a batch, in another order, with their rows.

    Args:
        batch: rows that are steps of sequences.
        order: [n] positions among its sequences.
        runtime: of its framework.
    """
    sequences, rows = batch["sequences"].pick(order, runtime)
    picked = batch.of_rows(runtime.asarray(rows))
    picked["sequences"] = sequences
    return picked


class Padding:
    """Puts rows [N, ...] into padded sequences [S * T, ...] and takes results out of them again.

    Sequences of 2 steps and 1 step: the model is given the rows a0, a1, b0 as a0, a1, b0, 0. What it returns lies in
    the same order or, where the model is time-major, step after step: a0, b0, a1, 0.

    Attributes:
        seq_lens: [S] the lengths, int32 on the device.
        resets: further sequences in the lanes that the rows are then; None: there are none.

    Args:
        lens: length of each sequence, [S].
        runtime: of the model's framework.
        time_major: the results are laid out as [T, S], not as [S, T].
    """

    resets: Resets | None = None

    def __init__(self, lens: Ints, runtime: Runtime, *, time_major: bool) -> None:
        self.seq_lens = runtime.asarray(lens.astype(np.int32))
        self._rows = len(lens) * int(lens.max())
        self._full = self._rows == int(lens.sum())
        self._slots = None if self._full else runtime.asarray(slots(lens))
        self._results = runtime.asarray(slots(lens, time_major=True)) if time_major else self._slots

    def put_in(self, array: Array) -> Array:
        """Return an array [N, ...] as [S * T, ...], zero in the padding."""
        if self._slots is None:
            return array
        return xp(array).scatter_rows(array, self._slots, self._rows)

    def take_out(self, array: Array) -> Array:
        """Return the rows [N, ...] of results [S * T, ...], or [T * S, ...] if ``time_major``."""
        return array if self._results is None else xp(array).take_rows(array, self._results)

    def of_inputs(self, inputs: InputDict) -> InputDict:
        """Return a model's inputs with every column padded, still computed when touched."""
        return inputs if self._full else inputs.mapped(self.of_tree)

    def of_tree(self, column: Tree) -> Tree:
        """Return a nested column with every array padded."""
        return map_arrays(self.put_in, column)


class _Grid(Padding):
    """The padding of rows that are padded already: zeros take the place of what is no step."""

    def __init__(self, padded: PaddedSequences, *, time_major: bool) -> None:
        lens, longest = padded.lens, padded.longest
        self.seq_lens, self.resets, self._full = lens, padded.resets, False
        self._shape, self._time_major = (lens.shape[0], longest), time_major
        ns = xp(lens)
        self._inside = ns.reshape(ns.arange(longest, like=lens) < lens[:, None], (-1,))

    def put_in(self, array: Array) -> Array:
        """Return an array [S * T, ...] with zeros in the padding."""
        ns = xp(array)
        steps = ns.reshape(ns.asarray(self._inside, like=array), (-1,) + (1,) * (len(array.shape) - 1))
        return ns.where(steps, array, ns.cast(0, like=array))

    def take_out(self, array: Array) -> Array:
        """Return results as rows [S * T, ...], sequence after sequence."""
        if not self._time_major:
            return array
        ns = xp(array)
        by_step = ns.reshape(array, (*self._shape[::-1], *array.shape[1:]))
        return ns.reshape(ns.moveaxis(by_step, 0, 1), tuple(array.shape))
