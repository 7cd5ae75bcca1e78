"""Sequences from replay: which rows are learnt from, where what follows lies, and states that are right."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from anyspace.data.replay import Replay
from anyspace.data.transitions import following, transitions
from anyspace.policy.batch import Batch
from tests.data.test_replay import FRAGMENTS, MODELS, Plain, end_of, every_mode, made, where_of

LSTM: dict[str, Any] = {"use_lstm": True, "lstm_cell_size": 4, "max_seq_len": 4}


def drawn(algorithm: Any, count: int, *, horizon: int, **arguments: Any) -> Batch:
    """A batch of windows of everything that was lived in some fragments."""
    replay = Replay(algorithm.policy, 300, 3, horizon)
    for steps in FRAGMENTS:
        replay.add(algorithm.fleet.collector.gather(steps))
    found = replay.draw(count, np.random.default_rng(4))
    assert found is not None
    weights = np.arange(count, dtype=np.float32) + 1
    return transitions(algorithm.policy, found.trajectory, gamma=0.9, weights=weights, **arguments)


@every_mode
@pytest.mark.parametrize(("n", "burn_in", "length"), [(1, 0, 4), (3, 2, 4), (2, 3, 1)])
def test_rows_of_windows(mode: AutoresetMode, n: int, burn_in: int, length: int) -> None:
    with closing(made(Plain, mode, model=LSTM)) as algorithm:
        horizon = burn_in + length + n - 1
        batch = drawn(algorithm, 60, horizon=horizon, n=n, burn_in=burn_in)
        where, counted, ahead = where_of(batch["obs"][0]), batch["counted"].numpy(), batch["ahead"].numpy()
        assert len(where) == batch["sequences"].lens.sum()
        assert set(counted.tolist()) == {0, 1}
        for row in np.flatnonzero(counted):
            number, episode, t = where[row]
            ends, how = end_of(number, episode)
            m = min(n, ends - t)
            assert where[row + ahead[row]] == (number, episode, t + m)
            assert batch["returns"][row] == pytest.approx(sum(0.9**j * (100 * episode + t + j) for j in range(m)), 1e-5)
            assert batch["discounts"][row] == pytest.approx(0 if t + m == ends and how == "terminated" else 0.9**m)
            assert batch["weights"][row] == batch["windows"][row] + 1
        # Steps of a sequence follow each other, and no sequence is without a row that counts.
        first = 0
        for length_of in batch["sequences"].lens.tolist():
            number, episode, t = where[first]
            rows = range(first, first + length_of)
            assert [where[row] for row in rows] == [(number, episode, t + k) for k in range(length_of)]
            assert counted[first : first + length_of].any()
            first += length_of
        assert max(np.bincount(batch["windows"][batch["windows"] >= 0])) <= length


@pytest.mark.parametrize("model", [MODELS["LSTM"], MODELS["GRU"], MODELS["GTrXL"]], ids=["LSTM", "GRU", "GTrXL"])
def test_stored_states_are_those_that_acted_and_what_follows_is_computed_on_from_them(model: Any) -> None:
    """With unchanged weights, an unrolled window gives what was put out when it was lived, and so does what follows."""
    with closing(made(Plain, AutoresetMode.SAME_STEP, model={**model, "max_seq_len": 6})) as algorithm:
        policy = algorithm.policy
        batch = drawn(algorithm, 40, horizon=8, n=2, burn_in=1)
        now = policy.evaluate(batch)
        after = following(policy, batch)
        where, ahead = where_of(batch["obs"][0]), batch["ahead"].numpy()
        outputs: dict[tuple[int, ...], Any] = {}
        for row, at in enumerate(where):
            output = now.output[row].detach().numpy()
            assert outputs.setdefault(at, output) == pytest.approx(output, abs=1e-5)
        for row in np.flatnonzero(batch["counted"].numpy()):
            assert after.output[row].numpy() == pytest.approx(outputs[where[row + ahead[row]]], abs=1e-5)
        assert not after.output.requires_grad


def test_a_sequence_of_one_step_is_a_plain_draw() -> None:
    memory = {**LSTM, "max_seq_len": 1}
    with (
        closing(made(Plain, AutoresetMode.SAME_STEP, model=memory)) as remembering,
        closing(made(Plain, AutoresetMode.SAME_STEP)) as plain,
    ):
        of_sequences, rows = (drawn(one, 50, horizon=2, n=2) for one in (remembering, plain))
        learnt = np.flatnonzero(of_sequences["counted"].numpy())
        order = np.argsort(of_sequences["windows"][learnt])
        learnt = learnt[order]
        assert where_of(of_sequences["obs"][0][learnt]) == where_of(rows["obs"][0])
        for column in ("returns", "discounts", "weights"):
            assert np.array_equal(of_sequences[column][learnt], rows[column])
        after = where_of(of_sequences["obs"][0][learnt + of_sequences["ahead"].numpy()[learnt]])
        assert after == where_of(rows["next_obs"][0])
        assert where_of(rows.following()["obs"][0]) == after
