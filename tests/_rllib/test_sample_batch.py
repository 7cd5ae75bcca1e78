"""Batches of recorded steps: what `rllib_2_40.json` does not tell."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from anyspace._rllib.sample_batch import SampleBatch, attempt_count_timesteps, concat_samples
from anyspace._rllib.sample_batch_builder import SampleBatchBuilder
from anyspace._rllib.sequencing import chop_into_sequences, pad_batch_to_sequences_of_same_size
from anyspace.errors import ConfigError


def rows(**more):
    return SampleBatch({"obs": {"x": np.arange(6.0).reshape(6, 1)}, "actions": np.arange(6), **more})


def sequences():
    return rows(seq_lens=[2, 3, 1], state_in_0=np.arange(3.0).reshape(3, 1))


def test_nested_columns_are_cut_and_copied():
    batch = rows()
    assert len(batch) == 6
    assert batch[2:4]["obs"]["x"].tolist() == [[2], [3]]
    copy = batch.copy()
    copy["obs"]["x"][0] = 9
    assert batch["obs"]["x"][0] == 0
    assert [row["obs"]["x"].item() for row in batch.rows()] == [0, 1, 2, 3, 4, 5]
    assert batch[:0].count == 0


def test_whole_sequences_are_cut():
    batch = sequences()
    assert (len(batch), batch.max_seq_len) == (6, 3)
    # Row 4 lies in the second sequence, which is left out.
    part = batch[0:4]
    assert part["seq_lens"].tolist() == [2]
    assert part["state_in_0"].tolist() == [[0]]
    exact = batch.slice(1, 4)
    assert exact["seq_lens"].tolist() == [1, 2]
    assert exact["state_in_0"].tolist() == [[0], [1]]
    assert exact["actions"].tolist() == [1, 2, 3]


def test_padded_sequences_are_cut_and_shuffled_whole():
    batch = sequences().right_zero_pad(4)
    assert batch["actions"].tolist() == [0, 1, 0, 0, 2, 3, 4, 0, 5, 0, 0, 0]
    assert batch["obs"]["x"][4:8].tolist() == [[2], [3], [4], [0]]
    assert (batch.zero_padded, batch.max_seq_len) == (True, 4)
    assert batch[2:5]["actions"].tolist() == [2, 3, 4, 0]
    batch.shuffle()
    starts = batch["actions"][::4]
    assert sorted(starts.tolist()) == [0, 2, 5]
    assert batch["state_in_0"][:, 0].tolist() == [{0: 0, 2: 1, 5: 2}[start] for start in starts]
    with pytest.raises(ValueError, match="right_zero_pad"):
        sequences().shuffle()
    with pytest.raises(ValueError, match="no column 'seq_lens'"):
        rows().right_zero_pad(4)


def test_sequences_are_padded_once_to_no_less_than_the_longest():
    with pytest.raises(ValueError, match="max_seq_len is 2, but a sequence has 3 rows"):
        sequences().right_zero_pad(2)
    batch = sequences().zero_pad(3)
    for again in (lambda: batch.right_zero_pad(4), lambda: batch.slice(1, 4)):
        with pytest.raises(ValueError, match="the sequences are padded to 3 rows"):
            again()
    assert batch["actions"].tolist() == [0, 1, 0, 2, 3, 4, 5, 0, 0]


def test_names_of_older_releases():
    batch = rows()
    assert SampleBatch.concat_samples([batch, batch]).count == 12
    assert batch.decompress_if_needed() is batch
    with pytest.raises(AttributeError, match=r"no attribute 'accessed_keys'\. A model gets the views"):
        _ = batch.accessed_keys


def test_infos_stay_a_list():
    batch = rows(infos=[{"i": i} for i in range(6)])
    assert batch[1:3]["infos"] == [{"i": 1}, {"i": 2}]
    assert batch.copy()["infos"] == batch["infos"]
    assert batch.concat(batch)["infos"][6:] == batch["infos"]
    shuffled = batch.copy().shuffle()
    assert [info["i"] for info in shuffled["infos"]] == shuffled["actions"].tolist()


def test_tensors():
    batch = rows().to_device("cpu")
    assert batch["obs"]["x"].dtype is torch.float32
    assert len(batch) == 6
    assert torch.equal(batch.concat(batch)["actions"], torch.arange(6).repeat(2))
    before = batch.slice(-2, 3)
    assert before["actions"].tolist() == [0, 0, 0, 1, 2]
    assert before["actions"].dtype is torch.int64
    with pytest.raises(NotImplementedError, match="'tf2'"):
        rows().to_device("cpu", framework="tf2")


def test_what_cannot_be():
    with pytest.raises(KeyError, match="terminateds"):
        SampleBatch(dones=[True])
    with pytest.raises(KeyError, match="terminateds"):
        rows()["dones"] = [True]
    with pytest.raises(ValueError, match="size or num_slices"):
        rows().timeslices()
    with pytest.raises(KeyError, match="'eps_id', 'dones' or None, got 'obs'"):
        rows().split_by_episode(key="obs")
    with pytest.raises(ValueError, match=r"\['infos'\] are not in all"):
        concat_samples([rows(), rows(infos=[{}] * 6)])
    with pytest.raises(ValueError, match="padded alike"):
        concat_samples([sequences(), sequences().right_zero_pad(3)])


def test_training_is_no_column():
    batch = SampleBatch({"obs": np.ones(2), "is_training": True})
    assert batch.is_training
    assert batch["is_training"]
    assert list(batch) == ["obs"]
    batch["is_training"] = False
    assert not batch[:1].is_training


def test_rows_are_counted_past_states_and_infos():
    columns = {"infos": [{}], "state_in_0": np.ones(4), "obs": {"x": np.ones((3, 2))}}
    assert attempt_count_timesteps(columns) == 3
    assert attempt_count_timesteps({"obs": 3}) == 0


def test_rows_are_collected():
    builder = SampleBatchBuilder()
    for step in range(3):
        builder.add_values(obs=[0.5, step], actions=step)
    builder.add_batch(SampleBatch({"obs": np.ones((1, 2)), "actions": np.array([7])}))
    batch = builder.build_and_reset()
    assert (batch["obs"].dtype, batch["actions"].tolist(), builder.count) == (np.float32, [0, 1, 2, 7], 0)
    builder.add_values(obs=1.0, unroll_id=4)
    assert builder.build_and_reset()["unroll_id"].tolist() == [4]
    builder.add_values(obs=1.0)
    assert builder.build_and_reset()["unroll_id"][0] == batch["unroll_id"][0] + 1


def test_shuffled_sequences_keep_their_steps():
    columns, states, lens = chop_into_sequences(
        episode_ids=[1, 1, 1, 2, 3, 3],
        feature_columns=[np.arange(6), np.array(list("abcdef"))],
        state_columns=[np.arange(6.0)],
        max_seq_len=3,
        shuffle=True,
    )
    numbers, texts = columns
    for place, (length, state) in enumerate(zip(lens, states[0], strict=True)):
        start = int(state)
        assert numbers[3 * place : 3 * place + length].tolist() == list(range(start, start + length))
        assert texts[3 * place : 3 * place + 3] == [*"abcdef"[start : start + length], *[None] * (3 - length)]
    assert sorted(lens.tolist()) == [1, 2, 3]


def test_sequences_of_unknown_episodes_are_refused():
    with pytest.raises(ConfigError, match=r"`episode_ids`.* there is none; give one of them"):
        chop_into_sequences(feature_columns=[np.arange(5)], state_columns=[], max_seq_len=2)


def test_batches_without_states_are_only_shuffled():
    batch = rows()
    pad_batch_to_sequences_of_same_size(batch, 3, shuffle=True)
    assert sorted(batch["actions"].tolist()) == list(range(6))
    assert batch.zero_padded
    before = batch["actions"].tolist()
    pad_batch_to_sequences_of_same_size(batch, 3, shuffle=True)
    assert batch["actions"].tolist() == before


def test_states_that_are_single_are_padded_to_the_longest_sequence():
    from anyspace.models import ViewRequirement

    batch = rows(eps_id=[1, 1, 2, 2, 2, 3], state_in_0=np.arange(6.0))
    view = ViewRequirement("state_out_0", shift=-1)
    pad_batch_to_sequences_of_same_size(batch, 10, view_requirements={"state_in_0": view}, padding="last")
    assert batch["actions"].tolist() == [0, 1, 1, 2, 3, 4, 5, 5, 5]
    assert (batch["seq_lens"].tolist(), batch["state_in_0"].tolist()) == ([2, 3, 1], [0, 2, 5])
    assert batch.max_seq_len == 3
    ranged = rows(eps_id=[1] * 6, state_in_0=np.arange(6.0))
    pad_batch_to_sequences_of_same_size(
        ranged, 10, view_requirements={"state_in_0": ViewRequirement("state_out_0", shift="-3:-1")}
    )
    assert len(ranged["actions"]) == 10
