import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

from anyspace import tree
from anyspace.errors import UnsupportedSpaceError
from anyspace.models.previous import PreviousFeatures
from anyspace.models.torch.previous import PreviousInputs
from anyspace.models.view_requirement import ViewRequirement
from anyspace.spaces import Simplex, flatten_actions, normalize_action
from tests.support.catalogue import ACTION_SPACES

NESTED = Dict([("z", Tuple((Discrete(3, start=4), Box(-1, 1, (2, 2))))), ("a", MultiDiscrete([2, 3]))])


def one_hot(index, n):
    return [float(index == option) for option in range(n)]


def reference(space, raw):
    """Encode one raw action, number by number."""
    if isinstance(space, Dict):
        return [x for key, child in space.spaces.items() for x in reference(child, raw[key])]
    if isinstance(space, Tuple):
        return [x for child, part in zip(space.spaces, raw, strict=True) for x in reference(child, part)]
    numbers = np.ravel(raw).tolist()
    if isinstance(space, Discrete):
        counts = [int(space.n)]
    elif isinstance(space, MultiDiscrete):
        counts = np.ravel(space.nvec).tolist()
    elif isinstance(space, MultiBinary):
        counts = [2] * len(numbers)
    elif isinstance(space, Box) and space.dtype.kind != "f":
        counts = (np.ravel(space.high).astype(object) - np.ravel(space.low).astype(object) + 1).tolist()
    else:
        return numbers
    return [x for number, n in zip(numbers, counts, strict=True) for x in one_hot(number, n)]


def raw_actions(space, rows, n):
    """Return ``rows`` windows of n random raw actions: as lists of nested NumPy actions, and stacked as tensors."""
    space.seed(3)
    singles = [
        [
            normalize_action(space, tree.map_leaves(lambda leaf: np.asarray(leaf)[None], space.sample()))
            for _ in range(n)
        ]
        for _ in range(rows)
    ]
    singles = [[tree.map_leaves(lambda leaf: leaf[0], action) for action in window] for window in singles]

    def stack(*leaves):
        stacked = torch.from_numpy(np.stack(leaves))
        return stacked.reshape(rows, n, *stacked.shape[1:]) if n > 1 else stacked

    together = tree.map_leaves(stack, *(action for window in singles for action in window))
    return singles, together


def inputs_of(space, **fed):
    return PreviousInputs(PreviousFeatures(space, **fed))


def flat(space, together, n):
    if not isinstance(space, Dict | Tuple) or n == 1:
        return flatten_actions(space, together)
    merged = flatten_actions(space, tree.map_leaves(lambda leaf: leaf.flatten(0, 1), together))
    return merged.unflatten(0, (-1, n))


@pytest.mark.spec(76, 81)
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("name", ACTION_SPACES)
@pytest.mark.parametrize("nested", [True, False])
def test_actions_of_every_space_are_encoded_component_by_component(name, n, nested):
    space = ACTION_SPACES[name]
    singles, together = raw_actions(space, 4, n)
    inputs = inputs_of(space, actions=n, rewards=2, nested=nested)
    rewards = torch.randn(4, 2, dtype=torch.float64)
    columns = {"prev_actions": together if nested else flat(space, together, n), "prev_rewards": rewards}
    expected = [[x for action in window for x in reference(space, action)] for window in singles]
    expected = np.concatenate([np.array(expected, np.float32).reshape(4, -1), rewards.numpy()], axis=1)
    out = inputs(columns)
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-6)
    assert (type(inputs.width), out.shape, out.dtype) == (int, (4, inputs.width), torch.float32)


@pytest.mark.spec(75, 76)
@pytest.mark.parametrize(
    ("space", "width"),
    [
        (Discrete(4, start=2), 4),
        (MultiDiscrete([3, 4]), 7),
        (MultiBinary(3), 6),
        (Box(-1, 1, (3,)), 3),
        (Box(-1, 1, ()), 1),
        (Box(0, 4, (2,), np.int64), 10),
        (Simplex((3,)), 3),
        (NESTED, 3 + 4 + 5),
    ],
)
def test_widths_are_plain_integers(space, width):
    for n, m in ((1, 0), (1, 1), (2, 3)):
        inputs = inputs_of(space, actions=n, rewards=m, nested=False)
        assert inputs.width == n * width + m
        torch.nn.Linear(inputs.width, 1)
    assert inputs_of(space, actions=0, rewards=0, nested=False).width == 0
    assert not inputs_of(space, actions=1, rewards=1, nested=False).state_dict()


def test_views_look_at_the_steps_before():
    def views(n, m):
        return inputs_of(NESTED, actions=n, rewards=m, nested=True).features.view_requirements()

    assert views(0, 0) == {}
    assert views(1, 0) == {"prev_actions": ViewRequirement("actions", NESTED, -1)}
    assert views(0, 4) == {"prev_rewards": ViewRequirement("rewards", shift="-4:-1")}
    assert views(2, 1) == {
        "prev_actions": ViewRequirement("actions", NESTED, "-2:-1"),
        "prev_rewards": ViewRequirement("rewards", shift=-1),
    }


def test_before_the_episode_it_is_as_if_the_first_option_had_been_taken():
    inputs = inputs_of(NESTED, actions=1, rewards=1, nested=False)
    out = inputs({"prev_actions": torch.zeros(2, 7), "prev_rewards": torch.zeros(2)})
    assert out.tolist() == [[1, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0]] * 2


def test_nested_actions_are_found_by_key():
    inputs = inputs_of(NESTED, actions=1, rewards=0, nested=True)
    z = (torch.tensor([2]), torch.full((1, 2, 2), 0.5))
    sorted_keys = {"a": torch.tensor([[1, 0]]), "z": z}
    assert inputs({"prev_actions": sorted_keys}).tolist() == [[0, 0, 1, 0.5, 0.5, 0.5, 0.5, 0, 1, 1, 0, 0]]


def test_actions_that_have_no_decoding_are_refused_by_place():
    space = Dict(a=Box(0, np.inf, (2,), np.int32))
    with pytest.raises(UnsupportedSpaceError, match=r'action\["a"\]'):
        inputs_of(space, actions=1, rewards=0, nested=False)
