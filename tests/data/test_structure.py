"""The parts of an observation against those of its space."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, OneOf, Space, Text, Tuple

from anyspace.data.structure import Structure, has_fixed_shape
from anyspace.spaces import Repeated, Simplex
from anyspace.spaces.kinds.ignored import ignoring
from tests.support.catalogue import OBSERVATION_SPACES

SPACE = Dict(a=Box(-1, 1, (2,)), b=Tuple([Discrete(3), Dict(c=Discrete(2))]))
FINE = {"a": np.zeros(2), "b": (0, {"c": 1})}


@pytest.mark.parametrize("name", sorted(OBSERVATION_SPACES.keys() - {"parts left out"}))
def test_what_a_space_draws_has_its_structure(name: str) -> None:
    space = OBSERVATION_SPACES[name]
    structure = Structure(space)
    assert structure.any is isinstance(space, Dict | Tuple)
    assert structure.fit(space.sample())


@pytest.mark.parametrize(
    ("obs", "fits"),
    [
        (FINE, True),
        (FINE | {"b": [0, {"c": 1}]}, True),
        (FINE | {"speed": 5.0}, False),
        ({"a": np.zeros(2)}, False),
        ([np.zeros(2), (0, {"c": 1})], False),
        (FINE | {"b": (0, {"c": 1}, 7)}, False),
        (FINE | {"b": (0,)}, False),
        (FINE | {"b": {0: 0, 1: {"c": 1}}}, False),
        (FINE | {"b": np.zeros(2)}, False),
        (FINE | {"b": (0, {"c": 1, "d": 1})}, False),
    ],
    ids=["fine", "list", "more keys", "fewer", "no dict", "longer", "shorter", "dict of positions", "array", "deeper"],
)
def test_more_or_fewer_parts_are_seen(obs: Any, fits: bool) -> None:
    assert Structure(SPACE).fit(obs) is fits


def test_what_is_left_out_may_be_anything() -> None:
    space = Dict(a=Discrete(2), gone=Text(3), t=Tuple([Dict(x=Discrete(2)), Discrete(3)]))
    structure = Structure(ignoring(space, ['obs["gone"]', 'obs["t"][0]']))
    assert structure.fit({"a": 1, "gone": None, "t": ("anything", 2)})
    assert not structure.fit({"a": 1, "gone": None, "t": ("anything", 2), "more": 1})
    assert not structure.fit({"a": 1, "t": (2,)}), "a closer look finds it right"


@pytest.mark.parametrize(
    ("space", "fixed"),
    [
        (Dict(a=Tuple((Discrete(2), Box(0, 1))), b=MultiBinary(2)), True),
        (OBSERVATION_SPACES["stacked frames"], True),
        (Text(3), False),
        (OneOf([Discrete(2)]), False),
        (Dict(a=Tuple((Discrete(2), Repeated(Discrete(2), 3)))), False),
        (Simplex((2,)), False),
    ],
    ids=str,
)
def test_which_spaces_processes_share_memory_for(space: Space[Any], fixed: bool) -> None:
    assert has_fixed_shape(space) is fixed
