"""Batches average over the rows that count, and their columns stay aligned however rows are picked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from anyspace.errors import ConfigError
from anyspace.maths.gather import Window
from anyspace.policy.batch import Batch
from anyspace.policy.sequences import Sequences
from tests.support.frameworks import FRAMEWORKS, Framework

NUMBERS = [1.0, -2.0, 4.0, 7.0]


@pytest.fixture(params=FRAMEWORKS, ids=lambda framework: framework.name)
def framework(request: pytest.FixtureRequest) -> Framework:
    return request.param


def nested(framework: Framework, count: int) -> Batch:
    """Return rows that say their number in every column."""
    rows = np.arange(count)
    return Batch(
        obs=[framework.array(rows), framework.array(np.stack([rows, rows], 1), np.int32)],
        actions={"a": framework.array(rows, np.int32), "b": (framework.array(rows),)},
        action_mask=framework.array(np.stack([rows % 2 == 0, rows % 2 == 1], 1), np.bool_),
        counted=framework.array(rows < count - 1),
        views={"before": Window([framework.array(rows)], framework.array(rows[:, None], np.int32))},
    )


def numbers_of(batch: Batch) -> list[list[float]]:
    """Return what each column says of its rows."""
    actions, mask = batch["actions"], batch.mask
    assert mask is not None
    columns = [*batch["obs"], actions["a"], actions["b"][0], batch["views"]["before"].leaves()[0]]
    found = [np.asarray(column).reshape(len(column), -1)[:, 0].tolist() for column in columns]
    np.testing.assert_array_equal(np.asarray(mask)[:, 0], np.array(found[0]) % 2 == 0)
    return found


# ---------------------------------------------------------------------------------------------- averages


def test_without_marks_every_row_counts(framework: Framework) -> None:
    x, batch = framework.array(NUMBERS), Batch(obs=[framework.array(NUMBERS)])
    assert batch.counted is None
    assert float(batch.mean(x)) == 2.5
    assert float(batch.sum(x)) == 10
    assert float(batch.max(x)) == 7
    assert np.shape(batch.mean(x)) == np.shape(batch.sum(x)) == ()


def test_rows_that_do_not_count_are_left_out(framework: Framework) -> None:
    x, batch = framework.array(NUMBERS), Batch(counted=framework.array([1, 1, 1, 0]))
    assert batch.counted is batch["counted"]
    assert float(batch.mean(x)) == 1
    assert float(batch.sum(x)) == 3
    assert float(batch.max(x)) == 4
    assert np.shape(batch.mean(x)) == np.shape(batch.sum(x)) == ()


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_rows_that_do_not_count_may_hold_anything(framework: Framework, number: float) -> None:
    x, batch = framework.array([*NUMBERS[:3], number]), Batch(counted=framework.array([1, 1, 1, 0]))
    assert (float(batch.mean(x)), float(batch.sum(x)), float(batch.max(x))) == (1, 3, 4)


def test_rows_that_do_not_count_have_no_gradient() -> None:
    for reduce, share in ((Batch.mean, 1 / 3), (Batch.sum, 1)):
        x = torch.tensor(NUMBERS, requires_grad=True)
        reduce(Batch(counted=torch.tensor([1.0, 1, 1, 0])), x**2).backward()
        torch.testing.assert_close(x.grad, torch.tensor([2.0, -4, 8, 0]) * share)


def test_the_mask_is_a_column(framework: Framework) -> None:
    mask = framework.array([[1, 0]], np.bool_)
    assert Batch(action_mask=mask).mask is mask
    assert Batch().mask is None


# -------------------------------------------------------------------------------------------- some rows


def test_picked_rows_stay_aligned(framework: Framework) -> None:
    batch = nested(framework, 5)
    picked = batch.take(framework.array([4, 1, 1], np.int32 if framework.name == "jax" else np.int64))
    assert type(picked) is Batch
    assert picked.keys() == batch.keys()
    assert numbers_of(picked) == [[4, 1, 1]] * 5
    assert np.asarray(picked.counted).tolist() == [0, 1, 1]
    assert numbers_of(batch) == [[0, 1, 2, 3, 4]] * 5, "the batch itself stays"


def test_neighbouring_rows(framework: Framework) -> None:
    batch = nested(framework, 5)
    assert numbers_of(batch.slice(1, 4)) == numbers_of(batch.take(slice(1, 4))) == [[1, 2, 3]] * 5


def test_neighbouring_rows_are_not_copied() -> None:
    batch = nested(FRAMEWORKS[0], 5)
    assert np.shares_memory(batch.slice(1, 4)["obs"][0], batch["obs"][0])


def test_picked_rows_are_no_sequences() -> None:
    batch = Batch(obs=[np.arange(3)], sequences=Sequences(np.array([2, 1]), []))
    assert list(batch.of_rows(slice(0, 2))) == ["obs"]


@pytest.mark.parametrize(
    ("start", "stop", "rows"), [(0, 1, [0, 1, 2]), (1, 3, [3, 4, 5]), (3, 4, [6, 7]), (0, 4, list(range(8)))]
)
def test_neighbouring_sequences_bring_their_rows_and_states(
    framework: Framework, start: int, stop: int, rows: list[int]
) -> None:
    lens = np.array([3, 1, 2, 2])
    states: list[Any] = [framework.array([10, 20, 30, 40]), framework.array([[1], [2], [3], [4]])]
    part = Batch(nested(framework, 8), sequences=Sequences(lens, states)).slice(start, stop)
    assert numbers_of(part) == [rows] * 5
    sequences = part["sequences"]
    assert sequences.lens.tolist() == lens[start:stop].tolist()
    for state, whole in zip(sequences.state, states, strict=True):
        np.testing.assert_array_equal(np.asarray(state), np.asarray(whole)[start:stop])


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^the batch has no column 'advantage'; it has obs, advantages\.$"):
        Batch(obs=[], advantages=None)["advantage"]


def test_sequences_are_not_torn_apart() -> None:
    batch = Batch(obs=[torch.zeros(3, 1)], sequences=Sequences(np.array([2, 1]), [torch.zeros(2, 1)]))
    with pytest.raises(ConfigError, match=r"^take\(\) would tear sequences apart"):
        batch.take(torch.tensor([0]))
    assert len(batch.slice(0, 1)["obs"][0]) == 2
