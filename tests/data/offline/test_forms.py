"""Lists of as many rows as a row has parts: the other lists of the column tell what they hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Tuple

from anyspace.data.offline.columns import ColumnReader
from anyspace.execution.file_fleet import FileFleet
from tests.data.offline.test_columns import VECTOR, columns, policy
from tests.execution.test_file_fleet import Columns

CHOICES = Tuple([Discrete(4), Discrete(4)])
NUMBERS = Tuple([Box(-1, 1, ()), Box(-1, 1, ())])


def first_of(spaces: Any, *given: dict[str, Any]) -> list[Any]:
    """Return the obs and actions, leaf by leaf, of the line with two steps among others."""
    acting = policy(*spaces)
    fleet = FileFleet(acting, Columns(*given), ColumnReader(acting))
    lines = [fleet.gather(1) for _ in given]
    line = next(one for one in lines if one.num_steps == 2)
    return (
        [np.asarray(leaf)[:, 0].tolist() for leaf in (*line.actions,)]
        if spaces[1] is CHOICES
        else [np.asarray(leaf)[:2, 0].tolist() for leaf in line.obs]
    )


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], [[0, 2], [1, 3]]),
        ([[[0, 1, 0], [2, 3, 2]]], [[0, 1], [2, 3]]),
        ([[[0, 2], [1, 3], [0, 2]]], [[0, 2], [1, 3]]),
    ],
    ids=["alone", "beside parts", "beside rows"],
)
def test_the_other_lists_tell_rows_from_parts(others: list[Any], expected: list[Any]) -> None:
    lines = [columns(2, actions=[[0, 1], [2, 3]]), *(columns(3, actions=other) for other in others)]
    assert first_of((VECTOR, CHOICES), *lines) == expected


@pytest.mark.parametrize("parts", [False, True])
def test_observations_as_well(parts: bool) -> None:
    square, other = [[0.0, 0.25], [0.5, 0.75]], np.arange(6).reshape(2, 3) / 8
    other = other if parts else other.T
    lines = [columns(2, obs=square, new_obs=square), columns(3, obs=other.tolist(), new_obs=other.tolist())]
    assert first_of((NUMBERS, Discrete(2)), *lines) == (square if parts else np.transpose(square).tolist())


def test_a_tuple_holds_parts_and_a_dict_has_names() -> None:
    read = ColumnReader(policy(VECTOR, CHOICES))
    assert [leaf.tolist() for leaf in read(columns(2, actions=([0, 1], [2, 3])), "here").actions] == [[0, 1], [2, 3]]
    assert not read.knows({"actions": [[0, 1], [2, 3]]})
    named = ColumnReader(policy(VECTOR, Dict(a=Discrete(4), b=Discrete(4))))
    assert named.knows({"actions": [[0, 1], [2, 3]]})
