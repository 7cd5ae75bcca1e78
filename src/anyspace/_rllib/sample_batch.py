"""``SampleBatch``: the columns of recorded steps by name, as RLlib's old stack had them.

Models get an `InputDict`, which has the same names. Letters: N rows, S sequences, T the length of the longest.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from numbers import Number
from typing import Any

import numpy as np

from anyspace import tree
from anyspace._rllib import advice
from anyspace._rllib.columns import after_zeros, attempt_count_timesteps, cut, is_per_sequence, joined, padded, picked
from anyspace.answers import Explains

DEFAULT_POLICY_ID = "default_policy"

Rows = slice
"""Of a batch; the class has a method of the other name."""


class SampleBatch(Explains, dict[str, Any]):
    """Columns by name, with the names as attributes; numbers and lists become arrays.

    Its length is the number of rows N. Columns are arrays or tensors [N, ...], or nested dicts and tuples of them.
    Where rows are the steps of sequences, ``seq_lens`` [S] are the lengths and ``state_in_i`` [S, ...] the states
    before them; other columns follow sequence after sequence.

    Attributes:
        count: N.
        is_training: whether the batch is learnt from.
        time_major: as it was given.
        zero_padded: whether every sequence has ``max_seq_len`` rows.
        max_seq_len: length of the longest sequence, or None.
        num_grad_updates: as it was given.

    Raises:
        KeyError: there is a column ``dones``, which ``terminateds`` and ``truncateds`` replace.
    """

    _foreign = advice.SAMPLE_BATCH

    OBS = CUR_OBS = "obs"
    NEXT_OBS = "new_obs"
    ACTIONS = "actions"
    REWARDS = "rewards"
    PREV_ACTIONS = "prev_actions"
    PREV_REWARDS = "prev_rewards"
    TERMINATEDS = "terminateds"
    TRUNCATEDS = "truncateds"
    DONES = "dones"
    INFOS = "infos"
    SEQ_LENS = "seq_lens"
    T = "t"
    EPS_ID = "eps_id"
    ENV_ID = "env_id"
    UNROLL_ID = "unroll_id"
    AGENT_INDEX = "agent_index"
    ACTION_DIST = "action_dist"
    ACTION_DIST_INPUTS = "action_dist_inputs"
    ACTION_LOGP = "action_logp"
    ACTION_PROB = "action_prob"
    VF_PREDS = "vf_preds"
    VALUES_BOOTSTRAPPED = "values_bootstrapped"
    OBS_EMBEDS = "obs_embeds"
    RETURNS_TO_GO = "returns_to_go"
    ATTENTION_MASKS = "attention_masks"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.time_major: bool | None = kwargs.pop("_time_major", None)
        self.max_seq_len: int | None = kwargs.pop("_max_seq_len", None)
        self.zero_padded: bool = kwargs.pop("_zero_padded", False)
        self.num_grad_updates: float | None = kwargs.pop("_num_grad_updates", None)
        training = kwargs.pop("_is_training", None)
        self._interceptor: Callable[[Any], Any] | None = None
        super().__init__(*args, **kwargs)
        if self.DONES in self.keys():
            raise KeyError(_NO_DONES)
        self._training: bool = self.pop("is_training", False) if training is None else training
        for name, column in self.items():
            if isinstance(column, Number | list) and name != self.INFOS:
                super().__setitem__(name, np.array(column, np.int32 if name == self.SEQ_LENS else None))
        if self.seq_lens is None:
            self.pop(self.SEQ_LENS, None)
        elif self.max_seq_len is None:
            self.max_seq_len = int(max(self.seq_lens))
        self.count = attempt_count_timesteps(self)

    @property
    def seq_lens(self) -> Any:
        """The lengths of the sequences [S]; None where rows are no steps of sequences."""
        lens = super().get(self.SEQ_LENS)
        return None if lens is None or len(lens) == 0 else lens

    @property
    def is_training(self) -> bool:
        """Whether the batch is learnt from."""
        return self._training

    def set_training(self, training: bool = True) -> None:
        """Say whether the batch is learnt from."""
        self._training = training

    # ------------------------------------------------------------------------------------ columns

    def __getitem__(self, key: Any) -> Any:
        """Return a column; of ``batch[start:stop]``, some of the rows (see `slice` for sequences)."""
        if isinstance(key, slice):
            return self._rows_between(key)
        if key == "is_training":
            return self.is_training
        column = super().__getitem__(self.TERMINATEDS if key == self.DONES else key)
        return column if self._interceptor is None else self._interceptor(column)

    def __setitem__(self, key: str, item: Any) -> None:
        if key == self.DONES:
            raise KeyError(_NO_DONES)
        if key == "is_training":
            self.set_training(item)
        else:
            super().__setitem__(key, item)

    def get(self, key: str, default: Any = None) -> Any:
        """Return a column, or ``default`` where there is none."""
        try:
            return self[key]
        except KeyError:
            return default

    def set_get_interceptor(self, fn: Callable[[Any], Any] | None) -> None:
        """Pass every column through ``fn`` when it is read; None stops that."""
        self._interceptor = fn

    def columns(self, keys: Sequence[str]) -> list[Any]:
        """Return several columns."""
        return [self[key] for key in keys]

    def __len__(self) -> int:
        return self.count

    def __bool__(self) -> bool:
        return self.count > 0

    def agent_steps(self) -> int:
        """Return N."""
        return self.count

    def env_steps(self) -> int:
        """Return N."""
        return self.count

    def __repr__(self) -> str:
        names = [name for name in self.keys() if name != self.SEQ_LENS]
        sequences = "" if self.seq_lens is None else f" (seqs={len(self.seq_lens)})"
        return f"SampleBatch({self.count}{sequences}: {names})"

    def size_bytes(self) -> int:
        """Return how many bytes the columns take."""
        return sum(getattr(leaf, "nbytes", sys.getsizeof(leaf)) for leaf in tree.leaves(dict(self)))

    # --------------------------------------------------------------------------------------- rows

    def copy(self, shallow: bool = False) -> SampleBatch:
        """Return a batch with copies of the arrays; ``shallow`` shares them."""

        def copied(leaf: Any) -> Any:
            return leaf.copy() if isinstance(leaf, np.ndarray) and not shallow else leaf

        twin = self._like(tree.map_leaves(copied, {k: v for k, v in self.items() if k != self.INFOS}))
        if self.INFOS in self.keys():
            infos = super().__getitem__(self.INFOS)
            twin[self.INFOS] = infos if shallow or not hasattr(infos, "copy") else infos.copy()
        twin.set_get_interceptor(self._interceptor)
        return twin

    def concat(self, other: SampleBatch) -> SampleBatch:
        """Return the rows of this batch, then those of another."""
        return concat_samples([self, other])

    @staticmethod
    def concat_samples(samples: Sequence[SampleBatch]) -> SampleBatch:
        """Return the rows of several batches one after the other: the function `concat_samples`."""
        return concat_samples(samples)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Go through the rows, a dict of one value per column each; ``seq_lens`` is 1 in it."""
        columns = {name: column for name, column in self.items() if name != self.SEQ_LENS}
        ones = {} if self.seq_lens is None else {self.SEQ_LENS: 1}
        for row in range(self.count):
            yield {name: cut(column, row) for name, column in columns.items()} | ones

    def shuffle(self) -> SampleBatch:
        """Put the rows into a random order in place, or the sequences if they are padded; return the batch.

        Raises:
            ValueError: the rows are steps of sequences of different lengths.
        """
        if self.seq_lens is None:
            order = np.random.permutation(self.count)
            self.update({name: picked(column, order) for name, column in self.items()})
            return self
        if not self.zero_padded:
            raise ValueError("SampleBatch.shuffle: the rows are steps of sequences; call right_zero_pad() first.")
        sequences = np.random.permutation(len(self.seq_lens))
        assert self.max_seq_len is not None
        steps = (sequences[:, None] * self.max_seq_len + np.arange(self.max_seq_len)).reshape(-1)
        self.update(
            {name: picked(column, sequences if is_per_sequence(name) else steps) for name, column in self.items()}
        )
        return self

    def slice(self, start: int, end: int, state_start: int | None = None, state_end: int | None = None) -> SampleBatch:
        """Return the rows from ``start`` to before ``end``, with the sequences that they belong to.

        Args:
            start: first row; a negative one puts so many rows of zeros before the first.
            end: row after the last.
            state_start: first sequence whose state is kept; None: the first that has one of the rows.
            state_end: sequence after the last one whose state is kept.

        Raises:
            ValueError: the rows are steps of sequences that are padded.
        """
        if self.seq_lens is not None:
            self._require_unpadded("slice", "cut a copy that is not, or batch[start:end], which cuts whole sequences")
        first = max(start, 0)
        columns = {k: cut(v, slice(first, end)) for k, v in self.items() if not is_per_sequence(k)}
        if start < 0:
            columns = {name: tree.map_leaves(partial(after_zeros, -start), column) for name, column in columns.items()}
        if self.seq_lens is None:
            return self._like(columns, padded=False)
        lens = np.asarray(self.seq_lens)
        stops = np.cumsum(lens)
        inside = np.minimum(stops, end) - np.maximum(stops - lens, first)
        chosen = np.flatnonzero(inside > 0)
        if state_start is not None:
            chosen = np.arange(state_start, state_end or len(lens))
        kept = inside[chosen]
        kept[:1] += max(-start, 0)
        states = {name: picked(column, chosen) for name, column in self.items() if name.startswith("state_in_")}
        return self._like(columns | states | {self.SEQ_LENS: kept.astype(np.int32)}, padded=False)

    def timeslices(
        self, size: int | None = None, num_slices: int | None = None, k: int | None = None
    ) -> list[SampleBatch]:
        """Return the rows in pieces of ``size`` (or ``k``, its older name), the last one shorter, or in ``num_slices``.

        Raises:
            ValueError: none of them is given.
        """
        size = k if size is None else size
        if size is not None:
            return [self[start : start + size] for start in range(0, self.count, size)]
        if num_slices is None:
            raise ValueError("SampleBatch.timeslices: give size or num_slices.")
        sizes = [(self.count + i) // num_slices for i in range(num_slices)]  # the longer ones come last
        borders = [0, *itertools.accumulate(sizes)]
        return [self[start:stop] for start, stop in itertools.pairwise(borders) if stop > start]

    def split_by_episode(self, key: str | None = None) -> list[SampleBatch]:
        """Return one batch for each episode.

        Args:
            key: "eps_id" or "dones": what tells the episodes apart; None: the first of them that is there.

        Raises:
            KeyError: neither column is there, or ``key`` is another one.
        """
        if key not in (None, self.EPS_ID, self.DONES):
            raise KeyError(f"split_by_episode: expected key 'eps_id', 'dones' or None, got {key!r}.")
        if key == self.EPS_ID or (key is None and self.EPS_ID in self.keys()):
            ids = np.asarray(self[self.EPS_ID])
            borders = np.flatnonzero(ids[1:] != ids[:-1]) + 1
        else:
            ended = np.asarray(self[self.TERMINATEDS], bool) | np.asarray(self.get(self.TRUNCATEDS, False), bool)
            borders = np.flatnonzero(ended[:-1]) + 1
        return [self[int(start) : int(stop)] for start, stop in itertools.pairwise([0, *borders, self.count])]

    def is_terminated_or_truncated(self) -> bool:
        """Return whether the last row ends an episode."""
        return bool(self[self.TERMINATEDS][-1] or self.get(self.TRUNCATEDS, [False])[-1])

    def is_single_trajectory(self) -> bool:
        """Return whether no row but the last ends an episode."""
        return not any(any(self.get(name, [])[:-1]) for name in (self.TERMINATEDS, self.TRUNCATEDS))

    def right_zero_pad(self, max_seq_len: int, exclude_states: bool = True) -> SampleBatch:
        """Make every sequence ``max_seq_len`` rows long in place, with zeros at its end; return the batch.

        Args:
            max_seq_len: at least the longest sequence.
            exclude_states: leave ``state_in_i`` as they are, one for each sequence.

        Raises:
            ValueError: there are no ``seq_lens``, one of them is longer, or the sequences are padded already.
        """
        if self.seq_lens is None:
            raise ValueError("SampleBatch.right_zero_pad: there is no column 'seq_lens'.")
        self._require_unpadded("right_zero_pad", "pad a copy that is not yet")
        lens = np.asarray(self.seq_lens)
        if lens.max() > max_seq_len:
            raise ValueError(
                f"SampleBatch.right_zero_pad: max_seq_len is {max_seq_len}, but a sequence has {lens.max()} rows."
            )
        for name, column in self.items():
            if name != self.SEQ_LENS and not (exclude_states and name.startswith("state_in_")):
                super().__setitem__(name, tree.map_leaves(lambda leaf: padded(leaf, lens, max_seq_len), column))
        self.zero_padded, self.max_seq_len = True, max_seq_len
        return self

    zero_pad = right_zero_pad

    def _require_unpadded(self, method: str, instead: str) -> None:
        if self.zero_padded:
            raise ValueError(f"SampleBatch.{method}: the sequences are padded to {self.max_seq_len} rows; {instead}.")

    def decompress_if_needed(self) -> SampleBatch:
        """Return the batch: its columns are never packed."""
        return self

    def to_device(self, device: Any, framework: str = "torch") -> SampleBatch:
        """Turn the columns into tensors on a device in place; return the batch.

        Raises:
            NotImplementedError: ``framework`` is not "torch".
        """
        if framework != "torch":
            raise NotImplementedError(f"SampleBatch.to_device: framework is {framework!r}; tensors are PyTorch's.")
        from anyspace._rllib.torch.tensors import convert_to_torch_tensor

        for name, column in self.items():
            super().__setitem__(name, convert_to_torch_tensor(column, device))
        return self

    def _rows_between(self, rows: Rows) -> SampleBatch:
        """Return rows; of sequences whole ones, from the one with the first row to before the one with the stop."""
        start, stop, _ = slice(rows.start or 0, rows.stop).indices(self.count)
        if self.seq_lens is None:
            return self._like({name: cut(column, slice(start, stop)) for name, column in self.items()})
        begins = np.concatenate([[0], np.cumsum(np.asarray(self.seq_lens))])
        first, last = (int(np.searchsorted(begins, place, side="right")) - 1 for place in (start, stop))
        whole = slice(first, last)
        steps = slice(int(begins[first]), int(begins[last]))
        if self.zero_padded:
            assert self.max_seq_len is not None
            steps = slice(first * self.max_seq_len, last * self.max_seq_len)
        return self._like({name: cut(v, whole if is_per_sequence(name) else steps) for name, v in self.items()})

    def _like(self, columns: Mapping[str, Any], padded: bool | None = None) -> SampleBatch:
        keeps = self.zero_padded if padded is None else padded
        return SampleBatch(
            columns,
            _is_training=self.is_training,
            _time_major=self.time_major,
            _zero_padded=keeps,
            _max_seq_len=self.max_seq_len if keeps else None,
            _num_grad_updates=self.num_grad_updates,
        )


_NO_DONES = "a SampleBatch has no column 'dones' to be set: set 'terminateds' and 'truncateds'."


def concat_samples(samples: Sequence[SampleBatch]) -> SampleBatch:
    """Return the rows of several batches one after the other; batches without rows are left out.

    Raises:
        ValueError: some are padded and others are not, or to another length, or a column is missing in one.
    """
    batches = [batch for batch in samples if batch.count]
    if not batches:
        return SampleBatch()
    first = batches[0]
    for batch in batches[1:]:
        same = batch.zero_padded == first.zero_padded and batch.time_major == first.time_major
        if not same or (first.zero_padded and batch.max_seq_len != first.max_seq_len):
            raise ValueError("concat_samples: batches have to be padded alike, to one max_seq_len, or not at all.")
        if batch.keys() != first.keys():
            odd = sorted(batch.keys() ^ first.keys())
            raise ValueError(f"concat_samples: the batches have different columns; {odd} are not in all of them.")
    columns = {name: joined([dict.__getitem__(batch, name) for batch in batches]) for name in first}
    longest = max((batch.max_seq_len or 0 for batch in batches), default=0) or None
    return SampleBatch(
        columns,
        _is_training=first.is_training,
        _time_major=first.time_major,
        _zero_padded=first.zero_padded,
        _max_seq_len=longest,
    )


def convert_ma_batch_to_sample_batch(batch: SampleBatch) -> SampleBatch:
    """Return the batch: there are no batches of several agents here."""
    return batch
