import re
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple
from gymnasium.vector import SyncVectorEnv

from anyspace.data.infos import add_info
from anyspace.errors import UnsupportedSpaceError
from anyspace.spaces import ActionMasks, Simplex

LEVELS = Box(np.array([[0, -2]]), np.array([[2, -1]]), dtype=np.int64)
# Keys out of alphabetical order on purpose: the space's own order counts.
SPACE = Dict(
    [
        ("move", Tuple((Discrete(3, start=5), Box(-1, 1, (2,))))),
        ("bits", MultiBinary([1, 2])),
        ("aim", Dict([("z", MultiDiscrete([2, 3])), ("a", Simplex((2,)))])),
        ("level", LEVELS),
    ]
)
ROW = [*(1, 0, 1), *(1, 1, 0, 1), *(0, 1, 1, 1, 0), *(1, 0, 1, 1, 1)]


def rows(mask: Any, space: Any = SPACE, **keywords: Any) -> Any:
    flat = ActionMasks(space).flatten(mask, **keywords)
    assert flat.dtype == np.bool_
    return flat.astype(int).tolist()


@pytest.mark.parametrize(
    ("space", "width"),
    [
        (Discrete(3, start=-1), 3),
        (MultiDiscrete([2, 3]), 5),
        (MultiDiscrete([[2, 3], [4, 1]]), 10),
        (LEVELS, 5),
        (Box(0, 255, (2,), np.uint8), 512),
        (Box(0, 1, (3,), np.bool_), 6),
        (MultiBinary([2, 3]), 12),
        (Box(-1, 1, (2,)), 0),
        (Simplex((3,)), 0),
        (SPACE, 17),
        (Tuple((Box(-1, 1, (2,)), Dict({}))), 0),
    ],
    ids=["discrete", "multi", "multi 2d", "levels", "uint8", "bool", "bits", "real", "shares", "nested", "nothing"],
)
def test_width(space, width):
    assert ActionMasks(space).width == width
    everything = ActionMasks(space).flatten(None)
    assert everything.shape == (1, width)
    assert everything.all()


@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.float32, np.float64, object])
def test_flat_masks_of_any_dtype(dtype):
    batch = np.array([ROW, [1] * 17], dtype)
    assert rows(batch) == [ROW, [1] * 17]
    assert rows(batch[0], single=True) == [ROW]
    assert rows(ROW, single=True) == [ROW]
    assert rows([ROW, ROW]) == [ROW, ROW]


NESTED = {
    "level": [[1, 0, 1], [1, 1]],
    "aim": {"z": np.array([0, 1, 1, 1, 0])},
    "bits": [[[1, 1], [0, 1]]],
    "move": ([1, 0, 1], None),
}


@pytest.mark.parametrize(
    "mask",
    [
        NESTED,
        {**NESTED, "aim": {"z": ([0, 1], [1, 1, 0]), "a": None}, "bits": [1, 1, 0, 1]},
        {**NESTED, "move": [[1, 0, 1]], "aim": [[0, 1, 1, 1, 0], None], "level": [1, 0, 1, 1, 1]},
        {**NESTED, "move": np.array([1, 0, 1]), "aim": [0, 1, 1, 1, 0]},
        [[1, 0, 1], None, [[[1, 1], [0, 1]]], [0, 1, 1, 1, 0], None, [1, 0, 1, 1, 1]],
        [[1, 0, 1], [1, 1, 0, 1], [[0, 1], [1, 1, 0]], [1, 0, 1, 1, 1]],
        ([1, 0, 1], np.zeros(0), [1, 1, 0, 1], [0, 1, 1, 1, 0], np.zeros(0), [[1, 0, 1], [1, 1]]),
    ],
    ids=["nested", "components", "lists", "flat parts", "leaves", "leaves with options", "empty arrays"],
)
def test_one_row_in_every_form(mask):
    assert rows(mask, single=True) == [ROW]


def test_a_batch_in_every_form():
    def twice(part: Any) -> np.ndarray:
        return np.stack([part, np.ones_like(part)])

    expected = [ROW, [1] * 17]
    first, bits, aim, level = (np.array(part) for part in np.split(np.array(ROW), [3, 7, 12]))
    nested = {"move": (twice(first), None), "bits": twice(bits.reshape(1, 2, 2)), "level": twice(level)}
    for z in (twice(aim), [twice(aim[:2]), twice(aim[2:])], twice(aim).tolist()):
        assert rows({**nested, "aim": {"z": z}}) == expected
    assert rows([twice(first), twice(bits), twice(aim), twice(level)]) == expected
    assert rows(nested) == [[*ROW[:7], 1, 1, 1, 1, 1, *ROW[12:]], [1] * 17]


def test_missing_parts_and_none_allow_everything():
    assert rows({}, single=True) == [[1] * 17]
    assert rows([None] * 6) == [[1] * 17]
    assert rows({"move": (None, None), "aim": {}}) == [[1] * 17]
    assert rows({"move": ([0, 0, 1], None)}, single=True) == [[0, 0, 1] + [1] * 14]


def test_components_with_as_many_options_each_may_be_an_axis():
    space = MultiDiscrete([[3, 3], [3, 3]])
    mask = np.random.default_rng(0).random((4, 2, 2, 3)) < 0.5
    assert rows(mask, space) == mask.reshape(4, 12).astype(int).tolist()
    assert rows(mask[0], space, single=True) == mask[:1].reshape(1, 12).astype(int).tolist()


def test_one_mask_each_in_an_object_array():
    masks = np.empty(3, object)
    masks[:] = [NESTED, None, {"move": ([0, 0, 1], None)}]
    assert rows(masks) == [ROW, [1] * 17, [0, 0, 1] + [1] * 14]
    of_part = np.empty(2, object)
    of_part[:] = [([0, 1], [1, 1, 0]), None]
    assert rows({"aim": {"z": of_part}})[0][7:12] == [0, 1, 1, 1, 0]


class Masked(gym.Env[int, Any]):
    """Gives the mask that it was made with in its infos."""

    observation_space, action_space = Discrete(2), SPACE

    def __init__(self, mask: Any) -> None:
        self._mask = mask

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        return 0, {} if self._mask is None else {"action_mask": self._mask}


@pytest.mark.parametrize(
    "masks",
    [
        [np.array(ROW, np.int8), np.ones(17, np.int8)],
        [NESTED, {}],
        [{"move": ([1, 0, 1], None)}, {"aim": {"z": np.array([0, 1, 1, 1, 0])}}],
        [([1, 0, 1], [1, 1, 0, 1], [0, 1, 1, 1, 0], [1, 0, 1, 1, 1]), (None, None, [0, 1, 1, 1, 1], None)],
        [{"aim": {"z": np.array([0, 1, 1, 1, 0])}}, None],
    ],
    ids=["flat", "nested", "different parts", "lists", "one without"],
)
def test_what_vector_environments_make_of_masks_in_infos(masks):
    envs = SyncVectorEnv([lambda mask=mask: Masked(mask) for mask in masks])
    _, infos = envs.reset()
    expected = [rows(mask, single=True)[0] for mask in masks]
    assert rows(infos["action_mask"]) == expected
    assert any(0 in row for row in expected)


@pytest.mark.parametrize(
    ("mask", "single", "message"),
    [
        ({"move": ([1, 0], None)}, True, '["move"][0]: expected a mask of Discrete(3, start=5) as [3], got shape [2].'),
        ({"move": (np.ones(3), None)}, False, '["move"][0]: expected a mask of Discrete(3, start=5) as [N, 3], got'),
        ({"bits": np.ones((1, 2))}, True, '["bits"]: expected a mask of MultiBinary((1, 2)) as [4] or [1, 2, 2], got'),
        ({"aim": {"z": [[1, 1], [1, 1]]}}, True, '["aim"]["z"][1]: expected a mask of Discrete(3) as [3], got shape'),
        ({"aim": {"z": [[1, 1], [[1, 1], [1]]]}}, True, "got lists of uneven lengths"),
        ({"move": (None, np.ones(2))}, True, "as [0], got shape [2]. It has no options to mask: leave it out, or give"),
        (
            {"move": ([1, 0, np.nan], None)},
            True,
            '["move"][0]: a mask holds only 0 (forbidden) and 1 (allowed), got nan',
        ),
        ({"level": [1, 0, 1, 2, 1]}, True, '["level"]: a mask holds only 0 (forbidden) and 1 (allowed), got 2.'),
        ({"level": [1, 0, 1, -1, 1]}, True, "got -1."),
        ({"aims": {}}, True, "mask: the mask has a part 'aims', but Dict("),
        ({"aim": {"y": [1]}}, True, "[\"aim\"]: the mask has a part 'y', but Dict('z': MultiDiscrete([2 3]), 'a'"),
        ({"move": {"a": [1]}}, True, "[\"move\"]: the mask has a part 'a', but Tuple("),
        ([ROW[:-1]], False, "as [N, 17], got shape [1, 16]"),
        (np.ones(17), False, "as [N, 17], got shape [17]"),
        (1, True, "as [17], got shape []"),
        (1, False, "as [N, 17], got shape []"),
        (
            [1] * 16,
            True,
            'as [17], got shape [16]. Its entries: 3 for action["move"][0], 2 + 2 for action["bits"],',
        ),
        ([None] * 5, True, "as [17], got shape [5]"),
        ({"level": np.ones((2, 5)), "bits": np.ones((3, 4))}, False, "as many rows from every part, got [2, 3]"),
    ],
)
def test_wrong_masks_name_their_leaf(mask, single, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ActionMasks(SPACE).flatten(mask, single=single)


def test_errors_call_the_mask_what_the_caller_calls_it():
    with pytest.raises(ValueError, match=re.escape('infos["action_mask"]["bits"]: ')):
        ActionMasks(SPACE).flatten({"bits": [1]}, single=True, place='infos["action_mask"]')
    of_rows = np.array([None, np.array([1])], dtype=object)
    with pytest.raises(ValueError, match=re.escape("mask[1]: expected a mask of Discrete(2) as [2], got shape [1]")):
        ActionMasks(Discrete(2)).flatten(of_rows)


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
def test_split_gives_each_leaf_its_own(convert):
    flat = convert(np.array([ROW, [1] * 17], bool))
    parts = ActionMasks(SPACE).split(flat)
    assert [None if part is None else part[0].tolist() for part in parts] == [
        [True, False, True],
        None,
        [True, True, False, True],
        [False, True, True, True, False],
        None,
        [True, False, True, True, True],
    ]
    assert all(type(part) is type(flat) for part in parts if part is not None)
    leading = ActionMasks(SPACE).split(flat[None])
    assert tuple(leading[0].shape) == (1, 2, 3)


def test_split_of_a_single_leaf():
    flat = np.ones((4, 3), bool)
    np.testing.assert_array_equal(ActionMasks(Discrete(3)).split(flat), flat)
    assert ActionMasks(Box(-1, 1, (2,))).split(np.ones((4, 0), bool)) is None
    assert ActionMasks(Tuple((Box(-1, 1, (2,)),))).split(np.ones((4, 0), bool)) == [None]


@pytest.mark.parametrize(
    ("position", "empty"),
    [([], False), ([0, 2], True), ([0], False), ([3, 4], True), ([4, 5], False), ([7, 8], True), ([9, 10, 11], True),
     ([8, 9, 10], False), ([12, 13, 14], True), ([15, 16], True), ([1, 3, 5, 7, 9, 12, 15], False)],
)  # fmt: skip
def test_empty_rows_have_a_component_without_an_option(position, empty):
    flat = np.ones((3, 17), bool)
    flat[0, 1], flat[2, 1] = False, False
    flat[1, [1, *position] if position == [0, 2] else position] = False
    assert ActionMasks(SPACE).empty_rows(flat).tolist() == [False, empty, False]


@pytest.mark.parametrize(
    ("space", "row", "place"),
    [
        (Discrete(3), [0, 0, 0], "action has [0, 0, 0]"),
        (MultiDiscrete([2, 3]), [0, 1, 0, 0, 0], "action, component 1 has [0, 0, 0]"),
        (Tuple((Discrete(2), Dict(x=Box(-1, 1, (2,)), y=MultiBinary(2)))), [1, 1, 1, 0, 0, 0],
         'action[1]["y"], component 1 has [0, 0]'),
        (Dict([("b", Discrete(2)), ("a", Discrete(3))]), [0, 0, 0, 0, 0], 'action["b"] has [0, 0]'),
        (Discrete(200), [0] * 200, "action has [0, 0, 0, 0, 0, 0, 0, 0, ...], 200 zeros"),
    ],
    ids=["leaf", "component", "nested", "first of two", "many"],
)  # fmt: skip
def test_what_is_empty_is_named(space, row, place):
    assert ActionMasks(space).describe_empty(np.array(row, bool)) == place


def test_nothing_is_empty_where_nothing_can_be_masked():
    assert ActionMasks(Box(-1, 1, (2,))).empty_rows(np.ones((2, 0), bool)).tolist() == [False, False]


def test_unsupported_leaves_are_named():
    with pytest.raises(UnsupportedSpaceError, match=re.escape('action["a"][0]: no decoding for actions of Text(')):
        ActionMasks(Dict(a=Tuple((Text(3),))))


@pytest.mark.parametrize("who", [("_", 0), "_0"], ids=["ours", "Gymnasium's"])
def test_parts_of_infos_whose_keys_are_no_texts(who: Any) -> None:
    """Of two environments the second one says nothing of part 0, which allows everything."""
    space = Dict([(0, Discrete(2)), (1, Dict({"b": Discrete(3)}))])
    stacked = {0: np.array([[1, 0], [0, 0]]), who: np.array([True, False]), 1: {"b": np.array([[1, 0, 0], [0, 1, 0]])}}
    assert rows(stacked, space) == [[1, 0, 1, 0, 0], [1, 1, 0, 1, 0]]


@pytest.mark.parametrize("keys", [(0, "0"), ("0", 0)])
def test_keys_that_are_spelt_alike_have_a_mask_each(keys: tuple[Any, Any]) -> None:
    space = Dict([(key, Discrete(2)) for key in keys])
    stacked: dict[Any, Any] = {}
    for number, mask in enumerate(({0: [0, 1], "0": [1, 0]}, {"0": [0, 1]})):
        add_info(2, stacked, {key: np.array(part) for key, part in mask.items()}, number)
    allowed = {0: [[0, 1], [1, 1]], "0": [[1, 0], [0, 1]]}
    assert rows(stacked, space) == np.concatenate([allowed[key] for key in keys], axis=1).tolist()


def test_a_list_of_whole_rows():
    other = [1] * 17
    flat = [np.array(ROW), np.array(other)]
    assert rows(flat) == rows(tuple(flat)) == [ROW, other]
    # As many rows as there are parts: one array of all entries is no mask of a part.
    assert rows([np.array(ROW)] * 4) == [ROW] * 4
    assert rows([NESTED, {"move": None}, {"bits": [1, 1, 0, 1]}]) == [ROW, other, [*other[:3], 1, 1, 0, 1, *other[7:]]]
    pair = Tuple((Discrete(2), Discrete(3)))
    assert rows([np.array([1, 0, 0, 1, 1]), np.array([0, 1, 1, 1, 0])], pair) == [[1, 0, 0, 1, 1], [0, 1, 1, 1, 0]]
    parts = [np.array([[1, 0], [0, 1]]), np.array([[0, 1, 1], [1, 1, 0]])]
    assert rows(parts, pair) == [[1, 0, 0, 1, 1], [0, 1, 1, 1, 0]]


def test_what_a_vector_environment_answers_when_it_is_asked_for_masks():
    class Asked(gym.Env):
        observation_space = Discrete(2)

        def __init__(self, space, mask):
            self.action_space, self.mask = space, mask

        def action_masks(self):
            return self.mask

    for space, masks in (
        (Discrete(3), [[1, 0, 1], [0, 1, 1], [1, 1, 1]]),
        (Tuple((Discrete(1), Discrete(2), Box(-1, 1, (2,)))), [[1, 0, 1], [1, 1, 1], [1, 1, 0]]),
        (Dict(a=Discrete(1), b=Discrete(2)), [[1, 0, 1], [1, 1, 1], [1, 1, 0]]),
    ):
        envs = SyncVectorEnv([lambda mask=mask, space=space: Asked(space, np.array(mask)) for mask in masks])
        assert rows(envs.call("action_masks"), space) == masks
    nested = [{"a": np.array([1]), "b": np.array(mask)} for mask in ([0, 1], [1, 1])]
    envs = SyncVectorEnv([lambda mask=mask: Asked(Dict(a=Discrete(1), b=Discrete(2)), mask) for mask in nested])
    assert rows(envs.call("action_masks"), Dict(a=Discrete(1), b=Discrete(2))) == [[1, 0, 1], [1, 1, 1]]


def test_parts_of_a_tuple_may_have_numbers_for_keys() -> None:
    masks = ActionMasks(
        Tuple([Dict({0: Discrete(2), 1: Discrete(3)}), Dict({0: Discrete(2), 1: Discrete(2)})])  # type: ignore[dict-item]
    )
    parts = [
        {0: np.zeros((5, 2), bool), 1: np.ones((5, 3), bool)},
        {0: np.ones((5, 2), bool), 1: np.ones((5, 2), bool)},
    ]
    assert masks.flatten(parts).tolist() == [[False] * 2 + [True] * 7] * 5
