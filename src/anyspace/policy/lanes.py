"""Sequences side by side in lanes of T steps each, as compiled frameworks learn from them.

Letters: S gradient steps; N rows; L lanes of T steps of the environment; M sequences that follow another one in theirs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from anyspace.maths.arrays import Bools, Ints
from anyspace.maths.sequences import Resets, ranges
from anyspace.policy.columns import size_for
from anyspace.policy.sequences import PaddedSequences, Sequences

_SEQUENCES = 8
"""Sequences longer than `model.max_seq_len` are padded to a multiple of it."""

_FEWEST_RESETS = 16
"""There is room for as many sequences that follow another one: their number changes more than that of the lanes."""


class Lanes(NamedTuple):
    """What a model is told of the lanes, of one step, or of several on an axis before the others."""

    lens: Any
    """[L] how many steps of each there are, int32."""
    state: list[Any]
    """The states before each, [L, ...]."""
    resets: Resets | None
    """The sequences that follow another one; None: each has a lane of its own."""

    def of_step(self, number: int) -> Lanes:
        """Return the lanes of one of several steps."""
        resets = self.resets
        if resets is not None:
            resets = Resets(resets.begins[number], [one[number] for one in resets.states])
        return Lanes(self.lens[number], [one[number] for one in self.state], resets)


class PlacedRows(NamedTuple):
    """Which rows lie where.

    Of sequences of 2 and 1 steps, in lanes of three steps: with a lane for each, ``rows`` is [0, 1, 1, 2, 2, 2] and
    ``places`` [0, 1, 3]. In one lane ``rows`` and ``places`` are [0, 1, 2], and of the resets ``begins`` is [-1, -1, 0]
    and ``states`` has that before the second sequence.
    """

    rows: Ints
    """[S, L * T] a row; where no step is, a row of the same sequences. Where lanes are shared it is the last one of a
    sequence, which points to no row after it."""
    places: Ints
    """[S, n] where the rows of the sequences lie, in their order; -1 behind where there are fewer."""
    lanes: Lanes


def put_in_lanes(sequences: Sequences, order: Ints, counted: Bools, max_seq_len: int, *, packs: bool) -> PlacedRows:
    """Return the lanes of the sequences that S gradient steps take, as many for each.

    Args:
        sequences: of all rows.
        order: [S, n] positions among them.
        counted: [S, n] False for entries that fill a step up; those that count come first.
        max_seq_len: T; more, where a sequence is longer.
        packs: sequences share lanes. How many lanes there are then hardly changes with the lengths.
    """
    longest = int(sequences.lens.max())
    length = max_seq_len if longest <= max_seq_len else -(-longest // _SEQUENCES) * _SEQUENCES
    return (_shared if packs else _single)(sequences, order, counted, length)


def in_lanes(rows: Any, lanes: Lanes) -> PaddedSequences:
    """Return what a batch of rows [L * T] says of its sequences, of any framework's arrays."""
    return PaddedSequences(lanes.lens, lanes.state, rows.shape[0] // lanes.lens.shape[0], lanes.resets)


def places_of(there: Bools) -> Ints:
    """Return the positions of what is there, booleans [S, N], in every gradient step: [S, n], -1 behind."""
    lens = there.sum(axis=1)
    places = np.full((len(there), int(lens.max(initial=0))), -1)
    places[np.arange(places.shape[1]) < lens[:, None]] = np.nonzero(there)[1]
    return places


def _single(sequences: Sequences, order: Ints, counted: Bools, length: int) -> PlacedRows:
    """Return a lane for each sequence."""
    lens, starts = sequences.lens[order], (np.cumsum(sequences.lens) - sequences.lens)[order]
    times, shape = np.arange(length), (len(order), order.shape[1] * length)
    rows: Ints = (starts[..., None] + np.minimum(times, lens[..., None] - 1)).reshape(shape)
    there = ((times < lens[..., None]) & counted[..., None]).reshape(shape)
    states = [np.asarray(state)[order] for state in sequences.state]
    return PlacedRows(rows, places_of(there), Lanes(lens.astype(np.int32), states, None))


def _shared(sequences: Sequences, order: Ints, counted: Bools, length: int) -> PlacedRows:
    """Return lanes that hold as many sequences as fit."""
    starts, states = np.cumsum(sequences.lens) - sequences.lens, [np.asarray(state) for state in sequences.state]
    chosen = [one[there] for one, there in zip(order, counted, strict=True)]
    fitted = [_fitted(sequences.lens[some], length) for some in chosen]
    count = size_for(max(1, *(int(lane.max(initial=-1)) + 1 for lane, _ in fitted)))
    # A power of two, of which few are compiled for.
    following = max(_FEWEST_RESETS, 1 << (max(int(np.count_nonzero(first)) for _, first in fitted) - 1).bit_length())
    lead, most = len(order), max(int(sequences.lens[some].sum()) for some in chosen)
    last = starts + sequences.lens - 1
    rows = np.repeat(last[order[:, :1]], count * length, axis=1)
    places, begins = np.full((lead, most), -1), np.full((lead, count * length), -1, np.int32)
    lens = np.zeros((lead, count), np.int32)
    before, between = ([np.zeros((lead, n, *one.shape[1:]), one.dtype) for one in states] for n in (count, following))
    for step, (some, (lane, first)) in enumerate(zip(chosen, fitted, strict=True)):
        at, own, heads, later = lane * length + first, sequences.lens[some], first == 0, first > 0
        where = ranges(at, own)
        places[step, : len(where)] = where
        rows[step, where] = ranges(starts[some], own)
        np.add.at(lens[step], lane, own)
        begins[step, at[later]] = np.arange(np.count_nonzero(later))
        for array, one, other in zip(states, before, between, strict=True):
            one[step, lane[heads]] = array[some[heads]]
            other[step, : np.count_nonzero(later)] = array[some[later]]
    return PlacedRows(rows, places, Lanes(lens, before, Resets(begins, between)))


def _fitted(lens: Ints, length: int) -> tuple[Ints, Ints]:
    """Return the lane of each sequence and its first step there: the longest first, each where it leaves least room."""
    lane, first = np.zeros(len(lens), np.int64), np.zeros(len(lens), np.int64)
    by_room: list[list[int]] = [[] for _ in range(length + 1)]
    count = 0
    for number in np.argsort(-lens, kind="stable").tolist():
        own = int(lens[number])
        room = next((room for room in range(own, length + 1) if by_room[room]), 0)
        if room:
            lane[number] = by_room[room].pop()
        else:
            lane[number], room, count = count, length, count + 1
        first[number] = length - room
        by_room[room - own].append(int(lane[number]))
    return lane, first
