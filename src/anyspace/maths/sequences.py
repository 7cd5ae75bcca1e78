"""Index arithmetic of sequences: where steps are cut into chunks, and where their rows lie when padded.

Letters: T steps of B environments; S sequences; N rows, all sequences' steps one after the other.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from anyspace.maths.arrays import Bools, Ints
from anyspace.maths.xp import Array, xp


class Resets(NamedTuple):
    """Where a memory goes on from another state than the one it had, because a further sequence begins in its lane.

    A lane of five steps with sequences of 2, 2 and 1 steps has the ``begins`` [-1, -1, 0, -1, 1], and ``states`` are
    those before the second and the third sequence.
    """

    begins: Any
    """[N] int32: which of the states stands before a row; -1: the one after the row before."""
    states: list[Any]
    """[M, ...] each."""


def chop(valid: Bools, begins: Bools, max_len: int) -> tuple[Ints, Ints, Ints]:
    """Cut steps into sequences that cross no episode, no gap and no border of the arrays.

    An example: one environment, five steps, an episode begins at step 3 and sequences have at most two steps.
    ``chop([[1], [1], [1], [1], [1]], [[1], [0], [0], [1], [0]], 2)`` returns the times ``[0, 2, 3]``, the environments
    ``[0, 0, 0]`` and the lengths ``[2, 1, 2]``.

    Args:
        valid: [T, B] which steps exist.
        begins: [T, B] which of them are the first of an episode.
        max_len: longest sequence, at least 1.

    Returns:
        Time of the first step, environment, and length of each sequence, [S] each; environment by environment, in
        the order of time.
    """
    there = valid.T
    first = there & (begins.T | np.pad(~there, ((0, 0), (1, 0)), constant_values=True)[:, :-1])
    times = np.arange(there.shape[1])
    since = times - np.maximum.accumulate(np.where(first, times, 0), axis=1)
    starts = first | (there & (since % max_len == 0))
    among = np.flatnonzero(starts[there])  # environment by environment, valid steps of a sequence are neighbours
    b, t = np.nonzero(starts)
    return t, b, np.diff(among, append=np.count_nonzero(there))


def ranges(starts: Ints, lens: Ints, step: int = 1) -> Ints:
    """Return ``start, start + step, ...`` of each length, one after the other, [sum of lens].

    An example: ``ranges([0, 10], [3, 2])`` is ``[0, 1, 2, 10, 11]``.
    """
    before = np.cumsum(lens) - lens
    found: Ints = np.repeat(starts - before * step, lens) + np.arange(lens.sum()) * step
    return found


def slots(lens: Ints, *, time_major: bool = False) -> Ints:
    """Return where the rows of sequences lie once all are padded to the longest, [N] in 0..S*T-1.

    An example: sequences of 2 and 1 steps are padded to [2, 2]. ``slots([2, 1])`` is ``[0, 1, 2]``. Time-major, where
    the padded rows are step 0 of both and then step 1 of both, it is ``[0, 2, 1]``.

    Args:
        lens: length of each sequence, [S], at least 1.
        time_major: the padded rows are [T, S] instead of [S, T].
    """
    count, longest = len(lens), int(lens.max())
    if time_major:
        return ranges(np.arange(count), lens, count)
    return ranges(np.arange(count) * longest, lens)


def add_time_dimension(rows: Array, seq_lens: Array | None, *, time_major: bool = False) -> Array:
    """Return padded rows [N, ...] of any framework as [S, T, ...], or [T, S, ...] if ``time_major``.

    Two sequences a, b of three steps: rows a0 a1 a2 b0 b1 b2 become [[a0, a1, a2], [b0, b1, b2]], and if
    ``time_major`` [[a0, b0], [a1, b1], [a2, b2]].

    Args:
        rows: sequence after sequence.
        seq_lens: [S] lengths; None: every row is a sequence.
        time_major: the order of the two axes.
    """
    ns, count = xp(rows), rows.shape[0]
    sequences = count if seq_lens is None else seq_lens.shape[0]
    steps = count // sequences if sequences else 1
    by_sequence = ns.reshape(rows, (sequences, steps, *rows.shape[1:]))
    return ns.swapaxes(by_sequence, 0, 1) if time_major else by_sequence
