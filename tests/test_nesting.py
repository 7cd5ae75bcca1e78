import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Tuple

from anyspace import nesting

SPACE = Dict({"b": Discrete(2), "a": Tuple([Discrete(3), Dict({"x": Box(-1, 1, (2,)), "empty": Tuple([])})])})
PATHS = [("a", 0), ("a", 1, "x"), ("b",)]
VALUE = {"b": 1, "a": [2, {"x": 0.5, "empty": ()}]}


def test_leaves_come_depth_first_with_their_paths() -> None:
    found = list(nesting.iter_leaves(SPACE))
    assert [path for path, _ in found] == PATHS
    assert [leaf for _, leaf in found] == nesting.leaves(SPACE) == [Discrete(3), Box(-1, 1, (2,)), Discrete(2)]
    assert next(nesting.iter_leaves(Discrete(2), ("in", 0))) == (("in", 0), Discrete(2))


def test_values_come_in_the_order_of_the_space_and_go_back() -> None:
    assert nesting.values(SPACE, VALUE) == [2, 0.5, 1]
    assert nesting.built(SPACE, [2, 0.5, 1]) == {"a": (2, {"x": 0.5, "empty": ()}), "b": 1}
    assert nesting.built(Discrete(2), [7]) == 7
    assert nesting.built(Tuple([]), []) == ()


def test_values_of_another_structure_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        nesting.values(Tuple([Discrete(2), Discrete(2)]), (1,))
    with pytest.raises(KeyError, match="b"):
        nesting.values(SPACE, {"a": VALUE["a"]})


def test_leaves_of_several_trees_are_mapped_together() -> None:
    sums = nesting.map_leaves(lambda leaf, one, other: (leaf.dtype, one + other), SPACE, VALUE, VALUE)
    assert sums["a"][0] == (np.int64, 4)
    assert sums["a"][1]["x"] == (np.float32, 1.0)


def test_stacked_values_are_taken_apart() -> None:
    stacked = {"b": [1, 0], "a": ([2, 1], {"x": [0.5, 0.25], "empty": ()})}
    found = nesting.apart(lambda leaf, values: values, SPACE, stacked, 2)
    assert found == [
        {"a": (2, {"x": 0.5, "empty": ()}), "b": 1},
        {"a": (1, {"x": 0.25, "empty": ()}), "b": 0},
    ]
    assert nesting.apart(lambda leaf, values: values, Discrete(2), [1, 0], 2) == [1, 0]


def test_parts_of_dicts_and_tuples_by_their_keys() -> None:
    assert list(nesting.parts(SPACE) or ()) == ["a", "b"]
    assert nesting.parts(Tuple([Discrete(2)])) == {0: Discrete(2)}
    assert nesting.parts(Discrete(2)) is None
    assert nesting.is_leaf(Box(0, 1))
    assert not nesting.is_leaf(Tuple([]))
    assert [nesting.has_part(SPACE, key) for key in ("a", "x", None)] == [True, False, False]
    assert not nesting.has_part(Discrete(2), "a")
