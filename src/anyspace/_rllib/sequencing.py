"""Recorded steps as sequences of bounded length: `policy.rnn_sequencing` of RLlib's old stack, in NumPy.

Letters: N steps; S sequences, T the length of the longest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from anyspace import tree
from anyspace._rllib.columns import padded
from anyspace._rllib.sample_batch import SampleBatch
from anyspace.errors import ConfigError
from anyspace.tree import Tree


def chop_into_sequences(
    *,
    feature_columns: Sequence[Any],
    state_columns: Sequence[Any],
    max_seq_len: int,
    episode_ids: Any = None,
    unroll_ids: Any = None,
    agent_indices: Any = None,
    dynamic_max: bool = True,
    shuffle: bool = False,
    seq_lens: Any = None,
    states_already_reduced_to_init: bool = False,
    handle_nested_data: bool = False,
    _extra_padding: int = 0,
    padding: str = "zero",
) -> tuple[list[Any], list[Any], npt.NDArray[np.integer[Any]]]:
    """Cut steps into sequences of at most ``max_seq_len``, and pad them to one length.

    Steps of the episodes ``[1, 1, 5, 5, 5, 5]`` with ``max_seq_len=3`` are sequences of 2, 3 and 1 steps; the column
    ``[4, 4, 8, 8, 8, 8]`` becomes ``[4, 4, 0, 8, 8, 8, 8, 0, 0]``.

    Args:
        feature_columns: columns [N, ...].
        state_columns: states before each step, [N, ...] each.
        max_seq_len: longest sequence.
        episode_ids: [N]; a sequence ends where one of these three changes.
        unroll_ids: [N].
        agent_indices: [N].
        dynamic_max: pad to the longest sequence there is, not to ``max_seq_len``.
        shuffle: put the sequences into a random order.
        seq_lens: [S] lengths, if they are known.
        states_already_reduced_to_init: ``state_columns`` are [S, ...] already.
        handle_nested_data: columns may be nested; each comes as the list of its leaves.
        padding: "zero", or "last" to repeat each sequence's last step.

    Raises:
        ConfigError: there are neither ids nor ``seq_lens``.

    Returns:
        The columns [S * T, ...], the states before each sequence [S, ...], the lengths [S].
    """
    lens = np.asarray([] if seq_lens is None else seq_lens)
    if not len(lens):
        lens = _lengths(max_seq_len, [episode_ids, unroll_ids, agent_indices])
    longest = int(lens.max()) + _extra_padding if dynamic_max else max_seq_len
    order = np.random.permutation(len(lens)) if shuffle else np.arange(len(lens))
    last = padding == "last"

    def sequences(leaf: Any) -> Any:
        values = padded(np.asarray(leaf), lens, longest, last=last)
        if not shuffle:
            return values
        if isinstance(values, list):
            return [values[s * longest + t] for s in order for t in range(longest)]
        return values.reshape(len(lens), longest, *values.shape[1:])[order].reshape(values.shape)

    columns = [[sequences(leaf) for leaf in _leaves(column)] for column in feature_columns]
    firsts = np.arange(len(lens)) if states_already_reduced_to_init else np.cumsum(lens) - lens
    states = [tree.map_leaves(lambda leaf: np.asarray(leaf)[firsts][order], _array(state)) for state in state_columns]
    return columns if handle_nested_data else [column[0] for column in columns], states, lens[order]


def pad_batch_to_sequences_of_same_size(
    batch: SampleBatch,
    max_seq_len: int,
    shuffle: bool = False,
    batch_divisibility_req: int = 1,
    feature_keys: Sequence[str] | None = None,
    view_requirements: Any = None,
    *,
    padding: str = "zero",
) -> None:
    """Cut a batch of a model with states into sequences and pad these, in place; one without states is only shuffled.

    Args:
        batch: ``state_in_i`` are [N, ...], or [S, ...] with ``seq_lens``. A padded one is left as it is.
        max_seq_len: longest sequence.
        shuffle: put the sequences, or the rows, into a random order.
        batch_divisibility_req: accepted for old call sites; there are no batches of several agents.
        feature_keys: the columns to pad; None: all but states.
        view_requirements: those of the model. States that are views of several steps are padded to ``max_seq_len``.
        padding: as for `chop_into_sequences`.
    """
    if batch.zero_padded:
        return
    batch.zero_padded = True
    if not {"state_in_0", "state_out_0"} & batch.keys():
        if shuffle:
            batch.shuffle()
        return
    states = [name for name in batch if name.startswith("state_in_")]
    others = [name for name in batch if not name.startswith("state_") and name != SampleBatch.SEQ_LENS]
    features = list(feature_keys or others)
    lens = batch.get(SampleBatch.SEQ_LENS)
    view = (view_requirements or {}).get("state_in_0")
    dynamic = view is not None and view.shift_from is None
    columns, initial, found = chop_into_sequences(
        feature_columns=[batch[name] for name in features],
        state_columns=[batch[name] for name in states],
        max_seq_len=max_seq_len,
        episode_ids=batch.get(SampleBatch.EPS_ID),
        unroll_ids=batch.get(SampleBatch.UNROLL_ID),
        agent_indices=batch.get(SampleBatch.AGENT_INDEX),
        seq_lens=lens,
        dynamic_max=dynamic,
        states_already_reduced_to_init=lens is not None and bool(states) and len(batch[states[0]]) == len(lens),
        shuffle=shuffle,
        handle_nested_data=True,
        padding=padding,
    )
    for name, leaves in zip(features, columns, strict=True):
        remaining = iter(leaves)
        batch[name] = tree.map_leaves(lambda _, remaining=remaining: next(remaining), _array(batch[name]))
    batch.update(zip(states, initial, strict=True))
    batch[SampleBatch.SEQ_LENS] = found
    batch.max_seq_len = int(found.max()) if dynamic else max_seq_len


def _lengths(max_seq_len: int, ids: Sequence[Any]) -> npt.NDArray[np.int32]:
    """Return the lengths [S] of the longest sequences in which no id [N] changes."""
    columns = [np.asarray(column) for column in ids if column is not None]
    if not columns:
        raise ConfigError(
            "chop_into_sequences: sequences end where an episode does, but of `episode_ids`, `unroll_ids`,"
            " `agent_indices` and `seq_lens` there is none; give one of them (of a batch, its column `eps_id`)."
        )
    given = np.stack(columns, axis=1)
    changes = np.flatnonzero((given[1:] != given[:-1]).any(axis=1)) + 1
    runs = np.diff([0, *changes, len(given)])
    pieces = [[max_seq_len] * int(run // max_seq_len) + [int(run % max_seq_len)] for run in runs]
    return np.array([length for piece in pieces for length in piece if length], np.int32)


def _array(column: Tree) -> Tree:
    return np.array(column) if isinstance(column, list) else column


def _leaves(column: Tree) -> list[Any]:
    return tree.leaves(_array(column))
