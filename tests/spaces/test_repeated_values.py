import jax
import numpy as np
import pytest
import torch

from anyspace.spaces.repeated_values import RepeatedValues, any_array, map_arrays

FRAMEWORKS = {"numpy": np.asarray, "torch": torch.as_tensor, "jax": jax.numpy.asarray}
ITEMS = np.arange(12, dtype=np.float32).reshape(2, 3, 2)  # B = 2 lists of at most three elements [2]
PLAYERS = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)  # of at most three lists of at most two elements [2]


def as_lists(tree):
    """Nested Python lists in place of arrays."""
    if isinstance(tree, dict):
        return {key: as_lists(value) for key, value in tree.items()}
    return [as_lists(value) for value in tree] if isinstance(tree, list) else tree.tolist()


@pytest.mark.spec(156)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_lists_lose_their_padding(framework):
    array = FRAMEWORKS[framework]
    repeated = RepeatedValues(array(ITEMS), array(np.array([2.0, 0.0], np.float32)), 3)
    lists = repeated.unbatch_all()
    assert [len(one) for one in lists] == [2, 0]
    assert isinstance(lists[0][0], type(array(ITEMS)))
    assert as_lists(lists) == [[[0, 1], [2, 3]], []]
    assert repeated.unbatch_all() is lists


@pytest.mark.spec(156)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_axis_of_elements_is_split(framework):
    array = FRAMEWORKS[framework]
    repeated = RepeatedValues(array(ITEMS), array(np.array([2, 0])), 3)
    parts = repeated.unbatch_repeat_dim()
    assert as_lists(parts) == [[[0, 1], [6, 7]], [[2, 3], [8, 9]], [[4, 5], [10, 11]]]
    nested = RepeatedValues({"x": array(ITEMS), "y": [array(ITEMS[..., 0])]}, array(np.array([2, 0])), 3)
    parts = nested.unbatch_repeat_dim()
    assert len(parts["x"]) == len(parts["y"][0]) == 3
    assert as_lists(parts)["y"] == [[[0, 6], [2, 8], [4, 10]]]


@pytest.mark.spec(156)
def test_elements_are_nested_as_the_values_are():
    repeated = RepeatedValues({"x": ITEMS, "y": [ITEMS[..., 0]]}, np.array([1, 2]), 3)
    assert as_lists(repeated.unbatch_all()) == [
        [{"x": [0, 1], "y": [0]}],
        [{"x": [6, 7], "y": [6]}, {"x": [8, 9], "y": [8]}],
    ]


def lists_in_lists():
    inner = RepeatedValues(PLAYERS, np.array([[2, 0, 1], [1, 2, 0]]), 2)
    return RepeatedValues(inner, np.array([2, 1]), 3)


@pytest.mark.spec(156)
def test_lists_in_lists():
    repeated = lists_in_lists()
    assert as_lists(repeated.unbatch_all()) == [[[[0, 1], [2, 3]], []], [[[12, 13]]]]
    parts = repeated.unbatch_repeat_dim()
    assert len(parts) == 3
    assert all(isinstance(part, RepeatedValues) and part.max_len == 2 for part in parts)
    np.testing.assert_array_equal(parts[1].values, PLAYERS[:, 1])
    assert parts[1].lengths.tolist() == [0, 2]
    assert as_lists(parts[1].unbatch_all()) == [[], [[16, 17], [18, 19]]]


def test_lists_in_dicts_in_lists():
    inner = RepeatedValues({"deep": PLAYERS}, np.array([[2, 0, 1], [1, 2, 0]]), 2)
    repeated = RepeatedValues({"inner": inner, "x": ITEMS}, np.array([1, 0]), 3)
    assert as_lists(repeated.unbatch_all()) == [[{"inner": [{"deep": [0, 1]}, {"deep": [2, 3]}], "x": [0, 1]}], []]
    parts = repeated.unbatch_repeat_dim()
    assert [part.lengths.tolist() for part in parts["inner"]] == [[2, 1], [0, 2], [1, 0]]
    np.testing.assert_array_equal(parts["inner"][2].values["deep"], PLAYERS[:, 2])


def test_more_batch_dimensions():
    repeated = RepeatedValues({"x": PLAYERS}, np.array([[1, 0, 2], [0, 2, 1]]), 2)
    assert as_lists(repeated.unbatch_all()) == [
        [[{"x": [0, 1]}], [], [{"x": [8, 9]}, {"x": [10, 11]}]],
        [[], [{"x": [16, 17]}, {"x": [18, 19]}], [{"x": [20, 21]}]],
    ]
    parts = repeated.unbatch_repeat_dim()["x"]
    assert [part.shape for part in parts] == [(2, 3, 2)] * 2
    np.testing.assert_array_equal(parts[1], PLAYERS[:, :, 1])


def test_a_function_reaches_every_array():
    inner = RepeatedValues({"deep": PLAYERS}, np.array([[2, 0, 1], [1, 2, 0]]), 2)
    repeated = RepeatedValues({"inner": inner, "x": [ITEMS]}, np.array([1, 0]), 3)
    doubled = repeated.map(lambda array: array * 2)
    np.testing.assert_array_equal(doubled.values["inner"].values["deep"], PLAYERS * 2)
    np.testing.assert_array_equal(doubled.values["x"][0], ITEMS * 2)
    assert doubled.lengths.tolist() == [2, 0]
    assert doubled.values["inner"].lengths.tolist() == [[4, 0, 2], [2, 4, 0]]
    assert (doubled.max_len, doubled.values["inner"].max_len) == (3, 2)


def test_a_function_takes_matching_arrays_and_one_of_them_says_how_many_rows_there_are():
    one, other = ({"x": RepeatedValues({"deep": ITEMS * n}, np.array([n, 0]), 3), "y": ITEMS} for n in (1, 2))
    both = map_arrays(lambda *arrays: np.concatenate(arrays), one, other)
    np.testing.assert_array_equal(both["x"].values["deep"], np.concatenate([ITEMS, ITEMS * 2]))
    assert both["x"].lengths.tolist() == [1, 0, 2, 0]
    assert any_array(both) is both["x"].lengths
    assert any_array([{}]) is None


def test_one_list_alone():
    assert as_lists(RepeatedValues(ITEMS[0], np.array(2), 3).unbatch_all()) == [[0, 1], [2, 3]]
    assert as_lists(RepeatedValues(ITEMS[0], np.array(2), 3).unbatch_repeat_dim()) == [[0, 1], [2, 3], [4, 5]]


def test_gradients_flow_through():
    values = torch.zeros(2, 3, 2, requires_grad=True)
    lists = RepeatedValues(values, torch.tensor([2.0, 1.0]), 3).unbatch_all()
    (lists[0][1].sum() + lists[1][0].sum()).backward()
    assert values.grad[..., 0].tolist() == [[0, 1, 0], [1, 0, 0]]


def test_it_shows_what_it_holds():
    assert repr(RepeatedValues({"x": np.ones(1)}, np.array([1]), 3)) == (
        "RepeatedValues(values={'x': array([1.])}, lengths=[1], max_len=3)"
    )
